// Reductions of any monoid (fold.cuh) over any loops, in one pass over memory.
//
// Rows: a group of threads folds an output's elements, side by side in memory or not. Columns:
// where neighbouring outputs lie closer than an output's elements, a thread folds a few neighbours,
// and the block's rows of threads are merged. Few and long ones are cut into chunks, whose states a
// second kernel merges. All of it follows from the sizes alone.
#pragma once

#include <algorithm>
#include <cstdlib>

#include "gradus/kernels/cuda/fold.cuh"
#include "gradus/kernels/cuda/offsets.cuh"
#include "gradus/kernels/cuda/scratch.h"
#include "gradus/kernels/reduce.h"

namespace gradus::GRADUS_GPU {

inline constexpr int reduce_threads = 256;
// Elements of an output that a thread asks for before it folds them, where they lie apart.
template <class C>
inline constexpr int reduce_batch = sizeof(C) == 8 ? 4 : 8;

// How the work is cut. States of chunks lie as [output][chunk].
struct ReduceCut {
  std::int64_t outputs = 0, terms = 0;
  std::int64_t chunks = 1, chunk = 0;  // per output; terms in each
  int lanes = reduce_threads;          // rows: threads of an output; columns: of a row of the block
  std::int64_t width = 1, stride = 1;  // columns side by side, and from one to the next
};

// The elements [from, to) of a row side by side.
template <class M, class T>
GRADUS_DEVICE typename M::State fold_run(const T* x, std::int64_t from, std::int64_t to, int lane,
                                         int lanes) {
  using C = typename M::Element;
  constexpr int V = pack_size<T>, packs = V >= 8 ? 2 : 4;
  typename M::State state = M::none();
  const bool aligned = is_aligned(x);
  const std::int64_t jump = std::int64_t{lanes} * V;
  for (std::int64_t p = from + lane * V; p < to; p += jump * packs) {
    C v[packs * V];
    if (aligned && p + (packs - 1) * jump + V <= to) {
      for (int j = 0; j < packs; ++j)
        load_elements<V>(x + p + j * jump, true, V, M::missing, v + j * V);
      M::template take<V>(state, v, packs * V, p, jump);
    } else {
      int count = 0;
      for (int j = 0; j < packs; ++j) {
        const std::int64_t left = to - p - j * jump;
        const int here = left < 0 ? 0 : left < V ? static_cast<int>(left) : V;
        load_elements<V>(x + p + j * jump, aligned && here == V, here, M::missing, v + j * V);
        count += here;
      }
      M::template take<V>(state, v, count, p, jump);
    }
  }
  return state;
}

// The positions [from, to) of a nest.
template <class M, class T>
GRADUS_DEVICE typename M::State fold_nest(const T* x, const Offsets& offset, std::int64_t from,
                                          std::int64_t to, int lane, int lanes) {
  using C = typename M::Element;
  constexpr int batch = reduce_batch<C>;
  typename M::State state = M::none();
  for (std::int64_t p = from + lane; p < to; p += std::int64_t{lanes} * batch) {
    const T* at[batch];  // first, so that the loads follow one another
    for (int j = 0; j < batch; ++j) {
      const std::int64_t position = p + std::int64_t{j} * lanes;
      at[j] = position < to ? x + offset(position) : nullptr;
    }
    C v[batch];
    int count = 0;
    for (int j = 0; j < batch; ++j) {
      v[j] = at[j] ? widened(*at[j]) : M::missing;
      count += at[j] != nullptr;
    }
    M::template take<1>(state, v, count, p, lanes);
  }
  return state;
}

template <class M, class T, bool side_by_side, class Finish>
__global__ void __launch_bounds__(reduce_threads)
    reduce_rows(const T* x, const Offsets kept, const Offsets reduced, const ReduceCut cut,
                const Finish finish, typename M::State* partial) {
  using State = typename M::State;
  GRADUS_SHARED(State, warps, [reduce_threads / warp_size]);
  const int group = static_cast<int>(threadIdx.x) / cut.lanes;
  const int lane = static_cast<int>(threadIdx.x) % cut.lanes;
  const std::int64_t item = std::int64_t{blockIdx.x} * (reduce_threads / cut.lanes) + group;
  const std::int64_t output = cut.chunks == 1 ? item : item / cut.chunks;
  State state = M::none();
  if (output < cut.outputs) {
    const std::int64_t from = (item - output * cut.chunks) * cut.chunk;
    const std::int64_t to = from + cut.chunk < cut.terms ? from + cut.chunk : cut.terms;
    const T* row = x + kept(output);
    if constexpr (side_by_side)
      state = fold_run<M>(row, from, to, lane, cut.lanes);
    else
      state = fold_nest<M>(row, reduced, from, to, lane, cut.lanes);
  }
  state = fold_threads(state, cut.lanes, warps, Merge<M>());
  if (lane != 0 || output >= cut.outputs) return;
  if (cut.chunks == 1)
    finish(state, output);
  else
    partial[item] = state;
}

// V neighbouring columns a thread; cut.lanes threads side by side, the others below them.
template <class M, class T, int V, class Finish>
__global__ void __launch_bounds__(reduce_threads)
    reduce_columns(const T* x, const Offsets kept, const Offsets reduced, const ReduceCut cut,
                   const Finish finish, typename M::State* partial) {
  using C = typename M::Element;
  using State = typename M::State;
  constexpr int batch = reduce_batch<C>;
  GRADUS_SHARED(State, lower, [V * reduce_threads / 2]);
  const int across = static_cast<int>(threadIdx.x) % cut.lanes;
  const int row = static_cast<int>(threadIdx.x) / cut.lanes, rows = reduce_threads / cut.lanes;
  const std::int64_t blocks = (cut.width + cut.lanes * V - 1) / (cut.lanes * V);
  const std::int64_t chunk = blockIdx.x % cut.chunks, strip = blockIdx.x / cut.chunks;
  const std::int64_t outer = strip / blocks;
  const std::int64_t column = (strip - outer * blocks) * cut.lanes * V + across * V;
  State state[V];
  GRADUS_UNROLL
  for (int i = 0; i < V; ++i) state[i] = M::none();
  if (column < cut.width) {
    const T* top = x + kept(outer) + column * cut.stride;
    const std::int64_t from = chunk * cut.chunk;
    const std::int64_t to = from + cut.chunk < cut.terms ? from + cut.chunk : cut.terms;
    for (std::int64_t p = from + row; p < to; p += rows * batch) {
      const T* at[batch];  // first, so that the loads follow one another
      GRADUS_UNROLL
      for (int j = 0; j < batch; ++j)
        at[j] = p + j * rows < to ? top + reduced(p + j * rows) : nullptr;
      C v[V][batch];
      int count = 0;
      GRADUS_UNROLL
      for (int j = 0; j < batch; ++j) {
        C elements[V];
        load_elements<V>(at[j], at[j] != nullptr, 0, M::missing, elements);
        count += at[j] != nullptr;
        GRADUS_UNROLL
        for (int i = 0; i < V; ++i) v[i][j] = elements[i];
      }
      GRADUS_UNROLL
      for (int i = 0; i < V; ++i) M::template take<1>(state[i], v[i], count, p, rows);
    }
  }
  for (int half = rows / 2; half > 0; half /= 2) {
    if (row >= half && row < 2 * half) {
      GRADUS_UNROLL
      for (int i = 0; i < V; ++i) lower[((row - half) * cut.lanes + across) * V + i] = state[i];
    }
    __syncthreads();
    if (row < half) {
      GRADUS_UNROLL
      for (int i = 0; i < V; ++i)
        state[i] = M::merge(state[i], lower[(row * cut.lanes + across) * V + i]);
    }
    __syncthreads();
  }
  if (row != 0 || column >= cut.width) return;
  GRADUS_UNROLL
  for (int i = 0; i < V; ++i) {
    const std::int64_t output = outer * cut.width + column + i;
    if (cut.chunks == 1)
      finish(state[i], output);
    else
      partial[output * cut.chunks + chunk] = state[i];
  }
}

// A warp for each output.
template <class M, class Finish>
__global__ void __launch_bounds__(reduce_threads)
    merge_chunks(const typename M::State* partial, std::int64_t outputs, std::int64_t chunks,
                 const Finish finish) {
  const std::int64_t output =
      std::int64_t{blockIdx.x} * (reduce_threads / warp_size) + threadIdx.x / warp_size;
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  typename M::State state = M::none();
  if (output < outputs)
    for (std::int64_t c = lane; c < chunks; c += warp_size)
      state = M::merge(state, partial[output * chunks + c]);
  state = fold_lanes(state, warp_size, Merge<M>());
  if (lane == 0 && output < outputs) finish(state, output);
}

namespace detail {

// The power of two from n on, `most` at most.
inline int power_from(std::int64_t n, int most) {
  int p = 1;
  while (p < most && p < n) p *= 2;
  return p;
}

// Few items of many terms are cut: about 1024 blocks, none with fewer than `least` terms.
inline void cut_terms(ReduceCut& cut, std::int64_t items, std::int64_t least, std::int64_t unit) {
  constexpr std::int64_t enough = 512, wanted = 1024;
  cut.chunk = cut.terms;
  if (items >= enough || cut.terms < 2 * least) return;
  const std::int64_t pieces = std::min((wanted + items - 1) / items, cut.terms / least);
  cut.chunk = ((cut.terms + pieces - 1) / pieces + unit - 1) / unit * unit;
  cut.chunks = (cut.terms + cut.chunk - 1) / cut.chunk;
}

}  // namespace detail

// One reduction: how its work is cut, and its launches.
template <class M, class T, class Finish>
class Reduction {
 public:
  Reduction(const T* x, const ReduceShape& s, const Finish& finish)
      : x_(x), s_(s), finish_(finish), loops_(s.reduced.count() == 0 ? 0 : s.reduced.rank) {
    cut_.outputs = s.kept.count(), cut_.terms = s.reduced.count();
    if (cut_.outputs == 0) return;
    const int kept = s.kept.rank;
    const std::int64_t step = loops_ ? std::abs(s.reduced_stride[loops_ - 1]) : 0;
    const std::int64_t beside = kept ? std::abs(s.kept_stride[kept - 1]) : 0;
    constexpr int V = pack_size<T> < 4 ? pack_size<T> : 4;
    if (kept == 0 || step <= 1 || beside >= step)
      rows();
    else if (columns_lie_in_packs(V))
      columns<V>();
    else
      columns<1>();
  }

