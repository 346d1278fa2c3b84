// Folding runs of numbers with a monoid (+, *, max, min) in registers: what reductions and row
// kernels share. Inside with_isa() only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "gradus/kernels/cpu/simd.h"

namespace gradus::cpu {

GRADUS_INLINE float select(bool m, float a, float b) { return m ? a : b; }
GRADUS_INLINE double select(bool m, double a, double b) { return m ? a : b; }

struct Sum {
  static constexpr double identity = 0;
  template <class L>
  GRADUS_INLINE static L of(const L& a, const L& b) {
    return a + b;
  }
};
struct Product {
  static constexpr double identity = 1;
  template <class L>
  GRADUS_INLINE static L of(const L& a, const L& b) {
    return a * b;
  }
};
// NaN wins in both.
struct Max {
  static constexpr double identity = -std::numeric_limits<double>::infinity();
  template <class L>
  GRADUS_INLINE static L of(const L& a, const L& b) {
    return select((a > b) | (a != a), a, b);
  }
};
struct Min {
  static constexpr double identity = std::numeric_limits<double>::infinity();
  template <class L>
  GRADUS_INLINE static L of(const L& a, const L& b) {
    return select((a < b) | (a != a), a, b);
  }
};

// True in the first n elements.
template <class L>
GRADUS_INLINE auto first(std::int64_t n) {
  using Bits = typename L::Bits;
  static constexpr auto table = [] {
    struct {
      typename Bits::Int at[2 * L::size] = {};
    } t;
    for (int i = 0; i < L::size; ++i) t.at[i] = -1;
    return t;
  }();
  typename Bits::Vector v;
  __builtin_memcpy(&v, table.at + L::size - n, sizeof v);
  return Bits(v);
}

// The register at p, of which the first n elements are wanted, or all if there are more; what the
// rest holds is unspecified: memory may be read up to `end`.
template <class L, class T>
GRADUS_INLINE L load_first(const T* p, std::int64_t n, const T* end) {
  return n >= L::size || end - p >= L::size ? L::load(p) : L::load(p, n);
}
template <class L, class T>
GRADUS_INLINE void store_first(const L& x, T* p, std::int64_t n) {
  if (n >= L::size)
    x.store(p);
  else
    x.store(p, n);
}

template <int by, class L, int... i>
GRADUS_INLINE L rotate(const L& x, std::integer_sequence<int, i...>) {
  return L(__builtin_shufflevector(x.v, x.v, ((i + by) % L::size)...));
}

// One number from a register, as a tree of fixed shape.
template <class Op, int width = 0, class L>
GRADUS_INLINE auto fold(const L& x) {
  constexpr int half = (width ? width : L::size) / 2;
  const L y = Op::of(x, rotate<half>(x, std::make_integer_sequence<int, L::size>()));
  if constexpr (half == 1)
    return y[0];
  else
    return fold<Op, half>(y);
}

// The fold of n elements, one partial result per lane; at(i, m) gives the elements [i, i + m) in a
// register, m <= L::size, and keep(i, m, r) may store it. Meant for at most leaf_size elements,
// which keeps the error of sums small: longer runs go through a Cascade.
inline constexpr std::int64_t leaf_size = 512;

struct Discard {
  GRADUS_INLINE void operator()(std::int64_t, std::int64_t, const auto&) const {}
};

template <class Op, class L, class At, class Keep = Discard>
GRADUS_INLINE L fold_leaf(std::int64_t n, const At& at, const Keep& keep = {}) {
  constexpr std::int64_t S = L::size;
  std::int64_t i = 0;
  L a(Op::identity);
  if (n >= 4 * S) {
    L b(Op::identity), c(Op::identity), d(Op::identity);
    for (; i + 4 * S <= n; i += 4 * S) {
      // No store between them: their instructions interleave.
      const L p = at(i, S), q = at(i + S, S), r = at(i + 2 * S, S), s = at(i + 3 * S, S);
      keep(i, S, p), keep(i + S, S, q), keep(i + 2 * S, S, r), keep(i + 3 * S, S, s);
      a = Op::of(a, p), b = Op::of(b, q), c = Op::of(c, r), d = Op::of(d, s);
    }
    a = Op::of(Op::of(a, b), Op::of(c, d));
  }
  for (; i + S <= n; i += S) {
    const L p = at(i, S);
    keep(i, S, p);
    a = Op::of(a, p);
  }
  if (i < n) {
    const L p = at(i, n - i);
    keep(i, n - i, p);
    a = Op::of(a, select(first<L>(n - i), p, L(Op::identity)));
  }
  return a;
}

// Combines leaves pairwise: level i holds the fold of 2^i of them.
template <class Op, class L>
class Cascade {
 public:
  GRADUS_INLINE void add(const L& leaf) {
    L x = leaf;
    int i = 0;
    for (std::uint64_t n = leaves_++; n & 1; n >>= 1) x = Op::of(level_[i++], x);
    level_[i] = x;
  }
  GRADUS_INLINE L total() const {
    if (leaves_ == 1) return level_[0];
    L x(Op::identity);
    int i = 0;
    for (std::uint64_t n = leaves_; n > 0; n >>= 1, ++i)
      if (n & 1) x = Op::of(level_[i], x);
    return x;
  }

 private:
  std::uint64_t leaves_ = 0;
  L level_[48];
};

// The fold of any number of elements, to one number.
template <class Op, class L, class At, class Keep = Discard>
GRADUS_INLINE auto fold_run(std::int64_t n, const At& at, const Keep& keep = {}) {
  Cascade<Op, L> cascade;
  for (std::int64_t begin = 0; begin < n; begin += leaf_size)
    cascade.add(fold_leaf<Op, L>(
        std::min(leaf_size, n - begin),
        [&](std::int64_t i, std::int64_t m) GRADUS_LAMBDA { return at(begin + i, m); },
        [&](std::int64_t i, std::int64_t m, const L& r) GRADUS_LAMBDA { keep(begin + i, m, r); }));
  return fold<Op>(cascade.total());
}

}  // namespace gradus::cpu
