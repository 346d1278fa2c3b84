// SIMD for formulas: gradus::cpu::{baseline,avx2,avx512}::Lane<T>, the same source compiled for
// each instruction set (isa.h), with arithmetic, comparisons, select and vector mathematics.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "gradus/kernels/cpu/isa.h"

namespace gradus::cpu {
template <class T>
using integer_like = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
}

// fma, square root, any and streaming store of one register. GCC: builtins by width, by reference,
// because it instantiates Lane's friends outside the region. Clang, and the baseline: generic code.
namespace gradus::cpu::baseline {
#define GRADUS_REGISTER_BYTES 16
template <class V>
GRADUS_INLINE void fma_register(V& a, const V& b, const V& c) {
#if defined(__clang__)
#pragma clang fp contract(fast)
  a = a * b + c;
#elif defined(__FMA__) || defined(__aarch64__)
  for (unsigned i = 0; i < sizeof(V) / sizeof(a[0]); ++i) a[i] = std::fma(a[i], b[i], c[i]);
#else
  a = a * b + c;
#endif
}
template <class V>
GRADUS_INLINE void sqrt_register(V& a) {
#if defined(__clang__)
#pragma clang loop unroll(full)  // or it stays a loop over scalars
#endif
  for (unsigned i = 0; i < sizeof(V) / sizeof(a[0]); ++i)
    a[i] = sizeof(a[0]) == 4 ? static_cast<float>(__builtin_sqrtf(a[i])) : __builtin_sqrt(a[i]);
}
template <class V>
GRADUS_INLINE bool any_register(const V& mask) {
  auto r = mask[0];
  for (unsigned i = 1; i < sizeof(V) / sizeof(r); ++i) r |= mask[i];
  return r != 0;
}
template <class T, class V>
GRADUS_INLINE void stream_register(T* p, const V& v) {
#if defined(__clang__)
  __builtin_nontemporal_store(v, (V*)p);
#else
  __builtin_memcpy(p, &v, sizeof v);
#endif
}
#define GRADUS_ENTER_TARGET
#include "gradus/kernels/cpu/lane.inc"
#include "gradus/kernels/cpu/lane_math.inc"
#include "gradus/kernels/cpu/enter.inc"
#undef GRADUS_REGISTER_BYTES
#undef GRADUS_ENTER_TARGET
}  // namespace gradus::cpu::baseline

#if GRADUS_WIDE
GRADUS_TARGET_BEGIN(GRADUS_AVX2_SETS)
namespace gradus::cpu::avx2 {
#define GRADUS_REGISTER_BYTES 32
#if defined(__clang__)
#define GRADUS_ENTER_TARGET __attribute__((target(GRADUS_AVX2_SETS)))
using baseline::any_register, baseline::fma_register, baseline::sqrt_register;
using baseline::stream_register;
#else
#define GRADUS_ENTER_TARGET
typedef float F32 __attribute__((vector_size(32)));
typedef double F64 __attribute__((vector_size(32)));
typedef std::int32_t I32 __attribute__((vector_size(32)));
typedef std::int64_t I64 __attribute__((vector_size(32)));
inline void fma_register(F32& a, const F32& b, const F32& c) {
  a = __builtin_ia32_vfmaddps256(a, b, c);
}
inline void fma_register(F64& a, const F64& b, const F64& c) {
  a = __builtin_ia32_vfmaddpd256(a, b, c);
}
inline void sqrt_register(F32& a) { a = __builtin_ia32_sqrtps256(a); }
inline void sqrt_register(F64& a) { a = __builtin_ia32_sqrtpd256(a); }
inline bool any_register(const I32& m) { return __builtin_ia32_movmskps256((F32)m) != 0; }
inline bool any_register(const I64& m) { return __builtin_ia32_movmskpd256((F64)m) != 0; }
inline void stream_register(float* p, const F32& v) { __builtin_ia32_movntps256(p, v); }
inline void stream_register(double* p, const F64& v) { __builtin_ia32_movntpd256(p, v); }
#endif
#include "gradus/kernels/cpu/lane.inc"
#include "gradus/kernels/cpu/lane_math.inc"
#include "gradus/kernels/cpu/enter.inc"
#undef GRADUS_REGISTER_BYTES
#undef GRADUS_ENTER_TARGET
}  // namespace gradus::cpu::avx2
GRADUS_TARGET_END

GRADUS_TARGET_BEGIN(GRADUS_AVX512_SETS)
namespace gradus::cpu::avx512 {
#define GRADUS_REGISTER_BYTES 64
#if defined(__clang__)
#define GRADUS_ENTER_TARGET __attribute__((target(GRADUS_AVX512_SETS)))
using baseline::any_register, baseline::fma_register, baseline::sqrt_register;
using baseline::stream_register;
#else
#define GRADUS_ENTER_TARGET
typedef float F32 __attribute__((vector_size(64)));
typedef double F64 __attribute__((vector_size(64)));
typedef std::int32_t I32 __attribute__((vector_size(64)));
typedef std::int64_t I64 __attribute__((vector_size(64)));
typedef long long Long __attribute__((vector_size(64)));  // the builtin's spelling of I64
inline void fma_register(F32& a, const F32& b, const F32& c) {
  a = __builtin_ia32_vfmaddps512_mask(a, b, c, -1, 4);
}
inline void fma_register(F64& a, const F64& b, const F64& c) {
  a = __builtin_ia32_vfmaddpd512_mask(a, b, c, -1, 4);
}
inline void sqrt_register(F32& a) { a = __builtin_ia32_sqrtps512_mask(a, a, -1, 4); }
inline void sqrt_register(F64& a) { a = __builtin_ia32_sqrtpd512_mask(a, a, -1, 4); }
inline bool any_register(const I32& m) { return __builtin_ia32_cvtd2mask512(m) != 0; }
inline bool any_register(const I64& m) { return __builtin_ia32_cvtq2mask512((Long)m) != 0; }
inline void stream_register(float* p, const F32& v) { __builtin_ia32_movntps512(p, v); }
inline void stream_register(double* p, const F64& v) { __builtin_ia32_movntpd512(p, v); }
#endif
#include "gradus/kernels/cpu/lane.inc"
#include "gradus/kernels/cpu/lane_math.inc"
#include "gradus/kernels/cpu/enter.inc"
#undef GRADUS_REGISTER_BYTES
#undef GRADUS_ENTER_TARGET
}  // namespace gradus::cpu::avx512
GRADUS_TARGET_END
#endif

namespace gradus::cpu {

// Calls body(set), compiled once for each instruction set, in the version that isa() names:
//   with_isa([&](auto set) { using L = typename decltype(set)::template Lane<float>; ... });
// The body is inlined into a function of the wide set, whole, and so gets its registers.
template <class Body>
inline void with_isa(Body&& body) {
#if GRADUS_WIDE
  switch (isa()) {
    case Isa::avx512:
      return avx512::enter(body);
    case Isa::avx2:
      return avx2::enter(body);
    case Isa::baseline:
      break;
  }
#endif
  baseline::enter(body);
}

}  // namespace gradus::cpu
