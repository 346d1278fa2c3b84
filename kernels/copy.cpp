#include "gradus/kernels/copy.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "gradus/kernels/cpu/pool.h"
#include "gradus/kernels/cpu/simd.h"
#include "gradus/kernels/cpu/transpose.h"
#include "gradus/kernels/cpu/walk.h"

namespace gradus::cpu {
namespace {

using Index = std::int64_t;

constexpr Index tile_bytes = 1 << 18;
// Larger copies are not worth a place in the caches.
constexpr Index stream_bytes = 32 << 20;

// Loops ordered by y's strides, largest outermost; size 1 dropped; merged where one stride walks
// two.
template <class U>
struct Loops {
  Extents e;
  Index x[max_rank], y[max_rank];

  Loops(const Extents& extents, const Strided<const U>& from, const Strided<U>& to) {
    int order[max_rank];
    for (int i = 0; i < extents.rank; ++i) {
      int at = i;
      for (; at > 0 && std::abs(to.stride[order[at - 1]]) < std::abs(to.stride[i]); --at)
        order[at] = order[at - 1];
      order[at] = i;
    }
    for (int i = 0; i < extents.rank; ++i) {
      const Index n = extents.size[order[i]], dx = from.stride[order[i]], dy = to.stride[order[i]];
      if (n == 1) continue;
      const int last = e.rank - 1;
      if (last >= 0 && x[last] == n * dx && y[last] == n * dy) {
        e.size[last] *= n, x[last] = dx, y[last] = dy;
      } else {
        e.size[e.rank] = n, x[e.rank] = dx, y[e.rank++] = dy;
      }
    }
    if (e.rank == 0) e.size[0] = x[0] = y[0] = e.rank = 1;
  }
};

void stream_copy(const void* x, void* y, Index bytes) {
  with_isa([&](auto set) {
    using L = typename decltype(set)::template Lane<float>;
    constexpr Index width = sizeof(typename L::Vector);
    const char* from = static_cast<const char*>(x);
    char* to = static_cast<char*>(y);
    const Index head = std::min<Index>(bytes, -reinterpret_cast<std::uintptr_t>(to) % width);
    std::memcpy(to, from, static_cast<std::size_t>(head));
    from += head, to += head, bytes -= head;
    for (; bytes >= width; bytes -= width, from += width, to += width) {
      L v;
      std::memcpy(&v.v, from, sizeof v.v);
      v.stream(reinterpret_cast<float*>(to));
    }
    std::memcpy(to, from, static_cast<std::size_t>(bytes));
  });
#if defined(__x86_64__)
  __builtin_ia32_sfence();
#endif
}

void copy_bytes(const void* x, void* y, Index bytes) {
  parallel((bytes + tile_bytes - 1) / tile_bytes, [&](Index t) {
    const char* from = static_cast<const char*>(x) + t * tile_bytes;
    char* to = static_cast<char*>(y) + t * tile_bytes;
    const Index n = std::min(tile_bytes, bytes - t * tile_bytes);
    if (bytes >= stream_bytes)
      stream_copy(from, to, n);
    else
      std::memcpy(to, from, static_cast<std::size_t>(n));
  });
}

// y[j * dy + i] = x[i * dx + j] for i < n, j < m. Squares of bounded size, because each row lies on
// a page of its own; in them bands as wide as a cache line, so that each line of x is read once.
template <class U>
void transpose(const U* x, Index dx, U* y, Index dy, Index n, Index m) {
  constexpr Index square = 128, line = 64 / sizeof(U);
  with_isa([&](auto) {
    for (Index i0 = 0; i0 < n; i0 += square) {
      const Index i1 = std::min(n, i0 + square);
      for (Index j0 = 0; j0 < m; j0 += line) {
        const Index j1 = std::min(m, j0 + line);
        Index i = i0;
        for (; i + 8 <= i1; i += 8) {
          // Rows a page apart escape the processor's own prefetching.
          for (Index k = i + 16; k < std::min(i1, i + 24); ++k) __builtin_prefetch(x + k * dx + j0);
          if (i % line == 0 && i + line < n)
            for (Index j = j0; j < j1; ++j) __builtin_prefetch(y + j * dy + i + line, 1);
          Index j = j0;
          for (; j + 8 <= j1; j += 8) transpose_block(x + i * dx + j, dx, y + j * dy + i, dy);
          for (; j < j1; ++j)
            for (Index k = i; k < i + 8; ++k) y[j * dy + k] = x[k * dx + j];
        }
        for (; i < i1; ++i)
          for (Index j = j0; j < j1; ++j) y[j * dy + i] = x[i * dx + j];
      }
    }
  });
}

template <class U>
void copy_row(const U* x, Index dx, U* y, Index dy, Index n) {
  if (dx == 1 && dy == 1)
    std::memcpy(y, x, static_cast<std::size_t>(n) * sizeof(U));
  else if (dx == 0 && dy == 1)
    std::fill_n(y, n, *x);
  else
    for (Index i = 0; i < n; ++i) y[i * dy] = x[i * dx];
}

// The loop along which x is contiguous while y, along the innermost loop, is too; -1 without one.
template <class U>
int transposed_loop(const Loops<U>& l) {
  const int last = l.e.rank - 1;
  if (l.y[last] != 1 || l.x[last] == 1 || l.e.size[last] < 8) return -1;
  for (int i = 0; i < last; ++i)
    if (l.x[i] == 1 && l.e.size[i] >= 8) return i;
  return -1;
}

template <class U>
void copy_transposed(Loops<U> l, int loop, const U* x, U* y) {
  const int last = l.e.rank - 1;
  const Index n = l.e.size[last], m = l.e.size[loop], dx = l.x[last], dy = l.y[loop];
  for (int i = loop; i + 1 < last; ++i)
    l.e.size[i] = l.e.size[i + 1], l.x[i] = l.x[i + 1], l.y[i] = l.y[i + 1];
  l.e.rank -= 2;
  const Index planes = l.e.count(), plane = n * m * static_cast<Index>(sizeof(U));
  // Strips where one plane is many tiles, several planes to a tile where they are small.
  constexpr Index strip = 128;
  const Index strips = (m + strip - 1) / strip;
  const Index batch = std::max<Index>(1, tile_bytes / std::max<Index>(1, plane));
  parallel((planes + batch - 1) / batch * strips, [&](Index t) {
    const Index begin = t / strips * batch, j = t % strips * strip;
    Walk wx(l.e.size, l.x, l.e.rank, begin), wy(l.e.size, l.y, l.e.rank, begin);
    for (Index p = begin; p < std::min(planes, begin + batch); ++p, wx.next(), wy.next())
      transpose(x + wx.offset() + j, dx, y + wy.offset() + j * dy, dy, n, std::min(strip, m - j));
  });
}

}  // namespace

template <class U>
void copy_strided(const Extents& extents, const Strided<const U>& x, const Strided<U>& y) {
  if (extents.count() == 0) return;
  const Loops<U> l(extents, x, y);
  const int last = l.e.rank - 1;
  const Index n = l.e.size[last], bytes = n * static_cast<Index>(sizeof(U));
  if (last == 0 && l.x[0] == 1 && l.y[0] == 1) return copy_bytes(x.data, y.data, bytes);
  if (last == 0 && l.x[0] == 0 && l.y[0] == 1) return fill(*x.data, n, y.data);
  if (const int loop = transposed_loop(l); loop >= 0)
    return copy_transposed(l, loop, x.data, y.data);

  // Rows are cut where one alone is many tiles.
  const Index piece = std::min(n, tile_bytes / static_cast<Index>(sizeof(U)));
  const Index pieces = (n + piece - 1) / piece, rows = extents.count() / n;
  const Index batch = pieces > 1 ? 1 : std::max<Index>(1, tile_bytes / bytes);
  parallel((rows + batch - 1) / batch * pieces, [&](Index t) {
    const Index begin = t / pieces * batch, at = t % pieces * piece;
    const Index length = std::min(piece, n - at);
    Walk wx(l.e.size, l.x, last, begin), wy(l.e.size, l.y, last, begin);
    for (Index r = begin; r < std::min(rows, begin + batch); ++r, wx.next(), wy.next())
      copy_row(x.data + wx.offset() + at * l.x[last], l.x[last],
               y.data + wy.offset() + at * l.y[last], l.y[last], length);
  });
}

template <class U>
void fill(U value, Index n, U* y) {
  constexpr Index tile = tile_bytes / sizeof(U);
  typedef U Line __attribute__((vector_size(64)));
  constexpr Index width = sizeof(Line) / sizeof(U);
  parallel((n + tile - 1) / tile, [&](Index t) {
    const Line line = value - Line{};
    const Index end = std::min(n, (t + 1) * tile);
    Index i = t * tile;
    for (; i + width <= end; i += width) std::memcpy(y + i, &line, sizeof line);
    for (; i < end; ++i) y[i] = value;
  });
}

#define GRADUS_INSTANTIATE(U)                                                             \
  template void copy_strided(const Extents&, const Strided<const U>&, const Strided<U>&); \
  template void fill(U, Index, U*);
GRADUS_INSTANTIATE(std::uint8_t)
GRADUS_INSTANTIATE(std::uint16_t)
GRADUS_INSTANTIATE(std::uint32_t)
GRADUS_INSTANTIATE(std::uint64_t)
#undef GRADUS_INSTANTIATE

}  // namespace gradus::cpu
