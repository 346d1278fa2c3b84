// The single point where a call of a kernel finds its twin.
#pragma once

#include "gradus/kernels/cuda/runtime.h"
#include "gradus/tensor/device.h"

// GRADUS_RUN(y.device(), softmax(x, rows, n, y)): the kernel's twin for the device, on this
// thread's stream. Tensors on a device exist only where it does, so the twin does, too.
#define GRADUS_RUN(where, ...)                               \
  [&](const ::gradus::Device gradus_device) {                \
    switch (gradus_device.kind) {                            \
      case ::gradus::Device::Kind::cpu:                      \
        return ::gradus::cpu::__VA_ARGS__;                   \
      case ::gradus::Device::Kind::cuda:                     \
        ::gradus::cuda::use_device(gradus_device.index);     \
        return ::gradus::cuda::__VA_ARGS__;                  \
      default:                                               \
        ::gradus::emulated::use_device(gradus_device.index); \
        return ::gradus::emulated::__VA_ARGS__;              \
    }                                                        \
  }(where)

// The same for functions of the machine layer (kernels/cuda/runtime.h), which the CPU has not.
#define GRADUS_RUN_ON_DEVICE(where, ...)                      \
  [&](const ::gradus::Device gradus_device) {                 \
    if (gradus_device.kind == ::gradus::Device::Kind::cuda) { \
      ::gradus::cuda::use_device(gradus_device.index);        \
      return ::gradus::cuda::__VA_ARGS__;                     \
    }                                                         \
    ::gradus::emulated::use_device(gradus_device.index);      \
    return ::gradus::emulated::__VA_ARGS__;                   \
  }(where)

// For functions that never throw and know their device, as destructors need them: this thread keeps
// the device that it uses.
#define GRADUS_FREE_ON_DEVICE(where, ...)                   \
  [&](const ::gradus::Device gradus_device) noexcept {      \
    if (gradus_device.kind == ::gradus::Device::Kind::cuda) \
      ::gradus::cuda::__VA_ARGS__;                          \
    else                                                    \
      ::gradus::emulated::__VA_ARGS__;                      \
  }(where)
