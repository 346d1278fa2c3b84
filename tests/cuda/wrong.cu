#ifndef __CUDACC__
#include "gradus/tests/cuda/wrong.h"

#include <map>
#include <string>

#include "gradus/kernels/cuda/gpu.h"
#include "gradus/kernels/cuda/matrix.h"

namespace gradus::GRADUS_GPU {
namespace {

GRADUS_DEVICE int me() { return static_cast<int>(threadIdx.x); }
GRADUS_DEVICE int lane() { return me() % 32; }

// ---- barriers

__global__ void barrier_of_a_part(int* data, int) {
  if (me() < 40) __syncthreads();
  data[me()] = 1;
}
__global__ void barriers_at_two_places(int* data, int) {
  if (me() % 2)
    __syncthreads();
  else
    __syncthreads();
  data[me()] = 1;
}
__global__ void barriers_of_two_kinds(int* data, int) {
  // clang-format off
  if (me() < 32) { __syncthreads(); } else { data[me()] = __syncthreads_or(1); }
  // clang-format on
}
__global__ void return_before_barrier(int* data, int n) {
  if (me() >= n) return;
  data[me()] = 1;
  __syncthreads();
}
__global__ void deadlock(int* data, int) {
  if (lane() < 16)
    __syncwarp();
  else
    __syncthreads();
  data[me()] = 1;
}

// ---- operations of a warp

__global__ void shuffle_of_a_part(int* data, int) {
  int x = me();
  if (lane() < 20) x = __shfl_down_sync(full_mask, x, 1);
  data[me()] = x;
}
__global__ void shuffle_from_outside_the_mask(int* data, int) {
  data[me()] = __shfl_down_sync(lane() < 16 ? 0xffffu : 0xffff0000u, me(), 1);
}
__global__ void shuffle_without_the_caller(int* data, int) {
  data[me()] = __shfl_xor_sync(0xffffu, me(), 1);
}
__global__ void shuffle_against_barrier(int* data, int) {
  int x = me();
  if (lane() < 16)
    x = __shfl_xor_sync(full_mask, x, 1);
  else
    __syncthreads();
  data[me()] = x;
}
__global__ void shuffle_against_warp_barrier(int* data, int) {
  int x = me();
  if (lane() < 16)
    x = __shfl_xor_sync(full_mask, x, 1);
  else
    __syncwarp();
  data[me()] = x;
}
__global__ void shuffles_at_two_places(int* data, int) {
  int x = me();
  if (lane() < 16)
    x = __shfl_xor_sync(full_mask, x, 1);
  else
    x = __shfl_xor_sync(full_mask, x, 1);
  data[me()] = x;
}
__global__ void shuffle_of_no_width(int* data, int) {
  data[me()] = __shfl_xor_sync(full_mask, me(), 1, 24);
}
__global__ void shuffle_too_far(int* data, int) {
  data[me()] = __shfl_down_sync(full_mask, me(), 32);
}
__global__ void shuffle_after_return(int* data, int n) {
  if (me() >= n) return;
  data[me()] = __shfl_xor_sync(full_mask, me(), 1);
}

// ---- memory

__global__ void write_beyond_shared(int* data, int) {
  GRADUS_SHARED(int, a, [64]);
  int* const past = a + 1;
  past[me()] = 1;
  __syncthreads();
  data[me()] = past[me()];
}
__global__ void write_before_dynamic_shared(int* data, int) {
  GRADUS_DYNAMIC_SHARED(int, a);
  (a - 1)[me()] = 1;
  __syncthreads();
  data[me()] = 1;
}
__global__ void write_beyond_device_memory(int* data, int) { data[me() + 1] = 1; }
__global__ void read_beyond_device_memory(int* data, int) {
  const int x = data[me() + 1];
  __syncthreads();
  data[me()] = x;
}
__global__ void read_of_unwritten_shared(int* data, int) {
  GRADUS_SHARED(int, a, [64]);
  if (me() != 63) a[me()] = 1;
  __syncthreads();
  data[me()] = a[me()];
}
__global__ void read_of_unwritten_device_memory(int* data, int n) {
  if (me() == 5) data[n] = data[me()];
}
__global__ void misaligned(int* data, int) {
  const auto* const p = reinterpret_cast<const long long*>(data + 1);
  data[me()] = static_cast<int>(*p);
}
__global__ void too_much_static_shared(int* data, int) {
  GRADUS_SHARED(int, a, [49 * 256]);
  a[me()] = 1;
  data[me()] = a[me()];
}

// ---- order

__global__ void no_warp_barrier(int* data, int) {
  GRADUS_SHARED(int, a, [64]);
  a[me()] = me();
  __syncwarp();
  for (int step = 16; step > 0; step /= 2)
    if (lane() < step) a[me()] += a[me() + step];
  data[me()] = a[me() / 32 * 32];
}
__global__ void shuffle_taken_for_a_barrier(int* data, int) {
  GRADUS_SHARED(int, a, [64]);
  a[me()] = 0;
  __syncthreads();
  a[me()] = me();
  __shfl_xor_sync(full_mask, me(), 1);
  data[me()] = a[me() ^ 1];
}
__global__ void read_after_write(int* data, int) {
  GRADUS_SHARED(int, a, [64]);
  a[me()] = 0;
  __syncthreads();
  a[me()] = me();
  data[me()] = a[63 - me()];
}
__global__ void write_after_read(int* data, int) {
  GRADUS_SHARED(int, a, [64]);
  a[me()] = me();
  __syncthreads();
  const int x = a[63 - me()];
  a[me()] = -x;
  __syncthreads();
  data[me()] = a[me()];
}
__global__ void write_after_write(int* data, int) {
  GRADUS_SHARED(int, a, [1]);
  a[0] = me();
  __syncthreads();
  data[me()] = a[0];
}
__global__ void race_in_device_memory(int* data, int) {
  data[me()] = me();
  if (me() == 0) data[1] += 1;
}
__global__ void two_blocks_write(int* data, int) { data[me()] = static_cast<int>(blockIdx.x); }
__global__ void block_reads_another(int* data, int) {
  if (blockIdx.x == 0) data[me()] = 7;
  if (blockIdx.x == 1) data[64 + me()] = data[me()];
}
__global__ void fence_of_the_reader_only(int* data, int) {
  if (blockIdx.x == 0) data[me()] = 7;
  __syncthreads();
  if (blockIdx.x == 0 && me() == 0) atomicAdd(data + 128, 1);
  if (blockIdx.x == 1) __threadfence();
  if (blockIdx.x == 1) data[64 + me()] = data[me()];
}

// ---- asynchronous copies: 64 threads take 4 words each from data[64...] on

GRADUS_DEVICE void copy(int* to, const int* data) {
  cp_async<16>(to + 4 * me(), data + 64 + 4 * me(), 16);
}
__global__ void copy_without_wait(int* data, int) {
  GRADUS_SHARED_ALIGNED(int, a, [256], 16);
  copy(a, data);
  cp_async_commit();
  __syncthreads();
  data[me()] = a[me()];
  cp_async_wait<0>();
}
__global__ void copy_without_commit(int* data, int) {
  GRADUS_SHARED_ALIGNED(int, a, [256], 16);
  copy(a, data);
  cp_async_wait<0>();
  __syncthreads();
  data[me()] = a[me()];
}
__global__ void copy_without_barrier(int* data, int) {
  GRADUS_SHARED_ALIGNED(int, a, [256], 16);
  for (int i = me(); i < 256; i += 64) a[i] = 0;
  __syncthreads();
  copy(a, data);
  cp_async_commit();
  cp_async_wait<0>();
  data[me()] = a[255 - me()];
}
__global__ void copy_misaligned(int* data, int) {
  GRADUS_SHARED_ALIGNED(int, a, [260], 16);
  copy(a + 1, data);
  cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();
  data[me()] = a[me() + 1];
}
__global__ void copy_from_beyond(int* data, int) {
  GRADUS_SHARED_ALIGNED(int, a, [256], 16);
  copy(a, data + 4);
  cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();
  data[me()] = a[me()];
}

}  // namespace

const WrongKernel& wrong(const char* name) {
#define WRONG(kernel, ...)           \
  {                                  \
#kernel, { kernel, __VA_ARGS__ } \
  }
  static const std::map<std::string, WrongKernel> kernels{
      WRONG(barrier_of_a_part),
      WRONG(barriers_at_two_places),
      WRONG(barriers_of_two_kinds),
      WRONG(return_before_barrier),
      WRONG(deadlock),
      WRONG(shuffle_of_a_part),
      WRONG(shuffle_from_outside_the_mask),
      WRONG(shuffle_without_the_caller),
      WRONG(shuffle_against_barrier),
      WRONG(shuffle_against_warp_barrier),
      WRONG(shuffles_at_two_places),
      WRONG(shuffle_of_no_width),
      WRONG(shuffle_too_far),
      WRONG(shuffle_after_return),
      WRONG(write_beyond_shared),
      WRONG(write_before_dynamic_shared, 1, 64, 64 * sizeof(int)),
      WRONG(write_beyond_device_memory, 1, 320),
      WRONG(read_beyond_device_memory, 1, 320),
      WRONG(read_of_unwritten_shared),
      WRONG(read_of_unwritten_device_memory),
      WRONG(misaligned, 1, 32),
      WRONG(too_much_static_shared),
      WRONG(no_warp_barrier),
      WRONG(shuffle_taken_for_a_barrier),
      WRONG(read_after_write),
      WRONG(write_after_read),
      WRONG(write_after_write),
      WRONG(race_in_device_memory),
      WRONG(two_blocks_write, 2),
      WRONG(block_reads_another, 2),
      WRONG(fence_of_the_reader_only, 2),
      WRONG(copy_without_wait),
      WRONG(copy_without_commit),
      WRONG(copy_without_barrier),
      WRONG(copy_misaligned),
      WRONG(copy_from_beyond),
  };
#undef WRONG
  return kernels.at(name);
}

}  // namespace gradus::GRADUS_GPU
#endif
