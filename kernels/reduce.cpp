#include "gradus/kernels/reduce.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "gradus/kernels/copy.h"
#include "gradus/kernels/cpu/fold.h"
#include "gradus/kernels/cpu/pool.h"
#include "gradus/kernels/cpu/walk.h"

namespace gradus::cpu {
namespace {

using Index = std::int64_t;

constexpr Index tile_elements = 1 << 16;
constexpr Index max_partials = 8192;
constexpr Index column_block = 256;
constexpr Index column_leaf = 64;
constexpr Index most_staged = 1024;  // outputs that are computed before they are stored

struct Value {
  template <class L>
  GRADUS_INLINE L operator()(const L& x, const L&) const {
    return x;
  }
};
struct SquaredDeviation {
  template <class L>
  GRADUS_INLINE L operator()(const L& x, const L& mean) const {
    return (x - mean) * (x - mean);
  }
};
struct Equals {
  template <class L>
  GRADUS_INLINE L operator()(const L& x, const L& y) const {
    return select(x == y, L(1.0), L(0.0));
  }
};
struct ShiftedExp {
  template <class L>
  GRADUS_INLINE L operator()(const L& x, const L& shift) const {
    return exp(x - shift);
  }
};

// One reduction's operands, the layout of its loops, and how its work is cut: into tiles of
// `outputs` outputs, or, where those are few and long, into `chunks` of the reduced loops. What is
// stored in bf16 is read through buffers in L1.
template <class T>
class Reduction {
 public:
  template <class S>
  Reduction(const S* x, const ReduceShape& shape)
      : x_(x),
        s_(in_memory_order(shape)),
        outputs_(s_.kept.count()),
        terms_(s_.reduced.count()),
        end_(x_.plain) {
    if (terms_ == 0) s_.reduced.rank = 0;
    tile_ = std::max<Index>(1, outputs_);
    if (outputs_ == 0 || terms_ == 0) return;
    const auto innermost = [](const Extents& e, const Index* stride) {
      return e.rank > 0 ? stride[e.rank - 1] : 0;
    };
    columns_ =
        innermost(s_.reduced, s_.reduced_stride) != 1 && innermost(s_.kept, s_.kept_stride) == 1;
    if (x_.half) {
      cut();
      return;
    }
    for (int i = 0; i < s_.kept.rank; ++i)
      end_ += std::max<Index>(0, s_.kept_stride[i] * (s_.kept.size[i] - 1));
    for (int i = 0; i < s_.reduced.rank; ++i)
      end_ += std::max<Index>(0, s_.reduced_stride[i] * (s_.reduced.size[i] - 1));
    ++end_;
    cut();
  }

  Index outputs() const { return outputs_; }
  Index terms() const { return terms_; }

  // Calls stage(begin, end) for ranges that cover all outputs, in parallel where the tiles are
  // ranges of outputs. At most `limit` outputs are handed over at once.
  template <class Stage>
  void for_outputs(Index limit, Stage&& stage) const {
    const auto run = [&](Index begin, Index end) {
      for (; begin < end; begin += limit) stage(begin, std::min(end, begin + limit));
    };
    if (chunks_ > 1) return run(0, outputs_);
    parallel((outputs_ + tile_ - 1) / tile_,
             [&](Index t) { run(t * tile_, std::min(outputs_, (t + 1) * tile_)); });
  }

  // y[o] = fold of term(x, parameter[o]) for the outputs in [begin, end); parameter may be null.
  template <class Term, class Op>
  void reduce(Index begin, Index end, const T* parameter, T* y) const {
    if (chunks_ == 1) return reduce_part<Term, Op>(begin, end, 0, terms_, parameter, y);
    const Index n = end - begin;
    T partial[max_partials];
    const Index tiles = columns_ ? chunks_ : chunks_ * n;
    parallel(tiles, [&](Index t) {
      const Index chunk = columns_ ? t : t % chunks_, o = columns_ ? 0 : t / chunks_;
      const Index from = chunk * chunk_, to = std::min(terms_, from + chunk_);
      reduce_part<Term, Op>(begin + o, columns_ ? end : begin + o + 1, from, to,
                            parameter ? parameter + o : nullptr, partial + chunk * n + o);
    });
    for (Index o = 0; o < n; ++o) {
      T total = partial[o];
      for (Index c = 1; c < chunks_; ++c) total = Op::of(total, partial[c * n + o]);
      y[o] = total;
    }
  }

