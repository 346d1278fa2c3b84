#include <algorithm>
#include <cstring>

#include "gradus/kernels/cpu/pool.h"
#include "gradus/kernels/cpu/simd.h"
#include "gradus/kernels/cpu/walk.h"
#include "gradus/kernels/reduce.h"

namespace gradus::cpu {
namespace {

using Index = std::int64_t;

constexpr Index tile_elements = 1 << 16;
constexpr int max_chunks = 256;

// Compilers vectorise loops of fixed length over memory of their own; unsigned, because sums wrap.
template <class T>
std::uint64_t sum_run(const T* x, Index n, Index step) {
  constexpr Index block = 64;
  std::uint64_t total = 0;
  with_isa([&](auto) {
    Index i = 0;
    if (step == 1) {
      std::uint64_t lanes[8] = {};
      for (; i + block <= n; i += block) {
        T v[block];
        std::memcpy(v, x + i, sizeof v);
        for (Index j = 0; j < block; j += 8)
          for (Index k = 0; k < 8; ++k) lanes[k] += static_cast<std::uint64_t>(v[j + k]);
      }
      for (const std::uint64_t lane : lanes) total += lane;
    }
    for (; i < n; ++i) total += static_cast<std::uint64_t>(x[i * step]);
  });
  return total;
}

// Reduced positions [from, to) of the output whose elements start at x.
template <class T>
std::uint64_t sum_part(const T* x, const ReduceShape& s, Index from, Index to) {
  if (from == to) return 0;
  const int last = s.reduced.rank - 1;
  const Index inner = last < 0 ? 1 : s.reduced.size[last];
  const Index step = last < 0 ? 1 : s.reduced_stride[last];
  Walk walk(s.reduced.size, s.reduced_stride, last, from / inner);
  std::uint64_t total = 0;
  for (Index at = from % inner; from < to; at = 0, walk.next()) {
    const Index n = std::min(inner - at, to - from);
    total += sum_run(x + walk.offset() + at * step, n, step);
    from += n;
  }
  return total;
}

}  // namespace

// Integer sums are exact in any order, so few long ones are simply cut.
template <class T>
void sum_integers(const T* x, const ReduceShape& s, Index* y) {
  const Index outputs = s.kept.count(), terms = s.reduced.count();
  if (outputs < 16 && terms >= 2 * tile_elements) {
    const Index chunk = std::max(tile_elements, (terms + max_chunks - 1) / max_chunks);
    const Index chunks = (terms + chunk - 1) / chunk;
    Walk kept(s.kept.size, s.kept_stride, s.kept.rank);
    for (Index o = 0; o < outputs; ++o, kept.next()) {
      std::uint64_t part[max_chunks];
      parallel(chunks, [&](Index c) {
        part[c] = sum_part(x + kept.offset(), s, c * chunk, std::min(terms, (c + 1) * chunk));
      });
      std::uint64_t total = 0;
      for (Index c = 0; c < chunks; ++c) total += part[c];
      y[o] = static_cast<Index>(total);
    }
    return;
  }
  const Index tile = std::max<Index>(1, tile_elements / std::max<Index>(1, terms));
  parallel((outputs + tile - 1) / tile, [&](Index t) {
    const Index end = std::min(outputs, (t + 1) * tile);
    Walk kept(s.kept.size, s.kept_stride, s.kept.rank, t * tile);
    for (Index o = t * tile; o < end; ++o, kept.next())
      y[o] = static_cast<Index>(sum_part(x + kept.offset(), s, 0, terms));
  });
}

template void sum_integers(const std::int32_t*, const ReduceShape&, Index*);
template void sum_integers(const std::int64_t*, const ReduceShape&, Index*);
template void sum_integers(const std::uint8_t*, const ReduceShape&, Index*);
template void sum_integers(const bool*, const ReduceShape&, Index*);

namespace {

// Whether one element equals `wanted`; rows end where it is found.
void find(const bool* x, const ReduceShape& s, bool wanted, bool found, bool* y) {
  const Index outputs = s.kept.count(), terms = s.reduced.count();
  const int last = s.reduced.rank - 1;
  const Index inner = last < 0 ? 1 : s.reduced.size[last];
  const Index step = last < 0 ? 1 : s.reduced_stride[last];
  const Index tile = std::max<Index>(1, tile_elements / std::max<Index>(1, terms));
  parallel((outputs + tile - 1) / tile, [&](Index t) {
    const Index end = std::min(outputs, (t + 1) * tile);
    Walk kept(s.kept.size, s.kept_stride, s.kept.rank, t * tile);
    for (Index o = t * tile; o < end; ++o, kept.next()) {
      Walk walk(s.reduced.size, s.reduced_stride, last);
      bool hit = false;
      for (Index k = 0; k < terms && !hit; k += inner, walk.next()) {
        const bool* p = x + kept.offset() + walk.offset();
        if (step == 1)
          hit = std::memchr(p, wanted, static_cast<std::size_t>(inner)) != nullptr;
        else
          for (Index i = 0; i < inner && !hit; ++i) hit = p[i * step] == wanted;
      }
      y[o] = hit == found;
    }
  });
}

}  // namespace

void any(const bool* x, const ReduceShape& s, bool* y) { find(x, s, true, true, y); }
void all(const bool* x, const ReduceShape& s, bool* y) { find(x, s, false, false, y); }

}  // namespace gradus::cpu
