// One element in another type; copy.h states the rules.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "gradus/kernels/bf16.h"
#include "gradus/kernels/cpu/isa.h"

namespace gradus {

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
GRADUS_INLINE To converted(From x) {
  if constexpr (std::is_same_v<From, bf16>) {
    return converted<To>(static_cast<float>(x));
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

}  // namespace gradus
