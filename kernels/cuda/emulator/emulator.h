// CUDA's language for C++ compilers: what a kernel finds in place of NVIDIA's headers (see gpu.h).
//
// __shared__ is not defined: an array of shared memory is declared by gpu.h's macros. Atomics on
// floating-point numbers, textures, __activemask and dynamic parallelism are not there.
#pragma once

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include "gradus/kernels/cuda/emulator/engine.h"
#include "gradus/kernels/cuda/emulator/host.h"
#include "gradus/kernels/cuda/emulator/intrinsics.h"
#include "gradus/kernels/cuda/emulator/warp.h"

#define __global__
#define __device__
#define __host__
#define __constant__ [[maybe_unused]] static const
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__

#define threadIdx (::std::as_const(::gradus::emulator::context.thread_index))
#define blockIdx (::std::as_const(::gradus::emulator::context.block_index))
#define blockDim (::std::as_const(::gradus::emulator::context.block_dim))
#define gridDim (::std::as_const(::gradus::emulator::context.grid_dim))

namespace gradus::emulator {

inline namespace vocabulary {
inline constexpr int warpSize = 32;
}

// kernel<<<grid, block, shared, stream>>>(arguments...). As on the device, the arguments are copied
// when it is launched, and once more for each thread.
template <class... P, class... A>
cudaError_t launch(const char* name, void (*kernel)(P...), dim3 grid, dim3 block,
                   std::size_t shared, cudaStream_t stream, A&&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A));
  static_assert((!std::is_reference_v<P> && ...), "arguments cross to the device by value");
  static_assert((std::is_trivially_copyable_v<P> && ...), "arguments cross to the device as bytes");
  using Values = std::tuple<P...>;
  static_assert(sizeof(Values) <= 4096, "arguments have room for 4 KiB");
  return enqueue_kernel(name, grid, block, shared, stream,
                        [kernel, values = Values(static_cast<P>(std::forward<A>(arguments))...)] {
                          std::apply(kernel, values);
                        });
}

}  // namespace gradus::emulator
