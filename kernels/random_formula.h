// What the words of a generator become: formulas read with a register (cpu/simd.h) or with the
// number of one CUDA thread, L in both cases. Nothing but correctly rounded operations, and no fma:
// all machines give the same bits.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <numbers>

#include "gradus/kernels/cpu/isa.h"

namespace gradus::random_words {

// Words of 64 bits come from blocks of their own, so that they share none with words of 32.
template <class T>
GRADUS_INLINE constexpr std::uint64_t block_of(std::uint64_t i) {
  return sizeof(T) == 4 ? i / 4 : i / 2 | std::uint64_t{1} << 63;
}

template <class T>
inline constexpr int mantissa = sizeof(T) == 4 ? 23 : 52;
// The bits of 2^mantissa: an integer below that, or'ed in, is a number.
template <class T>
inline constexpr double integer_base = static_cast<double>(std::uint64_t{1} << mantissa<T>);

// The upper mantissa + 1 bits of each word as a fraction: (1 + k / 2^m) less 1, or less the number
// before 1 where the last bit is set. Both differences are exact.
template <class L>
GRADUS_INLINE L fraction(typename L::Bits word) {
  using T = typename L::value_type;
  using Bits = typename L::Bits;
  constexpr int width = 8 * sizeof(T);
  const Bits one = L(1.0).bits();
  const Bits last = (word >> (width - mantissa<T> - 1)) & Bits(1);
  return L::from_bits((word >> (width - mantissa<T>)) | one) - L::from_bits(one - last);
}

// A uniform number in (0, 1] with the full resolution of the word near 0, where the tail of a
// normal comes from.
template <class L>
GRADUS_INLINE L positive_fraction(typename L::Bits word) {
  using T = typename L::value_type;
  using Bits = typename L::Bits;
  if constexpr (sizeof(T) == 8) {
    return fraction<L>(word) + L(0x1p-54);
  } else {
    const Bits base = L(integer_base<T>).bits();
    const L high = L::from_bits((word >> 16) | base) - L(0x1p23);
    const L low = L::from_bits((word & Bits(0xffff)) | base) - L(0x1p23 - 0.5);
    return (high * L(0x1p16) + low) * L(0x1p-32);
  }
}

// Taylor series, cut where a further term changes nothing.
template <int terms>
constexpr std::array<double, terms> sine_series(int parity) {
  std::array<double, terms> c{};
  double term = 1;
  for (int i = 0; i < terms; ++i) {
    c[i] = term;
    const int n = 2 * i + parity;
    term /= -(n + 1.0) * (n + 2.0);
  }
  return c;
}
template <int terms>
constexpr std::array<double, terms> atanh_series() {
  std::array<double, terms> c{};
  for (int i = 0; i < terms; ++i) c[i] = 1 / (2 * i + 1.0);
  return c;
}

// 1 + c[1] x + c[2] x^2 + ...; c[0] is 1.
template <class L, std::size_t terms>
GRADUS_INLINE L series(const std::array<double, terms>& c, L x) {
  L p(c[terms - 1]);
#ifndef __CUDACC__  // which unrolls by itself
#pragma GCC unroll 16
#endif
  for (std::size_t i = terms - 2; i > 0; --i) p = p * x + L(c[i]);
  return p * x + L(1.0);
}

// log(x) = e log 2 + 2 atanh((m - 1) / (m + 1)), x = m 2^e a positive normal number, m within
// sqrt(2) of 1.
template <class L>
GRADUS_INLINE L minus_two_log(L x) {
  using T = typename L::value_type;
  using Bits = typename L::Bits;
  using Int = typename Bits::Int;
  constexpr int terms = sizeof(T) == 4 ? 5 : 11;
  static constexpr auto c = atanh_series<terms>();
  const Bits root = L(std::numbers::sqrt2 / 2).bits();
  const Bits shifted = x.bits() - root + L(1.0).bits();
  constexpr int digits = mantissa<T>;
  const Bits fraction_bits((Int{1} << digits) - 1);
  const L base(integer_base<T>);
  const L bias(integer_base<T> + (sizeof(T) == 4 ? 127.0 : 1023.0));
  const L e = L::from_bits((shifted >> digits) | base.bits()) - bias;
  const L m = L::from_bits((shifted & fraction_bits) + root);
  const L s = (m - L(1.0)) / (m + L(1.0));
  return e * L(-2 * std::numbers::ln2) + s * L(-4.0) * series(c, s * s);
}

// Cosine and sine of the word as a fraction of a turn: the nearest quarter, and the rest by series.
template <class L>
GRADUS_INLINE void turn(typename L::Bits word, L& cosine, L& sine) {
  using T = typename L::value_type;
  using Bits = typename L::Bits;
  using Int = typename Bits::Int;
  constexpr int terms = sizeof(T) == 4 ? 5 : 9;
  static constexpr auto cosine_terms = sine_series<terms>(0), sine_terms = sine_series<terms>(1);
  constexpr int quarter = 8 * sizeof(T) - 2;
  const Bits half(Int{1} << (quarter - 1)), below((Int{1} << quarter) - 1);
  const Bits q = ((word >> (quarter - 1)) + Bits(1)) >> 1;  // the nearest quarter; 4 is 0
  // The rest plus half a quarter: adding half of the modulus flips one bit.
  const Bits rest = ((word ^ half) & below) >> (quarter - mantissa<T>);
  const L x = (L::from_bits(rest | L(integer_base<T>).bits()) - L(1.5 * integer_base<T>)) *
              L(std::numbers::pi / 2 / integer_base<T>);
  const L xx = x * x;
  const Bits c = series(cosine_terms, xx).bits(), s = (x * series(sine_terms, xx)).bits();
  const Bits exchanged = (c ^ s) & (Bits(0) - (q & Bits(1)));
  cosine = L::from_bits(c ^ exchanged ^ (((q + Bits(1)) & Bits(2)) << quarter));
  sine = L::from_bits(s ^ exchanged ^ ((q & Bits(2)) << quarter));
}

// Two independent standard normals, by Box and Muller.
template <class L>
GRADUS_INLINE void normal_pair(typename L::Bits even, typename L::Bits odd, L& a, L& b) {
  const L radius = sqrt(minus_two_log(positive_fraction<L>(even)));
  L cosine, sine;
  turn(odd, cosine, sine);
  a = radius * cosine;
  b = radius * sine;
}

}  // namespace gradus::random_words
