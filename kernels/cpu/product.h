// Matrix products: one tile of C, for code inside with_isa().
//
// Goto and van de Geijn's blocks, "Anatomy of high-performance matrix multiplication" (2008): a
// block of B, packed in panels as wide as two registers where that pays, stays in the second cache,
// while the rows of A pass by it, as many at a time as the registers hold, read where they lie or
// copied where that would be slow. Where few rows pass, the first of them pack. Nothing is shared
// between tiles, so the pool may take them in any order.
//
// An element of C is one chain of multiply-adds over the terms, cut every `most_terms`; how rows
// and columns are cut never changes its bits.
#pragma once

#include <algorithm>
#include <utility>

#include "gradus/kernels/cpu/simd.h"
#include "gradus/kernels/cpu/transpose.h"
#include "gradus/kernels/gemm.h"

namespace gradus::cpu::product {

using Index = std::int64_t;

// Sizes of blocks, for caches of 32 KiB and 1 MiB: terms at once; columns of B at once.
constexpr Index most_terms = 384;
template <class T>
constexpr Index most_columns = 2048 / sizeof(T);

template <class T>
constexpr Index column_grain = 128 / sizeof(T);  // columns are cut at multiples
constexpr Index line = 64;                       // bytes
template <class T>
constexpr Index per_line = line / sizeof(T);
// Rows that one kernel takes: what the registers hold. Groups of them that are copied at once.
template <int bytes>
constexpr int most_at_once = bytes == 64 ? 14 : 6;
template <int bytes>
constexpr int most_wide = bytes == 64 ? 6 : 3;  // of four registers
constexpr Index groups_copied = 8;
constexpr Index few = 3;         // rows or columns: bound by memory, not by arithmetic
constexpr Index not_many = 300;  // rows: they would notice a pass that packs before them

inline Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

struct Range {
  Index begin, end;
  Index size() const { return end - begin; }
};

// n elements in `parts` that differ by one at most. Small products would notice a division of 64
// bits, which takes as long as fifty multiplications.
struct Share {
  Index size, longer;  // the first `longer` parts hold one more
  Share(Index n, Index parts) : size(quotient(n, parts)), longer(n - size * parts) {}
  static Index quotient(Index n, Index parts) {
    if (n >> 32) return n / parts;
    return static_cast<std::uint32_t>(n) / static_cast<std::uint32_t>(parts);
  }
  Index operator[](Index i) const { return size + (i < longer); }
};

// Part i of n elements in `parts`, cut at multiples of `grain`.
inline Range part(Index n, Index parts, Index i, Index grain) {
  const Index grains = ceil_div(n, grain);
  return {std::min(n, grains * i / parts * grain), std::min(n, grains * (i + 1) / parts * grain)};
}

// op(X) where it lies: element (i, j) at data[i * down + j * across].
template <class T>
struct Matrix {
  const T* data;
  Index down, across;
  const T* at(Index i, Index j) const { return data + i * down + j * across; }
};

template <class T>
struct Product {
  Index m, n, terms;
  Matrix<T> a, b;
  T alpha, beta;
  T* c;
  Index ldc;
  Epilogue<T> epilogue;
  bool one_bias;  // for all columns: C's transpose is computed
  bool inner;     // by inner products
  bool compact;   // copy rows of A before use
  bool fits;      // B fits in the first cache where it lies
  bool small;     // by multiply_small()

