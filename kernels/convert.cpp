#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "gradus/kernels/copy.h"
#include "gradus/kernels/cpu/pool.h"
#include "gradus/kernels/cpu/simd.h"

namespace gradus::cpu {
namespace {

using Index = std::int64_t;

// Rounded to odd: toward zero, with the last bit set where that was inexact. A second rounding, to
// bf16, is then as good as one.
GRADUS_INLINE float to_odd(double x) {
  const float f = static_cast<float>(x);
  if (static_cast<double>(f) == x || x != x) return f;
  const auto bits = std::bit_cast<std::uint32_t>(f);
  return std::bit_cast<float>((bits - (std::abs(static_cast<double>(f)) > std::abs(x))) | 1u);
}
GRADUS_INLINE double to_odd(std::int64_t x) {
  constexpr std::uint64_t low = 0x7ff;  // the bits of a 64-bit number that a double has no room for
  const std::uint64_t size = x < 0 ? -static_cast<std::uint64_t>(x) : static_cast<std::uint64_t>(x);
  if (size < std::uint64_t{1} << 53) return static_cast<double>(x);
  const auto odd = static_cast<double>((size & ~low) | (size & low ? low + 1 : 0));
  return x < 0 ? -odd : odd;
}

template <class To, class From>
GRADUS_INLINE To as(From x) {
  if constexpr (std::is_same_v<From, bf16>) {
    return as<To>(static_cast<float>(x));
  } else if constexpr (std::is_same_v<To, bool>) {
    return x != From(0);
  } else if constexpr (std::is_same_v<To, bf16>) {
    if constexpr (std::is_same_v<From, std::int64_t>)
      return bf16(to_odd(to_odd(x)));
    else if constexpr (std::is_same_v<From, double> || std::is_same_v<From, std::int32_t>)
      return bf16(to_odd(static_cast<double>(x)));
    else
      return bf16(static_cast<float>(x));
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    using Limits = std::numeric_limits<To>;
    constexpr From lowest = static_cast<From>(Limits::min());
    constexpr From beyond = static_cast<From>(Limits::max() / 2 + 1) * 2;  // a power of two: exact
    return x >= beyond   ? Limits::max()
           : x > lowest  ? static_cast<To>(x)
           : x <= lowest ? Limits::min()
                         : To(0);
  } else {
    return static_cast<To>(x);
  }
}

}  // namespace

template <class From, class To>
void convert(const From* x, Index n, To* y) {
  constexpr Index tile = 1 << 16, block = 64;
  parallel((n + tile - 1) / tile, [&](Index t) {
    const Index begin = t * tile, end = std::min(n, begin + tile);
    if constexpr (std::is_same_v<From, To>) {
      std::memcpy(y + begin, x + begin, static_cast<std::size_t>(end - begin) * sizeof(To));
    } else {
      // Blocks of fixed length, in memory that cannot overlap, are what compilers vectorise.
      with_isa([&](auto) {
        From from[block];
        To to[block];
        for (Index i = begin; i < end; i += block) {
          const auto m = static_cast<std::size_t>(std::min(block, end - i));
          if (m == block)
            std::memcpy(from, x + i, sizeof from);
          else
            std::memcpy(from, x + i, m * sizeof(From)), std::fill(from + m, from + block, From());
          for (Index j = 0; j < block; ++j) to[j] = as<To>(from[j]);
          if (m == block)
            std::memcpy(y + i, to, sizeof to);
          else
            std::memcpy(y + i, to, m * sizeof(To));
        }
      });
    }
  });
}

#define GRADUS_TO(From, To) template void convert(const From*, Index, To*);
#define GRADUS_FROM(From)       \
  GRADUS_TO(From, float)        \
  GRADUS_TO(From, double)       \
  GRADUS_TO(From, bf16)         \
  GRADUS_TO(From, std::int32_t) \
  GRADUS_TO(From, std::int64_t) \
  GRADUS_TO(From, std::uint8_t) \
  GRADUS_TO(From, bool)
GRADUS_FROM(float)
GRADUS_FROM(double)
GRADUS_FROM(bf16)
GRADUS_FROM(std::int32_t)
GRADUS_FROM(std::int64_t)
GRADUS_FROM(std::uint8_t)
GRADUS_FROM(bool)
#undef GRADUS_FROM
#undef GRADUS_TO

}  // namespace gradus::cpu
