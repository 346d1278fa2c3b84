#include "gradus/kernels/index.h"

#include <algorithm>
#include <type_traits>

#include "gradus/kernels/cuda/block.cuh"
#include "gradus/kernels/cuda/finding.cuh"
#include "gradus/kernels/cuda/offsets.cuh"
#include "gradus/kernels/cuda/scratch.h"
#include "gradus/kernels/cuda/sort.cuh"

namespace gradus::GRADUS_GPU {
namespace {

using Index = std::int64_t;

constexpr int threads = 256;
constexpr Index nowhere = std::numeric_limits<Index>::max();

// This thread's element of a grid that covers n.
GRADUS_DEVICE Index element() { return Index{blockIdx.x} * blockDim.x + threadIdx.x; }

// ---- indices out of range

constexpr int find_threads = 1024;
constexpr Index find_items = 16;  // of a thread

struct First {
  GRADUS_DEVICE Index operator()(Index a, Index b) const { return a < b ? a : b; }
};

GRADUS_DEVICE void note(DeviceFinding* finding, const char* operation, const Index* index,
                        Index position, Index limit) {
  if (position != nowhere) note_finding(finding, operation, position, index[position], limit);
}

// The first of each block goes to `found`; a block on its own notes it.
__global__ void __launch_bounds__(find_threads)
    find_bad(const char* operation, const Index* index, const Index n, const Index limit,
             Index* found, DeviceFinding* finding) {
  GRADUS_SHARED(Index, warps, [find_threads / warp_size]);
  const Index begin = Index{blockIdx.x} * (find_threads * find_items) + threadIdx.x;
  Index first = nowhere;
  for (int j = 0; j < find_items; ++j) {
    const Index i = begin + j * find_threads;
    if (i < n && (index[i] < 0 || index[i] >= limit)) first = First()(first, i);
  }
  first = fold_threads(first, find_threads, warps, First());
  if (threadIdx.x != 0) return;
  if (found)
    found[blockIdx.x] = first;
  else
    note(finding, operation, index, first, limit);
}

__global__ void __launch_bounds__(find_threads)
    note_earliest(const char* operation, const Index* index, const Index limit, const Index* found,
                  const Index blocks, DeviceFinding* finding) {
  GRADUS_SHARED(Index, warps, [find_threads / warp_size]);
  Index first = nowhere;
  for (Index i = threadIdx.x; i < blocks; i += find_threads) first = First()(first, found[i]);
  first = fold_threads(first, find_threads, warps, First());
  if (threadIdx.x == 0) note(finding, operation, index, first, limit);
}

// ---- reading

// How an element of (outer, picks, inner) is numbered.
struct Places {
  Quotient inner, picks;
  Index axis, count;

