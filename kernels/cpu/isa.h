// Instruction sets: which one runs is decided once, at run time; GRADUS_ISA=baseline|avx2|avx512
// forces one. Code for each set is compiled inside a target region (no -m flags on any file), so a
// user's formula reaches full width from a file compiled for the baseline, and no weak symbol of a
// wide set can be picked by the linker for a machine without it.
#pragma once

#include <string>

#include "gradus/kernels/export.h"

namespace gradus::cpu {

enum class Isa { baseline, avx2, avx512 };

// The set in use. Throws nothing: an unknown or unsupported GRADUS_ISA is ignored here and reported
// by isa_problem().
GRADUS_API Isa isa() noexcept;
// Changes the set for the whole process (tests). Returns false where the processor lacks it.
GRADUS_API bool set_isa(Isa) noexcept;
GRADUS_API const char* name(Isa) noexcept;
// Why GRADUS_ISA was not honoured, or an empty string.
GRADUS_API std::string isa_problem();

}  // namespace gradus::cpu

// Regions. GRADUS_WIDE is 1 where they exist: x86-64.
#if defined(__x86_64__)
#define GRADUS_WIDE 1
#else
#define GRADUS_WIDE 0
#endif

// GCC: the whole region is compiled for the set, and `flatten` inlines the formula into it.
// Clang: `flatten` reaches one level only, so everything is always_inline, vectors stay generic
// until they are inlined into enter(), and only enter() carries the set.
// nvcc: a formula is a function of host and device; there is no SIMD.
#define GRADUS_PRAGMA(x) _Pragma(#x)
#if defined(__CUDACC__)
#define GRADUS_INLINE __host__ __device__ __forceinline__
#elif defined(__clang__)
#define GRADUS_TARGET_BEGIN(sets)
#define GRADUS_TARGET_END
#define GRADUS_INLINE inline __attribute__((always_inline))
#define GRADUS_LAMBDA __attribute__((always_inline))
#else
#define GRADUS_TARGET_BEGIN(sets) _Pragma("GCC push_options") GRADUS_PRAGMA(GCC target(sets))
#define GRADUS_TARGET_END _Pragma("GCC pop_options")
#define GRADUS_INLINE inline
#define GRADUS_LAMBDA
#endif
#define GRADUS_AVX2_SETS "avx2,fma"
#define GRADUS_AVX512_SETS "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma"
