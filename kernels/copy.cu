#include "gradus/kernels/copy.h"

#include "gradus/kernels/cuda/nest.cuh"
#include "gradus/kernels/cuda/pack.cuh"

namespace gradus::GRADUS_GPU {
namespace {

constexpr int threads = 256;

// Loops ordered by y's strides, largest outermost. Operand 0 is x, 1 is y.
template <class U>
Nest<2> loops_of(const Extents& extents, const Strided<const U>& x, const Strided<U>& y) {
  const auto size = [](Index stride) { return stride < 0 ? -stride : stride; };
  int order[max_rank];
  for (int i = 0; i < extents.rank; ++i) {
    int at = i;
    for (; at > 0 && size(y.stride[order[at - 1]]) < size(y.stride[i]); --at)
      order[at] = order[at - 1];
    order[at] = i;
  }
  Nest<2> loops;
  for (int i = 0; i < extents.rank; ++i)
    loops.add(extents.size[order[i]], {x.stride[order[i]], y.stride[order[i]]});
  loops.close();
  return loops;
}

// ---- any strides, in units of one to 16 bytes

struct alignas(16) Unit16 {
  std::uint64_t low, high;
};

constexpr int batch = 4;  // units of a thread

template <class Unit>
__global__ void __launch_bounds__(threads)
    copy_kernel(const Unit* x, Unit* y, Index count, const __grid_constant__ Nest<2> loops) {
  const Index first = Index{blockIdx.x} * (threads * batch) + threadIdx.x;
  Unit units[batch];
  Index offset[batch][2];
  GRADUS_UNROLL
  for (int j = 0; j < batch; ++j) {
    const Index i = first + j * threads;
    loops.locate(i < count ? i : 0, offset[j]);
    units[j] = x[offset[j][0]];
  }
  GRADUS_UNROLL
  for (int j = 0; j < batch; ++j)
    if (first + j * threads < count) y[offset[j][1]] = units[j];
}

// True where `times` neighbours can be moved as one unit.
template <class U>
bool can_widen(const Nest<2>& loops, const U* x, const U* y, int times) {
  const std::size_t bytes = sizeof(U) * static_cast<std::size_t>(times);
  bool can = loops.row() % times == 0 && aligned(x, bytes) && aligned(y, bytes);
  for (int k = 0; k < 2; ++k) {
    can = can && loops.inner(k) == 1;
    for (int a = 0; a + 1 < loops.rank; ++a) can = can && loops.stride[k][a] % times == 0;
  }
  return can;
}

template <class Unit, class U>
void copy_units(Nest<2> loops, const U* x, U* y) {
  constexpr int times = static_cast<int>(sizeof(Unit) / sizeof(U));
  if (times > 1) {
    loops.size[loops.rank - 1] /= times;
    for (int k = 0; k < 2; ++k)
      for (int a = 0; a + 1 < loops.rank; ++a) loops.stride[k][a] /= times;
    loops.close();
  }
  const Index n = loops.count();
  GRADUS_LAUNCH(copy_kernel<Unit>, blocks_for(n, threads * batch), threads, 0,
                reinterpret_cast<const Unit*>(x), reinterpret_cast<Unit*>(y), n, loops);
}

// In the first of the units that fits; the last one is U, or narrower.
template <class U, class Unit, class... Narrower>
void copy_widest(const Nest<2>& loops, const U* x, U* y) {
  if constexpr (sizeof(Unit) > sizeof(U))
    if (!can_widen(loops, x, y, static_cast<int>(sizeof(Unit) / sizeof(U))))
      return copy_widest<U, Narrower...>(loops, x, y);
  copy_units<Unit>(loops, x, y);
}

// ---- transposition: y[j * dy + i] = x[i * dx + j] for i < n, j < m in each plane, by way of tiles
// in shared memory, so that both sides are accessed along their contiguous axis.

constexpr int tile = 32, tile_rows = threads / tile;

struct Planes {
  Nest<2> loops;
  Index n, m, dx, dy;
  Index across, tiles;  // tiles along m, of a plane
};

template <class U>
__global__ void __launch_bounds__(threads)
    transpose_kernel(const U* x, U* y, const __grid_constant__ Planes p) {
  GRADUS_SHARED(U, square, [tile][tile + 1]);  // columns, too, lie in different banks
  Index plane[2];
  p.loops.locate(blockIdx.x / p.tiles, plane);
  const Index at = blockIdx.x % p.tiles;
  const Index i0 = at / p.across * tile, j0 = at % p.across * tile;
  const int lane = static_cast<int>(threadIdx.x) % tile, row = static_cast<int>(threadIdx.x) / tile;
  GRADUS_UNROLL
  for (int i = row; i < tile; i += tile_rows)
    if (i0 + i < p.n && j0 + lane < p.m)
      square[i][lane] = x[plane[0] + (i0 + i) * p.dx + j0 + lane];
  __syncthreads();
  GRADUS_UNROLL
  for (int j = row; j < tile; j += tile_rows)
    if (j0 + j < p.m && i0 + lane < p.n)
      y[plane[1] + (j0 + j) * p.dy + i0 + lane] = square[lane][j];
}

// The loop along which x is contiguous while y, along the innermost loop, is too; -1 without one.
int transposed_loop(const Nest<2>& loops) {
  constexpr Index least = 8;
  if (loops.inner(1) != 1 || loops.inner(0) == 1 || loops.row() < least) return -1;
  for (int a = 0; a + 1 < loops.rank; ++a)
    if (loops.stride[0][a] == 1 && loops.size[a] >= least) return a;
  return -1;
}

template <class U>
void copy_transposed(const Nest<2>& loops, int loop, const U* x, U* y) {
  Planes p{{}, loops.row(), loops.size[loop], loops.inner(0), loops.stride[1][loop], 0, 0};
  for (int a = 0; a + 1 < loops.rank; ++a)
    if (a != loop) p.loops.add(loops.size[a], {loops.stride[0][a], loops.stride[1][a]});
  p.loops.close();
  p.across = (p.m + tile - 1) / tile;
  p.tiles = (p.n + tile - 1) / tile * p.across;
  GRADUS_LAUNCH(transpose_kernel<U>, blocks_for(p.loops.count() * p.tiles, 1), threads, 0, x, y, p);
}

template <class U>
__global__ void __launch_bounds__(threads) fill_kernel(U value, Index n, Index skipped, U* y) {
  constexpr int V = static_cast<int>(16 / sizeof(U));
  Pack<U> pack;
  GRADUS_UNROLL
  for (int j = 0; j < V; ++j) pack.x[j] = value;
  const Index first = Index{blockIdx.x} * (threads * batch) + threadIdx.x;
  GRADUS_UNROLL
  for (int j = 0; j < batch; ++j) store_pack(pack, y, (first + j * threads) * V - skipped, n);
}

}  // namespace

template <class U>
void copy_strided(const Extents& extents, const Strided<const U>& x, const Strided<U>& y) {
  if (extents.count() == 0) return;
  const Nest<2> loops = loops_of(extents, x, y);
  if (const int loop = transposed_loop(loops); loop >= 0)
    copy_transposed(loops, loop, x.data, y.data);
  else
    copy_widest<U, Unit16, std::uint64_t, std::uint32_t, std::uint16_t, std::uint8_t>(loops, x.data,
                                                                                      y.data);
}

template <class U>
void fill(U value, Index n, U* y) {
  if (n == 0) return;
  constexpr Index V = static_cast<Index>(16 / sizeof(U));
  // Packs begin at the multiple of 16 bytes before y.
  const Index skipped = static_cast<Index>(reinterpret_cast<std::uintptr_t>(y) % 16 / sizeof(U));
  GRADUS_LAUNCH(fill_kernel<U>, blocks_for(n + skipped, threads * batch * V), threads, 0, value, n,
                skipped, y);
}

#define GRADUS_INSTANTIATE(U)                                                             \
  template void copy_strided(const Extents&, const Strided<const U>&, const Strided<U>&); \
  template void fill(U, Index, U*);
GRADUS_INSTANTIATE(std::uint8_t)
GRADUS_INSTANTIATE(std::uint16_t)
GRADUS_INSTANTIATE(std::uint32_t)
GRADUS_INSTANTIATE(std::uint64_t)
#undef GRADUS_INSTANTIATE

}  // namespace gradus::GRADUS_GPU
