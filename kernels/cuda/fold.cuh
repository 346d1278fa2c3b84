// The monoids of reductions. Each has a State, take() of a few elements at once, merge() of two
// states, and `missing`, the element that changes nothing; one pass over memory is enough for all
// of them, and threads, blocks and chunks may be merged in any fixed tree.
//
// take<V>(s, v, m, first, jump): v[0, m) are the elements at the positions first, ..., first+V-1,
// first + jump, ...; those from m on hold `missing`. Floats are summed pairwise within v, in float;
// beyond, sums are double.
#pragma once

#include <cmath>
#include <limits>

#include "gradus/kernels/cuda/block.cuh"

namespace gradus::GRADUS_GPU {

// merge as a type, which compilers see through.
template <class M>
struct Merge {
  using State = typename M::State;
  GRADUS_DEVICE State operator()(const State& a, const State& b) const { return M::merge(a, b); }
};

template <class C>
struct SumOf {
  using Element = C;
  using State = double;
  static constexpr C missing = 0;
  GRADUS_DEVICE static State none() { return 0; }
  template <int V, int M>
  GRADUS_DEVICE static void take(State& s, const C (&v)[M], int, std::int64_t, std::int64_t) {
    s += static_cast<double>(fold_array(v, Plus()));
  }
  GRADUS_DEVICE static State merge(const State& a, const State& b) { return a + b; }
};

template <class C>
struct ProductOf {
  using Element = C;
  using State = C;
  static constexpr C missing = 1;
  GRADUS_DEVICE static State none() { return 1; }
  template <int V, int M>
  GRADUS_DEVICE static void take(State& s, const C (&v)[M], int, std::int64_t, std::int64_t) {
    s *= fold_array(v, [](C a, C b) { return a * b; });
  }
  GRADUS_DEVICE static State merge(const State& a, const State& b) { return a * b; }
};

// Of T = uint8_t, int32_t or int64_t, modulo 2^64.
template <class C>
struct IntegerSumOf {
  using Element = C;
  using State = std::uint64_t;
  static constexpr C missing = 0;
  GRADUS_DEVICE static State none() { return 0; }
  template <int V, int M>
  GRADUS_DEVICE static void take(State& s, const C (&v)[M], int, std::int64_t, std::int64_t) {
    for (int i = 0; i < M; ++i) s += static_cast<std::uint64_t>(v[i]);
  }
  GRADUS_DEVICE static State merge(const State& a, const State& b) { return a + b; }
};

// Whether an element is other than `absent`.
template <unsigned absent>
struct Occurs {
  using Element = std::uint8_t;
  using State = unsigned;
  static constexpr Element missing = absent;
  GRADUS_DEVICE static State none() { return 0; }
  template <int V, int M>
  GRADUS_DEVICE static void take(State& s, const Element (&v)[M], int, std::int64_t, std::int64_t) {
    for (int i = 0; i < M; ++i) s |= v[i] ^ absent;
  }
  GRADUS_DEVICE static State merge(const State& a, const State& b) { return a | b; }
};

// The largest or smallest element, a NaN before all: F is Larger or Smaller.
template <class C, class F>
struct ExtremeOf {
  using Element = C;
  using State = C;
  static constexpr C missing = F::template identity<C>;
  GRADUS_DEVICE static State none() { return missing; }
  template <int V, int M>
  GRADUS_DEVICE static void take(State& s, const C (&v)[M], int, std::int64_t, std::int64_t) {
    s = F()(s, fold_array(v, F()));
  }
  GRADUS_DEVICE static State merge(const State& a, const State& b) { return F()(a, b); }
};

// The same, and how many elements equal it.
template <class C, class F>
struct CountOf {
  using Element = C;
  struct State {
    C extreme;
    std::int64_t n;
  };
  static constexpr C missing = F::template identity<C>;
  GRADUS_DEVICE static State none() { return {missing, 0}; }
  template <int V, int M>
  GRADUS_DEVICE static void take(State& s, const C (&v)[M], int m, std::int64_t, std::int64_t) {
    State leaf{fold_array(v, F()), 0};
    for (int i = 0; i < M; ++i) leaf.n += i < m && v[i] == leaf.extreme;
    s = merge(s, leaf);
  }
  GRADUS_DEVICE static State merge(const State& a, const State& b) {
    const C extreme = F()(a.extreme, b.extreme);
    return {extreme, (a.extreme == extreme ? a.n : 0) + (b.extreme == extreme ? b.n : 0)};
  }
};

// The first of the largest elements, a NaN before all.
template <class C>
struct ArgmaxOf {
  using Element = C;
  struct State {
    C value;
    std::int64_t at;
  };
  static constexpr C missing = -std::numeric_limits<C>::infinity();
  GRADUS_DEVICE static State none() { return {missing, std::numeric_limits<std::int64_t>::max()}; }
  template <int V, int M>
  GRADUS_DEVICE static void take(State& s, const C (&v)[M], int m, std::int64_t first,
                                 std::int64_t jump) {
    for (int i = 0; i < M; ++i)
      if (i < m) s = merge(s, State{v[i], first + i / V * jump + i % V});
  }
  GRADUS_DEVICE static State merge(const State& a, const State& b) {
    const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    if (a_nan != b_nan) return a_nan ? a : b;
    if (!a_nan && a.value != b.value) return a.value > b.value ? a : b;
    return a.at <= b.at ? a : b;
  }
};

// Number, mean and sum of squared deviations. Within v: two passes about a rounded mean, corrected
// for its rounding; beyond: Chan's formula in double.
template <class C>
struct MomentsOf {
  using Element = C;
  struct State {
    double n, mean, squares;
  };
  static constexpr C missing = 0;
  GRADUS_DEVICE static State none() { return {0, 0, 0}; }
  template <int V, int M>
  GRADUS_DEVICE static void take(State& s, const C (&v)[M], int m, std::int64_t, std::int64_t) {
    if (m == 0) return;
    const double n = m;
    const C center = fold_array(v, Plus()) / static_cast<C>(m);
    C deviation[M], square[M];
    for (int i = 0; i < M; ++i) {
      deviation[i] = i < m ? v[i] - center : C(0);
      square[i] = deviation[i] * deviation[i];
    }
    const double rest = static_cast<double>(fold_array(deviation, Plus()));
    const double squares = static_cast<double>(fold_array(square, Plus())) - rest * rest / n;
    const bool finite = center - center == 0;
    s = merge(s, {n, finite ? static_cast<double>(center) + rest / n : static_cast<double>(center),
                  squares < 0 ? 0 : squares});
  }
  GRADUS_DEVICE static State merge(const State& a, const State& b) {
    if (b.n == 0) return a;
    if (a.n == 0) return b;
    const double n = a.n + b.n, part = b.n / n, delta = b.mean - a.mean;
    // An infinite mean stays what it is, opposite ones give NaN.
    const bool finite = delta - delta == 0;
    return {n, finite ? a.mean + delta * part : a.mean * (a.n / n) + b.mean * part,
            a.squares + b.squares + delta * delta * a.n * part};
  }
};

// The maximum and the sum of exp(x - shift), where shift is the maximum if that is finite and
// otherwise 0: unshifted, exp and log carry an infinite maximum and a NaN through.
template <class C>
struct ExponentialsOf {
  using Element = C;
  struct State {
    double max, sum;
    GRADUS_DEVICE C shift() const { return max - max == 0 ? static_cast<C>(max) : C(0); }
  };
  static constexpr C missing = -std::numeric_limits<C>::infinity();
  GRADUS_DEVICE static State none() { return {missing, 0}; }
  template <int V, int M>
  GRADUS_DEVICE static void take(State& s, const C (&v)[M], int, std::int64_t, std::int64_t) {
    State leaf{fold_array(v, Larger()), 0};
    const C shift = leaf.shift();
    C e[M];
    for (int i = 0; i < M; ++i) e[i] = std::exp(v[i] - shift);
    leaf.sum = static_cast<double>(fold_array(e, Plus()));
    s = merge(s, leaf);
  }
  GRADUS_DEVICE static State merge(const State& a, const State& b) {
    State r{Larger()(a.max, b.max), 0};
    const C shift = r.shift();
    r.sum = a.sum * scale(a, shift) + b.sum * scale(b, shift);
    return r;
  }

 private:
  GRADUS_DEVICE static double scale(const State& s, C shift) {
    return static_cast<double>(std::exp(static_cast<C>(s.max) - shift));
  }
};

}  // namespace gradus::GRADUS_GPU
