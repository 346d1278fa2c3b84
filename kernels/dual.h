// Numbers that read a formula (formula.h) for what lies beside its value: its derivative, and what
// it depends on.
#pragma once

#include "gradus/kernels/cpu/isa.h"

namespace gradus {

// ---- value and derivative along one direction ---------------------------------------------------

// A value v and its derivative d.
template <class V>
struct Dual {
  V v, d;

#define GRADUS_DUAL GRADUS_INLINE friend auto
  GRADUS_DUAL operator+(const Dual& a, const Dual& b) { return Dual{a.v + b.v, a.d + b.d}; }
  GRADUS_DUAL operator+(const Dual& a, const V& b) { return Dual{a.v + b, a.d}; }
  GRADUS_DUAL operator+(const V& a, const Dual& b) { return Dual{a + b.v, b.d}; }
  GRADUS_DUAL operator+(const Dual& a, double b) { return Dual{a.v + b, a.d}; }
  GRADUS_DUAL operator+(double a, const Dual& b) { return Dual{a + b.v, b.d}; }
  GRADUS_DUAL operator-(const Dual& a, const Dual& b) { return Dual{a.v - b.v, a.d - b.d}; }
  GRADUS_DUAL operator-(const Dual& a, const V& b) { return Dual{a.v - b, a.d}; }
  GRADUS_DUAL operator-(const V& a, const Dual& b) { return Dual{a - b.v, -b.d}; }
  GRADUS_DUAL operator-(const Dual& a, double b) { return Dual{a.v - b, a.d}; }
  GRADUS_DUAL operator-(double a, const Dual& b) { return Dual{a - b.v, -b.d}; }
  GRADUS_DUAL operator-(const Dual& a) { return Dual{-a.v, -a.d}; }
  GRADUS_DUAL operator*(const Dual& a, const Dual& b) {
    return Dual{a.v * b.v, a.d * b.v + a.v * b.d};
  }
  GRADUS_DUAL operator*(const Dual& a, const V& b) { return Dual{a.v * b, a.d * b}; }
  GRADUS_DUAL operator*(const V& a, const Dual& b) { return Dual{a * b.v, a * b.d}; }
  GRADUS_DUAL operator*(const Dual& a, double b) { return Dual{a.v * b, a.d * b}; }
  GRADUS_DUAL operator*(double a, const Dual& b) { return Dual{a * b.v, a * b.d}; }
  GRADUS_DUAL operator/(const Dual& a, const Dual& b) {
    V q = a.v / b.v;
    return Dual{q, (a.d - q * b.d) / b.v};
  }
  GRADUS_DUAL operator/(const Dual& a, const V& b) { return Dual{a.v / b, a.d / b}; }
  GRADUS_DUAL operator/(const V& a, const Dual& b) {
    V q = a / b.v;
    return Dual{q, -(q * b.d) / b.v};
  }
  GRADUS_DUAL operator/(const Dual& a, double b) { return Dual{a.v / b, a.d / b}; }
  GRADUS_DUAL operator/(double a, const Dual& b) {
    V q = a / b.v;
    return Dual{q, -(q * b.d) / b.v};
  }

