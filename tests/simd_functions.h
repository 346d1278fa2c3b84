// The functions of vector mathematics, with their promised errors, and arguments to try them at.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <ostream>
#include <random>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "gradus/kernels/cpu/simd.h"

namespace gradus::test {

template <class T>
using Wider = std::conditional_t<sizeof(T) == 4, double, long double>;

template <class T>
inline constexpr T infinity = std::numeric_limits<T>::infinity();
template <class T>
inline constexpr T not_a_number = std::numeric_limits<T>::quiet_NaN();

// Runs body(set name) under every instruction set of this machine.
template <class Body>
void for_each_isa(Body body) {
  const cpu::Isa before = cpu::isa();
  for (cpu::Isa set : {cpu::Isa::baseline, cpu::Isa::avx2, cpu::Isa::avx512})
    if (cpu::set_isa(set)) body(cpu::name(set));
  cpu::set_isa(before);
}

template <class T, class F>
std::vector<T> evaluate(const std::vector<T>& x, F f) {
  std::vector<T> y(x.size());
  cpu::with_isa([&](auto set) {
    using L = typename decltype(set)::template Lane<T>;
    const std::int64_t n = static_cast<std::int64_t>(x.size());
    std::int64_t i = 0;
    for (; i + L::size <= n; i += L::size) f(L::load(&x[i])).store(&y[i]);
    if (i < n) f(L::load(&x[i], n - i)).store(&y[i], n - i);
  });
  return y;
}

template <class T>
struct Version {
  std::vector<T> (*evaluate)(const std::vector<T>&);
  Wider<T> (*reference)(Wider<T>);
};

struct Function {
  const char* name;
  double range;  // sampled evenly, beside bit patterns of every exponent
  double ulp;    // promised
  Version<float> f32;
  Version<double> f64;

  friend void PrintTo(const Function& f, std::ostream* out) { *out << f.name; }
  template <class T>
  const Version<T>& version() const {
    if constexpr (sizeof(T) == 4)
      return f32;
    else
      return f64;
  }
};

template <class Wide>
Wide softplus_reference(Wide x) {
  return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}
template <class Wide>
Wide ndtr_reference(Wide x) {
  return std::erfc(x * -std::sqrt(Wide(0.5))) / 2;
}
template <class Wide>
Wide gelu_reference(Wide x) {
  return std::max(x, Wide(-1e4)) * ndtr_reference(x);  // no infinity * 0
}

#define GRADUS_VERSION(T, f, reference)                                               \
  {                                                                                   \
    [](const std::vector<T>& v) { return evaluate(v, [](auto x) { return f(x); }); }, \
        [](Wider<T> x) -> Wider<T> { return reference; }                              \
  }
#define GRADUS_ROW(f, reference, range, ulp) \
  { #f, range, ulp, GRADUS_VERSION(float, f, reference), GRADUS_VERSION(double, f, reference) }
inline const Function functions[] = {
    GRADUS_ROW(exp, std::exp(x), 110, 1.1),
    GRADUS_ROW(expm1, std::expm1(x), 20, 1.5),
    GRADUS_ROW(log, std::log(x), 10, 1),
    GRADUS_ROW(log1p, std::log1p(x), 10, 1.5),
    GRADUS_ROW(tanh, std::tanh(x), 10, 1.5),
    GRADUS_ROW(sigmoid, 1 / (1 + std::exp(-x)), 110, 2.5),
    GRADUS_ROW(softplus, softplus_reference(x), 110, 2),
    GRADUS_ROW(erf, std::erf(x), 6, 2.5),
    GRADUS_ROW(erfc, std::erfc(x), 28, 4),
    GRADUS_ROW(ndtr, ndtr_reference(x), 39, 4.5),
    GRADUS_ROW(gelu, gelu_reference(x), 39, 4.5),
    GRADUS_ROW(sin, std::sin(x), 1000, 2),
    GRADUS_ROW(cos, std::cos(x), 1000, 2),
    GRADUS_ROW(tan, std::tan(x), 1000, 4),
    GRADUS_ROW(floor, std::floor(x), 100, 0),
    GRADUS_ROW(ceil, std::ceil(x), 100, 0),
    GRADUS_ROW(round, std::nearbyint(x), 100, 0),
    GRADUS_ROW(rsqrt, 1 / std::sqrt(x), 10, 1.5),
};
#undef GRADUS_ROW
#undef GRADUS_VERSION

inline const Function& function(const std::string& name) {
  for (const Function& f : functions)
    if (f.name == name) return f;
  throw std::out_of_range(name);
}

template <class T>
T from_bits(std::uint64_t bits) {
  const cpu::integer_like<T> b = static_cast<cpu::integer_like<T>>(bits);
  T x;
  std::memcpy(&x, &b, sizeof x);
  return x;
}

// Every exponent and sign alike; moderate sizes; and evenly within the range.
template <class T>
std::vector<T> samples(double range) {
  const int n = sizeof(T) == 4 ? 350'000 : 1 << 16;
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> even(-range, range), exponent(-30, 12);
  std::vector<T> x;
  for (int i = 0; i < n; ++i) {
    x.push_back(from_bits<T>(sizeof(T) == 4 ? std::uint64_t(i) * 12271 : random()));
    x.push_back(static_cast<T>(even(random)));
    x.push_back(static_cast<T>(std::copysign(std::exp2(exponent(random)), even(random))));
  }
  return x;
}

}  // namespace gradus::test