  // Multiplications, and what memory adds where there are few.
  double work() const {
    const auto x = static_cast<double>(m), y = static_cast<double>(n);
    return (x * y + 8 * (x + y)) * static_cast<double>(terms + 1);
  }
};

// Of epilogue.h.
template <class Set, class T>
void finish(const Product<T>& s, Range rows, Range columns);

// Scratch memory of one tile, in elements: panels of B, then rows of A.
template <class T>
Index compact_step(Index n) {
  return ceil_div(n, per_line<T>) * per_line<T> + per_line<T>;
}
template <class T>
Index packed_elements(const Product<T>& s) {
  constexpr Index l = per_line<T>;
  if (s.inner || (s.b.across == 1 && s.n % l == 0 && (s.fits || s.m <= few))) return 0;
  return std::min(most_columns<T>, (s.n + l - 1) / l * l) * std::min(most_terms, s.terms);
}
template <class T>
Index scratch_elements(const Product<T>& s) {
  if (!s.compact) return packed_elements(s);
  const Index terms = std::min(s.terms, most_terms);
  return packed_elements(s) + (s.a.across == 1 ? most_at_once<64> * compact_step<T>(terms)
                                               : groups_copied * most_at_once<64> * terms);
}

// C = alpha * sum + beta * C, the first n elements of a register; C is not read where beta is 0.
template <class L, class T>
GRADUS_INLINE void put(L sum, T alpha, T beta, T* c, Index n) {
  const bool whole = n == L::size;
  if (alpha != T(1)) sum = L(alpha) * sum;
  if (beta != T(0)) {
    const L old = whole ? L::load(c) : L::load(c, n);
    sum = sum + (beta == T(1) ? old : L(beta) * old);
  }
  whole ? sum.store(c) : sum.store(c, n);
}

// Some rows of C against one panel of B: row i of A has its term p at a[i * down + p * across]; b
// holds the terms of the columns, `step` apart, and is copied to `copy` where a kernel says so.
template <class T>
struct Tile {
  Index terms;
  Matrix<T> a;
  const T* b;
  Index step;
  T alpha, beta;
  T* c;
  Index ldc, columns;
  T* copy;
};

// R rows, N registers wide; of a single register `columns` elements. Those of more than a few rows
// of four registers find B in the first cache.
template <class L, int R, int N, bool copying, class T>
GRADUS_INLINE void multiply(const Tile<T>& t) {
  constexpr Index W = L::size;
  T* c = t.c;
  const Index ldc = t.ldc;
  constexpr bool near = N == 4 && R > few;
  L sum[R][N];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      sum[i][j] = L(0.0);
      if (!near) __builtin_prefetch(c + i * ldc + j * W, 1);
    }
  // One pointer for seven rows: the others are reached by the addressing mode.
  const Index d = t.a.down, d3 = 3 * d, d5 = 5 * d, across = t.a.across, step = t.step;
  const T* row[2] = {t.a.data, t.a.data + 7 * d};
  const T* b = t.b;
  T* copy = t.copy;
#pragma GCC unroll 4
  for (Index p = t.terms; p > 0; --p) {
    L w[N];
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      w[j] = L::load(b + j * W);
      if (copying) w[j].store(copy + j * W);
      if (!near) __builtin_prefetch(b + 8 * step + j * W);
    }
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const int r = i % 7;
      const L x(row[i / 7][r == 3 ? d3 : r == 5 ? d5 : r == 6 ? 2 * d3 : r * d]);
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) sum[i][j] = fma(x, w[j], sum[i][j]);
    }
    row[0] += across, row[1] += across;
    b += step;
    if (copying) copy += N * W;
  }
  const T alpha = t.alpha, beta = t.beta;
  const Index columns = N > 1 ? W : t.columns;
  const bool plain = alpha == T(1) && beta == T(0) && columns == W;
#pragma GCC unroll 16
  for (int i = 0; plain && i < R; ++i, c += ldc)
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) sum[i][j].store(c + j * W);
#pragma GCC unroll 16
  for (int i = 0; !plain && i < R; ++i, c += ldc)
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) put(sum[i][j], alpha, beta, c + j * W, columns);
}

// The kernels for 1, 2, ... `most` rows, each a function of its own: only so does the compiler keep
// all its sums in registers.
template <class T>
using Kernel = void (*)(const Tile<T>&);
template <class Set, class T, int R, int N, bool copying>
void run_kernel(const Tile<T>& t) {
  Set::call([&](auto)
                GRADUS_LAMBDA { multiply<typename Set::template Lane<T>, R, N, copying>(t); });
}
template <class Set, class T, int N, int... R>
Kernel<T> kernel(Index rows, std::integer_sequence<int, R...>) {
  static constexpr Kernel<T> kernels[] = {run_kernel<Set, T, R + 1, N, false>...};
  return kernels[rows - 1];
}
template <class Set, class T, int N, int most>
GRADUS_INLINE Kernel<T> kernel(Index rows) {
  return kernel<Set, T, N>(rows, std::make_integer_sequence<int, most>());
}

