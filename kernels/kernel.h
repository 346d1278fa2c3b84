// One declaration for both twins of a kernel, so that their signatures cannot drift.
#pragma once

#include <cstdint>

#include "gradus/kernels/export.h"
#include "gradus/kernels/view.h"

#define GRADUS_KERNEL(...) \
  namespace cpu {          \
  __VA_ARGS__;             \
  }                        \
  namespace cuda {         \
  __VA_ARGS__;             \
  }