  GRADUS_DUAL exp(const Dual& a) {
    V e = exp(a.v);
    return Dual{e, e * a.d};
  }
  GRADUS_DUAL expm1(const Dual& a) {
    V y = expm1(a.v);
    return Dual{y, (y + 1.0) * a.d};
  }
  GRADUS_DUAL log(const Dual& a) { return Dual{log(a.v), a.d / a.v}; }
  GRADUS_DUAL log1p(const Dual& a) { return Dual{log1p(a.v), a.d / (a.v + 1.0)}; }
  GRADUS_DUAL sqrt(const Dual& a) {
    V y = sqrt(a.v);
    return Dual{y, 0.5 * a.d / y};
  }
  GRADUS_DUAL rsqrt(const Dual& a) {
    V y = rsqrt(a.v);
    return Dual{y, -0.5 * a.d * y / a.v};
  }
  GRADUS_DUAL sin(const Dual& a) { return Dual{sin(a.v), cos(a.v) * a.d}; }
  GRADUS_DUAL cos(const Dual& a) { return Dual{cos(a.v), -(sin(a.v) * a.d)}; }
  GRADUS_DUAL tan(const Dual& a) {
    V y = tan(a.v);
    return Dual{y, (y * y + 1.0) * a.d};
  }
  GRADUS_DUAL tanh(const Dual& a) {
    V y = tanh(a.v);
    return Dual{y, (1.0 - y) * (1.0 + y) * a.d};
  }
  GRADUS_DUAL sigmoid(const Dual& a) {
    V y = sigmoid(a.v);
    return Dual{y, y * sigmoid(-a.v) * a.d};  // 1 - y would cancel
  }
  GRADUS_DUAL softplus(const Dual& a) { return Dual{softplus(a.v), sigmoid(a.v) * a.d}; }
  // exp(rate x^2), rate < 0; beyond +-40 that is 0, and so are all its derivatives.
  GRADUS_INLINE static V gauss(const V& x, double rate) {
    const V w = clamp(x, -40.0, 40.0);
    return exp(rate * w * w);
  }
  // d/dx erf(x) = 2 / sqrt(pi) exp(-x^2).
  GRADUS_INLINE static V erf_slope(const V& x) { return 1.1283791670955126 * gauss(x, -1); }
  // d/dx Phi(x) = 1 / sqrt(2 pi) exp(-x^2 / 2).
  GRADUS_INLINE static V density(const V& x) { return 0.3989422804014327 * gauss(x, -0.5); }
  GRADUS_DUAL erf(const Dual& a) { return Dual{erf(a.v), erf_slope(a.v) * a.d}; }
  GRADUS_DUAL erfc(const Dual& a) { return Dual{erfc(a.v), -erf_slope(a.v) * a.d}; }
  GRADUS_DUAL ndtr(const Dual& a) { return Dual{ndtr(a.v), density(a.v) * a.d}; }
  GRADUS_DUAL gelu(const Dual& a) {
    const V w = clamp(a.v, -40.0, 40.0);  // infinity times a density of 0
    return Dual{gelu(a.v), (ndtr(a.v) + w * density(a.v)) * a.d};
  }
  GRADUS_DUAL abs(const Dual& a) { return Dual{abs(a.v), sign(a.v) * a.d}; }
  GRADUS_DUAL sign(const Dual& a) { return Dual{sign(a.v), 0.0 * a.d}; }
  GRADUS_DUAL floor(const Dual& a) { return Dual{floor(a.v), 0.0 * a.d}; }
  GRADUS_DUAL ceil(const Dual& a) { return Dual{ceil(a.v), 0.0 * a.d}; }
  GRADUS_DUAL round(const Dual& a) { return Dual{round(a.v), 0.0 * a.d}; }
  GRADUS_DUAL clamp(const Dual& a, double low, double high) {
    return Dual{clamp(a.v, low, high), select(a.v < low, 0.0, select(a.v > high, 0.0, a.d))};
  }

  GRADUS_DUAL pow(const Dual& a, double c) {
    if (c == 0) return Dual{pow(a.v, c), 0.0 * a.d};
    return Dual{pow(a.v, c), c * pow(a.v, c - 1) * a.d};
  }
  GRADUS_DUAL pow(const Dual& a, const V& b) {
    return Dual{pow(a.v, b), select(b == 0.0, 0.0, b * pow(a.v, b - 1.0)) * a.d};
  }
  // d/db a^b = a^b log a, and 0 at a = 0.
  GRADUS_DUAL pow(const V& a, const Dual& b) {
    V y = pow(a, b.v);
    return Dual{y, y * log(select(a == 0.0, 1.0, a)) * b.d};
  }
  GRADUS_DUAL pow(const Dual& a, const Dual& b) {
    return Dual{pow(a.v, b.v), pow(a, b.v).d + pow(a.v, b).d};
  }