// A panel: columns [j, j + columns) of B, a range of terms, side by side in rows of `width`; what
// follows is never used. Here the terms of B lie side by side.
template <class L, class T>
GRADUS_INLINE void pack_transposed(const Matrix<T>& b, Range terms, Index j, Index columns,
                                   Index width, T* panel) {
  constexpr Index W = L::size, K = 16 / sizeof(T);
  for (Index i = 0; i < columns; i += W, panel += W) {
    const T* from = b.at(terms.begin, j + i);
    const Index rows = std::min(columns - i, W);
    Index p = 0;
    for (; p + K <= terms.size(); p += K) {
      transpose_strip<L>(from + p, b.across, rows, panel + p * width, width);
      const T* soon = from + (W + p / K % 4 * (W / 4)) * b.across + p;
      for (Index k = 0; k < W / 4; ++k) __builtin_prefetch(soon + k * b.across);
    }
    for (; p < terms.size(); ++p)
      for (Index k = 0; k < rows; ++k) panel[p * width + k] = from[p + k * b.across];
  }
}

// Rows that lie far apart escape the processor's own prefetching.
template <class T>
GRADUS_INLINE void prefetch(const T* p, Index n) {
  for (Index i = 0; i < n; i += per_line<T>) __builtin_prefetch(p + i);
}

// Panels of two registers, and of one where fewer columns are left, one after the other.
template <class L, class T>
GRADUS_INLINE void pack(const Matrix<T>& b, Range terms, Range columns, T* to) {
  constexpr Index W = L::size;
  const Index n = columns.size();
  if (b.across != 1) {
    for (Index i = 0; i < n;) {
      const Index width = n - i >= 2 * W ? 2 * W : W;
      pack_transposed<L>(b, terms, columns.begin + i, std::min(n - i, width), width,
                         to + i * terms.size());
      i += width;
    }
    return;
  }
  for (Index p = 0; p < terms.size(); ++p) {
    const T* from = b.at(terms.begin + p, columns.begin);
    prefetch(from + 4 * b.down, n);
    Index i = 0;
    for (; i + 2 * W <= n; i += 2 * W) {
      T* row = to + i * terms.size() + p * 2 * W;
      L::load(from + i).store(row);
      L::load(from + i + W).store(row + W);
    }
    for (; i + W <= n; i += W) L::load(from + i).store(to + i * terms.size() + p * W);
    if (i < n) L::load(from + i, n - i).store(to + i * terms.size() + p * W);
  }
}

template <class L, class T>
GRADUS_INLINE void copy(const T* from, Index n, T* to) {
  Index i = 0;
  for (; i + L::size <= n; i += L::size) L::load(from + i).store(to + i);
  if (i < n) L::load(from + i, n - i).store(to + i, n - i);
}

// How the rows of a tile are cut: a `head`, which may be none, then evenly.
struct Groups {
  Index head, count;
  Share rest;
  Groups(Index rows, Index first, Index most)
      : head(first),
        count((head > 0) + ceil_div(rows - head, most)),
        rest(rows - head, std::max(ceil_div(rows - head, most), Index{1})) {}
  Index operator[](Index q) const { return head == 0 ? rest[q] : q == 0 ? head : rest[q - 1]; }
};

// Copies rows of A whose terms lie far apart, groups [q, end), each term after term.
template <class L, class T>
GRADUS_INLINE void copy_groups(const Matrix<T>& a, Index terms, const Groups& groups, Index q,
                               Index end, T* to) {
  for (Index p = 0; p < terms; ++p) {
    const T* from = a.at(0, p);
    prefetch(from + 4 * a.across, groups[q] * (end - q));
    T* block = to;
    for (Index g = q; g < end; ++g) {
      const Index m = groups[g];
      copy<L>(from, m, block + p * m);
      from += m, block += m * terms;
    }
  }
}

