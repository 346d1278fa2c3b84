// Products of gemm.cu in the emulator, and what they must be.
#pragma once

#include "gradus/kernels/gemm.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gradus/kernels/bf16.h"
#include "gradus/kernels/cpu/isa.h"
#include "gradus/kernels/error.h"
#include "gradus/tests/cuda/gemm_tiles.h"
#include "gradus/tests/emulated.h"

namespace gradus::test {

using std::int64_t;

template <class T>
inline bool same_bits(const std::vector<T>& x, const std::vector<T>& y) {
  return x.size() == y.size() &&
         (x.empty() || !std::memcmp(x.data(), y.data(), x.size() * sizeof(T)));
}

struct Case {
  double alpha = 1, beta = 0;
  int64_t skip = 0;  // elements from an aligned address to the operands
};

// What call(a, b, c) leaves in c: the same bits under every schedule.
template <class T, class C, class Call>
std::vector<C> run_by(const Case& how, const std::vector<T>& a, const std::vector<T>& b,
                      const std::vector<C>& c, const Call& call) {
  struct Bits {
    std::vector<C> values;
    bool operator==(const Bits& other) const { return same_bits(values, other.values); }
  };
  const EmulatedArray<T> a_there(a, how.skip), b_there(b, how.skip);
  return on_every_schedule([&] {
           const EmulatedArray<C> c_there(c, how.skip);
           call(a_there.data(), b_there.data(), c_there.data());
           return Bits{c_there.values()};
         })
      .values;
}

template <class T, class C>
std::vector<C> run(const GemmShape& s, const Case& how, const std::vector<T>& a,
                   const std::vector<T>& b, const std::vector<C>& c,
                   const Epilogue<C>& epilogue = {}) {
  return run_by(how, a, b, c, [&](const T* at_a, const T* at_b, C* at_c) {
    const EmulatedArray<char> scratch(emulated::gemm_scratch<T>(s));
    emulated::gemm_epilogue(s, how.alpha, at_a, at_b, how.beta, at_c, epilogue, scratch.data());
  });
}

template <class T, class C>
std::vector<C> run_in_tiles(GemmTile tile, const GemmShape& s, const Case& how,
                            const std::vector<T>& a, const std::vector<T>& b,
                            const std::vector<C>& c) {
  return run_by(how, a, b, c, [&](const T* at_a, const T* at_b, C* at_c) {
    const EmulatedArray<char> totals(s.batch.count() * s.m * s.n * int64_t{sizeof(computed<T>)});
    emulated::gemm_in_tiles(tile, s, how.alpha, at_a, at_b, how.beta, at_c, totals.data());
  });
}

inline double number(double x) { return x; }
inline double number(bf16 x) { return float(x); }

inline double activated(Activation f, double x) {
  switch (f) {
    case Activation::relu:
      return std::max(x, 0.0);
    case Activation::gelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::gelu_sigmoid:
      return x / (1 + std::exp(-1.702 * x));
    default:
      return x;
  }
}

// Compares c, which held `old`, with three loops in double.
template <class T, class C>
inline void expect_product(const GemmShape& s, const Case& how, const std::vector<T>& a,
                           const std::vector<T>& b, const std::vector<C>& old,
                           const std::vector<C>& c, const std::vector<C>& bias = {},
                           Activation f = Activation::none) {
  using Sum = computed<T>;
  SCOPED_TRACE(testing::Message() << s.m << " x " << s.n << " x " << s.k
                                  << (s.transpose_a ? " T" : " N") << (s.transpose_b ? "T" : "N")
                                  << " alpha " << how.alpha << " beta " << how.beta << " skip "
                                  << how.skip);
  ASSERT_EQ(c.size(), old.size());
  std::vector<char> written(c.size());
  const double of_sum =
      (4 + 2 * std::sqrt(static_cast<double>(s.k))) * std::numeric_limits<Sum>::epsilon();
  const double of_result = std::is_same_v<C, bf16> ? 1.0 / 256 : 0;  // rounded once, to 8 bits
  for (int64_t at = 0; at < s.batch.count(); ++at) {
    int64_t offset[3] = {}, rest = at;
    for (int d = s.batch.rank - 1; d >= 0; --d) {
      const int64_t i = rest % s.batch.size[d];
      rest /= s.batch.size[d];
      offset[0] += i * s.stride_a[d], offset[1] += i * s.stride_b[d],
          offset[2] += i * s.stride_c[d];
    }
    for (int64_t i = 0; i < s.m; ++i)
      for (int64_t j = 0; j < s.n; ++j) {
        const auto to = static_cast<std::size_t>(offset[2] + i * s.ldc + j);
        written[to] = 1;
        double sum = 0, size = 0;
        for (int64_t l = 0; l < s.k; ++l) {
          const double x = number(a[offset[0] + (s.transpose_a ? l * s.lda + i : i * s.lda + l)]);
          const double y = number(b[offset[1] + (s.transpose_b ? j * s.ldb + l : l * s.ldb + j)]);
          sum += how.alpha * x * y;
          size += std::abs(how.alpha * x * y);
        }
        if (how.beta != 0) {
          sum += how.beta * number(old[to]);
          size += std::abs(how.beta * number(old[to]));
        }
        if (!bias.empty()) {
          sum += number(bias[static_cast<std::size_t>(j)]);
          size += std::abs(number(bias[static_cast<std::size_t>(j)]));
        }
        const double expected = activated(f, sum);
        ASSERT_LE(std::abs(number(c[to]) - expected),
                  1.2 * of_sum * size + of_result * std::abs(expected))
            << "at " << i << ", " << j << " of " << at << ": " << number(c[to]) << " against "
            << expected;
      }
  }
  for (std::size_t i = 0; i < c.size(); ++i)
    if (!written[i]) {
      ASSERT_EQ(std::memcmp(&c[i], &old[i], sizeof(C)), 0) << "outside C";
    }
}

}  // namespace gradus::test
