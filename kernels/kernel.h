// One declaration for all twins of a kernel, so that their signatures cannot drift: the CPU's, the
// CUDA source compiled by nvcc, and the same source compiled for the emulator.
//
// The twins on devices are weak: a library built without nvcc has no cuda, and one without the
// emulator linked in has no emulated; device_count() of runtime.h tells before any is called.
#pragma once

#include <cstdint>

#include "gradus/kernels/export.h"
#include "gradus/kernels/view.h"

#define GRADUS_WEAK __attribute__((weak))
#ifdef GRADUS_HAS_CUDA
#define GRADUS_WEAK_CUDA
#else
#define GRADUS_WEAK_CUDA GRADUS_WEAK
#endif

// A function of the machine layer, for real devices and the emulated one.
#define GRADUS_ON_DEVICES(...)  \
  namespace cuda {              \
  __VA_ARGS__ GRADUS_WEAK_CUDA; \
  }                             \
  namespace emulated {          \
  __VA_ARGS__ GRADUS_WEAK;      \
  }

#define GRADUS_KERNEL(...) \
  namespace cpu {          \
  __VA_ARGS__;             \
  }                        \
  GRADUS_ON_DEVICES(__VA_ARGS__)
