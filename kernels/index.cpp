#include "gradus/kernels/index.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "gradus/kernels/cpu/pool.h"
#include "gradus/kernels/cpu/simd.h"

namespace gradus::cpu {
namespace {

using Index = std::int64_t;

constexpr Index tile_elements = 1 << 15;

Index tiles_of(Index n, Index tile) { return (n + tile - 1) / tile; }

// Calls body(begin, end) for ranges that cover [0, n), about tile_elements of work each.
template <class Body>
void in_tiles(Index n, Index work, const Body& body) {
  const Index tile = std::max<Index>(1, tile_elements / std::max<Index>(1, work));
  parallel(tiles_of(n, tile), [&](Index t) { body(t * tile, std::min(n, (t + 1) * tile)); });
}

// No two tiles add to the same element, so the bits do not depend on the cut: tiles differ in
// outer, in the columns, or, where those are fewer than the threads, in the part of the axis they
// own; then each of them reads all indices and mispredicts many.
template <class T, class Add>
void add_in_tiles(const IndexShape& s, const Add& add) {
  constexpr Index width = 256 / sizeof(T);
  const Index blocks = tiles_of(s.inner, width), work = s.outer * s.picks * s.inner;
  if (work <= tile_elements) {
    for (Index o = 0; o < s.outer; ++o) add(o, Index{0}, s.axis, Index{0}, s.inner);
    return;
  }
  const Index parts =
      std::clamp<Index>(threads() / (s.outer * blocks), 1, std::min<Index>(4, s.axis));
  const Index part = tiles_of(s.axis, parts);
  parallel(s.outer * blocks * parts, [&](Index t) {
    const Index o = t / (blocks * parts), c = t / parts % blocks * width, a = t % parts * part;
    add(o, a, std::min(s.axis, a + part), c, std::min(s.inner, c + width));
  });
}

}  // namespace

Index find_out_of_range(const char*, const Index* index, Index n, Index limit) {
  constexpr Index block = 64;
  std::atomic<Index> found{n};
  in_tiles(n, 1, [&](Index begin, Index end) {
    for (Index i = begin; i < end && i < found.load(std::memory_order_relaxed);) {
      const Index stop = std::min(end, i + block);
      bool outside = false;
      for (Index j = i; j < stop; ++j)
        outside |= static_cast<std::uint64_t>(index[j]) >= static_cast<std::uint64_t>(limit);
      if (!outside) {
        i = stop;
        continue;
      }
      while (index[i] >= 0 && index[i] < limit) ++i;
      Index first = found.load();
      while (i < first && !found.compare_exchange_weak(first, i)) {
      }
      return;
    }
  });
  return found < n ? found.load() : -1;
}

template <class U>
void gather(const U* x, const Index* index, const IndexShape& s, U* y) {
  in_tiles(s.outer * s.picks, s.inner, [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      const U* from = x + r / s.picks * s.axis * s.inner;
      for (Index i = 0, at = r * s.inner; i < s.inner; ++i, ++at)
        y[at] = from[index[at] * s.inner + i];
    }
  });
}

template <class U>
void index_select(const U* x, const Index* ids, const IndexShape& s, U* y) {
  const auto bytes = static_cast<std::size_t>(s.inner) * sizeof(U);
  in_tiles(s.outer * s.picks, s.inner, [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      const U* from = x + (r / s.picks * s.axis + ids[r % s.picks]) * s.inner;
      if (s.inner == 1)
        y[r] = *from;
      else
        std::memcpy(y + r * s.inner, from, bytes);
    }
  });
}

template <class T>
void scatter_add(const T* g, const Index* index, const IndexShape& s, T* y) {
  add_in_tiles<T>(s, [&](Index o, Index first, Index last, Index begin, Index end) {
    T* to = y + o * s.axis * s.inner;
    for (Index j = 0; j < s.picks; ++j)
      for (Index i = begin, row = (o * s.picks + j) * s.inner; i < end; ++i) {
        const Index a = index[row + i];
        if (a >= first && a < last) to[a * s.inner + i] += g[row + i];
      }
  });
}

template <class T>
void index_add(const T* g, const Index* ids, const IndexShape& s, T* y) {
  add_in_tiles<T>(s, [&](Index o, Index first, Index last, Index begin, Index end) {
    with_isa([&](auto set) {
      using L = typename decltype(set)::template Lane<T>;
      for (Index j = 0; j < s.picks; ++j) {
        if (ids[j] < first || ids[j] >= last) continue;
        const T* from = g + (o * s.picks + j) * s.inner;
        T* to = y + (o * s.axis + ids[j]) * s.inner;
        Index i = begin;
        for (; i + L::size <= end; i += L::size)
          (L::load(to + i) + L::load(from + i)).store(to + i);
        for (; i < end; ++i) to[i] += from[i];
      }
    });
  });
}

template <class T>
void one_hot(const Index* ids, Index n, Index classes, T* y) {
  in_tiles(n, classes, [&](Index begin, Index end) {
    std::fill(y + begin * classes, y + end * classes, T(0));
    for (Index i = begin; i < end; ++i) y[i * classes + ids[i]] = T(1);
  });
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

}  // namespace gradus::cpu
