#include <algorithm>
#include <cassert>

#include "gradus/kernels/cpu/fold.h"
#include "gradus/kernels/cpu/pool.h"
#include "gradus/kernels/cpu/walk.h"
#include "gradus/kernels/reduce.h"

namespace gradus::cpu {
namespace {

using Index = std::int64_t;

constexpr Index tile_elements = 1 << 16;
constexpr int max_chunks = 256;

template <class T>
struct Best {
  T value = -std::numeric_limits<T>::infinity();
  Index at = 0;

  // A later candidate must be greater; the first NaN cannot be beaten.
  GRADUS_INLINE void meet(T v, Index i) {
    if (value == value && !(v <= value)) value = v, at = i;
  }
};

// The best of the reduced positions [from, to) of the output whose elements start at x: the maximum
// of a leaf is cheap, its place is looked for only where it is the best so far.
template <class L, class T>
GRADUS_INLINE Best<T> best_of_row(const T* x, const ReduceShape& s, Index from, Index to) {
  Elements<T> elements(Stored<T>(x), s.reduced, s.reduced_stride, from);
  T buffer[leaf_size];
  Best<T> best;
  best.at = from;
  while (from < to) {
    const T* leaf = elements.here();
    Index n = std::min(leaf_size, to - from);
    if (const Index run = elements.run(n); run == n || run >= 64) {
      elements.skip(n = run);
    } else {
      elements.copy(n, buffer);
      leaf = buffer;
    }
    const T m = fold<Max>(fold_leaf<Max, L>(
        n, [&](Index i, Index k) GRADUS_LAMBDA { return load_first<L>(leaf + i, k, leaf + n); }));
    if (best.value == best.value && !(m <= best.value)) {
      Index i = 0;
      while (i + 1 < n && !(m == leaf[i] || leaf[i] != leaf[i])) ++i;
      best.meet(m, from + i);
    }
    from += n;
  }
  return best;
}

// The best of n <= L::size neighbouring columns, over all reduced positions.
template <class L, class T>
GRADUS_INLINE void best_of_columns(const T* x, const ReduceShape& s, Index n, Index* y) {
  using Bits = typename L::Bits;
  L value(Max::identity);
  Bits place(0);
  Walk walk(s.reduced.size, s.reduced_stride, s.reduced.rank);
  const Index rows = s.reduced.count();
  for (Index k = 0; k < rows; ++k, walk.next()) {
    const L v = n == L::size ? L::load(x + walk.offset()) : L::load(x + walk.offset(), n);
    const Bits better = (value == value) & !(v <= value);
    value = select(better, v, value);
    place = (better & Bits(static_cast<typename Bits::Int>(k))) | ((!better) & place);
  }
  for (Index i = 0; i < n; ++i) y[i] = place.v[i];
}

}  // namespace

template <class T>
void argmax(const T* x, const ReduceShape& s, Index* y) {
  const Index outputs = s.kept.count(), terms = s.reduced.count();
  if (outputs == 0) return;
  assert(terms > 0);
  const int last = s.kept.rank - 1;
  const bool columns = last >= 0 && s.kept_stride[last] == 1 && terms < (Index{1} << 31) &&
                       (s.reduced.rank == 0 || s.reduced_stride[s.reduced.rank - 1] != 1);

  if (!columns && outputs < 16 && terms >= 2 * tile_elements) {
    const Index chunk = std::max(tile_elements, (terms + max_chunks - 1) / max_chunks);
    const Index chunks = (terms + chunk - 1) / chunk;
    Walk kept(s.kept.size, s.kept_stride, s.kept.rank);
    for (Index o = 0; o < outputs; ++o, kept.next()) {
      Best<T> best[max_chunks];
      parallel(chunks, [&](Index c) {
        with_isa([&](auto set) {
          using L = typename decltype(set)::template Lane<T>;
          best[c] =
              best_of_row<L>(x + kept.offset(), s, c * chunk, std::min(terms, (c + 1) * chunk));
        });
      });
      for (Index c = 1; c < chunks; ++c) best[0].meet(best[c].value, best[c].at);
      y[o] = best[0].at;
    }
    return;
  }

  const Index width = columns ? s.kept.size[last] : 1;
  const Index tile = std::max<Index>(columns ? 64 : 1, tile_elements / terms);
  parallel((outputs + tile - 1) / tile, [&](Index t) {
    const Index begin = t * tile, end = std::min(outputs, begin + tile);
    with_isa([&](auto set) {
      using L = typename decltype(set)::template Lane<T>;
      Walk kept(s.kept.size, s.kept_stride, columns ? last : last + 1, begin / width);
      Index column = begin % width;
      for (Index o = begin; o < end;) {
        const Index n = columns ? std::min({width - column, end - o, Index{L::size}}) : 1;
        if (columns)
          best_of_columns<L>(x + kept.offset() + column, s, n, y + o);
        else
          y[o] = best_of_row<L>(x + kept.offset(), s, 0, terms).at;
        o += n, column += n;
        if (column == width) column = 0, kept.next();
      }
    });
  });
}

template void argmax(const float*, const ReduceShape&, Index*);
template void argmax(const double*, const ReduceShape&, Index*);

}  // namespace gradus::cpu