 private:
  using State = typename M::State;

  void rows() {
    const Offsets kept(s_.kept, s_.kept_stride, s_.kept.rank);
    const bool run = loops_ == 0 || (loops_ == 1 && s_.reduced_stride[0] == 1);
    const int per_thread = run ? pack_size<T> : 1;
    cut_.lanes = cut_.terms >= 2048 ? reduce_threads
                                    : detail::power_from(cut_.terms / per_thread, warp_size);
    const std::int64_t each = reduce_threads / cut_.lanes;
    detail::cut_terms(cut_, (cut_.outputs + each - 1) / each, 8192, reduce_threads * 16);
    const Offsets reduced(s_.reduced, s_.reduced_stride, loops_);
    const unsigned blocks = blocks_for(cut_.outputs * cut_.chunks, each);
    if (run)
      launch_with("reduce_rows", reduce_rows<M, T, true, Finish>, blocks, kept, reduced);
    else
      launch_with("reduce_nests", reduce_rows<M, T, false, Finish>, blocks, kept, reduced);
  }

  bool columns_lie_in_packs(int v) const {
    const int last = s_.kept.rank - 1;
    bool yes = s_.kept_stride[last] == 1 && s_.kept.size[last] % v == 0 &&
               reinterpret_cast<std::uintptr_t>(x_) % (sizeof(T) * static_cast<unsigned>(v)) == 0;
    for (int i = 0; i < last; ++i) yes = yes && s_.kept_stride[i] % v == 0;
    for (int i = 0; i < loops_; ++i) yes = yes && s_.reduced_stride[i] % v == 0;
    return yes;
  }