 private:
  void cut() {
    const Index cuts = (outputs_ * terms_ + tile_elements - 1) / tile_elements;
    if (cuts <= 1) return;
    const Index unit = columns_ ? column_block : 1, leaf = columns_ ? column_leaf : leaf_size;
    if (outputs_ >= 64 * unit || terms_ < 16 * leaf) {
      tile_ = std::max<Index>(unit, tile_elements / terms_ / unit * unit);
      return;
    }
    const Index pieces = columns_ ? cuts : (cuts + outputs_ - 1) / outputs_;
    const Index wanted =
        std::clamp<Index>(pieces, 1, std::min<Index>(256, max_partials / outputs_));
    chunk_ = ((terms_ + wanted - 1) / wanted + leaf - 1) / leaf * leaf;
    chunks_ = (terms_ + chunk_ - 1) / chunk_;
    if (chunks_ == 1) tile_ = std::max<Index>(unit, outputs_ / cuts / unit * unit);
  }

  template <class Term, class Op>
  void reduce_part(Index begin, Index end, Index from, Index to, const T* parameter, T* y) const {
    with_isa([&](auto set) {
      using L = typename decltype(set)::template Lane<T>;
      const Index width = s_.kept.rank > 0 ? s_.kept.size[s_.kept.rank - 1] : 1;
      Walk kept(s_.kept.size, s_.kept_stride, s_.kept.rank - (columns_ ? 1 : 0),
                columns_ ? begin / width : begin);
      if (!columns_) {
        for (Index o = begin; o < end; ++o, kept.next(), ++y)
          *y = reduce_row<L, Term, Op>(x_ + kept.offset(), from, to,
                                       L(parameter ? *parameter++ : T(0)));
        return;
      }
      for (Index o = begin, column = begin % width; o < end;) {
        const Index n = std::min({width - column, end - o, column_block});
        reduce_columns<L, Term, Op>(x_ + kept.offset() + column, n, from, to, parameter, y);
        o += n, column += n, y += n;
        if (parameter) parameter += n;
        if (column == width) column = 0, kept.next();
      }
    });
  }

  // Terms [from, to) of the output whose elements start at x.
  template <class L, class Term, class Op>
  GRADUS_INLINE T reduce_row(Stored<T> x, Index from, Index to, L parameter) const {
    Elements<T> elements(x, s_.reduced, s_.reduced_stride, from);
    Cascade<Op, L> cascade;
    T buffer[leaf_size];
    while (from < to) {
      const T *leaf, *end = end_;
      Index n = std::min(leaf_size, to - from);
      const Index run = elements.run(n);
      const bool long_run = run == n || run >= 64;
      if (long_run) n = run;
      if (long_run && !x.half) {
        leaf = elements.here();
        elements.skip(n);
      } else {
        elements.copy(n, buffer);
        leaf = buffer, end = buffer + leaf_size;
      }
      cascade.add(fold_leaf<Op, L>(n, [&](Index i, Index m) GRADUS_LAMBDA {
        return Term()(load_first<L>(leaf + i, m, end), parameter);
      }));
      from += n;
    }
    return fold<Op>(cascade.total());
  }

