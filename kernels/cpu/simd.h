// SIMD for formulas: gradus::cpu::{baseline,avx2,avx512}::Lane<T>, the same source compiled for
// each instruction set (isa.h), with arithmetic, comparisons, select and vector mathematics.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "gradus/kernels/cpu/isa.h"
#include "gradus/kernels/cpu/normal_table.h"

namespace gradus::cpu {
template <class T>
using integer_like = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
}

// fma, square root, any, streaming and partial access of one register. GCC: builtins by width, by
// reference, because it instantiates Lane's friends outside the region. Clang, and the baseline:
// generic code.
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
GRADUS_INLINE void lesser_register(V& a, const V& b) {
  a = a < b ? a : b;
}
template <class V>
GRADUS_INLINE void greater_register(V& a, const V& b) {
  a = a > b ? a : b;
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
// The first n elements, into a register of zeros.
template <class T, class V>
GRADUS_INLINE void load_register(V& v, const T* p, std::int64_t n) {
  __builtin_memcpy(&v, p, static_cast<std::size_t>(n) * sizeof(T));
}
template <class T, class V>
GRADUS_INLINE void store_register(T* p, const V& v, std::int64_t n) {
  __builtin_memcpy(p, &v, static_cast<std::size_t>(n) * sizeof(T));
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
using baseline::greater_register, baseline::lesser_register;
using baseline::load_register, baseline::store_register, baseline::stream_register;
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
inline void lesser_register(F32& a, const F32& b) { a = __builtin_ia32_minps256(a, b); }
inline void lesser_register(F64& a, const F64& b) { a = __builtin_ia32_minpd256(a, b); }
inline void greater_register(F32& a, const F32& b) { a = __builtin_ia32_maxps256(a, b); }
inline void greater_register(F64& a, const F64& b) { a = __builtin_ia32_maxpd256(a, b); }
inline void sqrt_register(F32& a) { a = __builtin_ia32_sqrtps256(a); }
inline void sqrt_register(F64& a) { a = __builtin_ia32_sqrtpd256(a); }
inline bool any_register(const I32& m) { return __builtin_ia32_movmskps256((F32)m) != 0; }
inline bool any_register(const I64& m) { return __builtin_ia32_movmskpd256((F64)m) != 0; }
inline void stream_register(float* p, const F32& v) { __builtin_ia32_movntps256(p, v); }
inline void stream_register(double* p, const F64& v) { __builtin_ia32_movntpd256(p, v); }
// Masks of the first n elements, by a window that slides over ones and zeros.
alignas(64) inline constexpr std::int32_t ones4[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
alignas(64) inline constexpr std::int64_t ones8[8] = {-1, -1, -1, -1};
inline void first_elements(I32& mask, std::int64_t n) {
  __builtin_memcpy(&mask, ones4 + 8 - n, sizeof mask);
}
inline void first_elements(I64& mask, std::int64_t n) {
  __builtin_memcpy(&mask, ones8 + 4 - n, sizeof mask);
}
typedef long long Long __attribute__((vector_size(32)));  // the builtins' spelling of I64
#define GRADUS_PARTIAL(T, V, I, B, P, suffix)                     \
  inline void load_register(V& v, const T* p, std::int64_t n) {   \
    I mask;                                                       \
    first_elements(mask, n);                                      \
    v = (V)__builtin_ia32_maskload##suffix((const P*)p, (B)mask); \
  }                                                               \
  inline void store_register(T* p, const V& v, std::int64_t n) {  \
    I mask;                                                       \
    first_elements(mask, n);                                      \
    __builtin_ia32_maskstore##suffix((P*)p, (B)mask, (P)v);       \
  }
GRADUS_PARTIAL(float, F32, I32, I32, F32, ps256)
GRADUS_PARTIAL(double, F64, I64, Long, F64, pd256)
GRADUS_PARTIAL(std::int32_t, I32, I32, I32, I32, d256)
GRADUS_PARTIAL(std::int64_t, I64, I64, Long, Long, q256)
#undef GRADUS_PARTIAL
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
using baseline::greater_register, baseline::lesser_register;
using baseline::load_register, baseline::store_register, baseline::stream_register;
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
inline void lesser_register(F32& a, const F32& b) {
  a = __builtin_ia32_minps512_mask(a, b, a, -1, 4);
}
inline void lesser_register(F64& a, const F64& b) {
  a = __builtin_ia32_minpd512_mask(a, b, a, -1, 4);
}
inline void greater_register(F32& a, const F32& b) {
  a = __builtin_ia32_maxps512_mask(a, b, a, -1, 4);
}
inline void greater_register(F64& a, const F64& b) {
  a = __builtin_ia32_maxpd512_mask(a, b, a, -1, 4);
}
inline void scale_register(F32& a, const F32& n) {
  a = __builtin_ia32_scalefps512_mask(a, n, a, -1, 4);
}
inline void scale_register(F64& a, const F64& n) {
  a = __builtin_ia32_scalefpd512_mask(a, n, a, -1, 4);
}
// table[index mod 32].
inline void lookup_register(F32& a, const I32& index, const float* table) {
  F32 low, high;
  __builtin_memcpy(&low, table, sizeof low);
  __builtin_memcpy(&high, table + 16, sizeof high);
  a = __builtin_shuffle(low, high, index);
}
inline void sqrt_register(F32& a) { a = __builtin_ia32_sqrtps512_mask(a, a, -1, 4); }
inline void sqrt_register(F64& a) { a = __builtin_ia32_sqrtpd512_mask(a, a, -1, 4); }
inline bool any_register(const I32& m) { return __builtin_ia32_cvtd2mask512(m) != 0; }
inline bool any_register(const I64& m) { return __builtin_ia32_cvtq2mask512((Long)m) != 0; }
inline void stream_register(float* p, const F32& v) { __builtin_ia32_movntps512(p, v); }
inline void stream_register(double* p, const F64& v) { __builtin_ia32_movntpd512(p, v); }
#define GRADUS_PARTIAL(T, P, V, B, load, store, M)                              \
  inline void load_register(V& v, const T* p, std::int64_t n) {                 \
    v = (V)__builtin_ia32_##load##_mask((const P*)p, (B)v, (M)((1u << n) - 1)); \
  }                                                                             \
  inline void store_register(T* p, const V& v, std::int64_t n) {                \
    __builtin_ia32_##store##_mask((P*)p, (B)v, (M)((1u << n) - 1));             \
  }
GRADUS_PARTIAL(float, float, F32, F32, loadups512, storeups512, unsigned short)
GRADUS_PARTIAL(double, double, F64, F64, loadupd512, storeupd512, unsigned char)
GRADUS_PARTIAL(std::int32_t, int, I32, I32, loaddqusi512, storedqusi512, unsigned short)
GRADUS_PARTIAL(std::int64_t, long long, I64, Long, loaddqudi512, storedqudi512, unsigned char)
#undef GRADUS_PARTIAL
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

// keep(i, left, at(i, left)) for registers that cover n elements; at(i, left) computes the one at
// i, of which `left` elements are wanted, or all if there are more. Paired, two at a time hide each
// other's latency, for three times the code. Inside with_isa() only.
template <class L, bool paired, class At, class Keep>
GRADUS_INLINE void for_registers(std::int64_t n, const At& at, const Keep& keep) {
  constexpr std::int64_t S = L::size;
  std::int64_t i = 0;
  if constexpr (paired)
    for (; n - i >= 2 * S; i += 2 * S) {
      const auto first = at(i, S), second = at(i + S, S);
      keep(i, S, first);
      keep(i + S, S, second);
    }
  for (; i < n; i += S) keep(i, n - i, at(i, n - i));
}

}  // namespace gradus::cpu
