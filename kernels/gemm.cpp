#include "gradus/kernels/gemm.h"

#include <cblas.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <limits>

#include "gradus/kernels/cpu/pool.h"
#include "gradus/kernels/cpu/walk.h"

namespace gradus::cpu {
namespace {

using std::int64_t;

constexpr int64_t grain = 16;               // cuts fall on multiples of a register
constexpr int64_t most = int64_t{1} << 30;  // rows, columns or terms of one call

template <class T>
struct Blas;
template <>
struct Blas<float> {
  static constexpr auto gemm = cblas_sgemm;
  static constexpr auto gemv = cblas_sgemv;
};
template <>
struct Blas<double> {
  static constexpr auto gemm = cblas_dgemm;
  static constexpr auto gemv = cblas_dgemv;
};

// Products of m * n * k up to this many go to a kernel that does not pack; 0 where the core in use
// has none.
int64_t set_up_blas() {
  static const int64_t unpacked = [] {
    openblas_set_num_threads(1);
    const char* core = openblas_get_corename();
    for (const char* name : {"SkylakeX", "Cooperlake", "Sapphirerapids"})
      if (std::strcmp(core, name) == 0) return 1000000;
    return 0;
  }();
  return unpacked;
}

blasint narrow(int64_t n) {
  assert(n <= std::numeric_limits<blasint>::max());
  return static_cast<blasint>(n);
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// How one product is cut: `rows` by `columns` tiles.
struct Cut {
  int64_t rows = 1, columns = 1;
};

Cut cut(const GemmShape& s, int64_t unpacked) {
  const double flops =
      2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
  const int64_t shorter = std::min(s.m, s.n), longer = std::max(s.m, s.n);
  const auto along = [&](int64_t tiles) { return s.m >= s.n ? Cut{tiles, 1} : Cut{1, tiles}; };

  // A vector: bound by memory, half a megabyte of matrix or more to a tile.
  if (shorter == 1)
    return along(std::clamp<int64_t>(longer * s.k >> 17, 1, ceil_div(longer, grain)));

  // Skinny products run up to three times as fast in pieces that need no packing.
  if (shorter <= 24 && flops > 2.0 * static_cast<double>(unpacked) && unpacked > 0) {
    const int64_t piece = unpacked / (shorter * s.k) / grain * grain;
    if (piece > 0) return along(ceil_div(longer, piece));
  }

  // A tile packs its operands again, which costs about 40 / (its side) of the time.
  int64_t m = s.m, n = s.n;
  Cut c;
  for (double tile = flops; tile >= 80e6 && c.rows * c.columns < 64; tile /= 2) {
    if (std::max(m, n) < (c.rows * c.columns < 4 ? 384 : 1024)) break;
    (m >= n ? c.rows : c.columns) *= 2;
    (m >= n ? m : n) /= 2;
  }
  c.rows = std::max(c.rows, ceil_div(s.m, most));
  c.columns = std::max(c.columns, ceil_div(s.n, most));
  return c;
}

struct Range {
  int64_t begin, end;
};

// Part i of n elements in `parts`, at multiples of the grain; parts may be empty.
Range part(int64_t n, int64_t parts, int64_t i) {
  const int64_t grains = ceil_div(n, grain);
  return {std::min(n, grains * i / parts * grain), std::min(n, grains * (i + 1) / parts * grain)};
}

// C = beta * C, which BLAS libraries do not agree on where beta is 0 and C is not finite.
template <class T>
void scale(int64_t m, int64_t n, T beta, T* c, int64_t ldc) {
  if (beta == T(1)) return;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) c[i * ldc + j] = beta == T(0) ? T(0) : beta * c[i * ldc + j];
}

// y = alpha * op(A) x + beta * y, op(A) (n, k).
template <class T>
void gemv(int64_t n, int64_t k, bool transpose, T alpha, const T* a, int64_t lda, const T* x,
          int64_t incx, T beta, T* y, int64_t incy) {
  scale(n, 1, beta, y, incy);
  Blas<T>::gemv(CblasRowMajor, transpose ? CblasTrans : CblasNoTrans, narrow(transpose ? k : n),
                narrow(transpose ? n : k), alpha, a, narrow(lda), x, narrow(incx), T(1), y,
                narrow(incy));
}

// The block of C in the given rows and columns.
template <class T>
void block(const GemmShape& s, T alpha, const T* a, const T* b, T beta, T* c, Range rows,
           Range columns) {
  const int64_t m = rows.end - rows.begin, n = columns.end - columns.begin;
  if (m <= 0 || n <= 0) return;
  a += s.transpose_a ? rows.begin : rows.begin * s.lda;
  b += s.transpose_b ? columns.begin * s.ldb : columns.begin;
  c += rows.begin * s.ldc + columns.begin;
  if (s.k == 0) return scale(m, n, beta, c, s.ldc);
  for (int64_t done = 0; done < s.k; done += most, beta = T(1)) {
    const int64_t k = std::min(most, s.k - done);
    const T* const x = a + (s.transpose_a ? done * s.lda : done);
    const T* const y = b + (s.transpose_b ? done : done * s.ldb);
    if (s.n == 1)
      gemv(m, k, s.transpose_a, alpha, x, s.lda, y, s.transpose_b ? 1 : s.ldb, beta, c, s.ldc);
    else if (s.m == 1)
      gemv(n, k, !s.transpose_b, alpha, y, s.ldb, x, s.transpose_a ? s.lda : 1, beta, c, 1);
    else
      Blas<T>::gemm(CblasRowMajor, s.transpose_a ? CblasTrans : CblasNoTrans,
                    s.transpose_b ? CblasTrans : CblasNoTrans, narrow(m), narrow(n), narrow(k),
                    alpha, x, narrow(s.lda), y, narrow(s.ldb), beta, c, narrow(s.ldc));
  }
}

// The same products with as few and as large matrices as there can be: batches that share B and
// follow one another in A and C are rows of one product. The distance between the rows of a matrix
// of one row means nothing and is made small.
GemmShape simplify(GemmShape s) {
  int& rank = s.batch.rank;
  while (rank > 0) {
    const int i = rank - 1;
    const bool rows = s.stride_b[i] == 0 && !s.transpose_a && s.stride_a[i] == s.m * s.lda &&
                      s.stride_c[i] == s.m * s.ldc;
    if (!rows && s.batch.size[i] != 1) break;
    s.m *= s.batch.size[i];
    --rank;
  }
  const auto tidy = [](int64_t rows, int64_t columns, int64_t& ld) {
    if (rows <= 1) ld = std::min(columns, most);
    ld = std::max<int64_t>(ld, 1);
  };
  tidy(s.transpose_a ? s.k : s.m, s.transpose_a ? s.m : s.k, s.lda);
  tidy(s.transpose_b ? s.n : s.k, s.transpose_b ? s.k : s.n, s.ldb);
  tidy(s.m, s.n, s.ldc);
  return s;
}

}  // namespace

template <class T>
void gemm(const GemmShape& shape, double alpha, const T* a, const T* b, double beta, T* c) {
  const GemmShape s = simplify(shape);
  const int64_t count = s.batch.count();
  if (s.m == 0 || s.n == 0 || count == 0) return;

  const int64_t unpacked = set_up_blas();
  const Cut tiles = count < 16 ? cut(s, unpacked) : Cut{};
  const int64_t pieces = tiles.rows * tiles.columns;
  // Small products share a tile, of 4 MFLOP or more.
  const double flops = 2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) *
                       static_cast<double>(std::max<int64_t>(s.k, 1));
  const int64_t group =
      pieces > 1 ? 1
                 : static_cast<int64_t>(std::clamp(4e6 / flops, 1.0, static_cast<double>(count)));

  parallel(ceil_div(count, group) * pieces, [&](int64_t tile) {
    const int64_t first = tile / pieces * group, piece = tile % pieces;
    const Range rows = part(s.m, tiles.rows, piece / tiles.columns);
    const Range columns = part(s.n, tiles.columns, piece % tiles.columns);
    Walk at_a(s.batch.size, s.stride_a, s.batch.rank, first);
    Walk at_b(s.batch.size, s.stride_b, s.batch.rank, first);
    Walk at_c(s.batch.size, s.stride_c, s.batch.rank, first);
    for (int64_t i = first; i < std::min(count, first + group); ++i) {
      block(s, static_cast<T>(alpha), a + at_a.offset(), b + at_b.offset(), static_cast<T>(beta),
            c + at_c.offset(), rows, columns);
      at_a.next(), at_b.next(), at_c.next();
    }
  });
}

template void gemm(const GemmShape&, double, const float*, const float*, double, float*);
template void gemm(const GemmShape&, double, const double*, const double*, double, double*);

}  // namespace gradus::cpu