  // Terms [from, to) of n neighbouring outputs: rows of x are folded into a row of partial results
  // in L1, and leaves of column_leaf rows combined pairwise, as in Cascade. Registers beyond the
  // n-th column hold what is there; at the end of the memory rows move to a spare place, and so do
  // all that are converted.
  template <class L, class Term, class Op>
  GRADUS_INLINE void reduce_columns(Stored<T> x, Index n, Index from, Index to, const T* parameter,
                                    T* y) const {
    constexpr Index S = L::size, group = 4;
    const Index padded = (n + S - 1) / S * S;
    alignas(64) T level[32][column_block];
    alignas(64) T p[column_block] = {};
    alignas(64) T spare[group][column_block];
    if (parameter) std::copy_n(parameter, n, p);

    const Term term;
    const T* q[group];
    Walk walk(s_.reduced.size, s_.reduced_stride, s_.reduced.rank, from);
    const auto next_row = [&](Index i) GRADUS_LAMBDA {
      if (x.half) {
        q[i] = converted_row(x.half + walk.offset(), n, spare[i]);
      } else {
        q[i] = x.plain + walk.offset();
        if (end_ - q[i] < padded) q[i] = std::copy_n(q[i], n, spare[i]) - n;
      }
      walk.next();
    };
    std::uint64_t leaves = 0;
    for (; from < to; ++leaves) {
      int depth = 0;
      for (std::uint64_t k = leaves; k & 1; k >>= 1) ++depth;
      T* row = level[depth];
      for (Index c = 0; c < padded; c += S) L(Op::identity).store(row + c);
      Index rows = std::min(column_leaf, to - from);
      from += rows;
      for (; rows >= group; rows -= group) {
        for (Index i = 0; i < group; ++i) next_row(i);
        for (Index c = 0; c < padded; c += S) {
          const L a = Op::of(term(L::load(q[0] + c), L::load(p + c)),
                             term(L::load(q[1] + c), L::load(p + c)));
          const L b = Op::of(term(L::load(q[2] + c), L::load(p + c)),
                             term(L::load(q[3] + c), L::load(p + c)));
          Op::of(L::load(row + c), Op::of(a, b)).store(row + c);
        }
      }
      for (; rows > 0; --rows) {
        next_row(0);
        for (Index c = 0; c < padded; c += S)
          Op::of(L::load(row + c), term(L::load(q[0] + c), L::load(p + c))).store(row + c);
      }
      for (int i = 0; i < depth; ++i)
        for (Index c = 0; c < padded; c += S)
          Op::of(L::load(level[i] + c), L::load(row + c)).store(row + c);
    }
    T* total = spare[0];
    for (Index c = 0; c < padded; c += S) L(Op::identity).store(total + c);
    for (int i = 0; leaves > 0; leaves >>= 1, ++i)
      if (leaves & 1)
        for (Index c = 0; c < padded; c += S)
          Op::of(L::load(level[i] + c), L::load(total + c)).store(total + c);
    std::copy_n(total, n, y);
  }

  static const T* converted_row(const bf16* x, Index n, T* to) {
    if constexpr (std::is_same_v<T, float>) convert(x, n, to);
    return to;
  }

