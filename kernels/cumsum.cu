#include <algorithm>

#include "gradus/kernels/cuda/block.cuh"
#include "gradus/kernels/cuda/offsets.cuh"
#include "gradus/kernels/cuda/scratch.h"
#include "gradus/kernels/reduce.h"

namespace gradus::GRADUS_GPU {

// Long scans are cut: the chunks' totals, the sums of the totals before each chunk, and the chunks
// again from there. Totals lie as (outer, chunks, inner).
struct ScanCut {
  Quotient inner, chunks;
  std::int64_t n, chunk, columns;  // columns: outer * inner
};

namespace {

using Index = std::int64_t;

constexpr int threads = 256, items = 8;  // of a thread, side by side in a row

template <class T>
using Running = std::conditional_t<std::is_floating_point_v<T>, double, std::uint64_t>;

// A block for each chunk of a row, inner = 1. Totals where y is null, else from `before` on.
template <class T>
__global__ void __launch_bounds__(threads)
    scan_rows(const T* x, const ScanCut cut, Running<T>* totals, const Running<T>* before, T* y) {
  using R = Running<T>;
  GRADUS_SHARED(R, warps, [threads / warp_size]);
  GRADUS_SHARED(R, last, [1]);
  const Index row = cut.chunks(blockIdx.x), c = blockIdx.x - row * cut.chunks.divisor();
  const Index to = std::min(cut.n, (c + 1) * cut.chunk);
  R carry = before ? before[blockIdx.x] : R(0);
  for (Index begin = c * cut.chunk; begin < to; begin += threads * items) {
    const Index first = begin + threadIdx.x * items, at = row * cut.n + first;
    R v[items];
    for (int j = 0; j < items; ++j) {
      v[j] = first + j < to ? static_cast<R>(x[at + j]) : R(0);
      if (j > 0) v[j] += v[j - 1];
    }
    R before_thread;
    const R sum = carry + sum_up_to(v[items - 1], warps, before_thread);
    if (y)
      for (int j = 0; j < items; ++j)
        if (first + j < to) y[at + j] = static_cast<T>(carry + (before_thread + v[j]));
    if (threadIdx.x == threads - 1) last[0] = sum;
    __syncthreads();
    carry = last[0];  // written again behind the barrier of the next sum
  }
  if (!y && threadIdx.x == 0) totals[blockIdx.x] = carry;
}

// A thread for each column's chunk.
template <class T>
__global__ void __launch_bounds__(threads)
    scan_columns(const T* x, const ScanCut cut, Running<T>* totals, const Running<T>* before,
                 T* y) {
  const Index at = Index{blockIdx.x} * threads + threadIdx.x;
  if (at >= cut.columns * cut.chunks.divisor()) return;
  const Index inner = cut.inner.divisor(), part = cut.inner(at), outer = cut.chunks(part);
  const Index begin = (part - outer * cut.chunks.divisor()) * cut.chunk;
  const Index end = std::min(cut.n, begin + cut.chunk), first = outer * cut.n * inner;
  Running<T> total = before ? before[at] : Running<T>(0);
  for (Index i = first + (at - part * inner) + begin * inner, j = begin; j < end; ++j, i += inner) {
    total += static_cast<Running<T>>(x[i]);
    if (y) y[i] = static_cast<T>(total);
  }
  if (!y) totals[at] = total;
}

// A thread for each column: totals become the sums of those before.
template <class R>
__global__ void __launch_bounds__(threads) scan_totals(const ScanCut cut, R* totals) {
  const Index column = Index{blockIdx.x} * threads + threadIdx.x;
  if (column >= cut.columns) return;
  const Index inner = cut.inner.divisor(), outer = cut.inner(column);
  R* at = totals + outer * cut.chunks.divisor() * inner + (column - outer * inner);
  R sum = 0;
  for (Index c = 0; c < cut.chunks.divisor(); ++c, at += inner) {
    const R total = *at;
    *at = sum;
    sum += total;
  }
}

}  // namespace

template <class T>
void cumsum(const T* x, Index outer, Index n, Index inner, T* y) {
  using R = Running<T>;
  if (outer * n * inner == 0) return;
  const bool rows = inner == 1;
  const Index columns = outer * inner, least = rows ? threads * items * 4 : 64;
  const Index wanted = std::max<Index>(1, (rows ? 512 : 1 << 16) / columns);
  const Index pieces = std::clamp<Index>(n / least, 1, std::min<Index>(wanted, 1024));
  const Index unit = rows ? threads * items : 1;
  const Index chunk = ((n + pieces - 1) / pieces + unit - 1) / unit * unit;
  const Index chunks = (n + chunk - 1) / chunk;
  const ScanCut cut{Quotient(inner), Quotient(chunks), n, chunk, columns};
  const Scratch scratch(chunks == 1 ? 0 : columns * chunks * static_cast<Index>(sizeof(R)));
  R* const totals = scratch.as<R>();
  const auto scan = [&](const R* before, T* to) {
    if (rows)
      GRADUS_LAUNCH(scan_rows<T>, blocks_for(outer * chunks, 1), threads, 0, x, cut, totals, before,
                    to);
    else
      GRADUS_LAUNCH(scan_columns<T>, blocks_for(columns * chunks, threads), threads, 0, x, cut,
                    totals, before, to);
  };
  if (chunks > 1) {
    scan(nullptr, nullptr);
    GRADUS_LAUNCH(scan_totals<R>, blocks_for(columns, threads), threads, 0, cut, totals);
  }
  scan(totals, y);
}

template void cumsum(const float*, Index, Index, Index, float*);
template void cumsum(const double*, Index, Index, Index, double*);
template void cumsum(const std::int32_t*, Index, Index, Index, std::int32_t*);
template void cumsum(const std::int64_t*, Index, Index, Index, std::int64_t*);

}  // namespace gradus::GRADUS_GPU
