// Transposing between two pieces of memory, for code inside with_isa().
#pragma once

#include <cstdint>
#include <utility>

#include "gradus/kernels/cpu/isa.h"

namespace gradus::cpu {

// y[j * dy + i] = x[i * dx + j] for an 8 x 8 block: three perfect shuffles of its rows.
template <class U>
GRADUS_INLINE void transpose_block(const U* x, std::int64_t dx, U* y, std::int64_t dy) {
  typedef U Row __attribute__((vector_size(8 * sizeof(U))));
  Row r[8], s[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) __builtin_memcpy(&r[i], x + i * dx, sizeof(Row));
#pragma GCC unroll 3
  for (int round = 0; round < 3; ++round) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      s[2 * i] = __builtin_shufflevector(r[i], r[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
      s[2 * i + 1] = __builtin_shufflevector(r[i], r[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) r[i] = s[i];
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) __builtin_memcpy(y + i * dy, &r[i], sizeof(Row));
}

// 16 bytes from each of the rows first, first + step, ...: as many as fill the register.
template <class T, class V, class Row>
GRADUS_INLINE void load_strip(V& v, const Row& row, int first, int step) {
  if constexpr (sizeof(V) == 16) {
    __builtin_memcpy(&v, row(first), sizeof(V));
  } else {
    typedef T Half __attribute__((vector_size(sizeof(V) / 2)));
    Half a, b;
    load_strip<T>(a, row, first, step);
    load_strip<T>(b, row, first + static_cast<int>(sizeof(V) / 32) * step, step);
    [&]<int... i>(std::integer_sequence<int, i...>) GRADUS_LAMBDA {
      v = __builtin_shufflevector(a, b, i...);
    }
    (std::make_integer_sequence<int, sizeof(V) / sizeof(T)>());
  }
}

// y[j * dy + i] = x[i * dx + j] for as many rows i as a register has elements and 16 bytes of each;
// of rows from the given number on anything may come out.
template <class L, class T>
GRADUS_INLINE void transpose_strip(const T* x, std::int64_t dx, std::int64_t rows, T* y,
                                   std::int64_t dy) {
  constexpr int K = 16 / sizeof(T), W = L::size;
  typename L::Vector r[K], s[K];
#pragma GCC unroll 4
  for (int i = 0; i < K; ++i) {
    const auto row = [&](std::int64_t k) GRADUS_LAMBDA { return x + k * dx; };
    const auto bounded = [&](int k) GRADUS_LAMBDA { return row(k < rows ? k : rows - 1); };
    if (rows >= W)
      load_strip<T>(r[i], row, i, K);
    else
      load_strip<T>(r[i], bounded, i, K);
  }
#pragma GCC unroll 2
  for (int round = 1; round < K; round *= 2) {
    [&]<int... i>(std::integer_sequence<int, i...>) GRADUS_LAMBDA {
#pragma GCC unroll 2
      for (int k = 0; k < K / 2; ++k) {
        s[2 * k] =
            __builtin_shufflevector(r[k], r[k + K / 2], (i / K * K + i % K / 2 + i % 2 * W)...);
        s[2 * k + 1] = __builtin_shufflevector(r[k], r[k + K / 2],
                                               (i / K * K + K / 2 + i % K / 2 + i % 2 * W)...);
      }
    }
    (std::make_integer_sequence<int, W>());
#pragma GCC unroll 4
    for (int i = 0; i < K; ++i) r[i] = s[i];
  }
#pragma GCC unroll 4
  for (int i = 0; i < K; ++i) __builtin_memcpy(y + i * dy, &r[i], sizeof(r[i]));
}

}  // namespace gradus::cpu
