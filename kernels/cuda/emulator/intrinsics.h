// CUDA's functions of one thread: atomics, loads and stores with a cache hint, bits, conversions
// and mathematics, as the CUDA mathematical API defines them. Functions that only trade accuracy
// for speed on the device (__expf, ...) are the accurate ones here; C's are the library's.
#pragma once

#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "gradus/kernels/cuda/emulator/vocabulary.h"

namespace gradus::emulator {

// The rules of PTX's cvt to an integer: what does not fit gives the nearest that does; NaN gives 0,
// and the highest bit alone where one of the two types has 64 bits.
template <class I, class F>
I to_integer(F rounded) {
  using Limits = std::numeric_limits<I>;
  if (rounded != rounded)
    return sizeof(I) == 8 || sizeof(F) == 8 ? I(std::make_unsigned_t<I>(1) << (8 * sizeof(I) - 1))
                                            : I(0);
  constexpr F above = F(std::make_unsigned_t<I>(1) << (Limits::digits - 1)) * 2;
  if (rounded >= above) return Limits::max();
  if (rounded < F(Limits::min())) return Limits::min();
  return static_cast<I>(rounded);
}

template <class T, class Change>
T atomic_change(T* p, Change change) {
  const std::atomic_ref<T> at(*p);
  T before = at.load(std::memory_order_relaxed);
  while (!at.compare_exchange_weak(before, change(before), std::memory_order_relaxed)) {
  }
  return before;
}

inline namespace vocabulary {

// ---- atomics: relaxed; they return what was there before
#define GRADUS_ATOMIC(T, name, operation)                                      \
  inline T name(T* p, T value) {                                               \
    return std::atomic_ref<T>(*p).operation(value, std::memory_order_relaxed); \
  }
GRADUS_ATOMIC(int, atomicAdd, fetch_add)
GRADUS_ATOMIC(unsigned, atomicAdd, fetch_add)
GRADUS_ATOMIC(unsigned long long, atomicAdd, fetch_add)
GRADUS_ATOMIC(int, atomicSub, fetch_sub)
GRADUS_ATOMIC(unsigned, atomicSub, fetch_sub)
GRADUS_ATOMIC(int, atomicExch, exchange)
GRADUS_ATOMIC(unsigned, atomicExch, exchange)
GRADUS_ATOMIC(unsigned long long, atomicExch, exchange)
GRADUS_ATOMIC(int, atomicAnd, fetch_and)
GRADUS_ATOMIC(unsigned, atomicAnd, fetch_and)
GRADUS_ATOMIC(unsigned long long, atomicAnd, fetch_and)
GRADUS_ATOMIC(int, atomicOr, fetch_or)
GRADUS_ATOMIC(unsigned, atomicOr, fetch_or)
GRADUS_ATOMIC(unsigned long long, atomicOr, fetch_or)
GRADUS_ATOMIC(int, atomicXor, fetch_xor)
GRADUS_ATOMIC(unsigned, atomicXor, fetch_xor)
GRADUS_ATOMIC(unsigned long long, atomicXor, fetch_xor)
#undef GRADUS_ATOMIC
#define GRADUS_ATOMIC(T)                                                                \
  inline T atomicMin(T* p, T value) {                                                   \
    return atomic_change(p, [=](T before) { return value < before ? value : before; }); \
  }                                                                                     \
  inline T atomicMax(T* p, T value) {                                                   \
    return atomic_change(p, [=](T before) { return before < value ? value : before; }); \
  }
GRADUS_ATOMIC(int)
GRADUS_ATOMIC(unsigned)
GRADUS_ATOMIC(long long)
GRADUS_ATOMIC(unsigned long long)
#undef GRADUS_ATOMIC
#define GRADUS_ATOMIC(T)                                                                        \
  inline T atomicCAS(T* p, T expected, T value) {                                               \
    std::atomic_ref<T>(*p).compare_exchange_strong(expected, value, std::memory_order_relaxed); \
    return expected;                                                                            \
  }
GRADUS_ATOMIC(int)
GRADUS_ATOMIC(unsigned)
GRADUS_ATOMIC(unsigned long long)
#undef GRADUS_ATOMIC
inline unsigned atomicInc(unsigned* p, unsigned last) {
  return atomic_change(p, [=](unsigned v) { return v >= last ? 0 : v + 1; });
}
inline unsigned atomicDec(unsigned* p, unsigned last) {
  return atomic_change(p, [=](unsigned v) { return v == 0 || v > last ? last : v - 1; });
}

// ---- loads and stores with a cache hint
template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldca(const T* p) {
  return *p;
}
template <class T>
T __ldcg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
T __ldlu(const T* p) {
  return *p;
}
template <class T>
void __stcg(T* p, std::type_identity_t<T> value) {
  *p = value;
}
template <class T>
void __stcs(T* p, std::type_identity_t<T> value) {
  *p = value;
}
template <class T>
void __stwb(T* p, std::type_identity_t<T> value) {
  *p = value;
}
template <class T>
void __stwt(T* p, std::type_identity_t<T> value) {
  *p = value;
}

// ---- bits
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }
inline int __double2hiint(double x) { return int(std::bit_cast<std::int64_t>(x) >> 32); }
inline int __double2loint(double x) { return int(std::bit_cast<std::int64_t>(x)); }
inline double __hiloint2double(int high, int low) {
  return std::bit_cast<double>(std::uint64_t(unsigned(high)) << 32 | unsigned(low));
}

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return std::countl_zero(unsigned(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; ++i) reversed |= (x >> i & 1) << (31 - i);
  return reversed;
}
inline unsigned long long __brevll(unsigned long long x) {
  return static_cast<unsigned long long>(__brev(unsigned(x))) << 32 | __brev(unsigned(x >> 32));
}
// Four of the eight bytes of (y, x), chosen by the nibbles of `selector`.
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const std::uint64_t bytes = std::uint64_t(y) << 32 | x;
  unsigned chosen = 0;
  for (int i = 0; i < 4; ++i)
    chosen |= unsigned(bytes >> 8 * (selector >> 4 * i & 7) & 0xff) << 8 * i;
  return chosen;
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return unsigned(((std::uint64_t(high) << 32 | low) << (shift & 31)) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return unsigned((std::uint64_t(high) << 32 | low) >> (shift & 31));
}

// ---- integers: the upper half of a product
inline unsigned __umulhi(unsigned x, unsigned y) { return unsigned(std::uint64_t(x) * y >> 32); }
inline int __mulhi(int x, int y) { return int(std::int64_t(x) * y >> 32); }
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<unsigned long long>(Wide(x) * y >> 64);
}
inline long long __mul64hi(long long x, long long y) {
  __extension__ using Wide = __int128;
  return static_cast<long long>(Wide(x) * y >> 64);
}

