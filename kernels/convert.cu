#include "gradus/kernels/conversion.h"
#include "gradus/kernels/copy.h"
#include "gradus/kernels/cuda/pack.cuh"

namespace gradus::GRADUS_GPU {
namespace {

using Index = std::int64_t;

constexpr int threads = 256, batch = 2;

// Elements of a thread's pack: 16 bytes of the wider type.
template <class From, class To>
constexpr int width = static_cast<int>(16 /
                                       (sizeof(From) > sizeof(To) ? sizeof(From) : sizeof(To)));

template <class From, class To>
__global__ void __launch_bounds__(threads) convert_kernel(const From* x, Index n, To* y) {
  constexpr int V = width<From, To>;
  const Index first = Index{blockIdx.x} * (threads * batch) + threadIdx.x;
  Pack<From, V> from[batch];
  GRADUS_UNROLL
  for (int j = 0; j < batch; ++j) from[j] = load_pack<From, V>(x, (first + j * threads) * V, n);
  GRADUS_UNROLL
  for (int j = 0; j < batch; ++j) {
    Pack<To, V> to;
    GRADUS_UNROLL
    for (int i = 0; i < V; ++i) to.x[i] = converted<To>(from[j].x[i]);
    store_pack(to, y, (first + j * threads) * V, n);
  }
}

}  // namespace

template <class From, class To>
void convert(const From* x, Index n, To* y) {
  if (n == 0) return;
  GRADUS_LAUNCH((convert_kernel<From, To>), blocks_for(n, threads * batch * width<From, To>),
                threads, 0, x, n, y);
}

#define GRADUS_TO(From, To) template void convert(const From*, Index, To*);
#define GRADUS_FROM(From)       \
  GRADUS_TO(From, float)        \
  GRADUS_TO(From, double)       \
  GRADUS_TO(From, bf16)         \
  GRADUS_TO(From, std::int32_t) \
  GRADUS_TO(From, std::int64_t) \
  GRADUS_TO(From, std::uint8_t) \
  GRADUS_TO(From, bool)
GRADUS_FROM(float)
GRADUS_FROM(double)
GRADUS_FROM(bf16)
GRADUS_FROM(std::int32_t)
GRADUS_FROM(std::int64_t)
GRADUS_FROM(std::uint8_t)
GRADUS_FROM(bool)
#undef GRADUS_FROM
#undef GRADUS_TO

}  // namespace gradus::GRADUS_GPU
