#include "gradus/kernels/optim.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

#include "gradus/kernels/cpu/pool.h"
#include "gradus/kernels/cpu/simd.h"

namespace gradus {
namespace {

using std::int64_t;

// A tile is this many elements of all slices put end to end, so that many small parameters are as
// cheap as one large one.
constexpr int64_t tile_size = 1 << 14;

int64_t tiles_of(int64_t elements) { return (elements + tile_size - 1) / tile_size; }

template <class T>
int64_t elements(const Slice<T>* slices, int64_t count) {
  int64_t n = 0;
  for (int64_t i = 0; i < count; ++i) n += slices[i].n;
  return n;
}

// Calls run(tile, slice, begin, end) for each part of a slice that lies in a tile; the parts of one
// tile follow one another on one thread.
template <class T, class Run>
void each_part(const Slice<T>* slices, int64_t count, const Run& run) {
  const int64_t total = elements(slices, count);
  cpu::parallel(tiles_of(total), [&](int64_t tile) {
    int64_t begin = tile * tile_size, left = std::min(tile_size, total - begin);
    for (const Slice<T>* s = slices; left > 0; ++s) {
      const int64_t n = std::min(s->n - begin, left);
      if (n > 0) {
        run(tile, *s, begin, begin + n);
        left -= n;
      }
      begin = std::max<int64_t>(begin - s->n, 0);
    }
  });
}

// Calls step(load, store, i) for each register of [begin, end): load(p) and store(x, p) move the
// elements at p + i that the register holds.
template <class L, class Step>
GRADUS_INLINE void each_register(int64_t begin, int64_t end, const Step& step) {
  using T = typename L::value_type;
  int64_t i = begin;
  for (; i + L::size <= end; i += L::size)
    step([i](const T* p) GRADUS_LAMBDA { return L::load(p + i); },
         [i](const L& x, T* p) GRADUS_LAMBDA { x.store(p + i); });
  if (i < end)
    step([i, end](const T* p) GRADUS_LAMBDA { return L::load(p + i, end - i); },
         [i, end](const L& x, T* p) GRADUS_LAMBDA { x.store(p + i, end - i); });
}

}  // namespace

int64_t sum_of_squares_scratch(int64_t elements) {
  return std::max(tiles_of(elements), sum_of_squares_partial) *
         static_cast<int64_t>(sizeof(double));
}

namespace cpu {

template <class T>
void sgd(const Slice<T>* slices, int64_t count, const SgdStep& o) {
  each_part(slices, count, [&](int64_t, const Slice<T>& s, int64_t begin, int64_t end) {
    with_isa([&](auto set) GRADUS_LAMBDA {
      using L = typename decltype(set)::template Lane<T>;
      const L scale(o.gradient_scale), decay(s.weight_decay), minus_rate(-s.learning_rate);
      const L momentum(o.momentum);
      const bool moving = o.momentum != 0, nesterov = o.nesterov;
      each_register<L>(begin, end, [&](auto load, auto store) GRADUS_LAMBDA {
        const L p = load(s.parameter);
        L d = fma(decay, p, scale * load(s.gradient));
        if (moving) {
          const L m = fma(momentum, load(s.m), d);
          store(m, s.m);
          d = nesterov ? fma(momentum, m, d) : m;
        }
        store(fma(minus_rate, d, p), s.parameter);
      });
    });
  });
}

template <class T>
void adam(const Slice<T>* slices, int64_t count, const AdamStep& o) {
  assert(o.step >= 1);
  const double correction1 = 1 - std::pow(o.beta1, static_cast<double>(o.step));
  const double correction2 = 1 - std::pow(o.beta2, static_cast<double>(o.step));
  each_part(slices, count, [&](int64_t, const Slice<T>& s, int64_t begin, int64_t end) {
    with_isa([&](auto set) GRADUS_LAMBDA {
      using L = typename decltype(set)::template Lane<T>;
      const L scale(o.gradient_scale), eps(o.eps);
      const L joined_decay(o.decoupled ? 0 : s.weight_decay);
      const L shrink(o.decoupled ? 1 - s.learning_rate * s.weight_decay : 1);
      const L minus_rate(-s.learning_rate / correction1);
      const L to_m(1 - o.beta1), beta2(o.beta2), to_v(1 - o.beta2);
      const L root(1 / std::sqrt(correction2));
      each_register<L>(begin, end, [&](auto load, auto store) GRADUS_LAMBDA {
        const L p = load(s.parameter);
        const L d = fma(joined_decay, p, scale * load(s.gradient));
        const L old = load(s.m);
        const L m = fma(to_m, d - old, old);
        const L v = fma(to_v * d, d, beta2 * load(s.v));
        store(m, s.m);
        store(v, s.v);
        store(fma(minus_rate, m / fma(sqrt(v), root, eps), shrink * p), s.parameter);
      });
    });
  });
}

template <class T>
void moving_average(const Slice<T>* slices, int64_t count, double decay) {
  each_part(slices, count, [&](int64_t, const Slice<T>& s, int64_t begin, int64_t end) {
    with_isa([&](auto set) GRADUS_LAMBDA {
      using L = typename decltype(set)::template Lane<T>;
      const L rate(1 - decay);
      each_register<L>(begin, end, [&](auto load, auto store) GRADUS_LAMBDA {
        const L p = load(s.parameter);
        store(fma(rate, load(s.gradient) - p, p), s.parameter);
      });
    });
  });
}

template <class T>
void sum_of_squares(const Slice<T>* slices, int64_t count, void* scratch, double* sum) {
  double* const sums = static_cast<double*>(scratch);
  const int64_t tiles = tiles_of(elements(slices, count));
  std::fill(sums, sums + tiles, 0.0);
  each_part(slices, count, [&](int64_t tile, const Slice<T>& s, int64_t begin, int64_t end) {
    with_isa([&](auto set) GRADUS_LAMBDA {
      using L = typename decltype(set)::template Lane<T>;
      constexpr int64_t leaf = 512;
      for (int64_t i = begin; i < end; i += leaf) {
        L leaf_sum(0.0);
        each_register<L>(i, std::min(i + leaf, end), [&](auto load, auto) GRADUS_LAMBDA {
          const L g = load(s.gradient);
          leaf_sum = fma(g, g, leaf_sum);
        });
        for (int j = 0; j < L::size; ++j) sums[tile] += static_cast<double>(leaf_sum[j]);
      }
    });
  });
  *sum = std::accumulate(sums, sums + tiles, 0.0);
}

#define GRADUS_INSTANTIATE(T)                                     \
  template void sgd(const Slice<T>*, int64_t, const SgdStep&);    \
  template void adam(const Slice<T>*, int64_t, const AdamStep&);  \
  template void moving_average(const Slice<T>*, int64_t, double); \
  template void sum_of_squares(const Slice<T>*, int64_t, void*, double*);
GRADUS_INSTANTIATE(float)
GRADUS_INSTANTIATE(double)

}  // namespace cpu
}  // namespace gradus
