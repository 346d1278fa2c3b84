// Matrix products: one tile of C, for code inside with_isa().
//
// Goto and van de Geijn's blocks, "Anatomy of high-performance matrix multiplication" (2008), less
// one level: panels of B, as wide as two registers and packed where that pays, stay in the cache
// while the rows of A pass by them, read where they lie or copied where that would be slow. Nothing
// is shared between tiles, so the pool may take them in any order.
//
// An element of C is one chain of multiply-adds over the terms, cut every `most_terms`; how rows
// and columns are cut never changes its bits.
#pragma once

#include <algorithm>
#include <utility>

#include "gradus/kernels/cpu/simd.h"
#include "gradus/kernels/cpu/transpose.h"

namespace gradus::cpu::product {

using Index = std::int64_t;

// Sizes of blocks, for caches of 32 KiB and 1 MiB: terms at once; columns of B packed at once; rows
// of A at once, fewer where they are copied.
constexpr Index most_terms = 384;
template <class T>
constexpr Index most_columns = 2048 / sizeof(T);
template <class T>
constexpr Index most_rows = 1536 / sizeof(T);
template <class T>
constexpr Index rows_copied = 384 / sizeof(T);

template <class T>
constexpr Index column_grain = 128 / sizeof(T);  // columns are cut at multiples
constexpr Index line = 64;                       // bytes
constexpr Index few = 3;  // rows or columns: bound by memory, not by arithmetic

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
  bool inner;    // by inner products
  bool compact;  // copy rows of A before use
  bool fits;     // B fits in the first cache where it lies

  // Multiplications, and what memory adds where there are few.
  double work() const {
    const auto x = static_cast<double>(m), y = static_cast<double>(n);
    return (x * y + 8 * (x + y)) * static_cast<double>(terms + 1);
  }
};

// Scratch memory of one tile, in elements: panels of B, then rows of A.
template <class T>
Index compact_step(Index n) {
  constexpr Index l = line / sizeof(T);
  return (n + l - 1) / l * l + l;
}
template <class T>
Index packed_elements(const Product<T>& s) {
  constexpr Index l = line / sizeof(T);
  if (s.inner || (s.b.across == 1 && s.n % l == 0 && (s.fits || s.m <= few))) return 0;
  return std::min(most_columns<T>, (s.n + l - 1) / l * l) * std::min(most_terms, s.terms);
}
template <class T>
Index scratch_elements(const Product<T>& s) {
  if (!s.compact) return packed_elements(s);
  const Index rows = std::min(s.m, rows_copied<T>), terms = std::min(s.terms, most_terms);
  return packed_elements(s) +
         (s.a.across == 1 ? rows * compact_step<T>(terms) : terms * compact_step<T>(rows));
}

// C = alpha * sum + beta * C; C is not read where beta is 0.
template <class L, class T>
GRADUS_INLINE L combine(const L& sum, T alpha, T beta, const L& c) {
  const L y = alpha == T(1) ? sum : L(alpha) * sum;
  return y + (beta == T(1) ? c : L(beta) * c);
}
template <class L, class T>
GRADUS_INLINE void put(const L& sum, T alpha, T beta, T* c) {
  if (beta == T(0))
    (alpha == T(1) ? sum : L(alpha) * sum).store(c);
  else
    combine(sum, alpha, beta, L::load(c)).store(c);
}
// The first n elements.
template <class L, class T>
GRADUS_INLINE void put(const L& sum, T alpha, T beta, T* c, Index n) {
  if (beta == T(0))
    (alpha == T(1) ? sum : L(alpha) * sum).store(c, n);
  else
    combine(sum, alpha, beta, L::load(c, n)).store(c, n);
}

// R rows of C, N registers wide; of the last register `columns` elements. Row i of A's block has
// its term p at a[i * down + p * across]; b holds the terms of the columns, `step` apart.
template <class L, int R, int N, class T>
GRADUS_INLINE void multiply(Index terms, const Matrix<T>& a, const T* b, Index step, T alpha,
                            T beta, T* c, Index ldc, Index columns) {
  L sum[R][N];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) sum[i][j] = L(0.0);
  // One pointer for three rows: the other two are reached by the addressing mode.
  const T* row[5] = {a.data, a.data + 3 * a.down, a.data + 6 * a.down, a.data + 9 * a.down,
                     a.data + 12 * a.down};
  const Index down = a.down, twice = 2 * a.down;
  for (Index p = 0; p < terms; ++p) {
    L w[N];
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) w[j] = L::load(b + j * L::size);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const L x(row[i / 3][i % 3 == 0 ? 0 : i % 3 == 1 ? down : twice]);
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) sum[i][j] = fma(x, w[j], sum[i][j]);
    }
