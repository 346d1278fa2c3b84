#include "gradus/kernels/softmax.h"

#include <algorithm>
#include <cassert>

#include "gradus/kernels/cpu/fold.h"
#include "gradus/kernels/cpu/pool.h"

namespace gradus::cpu {
namespace {

using Index = std::int64_t;

// Calls tile(lane, begin, end) for ranges that cover all rows, in parallel, each in one call of the
// instruction set's code: rows of a few classes would not pay for a call of their own. `lane` names
// the register type.
template <class T, class Tile>
void for_tiles(Index rows, Index n, const Tile& tile) {
  const Index height = std::max<Index>(1, (1 << 15) / std::max<Index>(1, n));
  parallel((rows + height - 1) / height, [&](Index t) {
    with_isa([&](auto set) {
      using L = typename decltype(set)::template Lane<T>;
      tile(L(0.0), t * height, std::min(rows, (t + 1) * height));
    });
  });
}

// Calls row(lane, r, end) for every row r; rows up to `end` belong to the same tile.
template <class T, class Row>
void for_rows(Index rows, Index n, const Row& row) {
  for_tiles<T>(rows, n, [&](const auto& lane, Index begin, Index end) GRADUS_LAMBDA {
    for (Index r = begin; r < end; ++r) row(lane, r, end);
  });
}

// Stores at(i, left), the register at i of a row of n.
template <class L, class T, class At>
GRADUS_INLINE void store_row(Index n, T* to, const At& at) {
  for_registers<L, true>(
      n, at, [&](Index i, Index left, const L& r) GRADUS_LAMBDA { store_first(r, to + i, left); });
}

// May lose a NaN, which every row gets back through its exponentials.
struct Greatest {
  static constexpr double identity = Max::identity;
  template <class L>
  GRADUS_INLINE static L of(const L& a, const L& b) {
    return greater(a, b);
  }
};

template <class L, class T>
GRADUS_INLINE L row_max(const T* x, Index n, const T* end) {
  return L(fold_run<Greatest, L>(
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
      const L e = exp(v - L(fold<Greatest>(select(inside, v, L(Greatest::identity)))));
      store_first(e * L(1 / fold<Sum>(select(inside, e, L(0.0)))), to, n);
      return;
    }
    const L shift = row_max<L>(from, n, end);
    const L scale(
        1 / fold_run<Sum, L>(
                n,
                [&](Index i, Index m)
                    GRADUS_LAMBDA { return exp(load_first<L>(from + i, m, end) - shift); },
                [&](Index i, Index m, const L& e) GRADUS_LAMBDA { store_first(e, to + i, m); }));
    store_row<L>(n, to, [&](Index i, Index left) GRADUS_LAMBDA {
      return load_first<L>(to + i, left, y + last * n) * scale;
    });
  });
}

template <class T>
void log_softmax(const T* x, Index rows, Index n, T* y) {
  // Logarithms of several rows at once, of as many as stay in the first cache.
  constexpr Index most = 16;
  const Index group = std::clamp<Index>(4096 / std::max<Index>(1, n), 1, most);
  for_tiles<T>(rows, n, [&](const auto& lane, Index begin, Index last) GRADUS_LAMBDA {
    using L = std::decay_t<decltype(lane)>;
    const T* end = x + last * n;
    for (; begin < last; begin += group) {
      const Index m = std::min(group, last - begin);
      T shift[most], log_sum[most] = {};
      for (Index r = 0; r < m; ++r) {
        const T* from = x + (begin + r) * n;
        const L top = row_max<L>(from, n, end);
        shift[r] = top[0];
        log_sum[r] = row_sum_exp(from, n, end, top)[0];
      }
      for (Index r = 0; r < m; r += L::size) log(L::load(log_sum + r)).store(log_sum + r);
      for (Index r = 0; r < m; ++r) {
        const T* from = x + (begin + r) * n;
        const L top(shift[r]), log_total(log_sum[r]);
        store_row<L>(n, y + (begin + r) * n, [&](Index i, Index left) GRADUS_LAMBDA {
          return load_first<L>(from + i, left, end) - top - log_total;
        });
      }
    }
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
    store_row<L>(n, dx + r * n, [&](Index i, Index left) GRADUS_LAMBDA {
      return load_first<L>(yr + i, left, y_end) * (load_first<L>(gr + i, left, g_end) - dot);
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
    store_row<L>(n, dx + r * n, [&](Index i, Index left) GRADUS_LAMBDA {
      return load_first<L>(gr + i, left, g_end) - exp(load_first<L>(yr + i, left, y_end)) * sum;
    });
  });
}

template <class T>
void cross_entropy(const T* x, const Index* target, Index rows, Index n, computed<T>* loss,
                   computed<T>* lse) {
  for_tiles<T>(rows, n, [&](const auto& lane, Index begin, Index last) GRADUS_LAMBDA {
    using L = std::decay_t<decltype(lane)>;
    constexpr Index group = 16;  // rows whose logarithms are taken at once
    const T* end = x + last * n;
    for (; begin < last; begin += group) {
      const Index m = std::min(group, last - begin);
      T shift[group], log_sum[group] = {};
      for (Index r = 0; r < m; ++r) {
        const T* from = x + (begin + r) * n;
        // Without a shift an infinite maximum comes through exp and log as it is.
        const T max = row_max<L>(from, n, end)[0];
        shift[r] = max - max == 0 ? max : 0;
        log_sum[r] = row_sum_exp(from, n, end, L(shift[r]))[0];
      }
      for (Index r = 0; r < m; r += L::size) log(L::load(log_sum + r)).store(log_sum + r);
      for (Index r = 0; r < m; ++r) {
        assert(target[begin + r] >= 0 && target[begin + r] < n);
        loss[begin + r] = log_sum[r] + (shift[r] - x[(begin + r) * n + target[begin + r]]);
        lse[begin + r] = log_sum[r] + shift[r];
      }
    }
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
    store_row<L>(n, dx + r * n, [&](Index i, Index left) GRADUS_LAMBDA {
      return exp(load_first<L>(from + i, left, end) - shift) * scale;
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
