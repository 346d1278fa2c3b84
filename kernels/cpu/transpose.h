// Transposing between two pieces of memory, for code inside with_isa().
#pragma once

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

}  // namespace gradus::cpu
