// Scalar<T>: the register of width one with which a CUDA thread reads a formula; what Lane<T> of
// cpu/simd.h is to the CPU. T: float, double, int32_t, int64_t.
//
// Functions are those of CUDA's mathematical library, with its errors (two ULP or less but for
// pow, f32 4, and ndtr, 5), no fast forms; edges are the CPU's. Integers wrap.
#pragma once

#include <cmath>
#include <type_traits>

#include "gradus/kernels/bf16.h"
#include "gradus/kernels/cpu/isa.h"
#include "gradus/kernels/cuda/gpu.h"

// Not inlined: the reduction of large angles, eight times in a thread, spills.
#ifdef __CUDACC__
[[maybe_unused]] static __host__ __device__ __noinline__ float gradus_tan(float x) {
  return tanf(x);
}
#else
inline float gradus_tan(float x) { return tanf(x); }
// Of CUDA, not of the C library; in the next wider type.
inline float normcdff(float x) {
  return static_cast<float>(std::erfc(x * -0x1.6a09e667f3bcdp-1) / 2);
}
inline double normcdf(double x) {
  return static_cast<double>(std::erfc(x * -0xb.504f333f9de6484p-4l) / 2);
}
#endif

namespace gradus::GRADUS_GPU {

class Condition {
 public:
  GRADUS_INLINE explicit Condition(bool holds) : holds_(holds) {}
  GRADUS_INLINE bool holds() const { return holds_; }
  GRADUS_INLINE friend Condition operator&(Condition a, Condition b) {
    return Condition(a.holds_ && b.holds_);
  }
  GRADUS_INLINE friend Condition operator|(Condition a, Condition b) {
    return Condition(a.holds_ || b.holds_);
  }
  GRADUS_INLINE friend Condition operator!(Condition a) { return Condition(!a.holds_); }

 private:
  bool holds_;
};

template <class T>
struct Scalar {
  using value_type = T;
  using Bits = Condition;
  T v;

  Scalar() = default;
  GRADUS_INLINE Scalar(double c) : v(static_cast<T>(c)) {}  // a constant takes the number's type
  GRADUS_INLINE static Scalar of(T x) {
    Scalar r;
    r.v = x;
    return r;
  }

#define GRADUS_ARITHMETIC(op)                                    \
  GRADUS_INLINE friend Scalar operator op(Scalar a, Scalar b) {  \
    if constexpr (std::is_integral_v<T>)                         \
      return of(static_cast<T>(wrapping(a.v) op wrapping(b.v))); \
    else                                                         \
      return of(a.v op b.v);                                     \
  }
  GRADUS_ARITHMETIC(+)
  GRADUS_ARITHMETIC(-)
  GRADUS_ARITHMETIC(*)
#undef GRADUS_ARITHMETIC
  GRADUS_INLINE friend Scalar operator/(Scalar a, Scalar b) { return of(a.v / b.v); }
  GRADUS_INLINE friend Scalar operator-(Scalar a) {
    if constexpr (std::is_integral_v<T>)
      return of(static_cast<T>(-wrapping(a.v)));
    else
      return of(-a.v);
  }

#define GRADUS_COMPARE(op) \
  GRADUS_INLINE friend Condition operator op(Scalar a, Scalar b) { return Condition(a.v op b.v); }
  GRADUS_COMPARE(<)
  GRADUS_COMPARE(<=)
  GRADUS_COMPARE(>)
  GRADUS_COMPARE(>=)
  GRADUS_COMPARE(==)
  GRADUS_COMPARE(!=)
#undef GRADUS_COMPARE
  GRADUS_INLINE friend Scalar select(Condition m, Scalar a, Scalar b) { return m.holds() ? a : b; }

#define GRADUS_FUNCTION(name, f32, f64)        \
  GRADUS_INLINE friend Scalar name(Scalar a) { \
    if constexpr (sizeof(T) == sizeof(float))  \
      return of(::f32(a.v));                   \
    else                                       \
      return of(::f64(a.v));                   \
  }
  GRADUS_FUNCTION(abs, fabsf, fabs)
  GRADUS_FUNCTION(sqrt, sqrtf, sqrt)
  GRADUS_FUNCTION(rsqrt, rsqrtf, rsqrt)
  GRADUS_FUNCTION(exp, expf, exp)
  GRADUS_FUNCTION(expm1, expm1f, expm1)
  GRADUS_FUNCTION(log, logf, log)
  GRADUS_FUNCTION(log1p, log1pf, log1p)
  GRADUS_FUNCTION(sin, sinf, sin)
  GRADUS_FUNCTION(cos, cosf, cos)
  GRADUS_FUNCTION(tan, gradus_tan, tan)
  GRADUS_FUNCTION(tanh, tanhf, tanh)
  GRADUS_FUNCTION(erf, erff, erf)
  GRADUS_FUNCTION(erfc, erfcf, erfc)
  GRADUS_FUNCTION(ndtr, normcdff, normcdf)
  GRADUS_FUNCTION(floor, floorf, floor)
  GRADUS_FUNCTION(ceil, ceilf, ceil)
  GRADUS_FUNCTION(round, rintf, rint)  // halves to even
#undef GRADUS_FUNCTION
  GRADUS_INLINE friend Scalar clamp(Scalar a, double low, double high) {
    return select(a < low, low, select(a > high, high, a));
  }
  GRADUS_INLINE friend Scalar gelu(Scalar a) {
    const Scalar w = clamp(a, -40.0, 40.0);  // keeps infinity * 0 out
    return select(a > 40.0, a, w * ndtr(w));
  }
  GRADUS_INLINE friend Scalar pow(Scalar a, Scalar b) {
    if constexpr (sizeof(T) == sizeof(float))
      return of(::powf(a.v, b.v));
    else
      return of(::pow(a.v, b.v));
  }
  // a * b + c with one rounding.
  GRADUS_INLINE friend Scalar fma(Scalar a, Scalar b, Scalar c) {
    if constexpr (sizeof(T) == sizeof(float))
      return of(::fmaf(a.v, b.v, c.v));
    else
      return of(::fma(a.v, b.v, c.v));
  }
  GRADUS_INLINE friend Scalar copysign(Scalar magnitude, Scalar sign) {
    if constexpr (sizeof(T) == sizeof(float))
      return of(::copysignf(magnitude.v, sign.v));
    else
      return of(::copysign(magnitude.v, sign.v));
  }
  GRADUS_INLINE friend Scalar sign(Scalar a) {
    return select(a > 0.0, 1.0, select(a < 0.0, -1.0, a));
  }
  GRADUS_INLINE friend Scalar sigmoid(Scalar a) {
    const Scalar e = exp(-abs(a));
    return select(a < 0.0, e, 1.0) / (e + 1.0);
  }
  GRADUS_INLINE friend Scalar softplus(Scalar a) {
    return log1p(exp(-abs(a))) + select(a < 0.0, 0.0, a);
  }

 private:
  GRADUS_INLINE static auto wrapping(T x) { return static_cast<std::make_unsigned_t<T>>(x); }
};

// Between elements in memory, S, and numbers to compute with.
template <class T, class S>
GRADUS_INLINE Scalar<T> read_as(const S& s) {
  return Scalar<T>::of(static_cast<T>(s));
}
template <class S>
GRADUS_INLINE S rounded(Scalar<computed<S>> x) {
  return static_cast<S>(x.v);
}

}  // namespace gradus::GRADUS_GPU
