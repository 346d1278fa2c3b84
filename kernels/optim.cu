#include "gradus/kernels/optim.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <vector>

#include "gradus/kernels/cuda/block.cuh"
#include "gradus/kernels/cuda/gpu.h"
#include "gradus/kernels/cuda/pack.cuh"
#include "gradus/kernels/cuda/replay.h"
#include "gradus/kernels/cuda/runtime.h"
#include "gradus/kernels/cuda/scratch.h"

namespace gradus::GRADUS_GPU {
namespace {

using std::int64_t;

constexpr int threads = 256;
template <class T>
constexpr int width = 16 / static_cast<int>(sizeof(T));  // elements a thread takes at once

// A step of one element: its numbers are those of one slice, in T.
template <class T, bool moving>
struct Sgd {
  static constexpr bool has_m = moving, has_v = false;
  T scale, decay, minus_rate, momentum;
  bool nesterov;

  Sgd() = default;
  Sgd(const Slice<T>& s, const SgdStep& o)
      : scale(static_cast<T>(o.gradient_scale)),
        decay(static_cast<T>(s.weight_decay)),
        minus_rate(static_cast<T>(-s.learning_rate)),
        momentum(static_cast<T>(o.momentum)),
        nesterov(o.nesterov) {}
  GRADUS_DEVICE void operator()(T& p, T g, T& m, T&) const {
    T d = std::fma(decay, p, scale * g);
    if constexpr (moving) {
      m = std::fma(momentum, m, d);
      d = nesterov ? std::fma(momentum, m, d) : m;
    }
    p = std::fma(minus_rate, d, p);
  }
};

template <class T>
struct Adam {
  static constexpr bool has_m = true, has_v = true;
  T scale, joined_decay, shrink, minus_rate, to_m, beta2, to_v, root, eps;

  Adam() = default;
  Adam(const Slice<T>& s, const AdamStep& o)
      : scale(static_cast<T>(o.gradient_scale)),
        joined_decay(static_cast<T>(o.decoupled ? 0 : s.weight_decay)),
        shrink(static_cast<T>(o.decoupled ? 1 - s.learning_rate * s.weight_decay : 1)),
        to_m(static_cast<T>(1 - o.beta1)),
        beta2(static_cast<T>(o.beta2)),
        to_v(static_cast<T>(1 - o.beta2)),
        eps(static_cast<T>(o.eps)) {
    const double correction1 = 1 - std::pow(o.beta1, static_cast<double>(o.step));
    const double correction2 = 1 - std::pow(o.beta2, static_cast<double>(o.step));
    minus_rate = static_cast<T>(-s.learning_rate / correction1);
    root = static_cast<T>(1 / std::sqrt(correction2));
  }
  GRADUS_DEVICE void operator()(T& p, T g, T& m, T& v) const {
    const T d = std::fma(joined_decay, p, scale * g);
    m = std::fma(to_m, d - m, m);
    v = std::fma(to_v * d, d, beta2 * v);
    p = std::fma(minus_rate, m / std::fma(std::sqrt(v), root, eps), shrink * p);
  }
};

template <class T>
struct Average {
  static constexpr bool has_m = false, has_v = false;
  T rate;

  Average() = default;
  Average(const Slice<T>&, double decay) : rate(static_cast<T>(1 - decay)) {}
  GRADUS_DEVICE void operator()(T& p, T g, T&, T&) const { p = std::fma(rate, g - p, p); }
};

template <class T>
struct Square {
  Square() = default;
  Square(const Slice<T>&, int) {}
};

// What a launch knows of a slice. Slices are cut into units of one size, the work of a block; this
// one's begin with unit `first` of the launch.
template <class T, class Step>
struct Entry {
  T* p;
  const T* g;
  T *m, *v;
  int64_t n;
  unsigned first;
  Step step;
};

// All slices as an argument of a launch: a few lie in it, more in device memory.
template <class T, class Step>
struct List {
  using E = Entry<T, Step>;
  static constexpr int few = 3900 / static_cast<int>(sizeof(E));
  const E* more;  // or null
  int count;
  unsigned units;
  E entries[few];