// Rows of A against columns of B, panel by panel. B lies at t.b, rows t.step apart, or where that
// is 0 it is packed there, or, `copying`, it lies and goes to t.copy, packed. Unless null, rows
// from `ahead` on, `down` apart, come closer, one with each panel.
template <class Set, class T>
GRADUS_INLINE void sweep(Tile<T> t, Index rows, Index columns, bool copying, const T* ahead,
                         Index down) {
  using L = typename Set::template Lane<T>;
  constexpr Index W = L::size;
  constexpr int most = most_at_once<sizeof(typename L::Vector)>;
  const bool packed = t.step == 0;
  const auto next = [&](Index width) GRADUS_LAMBDA {
    t.b += packed ? width * t.terms : width;
    t.c += width, columns -= width;
  };
  if (rows <= few && !packed) {
    const auto f = kernel<Set, T, 4, few>(rows);
    while (columns >= 4 * W) f(t), next(4 * W);
  }
  if (columns >= 2 * W) {
    const auto f = copying ? run_kernel<Set, T, most, 2, true> : kernel<Set, T, 2, most>(rows);
    if (packed) t.step = 2 * W;
    while (columns >= 2 * W) {
      if (ahead) prefetch(ahead, t.terms), ahead += down;
      f(t);
      if (copying) t.copy += 2 * W * t.terms;
      next(2 * W);
    }
  }
  if (columns > 0) {
    const auto f = kernel<Set, T, 1, most>(rows);
    if (packed) t.step = W;
    while (columns > 0) t.columns = std::min(columns, W), f(t), next(W);
  }
}

template <class Set, class T>
GRADUS_INLINE void multiply_tile(const Product<T>& s, Range rows, Range columns, T* scratch) {
  using L = typename Set::template Lane<T>;
  constexpr Index W = L::size;
  constexpr int most = most_at_once<sizeof(typename L::Vector)>;
  const bool lies = s.b.across == 1, direct = lies && (s.fits || rows.size() <= most);
  const bool copying = lies && !direct && rows.size() <= not_many;  // the first rows pack
  const Index blocks = ceil_div(s.terms, most_terms);
  const Share share(s.terms, blocks);
  const Groups groups(rows.size(), copying ? most : 0, most);
  T* const copied = s.compact ? scratch + packed_elements<T>(s) : nullptr;  // rows of A
  for (Index z = 0, first = 0; z < blocks; first += share[z++]) {
    const Range terms = {first, first + share[z]};
    for (Index j0 = columns.begin; j0 < columns.end; j0 += most_columns<T>) {
      const Index n = std::min(columns.end - j0, most_columns<T>);
      // Columns that the kernels read where they lie; the others are packed before.
      const Index lying = direct ? n / W * W : copying ? n / (2 * W) * (2 * W) : 0;
      T* const packed = copying ? scratch + lying * terms.size() : scratch;
      if (lying < n) pack<L>(s.b, terms, {j0 + lying, j0 + n}, packed);
      T* block = copied;
      for (Index i = rows.begin, q = 0; q < groups.count; i += groups[q++]) {
        const Index m = groups[q];
        Tile<T> t = {terms.size(),
                     {s.a.at(i, first), s.a.down, s.a.across},
                     s.b.at(first, j0),
                     s.b.down,
                     s.alpha,
                     first == 0 ? s.beta : T(1),
                     s.c + i * s.ldc + j0,
                     s.ldc,
                     W,
                     scratch};
        const T* ahead = nullptr;
        if (s.compact && s.a.across == 1) {
          const Index step = compact_step<T>(t.terms);
          for (Index r = 0; r < m; ++r) copy<L>(t.a.at(r, 0), t.terms, copied + r * step);
          t.a = {copied, step, 1};
          ahead = s.a.at(i + m, first);
        } else if (s.compact) {
          const Index end = std::min(q + groups_copied, groups.count);
          if (q % groups_copied == 0) copy_groups<L>(t.a, t.terms, groups, q, end, block = copied);
          t.a = {block, 1, m};
          block += m * t.terms;
        }
        if (lying > 0) {
          if (copying && q > 0) t.b = scratch, t.step = 0;
          sweep<Set>(t, m, lying, copying && q == 0, ahead, s.a.down);
        }
        if (lying < n) {
          t.b = packed, t.step = 0, t.c += lying;
          sweep<Set>(t, m, n - lying, false, ahead, s.a.down);
        }
        if (z == blocks - 1) finish<Set>(s, {i, i + m}, {j0, j0 + n});
      }
    }
  }
}

}  // namespace gradus::cpu::product