  // Comparisons look at values only.
#define GRADUS_COMPARE(op)                                                     \
  GRADUS_DUAL operator op(const Dual& a, const Dual& b) { return a.v op b.v; } \
  GRADUS_DUAL operator op(const Dual& a, const V& b) { return a.v op b; }      \
  GRADUS_DUAL operator op(const V& a, const Dual& b) { return a op b.v; }      \
  GRADUS_DUAL operator op(const Dual& a, double b) { return a.v op b; }
  GRADUS_COMPARE(<)
  GRADUS_COMPARE(<=)
  GRADUS_COMPARE(>)
  GRADUS_COMPARE(>=)
  GRADUS_COMPARE(==)
  GRADUS_COMPARE(!=)
#undef GRADUS_COMPARE
  template <class M>
  GRADUS_DUAL select(const M& m, const Dual& a, const Dual& b) {
    return Dual{select(m, a.v, b.v), select(m, a.d, b.d)};
  }
  template <class M>
  GRADUS_DUAL select(const M& m, const Dual& a, const V& b) {
    return Dual{select(m, a.v, b), select(m, a.d, 0.0)};
  }
  template <class M>
  GRADUS_DUAL select(const M& m, const V& a, const Dual& b) {
    return Dual{select(m, a, b.v), select(m, 0.0, b.d)};
  }
  template <class M>
  GRADUS_DUAL select(const M& m, const Dual& a, double b) {
    return Dual{select(m, a.v, b), select(m, a.d, 0.0)};
  }
  template <class M>
  GRADUS_DUAL select(const M& m, double a, const Dual& b) {
    return Dual{select(m, a, b.v), select(m, 0.0, b.d)};
  }
#undef GRADUS_DUAL
};

// ---- what is read -------------------------------------------------------------------------------

// A set of inputs, one bit each: every operation joins the sets of its operands.
//
// Reading a formula's derivative with Dual<Reads> tells what a gradient needs to keep.
struct Reads {
  unsigned inputs = 0;
  bool incoming = false;  // the incoming gradient itself, which nothing has changed
  constexpr Reads(unsigned set, bool gradient = false) : inputs(set), incoming(gradient) {}
  constexpr Reads(double) {}

#define GRADUS_BINARY(op) \
  friend constexpr Reads operator op(Reads a, Reads b) { return a.inputs | b.inputs; }
#define GRADUS_UNARY(f) \
  friend constexpr Reads f(Reads a) { return a.inputs; }
  GRADUS_BINARY(+)
  GRADUS_BINARY(-)
  GRADUS_BINARY(*)
  GRADUS_BINARY(/)
  GRADUS_BINARY(<)
  GRADUS_BINARY(<=)
  GRADUS_BINARY(>)
  GRADUS_BINARY(>=)
  GRADUS_BINARY(==)
  GRADUS_BINARY(!=)
  GRADUS_BINARY(&)
  GRADUS_BINARY(|)
  GRADUS_UNARY(operator-)
  GRADUS_UNARY(operator!)
  GRADUS_UNARY(exp)
  GRADUS_UNARY(expm1)
  GRADUS_UNARY(log)
  GRADUS_UNARY(log1p)
  GRADUS_UNARY(sqrt)
  GRADUS_UNARY(rsqrt)
  GRADUS_UNARY(sin)
  GRADUS_UNARY(cos)
  GRADUS_UNARY(tan)
  GRADUS_UNARY(tanh)
  GRADUS_UNARY(sigmoid)
  GRADUS_UNARY(softplus)
  GRADUS_UNARY(erf)
  GRADUS_UNARY(erfc)
  GRADUS_UNARY(ndtr)
  GRADUS_UNARY(gelu)
  GRADUS_UNARY(abs)
  GRADUS_UNARY(sign)
  GRADUS_UNARY(floor)
  GRADUS_UNARY(ceil)
  GRADUS_UNARY(round)
#undef GRADUS_BINARY
#undef GRADUS_UNARY
  friend constexpr Reads select(Reads m, Reads a, Reads b) {
    return m.inputs | a.inputs | b.inputs;
  }
  friend constexpr Reads clamp(Reads a, double, double) { return a.inputs; }
  friend constexpr Reads pow(Reads a, Reads b) { return a.inputs | b.inputs; }
};

}  // namespace gradus
