// The only header of the machine that CUDA kernels include: NVIDIA's compiler, or the emulator.
//
// A .cu file is compiled twice: by nvcc into gradus::cuda, and by the C++ compiler against the
// emulator into gradus::emulated. Everything in it, helpers included, lies in
// namespace gradus::GRADUS_GPU, so that both can be linked into one program.
//
// Rules for kernels: no <<<>>>, no raw __shared__, no inline PTX (matrix.h has it), no texture; no
// __activemask and no shuffle without a full mask; __syncwarp() between the shared accesses of
// different lanes; no return before a barrier; blocks of whole warps, independent of one another;
// no atomic on floating-point numbers.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#include <cuda_runtime.h>

#define GRADUS_GPU cuda
#define GRADUS_UNROLL _Pragma("unroll")
#define GRADUS_SHARED(T, name, dims) __shared__ T name dims
#define GRADUS_SHARED_ALIGNED(T, name, dims, bytes) \
  __shared__ __align__(bytes)                       \
  T name dims
#define GRADUS_DYNAMIC_SHARED(T, name)                            \
  extern __shared__ __align__(128) unsigned char gradus_shared[]; \
  T* const name = reinterpret_cast<T*>(gradus_shared)
#else
#include "gradus/kernels/cuda/emulator/emulator.h"

#define GRADUS_GPU emulated
#define GRADUS_UNROLL
// As types of arrays: GRADUS_SHARED(float, tile, [32][33]).
#define GRADUS_SHARED_ALIGNED(T, name, dims, bytes)                                           \
  using name##_type = T dims;                                                                 \
  static const ::gradus::emulator::SharedSlot name##_slot(sizeof(name##_type), bytes, #name); \
  name##_type& name = *static_cast<name##_type*>(::gradus::emulator::static_shared(name##_slot))
#define GRADUS_SHARED(T, name, dims) GRADUS_SHARED_ALIGNED(T, name, dims, alignof(T))
#define GRADUS_DYNAMIC_SHARED(T, name) \
  T* const name = static_cast<T*>(::gradus::emulator::dynamic_shared())
#endif

#define GRADUS_DEVICE __device__ __forceinline__

namespace gradus::GRADUS_GPU {

inline constexpr unsigned full_mask = 0xffffffffu;
inline constexpr int warp_size = 32;

// The stream on which this thread's kernels run (runtime.h).
cudaStream_t current_stream() noexcept;
// Throws what a failed call of the CUDA runtime means; `what` names the call.
void check(cudaError_t status, const char* what);

// Runs kernel<<<grid, block, shared, current_stream()>>>(arguments...); a failed launch throws.
#ifdef __CUDACC__
template <class... P, class... A>
void launch(const char* name, void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared,
            A&&... arguments) {
  if (shared > 48 * 1024)
    check(
        cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                             cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)),
        name);
  kernel<<<grid, block, shared, current_stream()>>>(static_cast<P>(arguments)...);
  check(cudaGetLastError(), name);
}
#else
template <class... P, class... A>
void launch(const char* name, void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared,
            A&&... arguments) {
  check(emulator::launch(name, kernel, grid, block, shared, current_stream(),
                         static_cast<P>(arguments)...),
        name);
}
#endif
#define GRADUS_LAUNCH(kernel, grid, block, shared, ...) \
  ::gradus::GRADUS_GPU::launch(#kernel, kernel, grid, block, shared, __VA_ARGS__)

// ceil(n / of) as a grid's size.
inline unsigned blocks_for(std::int64_t n, std::int64_t of) {
  return static_cast<unsigned>((n + of - 1) / of);
}

}  // namespace gradus::GRADUS_GPU