// ---- conversions: rn to the nearest, halves to even; rz towards zero; ru upwards; rd downwards
#define GRADUS_ROUNDED(F, name, I)                                     \
  inline I name##_rn(F x) { return to_integer<I>(std::nearbyint(x)); } \
  inline I name##_rz(F x) { return to_integer<I>(std::trunc(x)); }     \
  inline I name##_ru(F x) { return to_integer<I>(std::ceil(x)); }      \
  inline I name##_rd(F x) { return to_integer<I>(std::floor(x)); }
GRADUS_ROUNDED(float, __float2int, int)
GRADUS_ROUNDED(float, __float2uint, unsigned)
GRADUS_ROUNDED(float, __float2ll, long long)
GRADUS_ROUNDED(float, __float2ull, unsigned long long)
GRADUS_ROUNDED(double, __double2int, int)
GRADUS_ROUNDED(double, __double2uint, unsigned)
GRADUS_ROUNDED(double, __double2ll, long long)
GRADUS_ROUNDED(double, __double2ull, unsigned long long)
#undef GRADUS_ROUNDED
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
inline float __ll2float_rn(long long x) { return static_cast<float>(x); }
inline float __ull2float_rn(unsigned long long x) { return static_cast<float>(x); }
inline double __int2double_rn(int x) { return x; }
inline double __uint2double_rn(unsigned x) { return x; }
inline double __ll2double_rn(long long x) { return static_cast<double>(x); }
inline double __ull2double_rn(unsigned long long x) { return static_cast<double>(x); }
inline float __double2float_rn(double x) { return static_cast<float>(x); }

// ---- arithmetic that no compiler contracts
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
inline double __dadd_rn(double x, double y) { return x + y; }
inline double __dsub_rn(double x, double y) { return x - y; }
inline double __dmul_rn(double x, double y) { return x * y; }
inline double __ddiv_rn(double x, double y) { return x / y; }
inline double __drcp_rn(double x) { return 1 / x; }
inline double __dsqrt_rn(double x) { return std::sqrt(x); }
inline double __fma_rn(double x, double y, double z) { return std::fma(x, y, z); }

// ---- fast on the device
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __log2f(float x) { return std::log2(x); }
inline float __log10f(float x) { return std::log10(x); }
inline float __powf(float x, float y) { return std::pow(x, y); }
inline float __sinf(float x) { return std::sin(x); }
inline float __cosf(float x) { return std::cos(x); }
inline float __tanf(float x) { return std::tan(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __saturatef(float x) { return x >= 0 ? (x <= 1 ? x : 1) : 0; }  // NaN: 0

// ---- mathematics that C does not have. Where its library begins to, the library's are taken.
#if !defined(__GLIBC_PREREQ) || !__GLIBC_PREREQ(2, 42)
inline double rsqrt(double x) { return 1 / std::sqrt(x); }
inline float rsqrtf(float x) { return static_cast<float>(rsqrt(double(x))); }
#endif
#if !defined(__GLIBC_PREREQ) || !__GLIBC_PREREQ(2, 41)
inline double sinpi(double x) {
  double r = std::remainder(x, 2.0);  // exact, in [-1, 1]
  if (std::fabs(r) > 0.5) r = std::copysign(1.0, r) - r;
  return std::copysign(std::sin(3.14159265358979323846 * r), r == 0 ? x : r);
}
inline double cospi(double x) {
  const double r = std::fabs(std::remainder(x, 2.0));
  if (r == 0.5) return 0;
  return r < 0.25 ? std::cos(3.14159265358979323846 * r) : sinpi(0.5 - r);
}
inline float sinpif(float x) { return static_cast<float>(sinpi(double(x))); }
inline float cospif(float x) { return static_cast<float>(cospi(double(x))); }
#endif
inline void sincospi(double x, double* sine, double* cosine) {
  *sine = sinpi(x);
  *cosine = cospi(x);
}
inline void sincospif(float x, float* sine, float* cosine) {
  *sine = sinpif(x);
  *cosine = cospif(x);
}

// Of floating-point numbers the one that is a number, as fmin and fmax do.
template <class A, class B>
requires std::is_arithmetic_v<A> && std::is_arithmetic_v<B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>)
    return fmin(T(a), T(b));
  else
    return T(b) < T(a) ? T(b) : T(a);
}
template <class A, class B>
requires std::is_arithmetic_v<A> && std::is_arithmetic_v<B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>)
    return fmax(T(a), T(b));
  else
    return T(a) < T(b) ? T(b) : T(a);
}

}  // namespace vocabulary
}  // namespace gradus::emulator
