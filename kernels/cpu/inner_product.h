// Matrix products of a few rows or columns: one tile of C, for code inside with_isa().
#pragma once

#include "gradus/kernels/cpu/product.h"

namespace gradus::cpu::product {

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
