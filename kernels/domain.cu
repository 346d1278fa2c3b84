#include "gradus/kernels/domain.h"

#include "gradus/kernels/cuda/finding.cuh"

namespace gradus::GRADUS_GPU {
namespace {

constexpr int threads = 256, items = 8;  // elements of a thread

template <class T>
__global__ void __launch_bounds__(threads)
    note_outside_kernel(DeviceFinding* finding, const char* what, const char* rule, const T* x,
                        std::int64_t n, T low, T high) {
  const std::int64_t first = std::int64_t{blockIdx.x} * threads * items + threadIdx.x;
  for (int k = 0; k < items; ++k) {
    const std::int64_t i = first + k * threads;
    if (i >= n) break;
    const T value = x[i];
    if (!(value >= low && value <= high))
      note_value(finding, what, rule, i, static_cast<double>(value));
  }
}

}  // namespace

template <class T>
void note_outside(const char* what, const char* rule, const T* x, std::int64_t n, double low,
                  double high) {
  if (n == 0) return;
  GRADUS_LAUNCH(note_outside_kernel<T>, blocks_for(n, threads * items), threads, 0, findings(),
                what, rule, x, n, static_cast<T>(low), static_cast<T>(high));
}

template void note_outside(const char*, const char*, const float*, std::int64_t, double, double);
template void note_outside(const char*, const char*, const double*, std::int64_t, double, double);

}  // namespace gradus::GRADUS_GPU
