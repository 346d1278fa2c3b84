#include "gradus/kernels/softmax.h"

#include <algorithm>
#include <cassert>

#include "gradus/kernels/cpu/fold.h"
#include "gradus/kernels/cpu/pool.h"

namespace gradus::cpu {
namespace {

using Index = std::int64_t;

// Calls row(lane, r, end) for every row r, tiles of rows in parallel, each tile in one call of the
// instruction set's code: rows of a few classes would not pay for a call of their own. `lane` names
// the register type; rows up to `end` belong to the same tile.
template <class T, class Row>
void for_rows(Index rows, Index n, const Row& row) {
  const Index tile = std::max<Index>(1, (1 << 15) / std::max<Index>(1, n));
  parallel((rows + tile - 1) / tile, [&](Index t) {
    const Index end = std::min(rows, (t + 1) * tile);
    with_isa([&](auto set) {
      using L = typename decltype(set)::template Lane<T>;
      for (Index r = t * tile; r < end; ++r) row(L(0.0), r, end);
    });
  });
}

// f(i, m) for registers of m elements from i on.
template <class L, class F>
GRADUS_INLINE void for_lanes(Index n, const F& f) {
  constexpr Index S = L::size;
  Index i = 0;
  for (; i + S <= n; i += S) f(i, S);
  if (i < n) f(i, n - i);
}

template <class L, class T>
GRADUS_INLINE L row_max(const T* x, Index n, const T* end) {
  return L(fold_run<Max, L>(
      n, [&](Index i, Index m) GRADUS_LAMBDA { return load_first<L>(x + i, m, end); }));
}

template <class L, class T>
GRADUS_INLINE L row_sum_exp(const T* x, Index n, const T* end, const L& shift) {
  return L(fold_run<Sum, L>(n, [&](Index i, Index m) GRADUS_LAMBDA {
    return exp(load_first<L>(x + i, m, end) - shift);
  }));
}

}  // namespace

template <class T>
void softmax(const T* x, Index rows, Index n, T* y) {
  for_rows<T>(rows, n, [&](const auto& lane, Index r, Index last) GRADUS_LAMBDA {
    using L = std::decay_t<decltype(lane)>;
    const T *from = x + r * n, *end = x + last * n;
    T* to = y + r * n;
    if (n <= L::size) {  // the row stays in a register
      const auto inside = first<L>(n);
      const L v = load_first<L>(from, n, end);
      const L e = exp(v - L(fold<Max>(select(inside, v, L(Max::identity)))));
      store_first(e * L(1 / fold<Sum>(select(inside, e, L(0.0)))), to, n);
      return;
    }
    const L shift = row_max<L>(from, n, end);
    const L scale(1 / fold_run<Sum, L>(n, [&](Index i, Index m) GRADUS_LAMBDA {
                    const L e = exp(load_first<L>(from + i, m, end) - shift);
                    store_first(e, to + i, m);
                    return e;
                  }));
    for_lanes<L>(n, [&](Index i, Index m) GRADUS_LAMBDA {
      store_first(load_first<L>(to + i, m, y + last * n) * scale, to + i, m);
    });
  });
}

template <class T>
void log_softmax(const T* x, Index rows, Index n, T* y) {
  for_rows<T>(rows, n, [&](const auto& lane, Index r, Index last) GRADUS_LAMBDA {
    using L = std::decay_t<decltype(lane)>;
    const T *from = x + r * n, *end = x + last * n;
    const L shift = row_max<L>(from, n, end);
    const L log_sum = log(row_sum_exp(from, n, end, shift));
    for_lanes<L>(n, [&](Index i, Index m) GRADUS_LAMBDA {
      store_first(load_first<L>(from + i, m, end) - shift - log_sum, y + r * n + i, m);
    });
  });
}

template <class T>
void softmax_vjp(const T* y, const T* g, Index rows, Index n, T* dx) {
  for_rows<T>(rows, n, [&](const auto& lane, Index r, Index last) GRADUS_LAMBDA {
    using L = std::decay_t<decltype(lane)>;
    const T *yr = y + r * n, *y_end = y + last * n, *gr = g + r * n, *g_end = g + last * n;
    const L dot(fold_run<Sum, L>(n, [&](Index i, Index m) GRADUS_LAMBDA {
      return load_first<L>(yr + i, m, y_end) * load_first<L>(gr + i, m, g_end);
    }));
    for_lanes<L>(n, [&](Index i, Index m) GRADUS_LAMBDA {
      const L v = load_first<L>(yr + i, m, y_end);
      store_first(v * (load_first<L>(gr + i, m, g_end) - dot), dx + r * n + i, m);
    });
  });
}

template <class T>
void log_softmax_vjp(const T* y, const T* g, Index rows, Index n, T* dx) {
  for_rows<T>(rows, n, [&](const auto& lane, Index r, Index last) GRADUS_LAMBDA {
    using L = std::decay_t<decltype(lane)>;
    const T *yr = y + r * n, *y_end = y + last * n, *gr = g + r * n, *g_end = g + last * n;
    const L sum(fold_run<Sum, L>(
        n, [&](Index i, Index m) GRADUS_LAMBDA { return load_first<L>(gr + i, m, g_end); }));
    for_lanes<L>(n, [&](Index i, Index m) GRADUS_LAMBDA {
      const L p = exp(load_first<L>(yr + i, m, y_end));
      store_first(load_first<L>(gr + i, m, g_end) - p * sum, dx + r * n + i, m);
    });
  });
}

template <class T>
void cross_entropy(const T* x, const Index* target, Index rows, Index n, computed<T>* loss,
                   computed<T>* lse) {
  for_rows<T>(rows, n, [&](const auto& lane, Index r, Index last) GRADUS_LAMBDA {
    using L = std::decay_t<decltype(lane)>;
    assert(target[r] >= 0 && target[r] < n);
    const T *from = x + r * n, *end = x + last * n;
    // Without a shift an infinite maximum comes through exp and log as it is.
    const T max = row_max<L>(from, n, end)[0];
    const T shift = max - max == 0 ? max : 0;
    const T log_sum = log(row_sum_exp(from, n, end, L(shift)))[0];
    loss[r] = log_sum + (shift - from[target[r]]);
    lse[r] = log_sum + shift;
  });
}

template <class T>
void cross_entropy_vjp(const T* x, const Index* target, const computed<T>* lse,
                       const computed<T>* g, Index g_stride, Index rows, Index n, T* dx) {
  for_rows<T>(rows, n, [&](const auto& lane, Index r, Index last) GRADUS_LAMBDA {
    using L = std::decay_t<decltype(lane)>;
    const T *from = x + r * n, *end = x + last * n;
    const L shift(lse[r]), scale(g[r * g_stride]);
    const L hit = (exp(L(from[target[r]]) - shift) - 1.0) * scale;  // before dx replaces x
    for_lanes<L>(n, [&](Index i, Index m) GRADUS_LAMBDA {
      store_first(exp(load_first<L>(from + i, m, end) - shift) * scale, dx + r * n + i, m);
    });
    dx[r * n + target[r]] = hit[0];
  });
}

#define GRADUS_INSTANTIATE(T)                                                                  \
  template void softmax(const T*, Index, Index, T*);                                           \
  template void log_softmax(const T*, Index, Index, T*);                                       \
  template void softmax_vjp(const T*, const T*, Index, Index, T*);                             \
  template void log_softmax_vjp(const T*, const T*, Index, Index, T*);                         \
  template void cross_entropy<T>(const T*, const Index*, Index, Index, T*, T*);                \
  template void cross_entropy_vjp<T>(const T*, const Index*, const T*, const T*, Index, Index, \
                                     Index, T*);
GRADUS_INSTANTIATE(float)
GRADUS_INSTANTIATE(double)
#undef GRADUS_INSTANTIATE

}  // namespace gradus::cpu
