// Softmax and its kin on rows in bf16: rows that fit in L1, or a longer one alone, are converted,
// computed by the kernels of float, and rounded once.
#include <algorithm>
#include <cassert>
#include <memory>

#include "gradus/kernels/copy.h"
#include "gradus/kernels/cpu/pool.h"
#include "gradus/kernels/softmax.h"

namespace gradus::cpu {
namespace {

using Index = std::int64_t;

constexpr Index block_elements = 4096;  // of a buffer in L1
constexpr Index tile_elements = 32768;  // of the pool

// Calls compute(first row, rows, buffers) for blocks of rows, a buffer for each operand, with those
// rows of it in float.
template <int operands, class Compute>
void for_blocks(const bf16* const (&x)[operands], Index rows, Index n, const Compute& compute) {
  const Index block = std::max<Index>(1, block_elements / std::max<Index>(1, n));
  const Index tile = std::max(block, tile_elements / std::max<Index>(1, n) / block * block);
  parallel((rows + tile - 1) / tile, [&](Index t) {
    alignas(64) float small[operands][block_elements];
    std::unique_ptr<float[]> large;
    if (n > block_elements) large.reset(new float[static_cast<std::size_t>(operands * n)]);
    float* buffer[operands];
    for (int k = 0; k < operands; ++k) buffer[k] = large ? large.get() + k * n : small[k];
    const Index end = std::min(rows, (t + 1) * tile);
    for (Index r = t * tile; r < end; r += block) {
      const Index m = std::min(block, end - r);
      for (int k = 0; k < operands; ++k) convert(x[k] + r * n, m * n, buffer[k]);
      compute(r, m, buffer);
    }
  });
}

// y = kernel(x).
template <class Kernel>
void row_map(const bf16* x, Index rows, Index n, bf16* y, Kernel kernel) {
  for_blocks<1>({x}, rows, n, [=](Index r, Index m, float* const* b) {
    kernel(b[0], m, n, b[0]);
    convert(b[0], m * n, y + r * n);
  });
}

// dx = kernel(y, g).
template <class Kernel>
void row_gradient(const bf16* y, const bf16* g, Index rows, Index n, bf16* dx, Kernel kernel) {
  for_blocks<2>({y, g}, rows, n, [=](Index r, Index m, float* const* b) {
    kernel(b[0], b[1], m, n, b[1]);
    convert(b[1], m * n, dx + r * n);
  });
}

}  // namespace

template <>
void softmax(const bf16* x, Index rows, Index n, bf16* y) {
  row_map(x, rows, n, y, softmax<float>);
}

template <>
void log_softmax(const bf16* x, Index rows, Index n, bf16* y) {
  row_map(x, rows, n, y, log_softmax<float>);
}

template <>
void softmax_vjp(const bf16* y, const bf16* g, Index rows, Index n, bf16* dx) {
  row_gradient(y, g, rows, n, dx, softmax_vjp<float>);
}

template <>
void log_softmax_vjp(const bf16* y, const bf16* g, Index rows, Index n, bf16* dx) {
  row_gradient(y, g, rows, n, dx, log_softmax_vjp<float>);
}

template <>
void cross_entropy<bf16>(const bf16* x, const Index* target, Index rows, Index n, float* loss,
                         float* lse) {
  for_blocks<1>({x}, rows, n, [=](Index r, Index m, float* const* b) {
    cross_entropy<float>(b[0], target + r, m, n, loss + r, lse + r);
  });
}

template <>
void cross_entropy_vjp<bf16>(const bf16* x, const Index* target, const float* lse, const float* g,
                             Index g_stride, Index rows, Index n, bf16* dx) {
  for_blocks<1>({x}, rows, n, [=](Index r, Index m, float* const* b) {
    cross_entropy_vjp<float>(b[0], target + r, lse + r, g + r * g_stride, g_stride, m, n, b[0]);
    convert(b[0], m * n, dx + r * n);
  });
}

}  // namespace gradus::cpu