  explicit Places(const IndexShape& s)
      : inner(s.inner), picks(s.picks), axis(s.axis), count(s.outer * s.picks * s.inner) {}
};

template <class U>
__global__ void __launch_bounds__(threads)
    gather_elements(const U* x, const Index* index, const Places s, U* y) {
  const Index at = element();
  if (at >= s.count) return;
  const Index row = s.inner(at), i = at - row * s.inner.divisor(), a = index[at];
  y[at] = a >= 0 && a < s.axis ? x[(s.picks(row) * s.axis + a) * s.inner.divisor() + i] : U{};
}

template <class W>
__global__ void __launch_bounds__(threads)
    copy_rows(const W* x, const Index* ids, const Places s, W* y) {
  const Index at = element();
  if (at >= s.count) return;
  const Index row = s.inner(at), i = at - row * s.inner.divisor(), o = s.picks(row);
  const Index a = ids[row - o * s.picks.divisor()];
  y[at] = a >= 0 && a < s.axis ? x[(o * s.axis + a) * s.inner.divisor() + i] : W{};
}

template <class T>
__global__ void __launch_bounds__(threads)
    mark(const Index* ids, const Index count, const Quotient classes, T* y) {
  const Index at = element();
  if (at >= count) return;
  const Index j = classes(at);
  y[at] = static_cast<T>(at - j * classes.divisor() == ids[j]);
}

// ---- adding: in order of j, so a destination has one thread, which adds to a register.
//
// Few picks: the destination's thread looks at all of them. Many: they are sorted by destination,
// stably, and the thread of a run's first element takes the run.

constexpr Index most_looks = Index{1} << 24;

// scatter_add where each_element, and index_add where one id serves the elements side by side.
template <bool each_element, class T>
__global__ void __launch_bounds__(threads)
    add_by_looking(const T* g, const Index* index, const Index axis, const Index picks,
                   const Quotient inner, const Quotient rows, const Index count, T* y) {
  const Index at = element();
  if (at >= count) return;
  const Index row = inner(at), i = at - row * inner.divisor();
  const Index o = rows(row), a = row - o * axis;
  T total = y[at];
  bool met = false;
  for (Index j = 0; j < picks; ++j) {
    const Index from = (o * picks + j) * inner.divisor() + i;
    if (index[each_element ? from : j] != a) continue;
    total += g[from];
    met = true;
  }
  if (met) y[at] = total;
}

// An element's destination in y, or `end` for an index out of range.
template <bool each_element>
__global__ void __launch_bounds__(threads)
    key_picks(const Index* index, const Index n, const Places s, const Index end,
              std::uint64_t* keys, Index* positions) {
  const Index at = element();
  if (at >= n) return;
  const Index a = index[at];
  Index to = a;
  if constexpr (each_element) {
    const Index row = s.inner(at), i = at - row * s.inner.divisor();
    to = (s.picks(row) * s.axis + a) * s.inner.divisor() + i;
  }
  keys[at] = static_cast<std::uint64_t>(a >= 0 && a < s.axis ? to : end);
  positions[at] = at;
}

// A warp for 32 columns of each run: lanes differ in the column. width and blocks are 1 where each
// element has its own destination, and lanes then differ in the run.
template <class T>
__global__ void __launch_bounds__(threads)
    add_runs(const T* g, const std::uint64_t* keys, const Index* positions, const Index n,
             const Index end, const Quotient columns, const Index width, const Index g_rows,
             const Index y_rows, const Index outer, T* y) {
  constexpr int batch = 8;
  const Index item = element(), p = columns(item), column = item - p * columns.divisor();
  if (p >= n || column >= width) return;
  const std::uint64_t key = keys[p];
  if (key == static_cast<std::uint64_t>(end) || (p > 0 && keys[p - 1] == key)) return;
  for (Index o = 0; o < outer; ++o) {
    T* const to = y + (o * y_rows + static_cast<Index>(key)) * width + column;
    const T* const from = g + o * g_rows * width + column;
    T total = *to;
    for (Index q = p;; q += batch) {
      T v[batch];
      int run = 0;  // elements of the batch that belong to the run
      GRADUS_UNROLL
      for (int j = 0; j < batch; ++j) {
        const bool same = q + j < n && keys[q + j] == key;
        v[j] = same ? from[positions[q + j] * width] : T(0);
        run += same;
      }
      GRADUS_UNROLL
      for (int j = 0; j < batch; ++j)
        if (j < run) total += v[j];
      if (run < batch) break;
    }
    *to = total;
  }
}

int bits_of(Index n) {
  int bits = 1;
  while (bits < 63 && Index{1} << bits <= n) ++bits;
  return bits;
}

template <bool each_element, class T>
void add(const T* g, const Index* index, const IndexShape& s, T* y) {
  const Index count = s.outer * s.axis * s.inner;
  if (count == 0 || s.picks == 0) return;
  if (count <= most_looks / s.picks) {  // their product may be beyond 2^63
    GRADUS_LAUNCH((add_by_looking<each_element, T>), blocks_for(count, threads), threads, 0, g,
                  index, s.axis, s.picks, Quotient(s.inner), Quotient(s.axis), count, y);
    return;
  }
  const Index n = each_element ? s.outer * s.picks * s.inner : s.picks;
  const Index end = each_element ? count : s.axis;
  const Scratch pairs(n * 16), scratch(sort_scratch<Index>(n));
  auto* const keys = pairs.as<std::uint64_t>();
  auto* const positions = reinterpret_cast<Index*>(keys + n);
  GRADUS_LAUNCH(key_picks<each_element>, blocks_for(n, threads), threads, 0, index, n, Places(s),
                end, keys, positions);
  const auto sorted = sort_pairs(keys, positions, n, bits_of(end), scratch.as<void>());
  const Index width = each_element ? 1 : s.inner, outer = each_element ? 1 : s.outer;
  // Whole warps of columns, so that a warp's lanes are in one run.
  const Index columns = width == 1 ? 1 : (width + warp_size - 1) / warp_size * warp_size;
  GRADUS_LAUNCH(add_runs<T>, blocks_for(n * columns, threads), threads, 0, g, sorted.keys,
                sorted.values, n, end, Quotient(columns), width, s.picks, s.axis, outer, y);
}

}  // namespace

Index find_out_of_range(const char* operation, const Index* index, Index n, Index limit) {
  if (n == 0) return -1;
  DeviceFinding* const finding = findings();
  const unsigned blocks = blocks_for(n, find_threads * find_items);
  const Scratch scratch(blocks == 1 ? 0 : Index{blocks} * 8);
  Index* const found = scratch.as<Index>();
  GRADUS_LAUNCH(find_bad, blocks, find_threads, 0, operation, index, n, limit, found, finding);
  if (found)
    GRADUS_LAUNCH(note_earliest, 1, find_threads, 0, operation, index, limit, found, Index{blocks},
                  finding);
  return -1;
}

template <class U>
void gather(const U* x, const Index* index, const IndexShape& s, U* y) {
  const Places places(s);
  if (places.count > 0)
    GRADUS_LAUNCH(gather_elements<U>, blocks_for(places.count, threads), threads, 0, x, index,
                  places, y);
}

// Rows are copied in the widest words that their length and their addresses allow.
template <class U>
void index_select(const U* x, const Index* ids, const IndexShape& s, U* y) {
  const std::uint64_t where = reinterpret_cast<std::uintptr_t>(x) |
                              reinterpret_cast<std::uintptr_t>(y) |
                              static_cast<std::uint64_t>(s.inner) * sizeof(U);
  if (s.outer * s.picks * s.inner == 0) return;
  const auto copy = [&](auto word) {
    using W = decltype(word);
    if constexpr (sizeof(W) >= sizeof(U)) {
      IndexShape words = s;
      words.inner = s.inner * static_cast<Index>(sizeof(U)) / static_cast<Index>(sizeof(W));
      const Places places(words);
      GRADUS_LAUNCH(copy_rows<W>, blocks_for(places.count, threads), threads, 0,
                    reinterpret_cast<const W*>(x), ids, places, reinterpret_cast<W*>(y));
    }
  };
  if (where % 16 == 0)
    copy(uint4{});
  else if (where % 8 == 0)
    copy(std::uint64_t{});
  else if (where % 4 == 0)
    copy(std::uint32_t{});
  else if (where % 2 == 0)
    copy(std::uint16_t{});
  else
    copy(std::uint8_t{});
}

template <class T>
void scatter_add(const T* g, const Index* index, const IndexShape& s, T* y) {
  add<true>(g, index, s, y);
}

template <class T>
void index_add(const T* g, const Index* ids, const IndexShape& s, T* y) {
  add<false>(g, ids, s, y);
}

template <class T>
void one_hot(const Index* ids, Index n, Index classes, T* y) {
  if (n * classes > 0)
    GRADUS_LAUNCH(mark<T>, blocks_for(n * classes, threads), threads, 0, ids, n * classes,
                  Quotient(classes), y);
}

#define GRADUS_INSTANTIATE(U)                                          \
  template void gather(const U*, const Index*, const IndexShape&, U*); \
  template void index_select(const U*, const Index*, const IndexShape&, U*);
GRADUS_INSTANTIATE(std::uint8_t)
GRADUS_INSTANTIATE(std::uint16_t)
GRADUS_INSTANTIATE(std::uint32_t)
GRADUS_INSTANTIATE(std::uint64_t)
#undef GRADUS_INSTANTIATE

#define GRADUS_INSTANTIATE(T)                                               \
  template void scatter_add(const T*, const Index*, const IndexShape&, T*); \
  template void index_add(const T*, const Index*, const IndexShape&, T*);   \
  template void one_hot(const Index*, Index, Index, T*);
GRADUS_INSTANTIATE(float)
GRADUS_INSTANTIATE(double)
#undef GRADUS_INSTANTIATE
template void one_hot(const Index*, Index, Index, Index*);

}  // namespace gradus::GRADUS_GPU