  template <int V>
  void columns() {
    const int last = s_.kept.rank - 1;
    cut_.width = s_.kept.size[last], cut_.stride = s_.kept_stride[last];
    cut_.lanes = detail::power_from((cut_.width + V - 1) / V, warp_size);
    const std::int64_t rows = reduce_threads / cut_.lanes, strip = std::int64_t{cut_.lanes} * V;
    const std::int64_t strips = cut_.outputs / cut_.width * ((cut_.width + strip - 1) / strip);
    detail::cut_terms(cut_, strips, rows * 64, rows * reduce_batch<typename M::Element>);
    launch_with("reduce_columns", reduce_columns<M, T, V, Finish>,
                blocks_for(strips * cut_.chunks, 1), Offsets(s_.kept, s_.kept_stride, last),
                Offsets(s_.reduced, s_.reduced_stride, loops_));
  }

  template <class Kernel>
  void launch_with(const char* name, Kernel kernel, unsigned blocks, const Offsets& kept,
                   const Offsets& reduced) const {
    const bool cut = cut_.chunks > 1;
    const Scratch scratch(cut ? cut_.outputs * cut_.chunks * std::int64_t{sizeof(State)} : 0);
    State* const partial = scratch.template as<State>();
    launch(name, kernel, blocks, reduce_threads, 0, x_, kept, reduced, cut_, finish_, partial);
    if (!cut) return;
    GRADUS_LAUNCH((merge_chunks<M, Finish>), blocks_for(cut_.outputs, reduce_threads / warp_size),
                  reduce_threads, 0, partial, cut_.outputs, cut_.chunks, finish_);
  }

  const T* x_;
  const ReduceShape& s_;
  const Finish& finish_;
  int loops_;  // reduced ones
  ReduceCut cut_;
};

// finish(state, output) for each output's folded elements. The reduced loops are walked in their
// order, which positions (argmax) count; others put them in_memory_order first.
template <class M, class T, class Finish>
void reduce(const T* x, const ReduceShape& s, const Finish& finish) {
  Reduction<M, T, Finish>(x, s, finish);
}

}  // namespace gradus::GRADUS_GPU