#pragma GCC unroll 5
    for (int i = 0; i < (R + 2) / 3; ++i) row[i] += a.across;
    b += step;
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i, c += ldc)
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      if (N > 1 || columns == L::size)
        put(sum[i][j], alpha, beta, c + j * L::size);
      else
        put(sum[i][j], alpha, beta, c, columns);
    }
}

// The same for a number of rows known when it runs, at most R.
template <class Set, class T, int N, int R, class... Args>
GRADUS_INLINE void multiply_rows(Index rows, const Args&... args) {
  if (rows == R)
    return Set::call(
        [&](auto) GRADUS_LAMBDA { multiply<typename Set::template Lane<T>, R, N>(args...); });
  if constexpr (R > 1) multiply_rows<Set, T, N, R - 1>(rows, args...);
}

// A panel: columns [j, j + columns) of B, a range of terms, side by side in rows of `width`; zeros
// follow. Here the terms of B lie side by side.
template <class L, class T>
GRADUS_INLINE void pack_transposed(const Matrix<T>& b, Range terms, Index j, Index columns,
                                   Index width, T* panel) {
  const T* from = b.at(terms.begin, j);
  const Index count = terms.size();
  Index i = 0;
  for (; i + 8 <= columns; i += 8) {
    Index p = 0;
    for (; p + 8 <= count; p += 8) {
      transpose_block(from + i * b.across + p, b.across, panel + p * width + i, width);
      for (Index k = p % 16 ? 4 : 0; k < (p % 16 ? 8 : 4); ++k)
        __builtin_prefetch(from + (i + 8 + k) * b.across + p);
    }
    for (; p < count; ++p)
      for (Index k = i; k < i + 8; ++k) panel[p * width + k] = from[p + k * b.across];
  }
  for (; i < width; ++i)
    for (Index p = 0; p < count; ++p)
      panel[p * width + i] = i < columns ? from[p + i * b.across] : T(0);
}