  Stored<T> x_;
  ReduceShape s_;
  Index outputs_, terms_;
  const T* end_;  // of the memory that may be read where it lies
  bool columns_ = false;
  Index tile_ = 1, chunks_ = 1, chunk_ = 0;
};

// Results as they are stored.
template <class T, class S>
void store(const T* result, Index n, S* y) {
  if constexpr (std::is_same_v<S, T>)
    std::copy_n(result, n, y);
  else
    convert(result, n, y);
}

template <class Op, class S, class Y>
void reduce(const S* x, const ReduceShape& shape, Y* y) {
  using T = computed<S>;
  const Reduction<T> r(x, shape);
  if constexpr (std::is_same_v<Y, T>) {
    r.for_outputs(r.outputs(), [&](Index begin, Index end) {
      r.template reduce<Value, Op>(begin, end, nullptr, y + begin);
    });
  } else {
    r.for_outputs(most_staged, [&](Index begin, Index end) {
      T result[most_staged];
      r.template reduce<Value, Op>(begin, end, nullptr, result);
      store(result, end - begin, y + begin);
    });
  }
}

template <class Op, class T>
void count_extremes(const T* x, const ReduceShape& shape, T* y) {
  assert(shape.reduced.count() > 0 || shape.kept.count() == 0);
  const Reduction<T> r(x, shape);
  r.for_outputs(most_staged, [&](Index begin, Index end) {
    T extreme[most_staged];
    r.template reduce<Value, Op>(begin, end, nullptr, extreme);
    r.template reduce<Equals, Sum>(begin, end, extreme, y + begin);
  });
}

}  // namespace

template <class T, class Y>
void sum(const T* x, const ReduceShape& shape, Y* y) {
  reduce<Sum>(x, shape, y);
}

template <class T>
void prod(const T* x, const ReduceShape& shape, T* y) {
  reduce<Product>(x, shape, y);
}

template <class T>
void max(const T* x, const ReduceShape& shape, T* y) {
  assert(shape.reduced.count() > 0 || shape.kept.count() == 0);
  reduce<Max>(x, shape, y);
}

template <class T>
void min(const T* x, const ReduceShape& shape, T* y) {
  assert(shape.reduced.count() > 0 || shape.kept.count() == 0);
  reduce<Min>(x, shape, y);
}

template <class T>
void count_max(const T* x, const ReduceShape& shape, T* y) {
  count_extremes<Max>(x, shape, y);
}
template <class T>
void count_min(const T* x, const ReduceShape& shape, T* y) {
  count_extremes<Min>(x, shape, y);
}

template <class S>
void variance(const S* x, const ReduceShape& shape, double correction, S* mean, S* y) {
  using T = computed<S>;
  const Reduction<T> r(x, shape);
  const double n = static_cast<double>(r.terms());
  // A mean of nothing is 0/0; with too few elements the variance is infinite or 0/0, never
  // negative.
  const double freedom = std::max(0.0, n - correction);
  r.for_outputs(most_staged, [&](Index begin, Index end) {
    T means[most_staged], squares[most_staged];
    r.template reduce<Value, Sum>(begin, end, nullptr, means);
    for (Index i = 0; i < end - begin; ++i) means[i] = static_cast<T>(means[i] / n);
    r.template reduce<SquaredDeviation, Sum>(begin, end, means, squares);
    for (Index i = 0; i < end - begin; ++i) squares[i] = static_cast<T>(squares[i] / freedom);
    store(means, end - begin, mean + begin);
    store(squares, end - begin, y + begin);
  });
}

template <class S>
void logsumexp(const S* x, const ReduceShape& shape, S* y) {
  using T = computed<S>;
  const Reduction<T> r(x, shape);
  r.for_outputs(most_staged, [&](Index begin, Index end) {
    T shift[most_staged], sums[most_staged];
    const Index n = end - begin;
    r.template reduce<Value, Max>(begin, end, nullptr, shift);
    // An infinite maximum is the result by itself: unshifted, exp and log carry it through.
    for (Index i = 0; i < n; ++i)
      if (!std::isfinite(shift[i])) shift[i] = 0;
    r.template reduce<ShiftedExp, Sum>(begin, end, shift, sums);
    for (Index i = 0; i < n; ++i) sums[i] = std::log(sums[i]) + shift[i];
    store(sums, n, y + begin);
  });
}

#define GRADUS_INSTANTIATE(T)                                           \
  template void sum(const T*, const ReduceShape&, T*);                  \
  template void max(const T*, const ReduceShape&, T*);                  \
  template void min(const T*, const ReduceShape&, T*);                  \
  template void variance(const T*, const ReduceShape&, double, T*, T*); \
  template void logsumexp(const T*, const ReduceShape&, T*);
GRADUS_INSTANTIATE(float)
GRADUS_INSTANTIATE(double)
GRADUS_INSTANTIATE(bf16)
#undef GRADUS_INSTANTIATE
template void sum(const bf16*, const ReduceShape&, float*);
#define GRADUS_INSTANTIATE(T)                                \
  template void prod(const T*, const ReduceShape&, T*);      \
  template void count_max(const T*, const ReduceShape&, T*); \
  template void count_min(const T*, const ReduceShape&, T*);
GRADUS_INSTANTIATE(float)
GRADUS_INSTANTIATE(double)
#undef GRADUS_INSTANTIATE

}  // namespace gradus::cpu
