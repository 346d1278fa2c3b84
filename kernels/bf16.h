// bfloat16: the upper half of a float. Storage only; arithmetic happens in float.
#pragma once

#include <bit>
#include <cstdint>

namespace gradus {

struct bf16 {
  std::uint16_t bits = 0;

  bf16() = default;
  // Round to nearest, ties to even; NaN stays NaN (quiet).
  explicit constexpr bf16(float x) {
    const std::uint32_t u = std::bit_cast<std::uint32_t>(x);
    const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
    const std::uint32_t rounded = u + 0x7fffu + ((u >> 16) & 1u);
    bits = static_cast<std::uint16_t>(nan ? (u >> 16) | 0x40u : rounded >> 16);
  }
  explicit constexpr operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
  friend constexpr bool operator==(bf16 a, bf16 b) { return float(a) == float(b); }
};

// The number in which elements of type T are computed.
template <class T>
struct ComputedIn {
  using type = T;
};
template <>
struct ComputedIn<bf16> {
  using type = float;
};
template <class T>
using computed = typename ComputedIn<T>::type;

}  // namespace gradus