// Rows that lie far apart escape the processor's own prefetching.
template <class T>
GRADUS_INLINE void prefetch(const T* p, Index n) {
  for (Index i = 0; i < n; i += line / static_cast<Index>(sizeof(T))) __builtin_prefetch(p + i);
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

// Copies a block of A so that it lies in `to` without gaps but for a cache line after each row.
template <class L, class T>
GRADUS_INLINE Matrix<T> compact(const Matrix<T>& a, Index rows, Index terms, T* to) {
  const bool by_rows = a.across == 1;
  const Index outer = by_rows ? rows : terms, inner = by_rows ? terms : rows;
  const Index step = compact_step<T>(inner);
  for (Index i = 0; i < outer; ++i) {
    const T* from = by_rows ? a.at(i, 0) : a.at(0, i);
    prefetch(from + 4 * (by_rows ? a.down : a.across), inner);
    Index j = 0;
    for (; j + L::size <= inner; j += L::size) L::load(from + j).store(to + i * step + j);
    if (j < inner) L::load(from + j, inner - j).store(to + i * step + j);
  }
  return by_rows ? Matrix<T>{to, step, 1} : Matrix<T>{to, 1, step};
}

// Rows that one call of multiply() takes: what the registers hold.
template <class L>
inline constexpr int most_at_once = sizeof(typename L::Vector) == 64 ? 14 : 6;

// `rows` of A, from its first on, by N registers of columns.
template <class Set, int N, class T>
GRADUS_INLINE void multiply_panel(const Matrix<T>& a, Index rows, Index terms, const T* b,
                                  Index step, T alpha, T beta, T* c, Index ldc, Index columns) {
  using L = typename Set::template Lane<T>;
  constexpr int most = N > 2 ? static_cast<int>(few) : most_at_once<L>;
  const Index parts = ceil_div(rows, most);
  const Share share(rows, parts);
  for (Index q = 0, i = 0; q < parts; i += share[q++], c += share[q - 1] * ldc) {
    for (Index r = 0; r < share[q]; ++r)
      for (int n = 0; n < N; ++n) __builtin_prefetch(c + r * ldc + n * L::size, 1);
    multiply_rows<Set, T, N, most>(share[q], terms, Matrix<T>{a.at(i, 0), a.down, a.across}, b,
                                   step, alpha, beta, c, ldc, columns);
  }
}

template <class Set, class T>
GRADUS_INLINE void multiply_tile(const Product<T>& s, Range rows, Range columns, T* scratch) {
  using L = typename Set::template Lane<T>;
  constexpr Index W = L::size;
  T* const copy = scratch + packed_elements<T>(s);
  const Index at_once = s.compact ? rows_copied<T> : most_rows<T>;
  const bool direct = s.b.across == 1 && (s.fits || rows.size() <= most_at_once<L>);
  const Index blocks = ceil_div(s.terms, most_terms);
  const Share share(s.terms, blocks);
  for (Index z = 0, first = 0; z < blocks; first += share[z++]) {
    const Range terms = {first, first + share[z]};
    const T beta = first == 0 ? s.beta : T(1);
    for (Index j0 = columns.begin; j0 < columns.end; j0 += most_columns<T>) {
      const Index j1 = std::min(columns.end, j0 + most_columns<T>);
      const Index packed = direct ? j0 + (j1 - j0) / W * W : j0;  // those before lie well
      pack<L>(s.b, terms, {packed, j1}, scratch);
      for (Index i = rows.begin; i < rows.end; i += at_once) {
        const Index m = std::min(rows.end - i, at_once);
        Matrix<T> a = {s.a.at(i, first), s.a.down, s.a.across};
        if (s.compact) a = compact<L>(a, m, terms.size(), copy);
        for (Index j = j0; j < j1;) {
          const Index left = (j < packed ? packed : j1) - j;
          const Index width = left >= 4 * W && m <= few && j < packed ? 4 * W
                              : left >= 2 * W                         ? 2 * W
                                                                      : W;
          const T* b = j < packed ? s.b.at(first, j) : scratch + (j - packed) * terms.size();
          const Index step = j < packed ? s.b.down : width;
          T* c = s.c + i * s.ldc + j;
          if (width == 4 * W)
            multiply_panel<Set, 4>(a, m, terms.size(), b, step, s.alpha, beta, c, s.ldc, W);
          else if (width == 2 * W)
            multiply_panel<Set, 2>(a, m, terms.size(), b, step, s.alpha, beta, c, s.ldc, W);
          else
            multiply_panel<Set, 1>(a, m, terms.size(), b, step, s.alpha, beta, c, s.ldc,
                                   std::min(left, W));
          j += width;
        }
      }
    }
  }
}

// Elements of C as inner products, for operands whose terms lie side by side: R rows of A by four
// columns of B, and the columns that are left.
template <class L, int R, int N, class T>
GRADUS_INLINE void inner_products(const Product<T>& s, Index i, Index j) {
  L sum[R][N];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) sum[r][n] = L(0.0);
  const T *a = s.a.at(i, 0), *b = s.b.at(0, j);
  for (Index p = 0; p < s.terms; p += L::size) {
    const Index left = s.terms - p;
    L x[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
      x[r] = left >= L::size ? L::load(a + r * s.a.down + p) : L::load(a + r * s.a.down + p, left);
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) {
      const T* column = b + n * s.b.across + p;
      const L w = left >= L::size ? L::load(column) : L::load(column, left);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) sum[r][n] = fma(x[r], w, sum[r][n]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int n = 0; n < N; ++n) {
      T total = 0;
      for (int l = 0; l < L::size; ++l) total += sum[r][n][l];
      T& c = s.c[(i + r) * s.ldc + j + n];
      c = s.beta == T(0) ? s.alpha * total : s.alpha * total + s.beta * c;
    }
}

template <class L, int R, class T>
GRADUS_INLINE void inner_product_rows(const Product<T>& s, Index i, Range columns) {
  Index j = columns.begin;
  for (; j + 4 <= columns.end; j += 4) inner_products<L, R, 4>(s, i, j);
  for (; j < columns.end; ++j) inner_products<L, R, 1>(s, i, j);
}

template <class L, class T>
GRADUS_INLINE void inner_product_tile(const Product<T>& s, Range rows, Range columns) {
  Index i = rows.begin;
  for (; i + 4 <= rows.end; i += 4) inner_product_rows<L, 4>(s, i, columns);
  if (i + 2 <= rows.end) inner_product_rows<L, 2>(s, i, columns), i += 2;
  if (i < rows.end) inner_product_rows<L, 1>(s, i, columns);
}

}  // namespace gradus::cpu::product