  GRADUS_DEVICE unsigned first(int i) const { return more ? more[i].first : entries[i].first; }
  GRADUS_DEVICE E of_unit(unsigned unit) const {
    int low = 0, high = count;
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      (first(middle) <= unit ? low : high) = middle;
    }
    return more ? more[low] : entries[low];
  }
};

// Calls run(list) for the slices that have elements, cut into units of `size` of them. What a graph
// replays lies in its memory.
template <class T, class Step, class Options, class Run>
void with_list(const Slice<T>* slices, int64_t count, int64_t size, const Options& options,
               const Run& run) {
  std::vector<Entry<T, Step>> entries;
  List<T, Step> list{};
  for (const Slice<T>* s = slices; s != slices + count; ++s) {
    if (s->n <= 0) continue;
    entries.push_back({s->parameter, s->gradient, s->m, s->v, s->n, list.units, Step(*s, options)});
    list.units += blocks_for(s->n, size);
  }
  if (entries.empty()) return;
  list.count = static_cast<int>(entries.size());
  const auto bytes = static_cast<int64_t>(entries.size() * sizeof(entries[0]));
  const void* const replayed = replayed_bytes(entries.data(), bytes);
  if (rewriting()) return;
  const Scratch scratch(!replayed && list.count > list.few ? bytes : 0);
  if (replayed) {
    list.more = static_cast<const Entry<T, Step>*>(replayed);
  } else if (list.count > list.few) {
    list.more = scratch.template as<Entry<T, Step>>();
    copy_from_host(scratch.template as<void>(), entries.data(), bytes);
  } else {
    std::copy(entries.begin(), entries.end(), list.entries);
  }
  run(list);
}

template <class T, class Step>
__global__ void __launch_bounds__(threads) update(const List<T, Step> list) {
  const Entry<T, Step> e = list.of_unit(blockIdx.x);
  const int64_t begin = (int64_t{blockIdx.x - e.first} * threads + threadIdx.x) * width<T>;
  if (begin >= e.n) return;
  Pack<T> p = load_pack(e.p, begin, e.n), m{}, v{};
  const Pack<T> g = load_pack(e.g, begin, e.n);
  if constexpr (Step::has_m) m = load_pack(e.m, begin, e.n);
  if constexpr (Step::has_v) v = load_pack(e.v, begin, e.n);
  for (int j = 0; j < width<T>; ++j) e.step(p.x[j], g.x[j], m.x[j], v.x[j]);
  store_pack(p, e.p, begin, e.n);
  if constexpr (Step::has_m) store_pack(m, e.m, begin, e.n);
  if constexpr (Step::has_v) store_pack(v, e.v, begin, e.n);
}

template <class Step, class T, class Options>
void update_all(const Slice<T>* slices, int64_t count, const Options& options) {
  with_list<T, Step>(slices, count, threads * width<T>, options, [](const auto& list) {
    GRADUS_LAUNCH((update<T, Step>), list.units, threads, 0, list);
  });
}

// ---- the sum of squares. In double throughout: memory is slower, and nothing finite overflows.
constexpr int leaf = 16, block_leaves = threads * leaf;

// Block b sums units b, b + the number of blocks, ...
template <class T>
__global__ void __launch_bounds__(threads)
    partial_squares(const List<T, Square<T>> list, double* sums) {
  GRADUS_SHARED(double, warps, [threads / warp_size]);
  double total = 0;
  for (unsigned unit = blockIdx.x; unit < list.units; unit += gridDim.x) {
    const Entry<T, Square<T>> e = list.of_unit(unit);
    const int64_t begin = int64_t{unit - e.first} * block_leaves + threadIdx.x * width<T>;
    Pack<T> x[leaf / width<T>];
    for (int k = 0; k < leaf / width<T>; ++k)
      x[k] = load_pack(e.g, begin + k * threads * width<T>, e.n);
    for (const Pack<T>& pack : x)
      for (const double g : pack.x) total = std::fma(g, g, total);
  }
  total = fold_threads(total, threads, warps, Plus{});
  if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

__global__ void __launch_bounds__(threads) sum_up(const double* sums, int n, double* sum) {
  GRADUS_SHARED(double, warps, [threads / warp_size]);
  double total = 0;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += threads) total += sums[i];
  total = fold_threads(total, threads, warps, Plus{});
  if (threadIdx.x == 0) *sum = total;
}

}  // namespace

template <class T>
void sgd(const Slice<T>* slices, int64_t count, const SgdStep& o) {
  if (o.momentum != 0)
    update_all<Sgd<T, true>>(slices, count, o);
  else
    update_all<Sgd<T, false>>(slices, count, o);
}

template <class T>
void adam(const Slice<T>* slices, int64_t count, const AdamStep& o) {
  assert(o.step >= 1);
  update_all<Adam<T>>(slices, count, o);
}

template <class T>
void moving_average(const Slice<T>* slices, int64_t count, double decay) {
  update_all<Average<T>>(slices, count, decay);
}

template <class T>
void sum_of_squares(const Slice<T>* slices, int64_t count, void* scratch, double* sum) {
  double* const sums = static_cast<double*>(scratch);
  unsigned blocks = 0;
  with_list<T, Square<T>>(slices, count, block_leaves, 0, [&](const auto& list) {
    blocks = std::min(list.units, static_cast<unsigned>(sum_of_squares_partial));
    GRADUS_LAUNCH(partial_squares<T>, blocks, threads, 0, list, sums);
  });
  if (!rewriting()) GRADUS_LAUNCH(sum_up, 1, threads, 0, sums, static_cast<int>(blocks), sum);
}

#define GRADUS_INSTANTIATE(T)                                     \
  template void sgd(const Slice<T>*, int64_t, const SgdStep&);    \
  template void adam(const Slice<T>*, int64_t, const AdamStep&);  \
  template void moving_average(const Slice<T>*, int64_t, double); \
  template void sum_of_squares(const Slice<T>*, int64_t, void*, double*);
GRADUS_INSTANTIATE(float)
GRADUS_INSTANTIATE(double)

}  // namespace gradus::GRADUS_GPU
