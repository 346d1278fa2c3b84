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

Cut cut(int64_t m, int64_t n, int64_t k, int64_t unpacked) {
  const double multiplications =
      static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  const int64_t shorter = std::min(m, n), longer = std::max(m, n);
  const auto along = [&](int64_t tiles) { return m >= n ? Cut{tiles, 1} : Cut{1, tiles}; };

  // A vector: bound by memory, half a megabyte of matrix or more to a tile.
  if (shorter == 1) return along(std::clamp<int64_t>(longer * k >> 17, 1, ceil_div(longer, grain)));

  // Skinny products run up to three times as fast in pieces that need no packing.
  if (shorter <= 24 && unpacked > 0 && multiplications > static_cast<double>(unpacked)) {
    const int64_t piece = unpacked / (shorter * k) / grain * grain;
    if (piece > 0) return along(ceil_div(longer, piece));
  }

  // Halves of 40 MFLOP or more. Each packs what it shares with the other again, so the first cut
  // of a side costs about 5 % where that is 512 long, and longer sides are asked for later.
  Cut c;
  int64_t tiles = 1;
  for (double tile = multiplications; tile >= 40e6 && tiles < 64; tile /= 2, tiles *= 2) {
    if (std::max(m, n) < std::min<int64_t>(384 * tiles, 1024)) break;
    (m >= n ? c.rows : c.columns) *= 2;
    (m >= n ? m : n) /= 2;
  }
  c.rows *= ceil_div(m, most);
  c.columns *= ceil_div(n, most);
  return c;
}

struct Range {
  int64_t begin, end;
};

// Part i of n elements in `parts`, at multiples of the grain; parts may be empty.
Range part(int64_t n, int64_t parts, int64_t i) {
  if (parts == 1) return {0, n};
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

// The distance between rows as BLAS checks it: of a single row it means nothing.
blasint leading(int64_t rows, int64_t columns, int64_t ld) {
  return narrow(std::max<int64_t>(rows > 1 ? ld : columns, 1));
}

// y = alpha * op(A) x + beta * y, op(A) (n, k).
template <class T>
void gemv(int64_t n, int64_t k, bool transpose, T alpha, const T* a, int64_t lda, const T* x,
          int64_t incx, T beta, T* y, int64_t incy) {
  const int64_t rows = transpose ? k : n, columns = transpose ? n : k;
  scale(n, 1, beta, y, incy);
  Blas<T>::gemv(CblasRowMajor, transpose ? CblasTrans : CblasNoTrans, narrow(rows), narrow(columns),
                alpha, a, leading(rows, columns, lda), x, leading(k, 1, incx), T(1), y,
                leading(n, 1, incy));
}

// The block of C in the given rows and columns.
template <class T>
void block(const GemmShape& s, T alpha, const T* a, const T* b, T beta, T* c, Range rows,
           Range columns) {
  const int64_t m = rows.end - rows.begin, n = columns.end - columns.begin;
  if (m <= 0 || n <= 0) return;
  const bool ta = s.transpose_a, tb = s.transpose_b;
  a += ta ? rows.begin : rows.begin * s.lda;
  b += tb ? columns.begin * s.ldb : columns.begin;
  c += rows.begin * s.ldc + columns.begin;
  if (s.k == 0) return scale(m, n, beta, c, s.ldc);
  for (int64_t done = 0; done < s.k; done += most, beta = T(1)) {
    const int64_t k = std::min(most, s.k - done);
    const T* const x = a + (ta ? done * s.lda : done);
    const T* const y = b + (tb ? done : done * s.ldb);
    if (n == 1)
      gemv(m, k, ta, alpha, x, s.lda, y, tb ? 1 : s.ldb, beta, c, s.ldc);
    else if (m == 1)
      gemv(n, k, !tb, alpha, y, s.ldb, x, ta ? s.lda : 1, beta, c, 1);
    else
      Blas<T>::gemm(
          CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, narrow(m),
          narrow(n), narrow(k), alpha, x, ta ? leading(k, m, s.lda) : leading(m, k, s.lda), y,
          tb ? leading(n, k, s.ldb) : leading(k, n, s.ldb), beta, c, leading(m, n, s.ldc));
  }
}

}  // namespace

template <class T>
void gemm(const GemmShape& s, double alpha, const T* a, const T* b, double beta, T* c) {
  // Batches that share B and follow one another in A and C are rows of one product.
  int rank = s.batch.rank;
  int64_t m = s.m, count = 1;
  for (; rank > 0; --rank) {
    const int i = rank - 1;
    const bool rows = s.stride_b[i] == 0 && !s.transpose_a && s.stride_a[i] == m * s.lda &&
                      s.stride_c[i] == m * s.ldc;
    if (!rows && s.batch.size[i] != 1) break;
    m *= s.batch.size[i];
  }
  for (int i = 0; i < rank; ++i) count *= s.batch.size[i];
  if (m == 0 || s.n == 0 || count == 0) return;

  const T alpha_t = static_cast<T>(alpha), beta_t = static_cast<T>(beta);
  const int64_t unpacked = set_up_blas();
  const Cut tiles = count < 16 ? cut(m, s.n, s.k, unpacked) : Cut{};
  const int64_t pieces = tiles.rows * tiles.columns;
  if (pieces == 1 && count == 1) return block(s, alpha_t, a, b, beta_t, c, {0, m}, {0, s.n});

  // Small products share a tile, of 4 MFLOP or more.
  const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(s.n) *
                       static_cast<double>(std::max<int64_t>(s.k, 1));
  const int64_t group =
      pieces > 1 ? 1
                 : static_cast<int64_t>(std::clamp(4e6 / flops, 1.0, static_cast<double>(count)));
  parallel(ceil_div(count, group) * pieces, [&](int64_t tile) {
    const int64_t first = tile / pieces * group, piece = tile % pieces;
    const Range rows = part(m, tiles.rows, piece / tiles.columns);
    const Range columns = part(s.n, tiles.columns, piece % tiles.columns);
    Walk at_a(s.batch.size, s.stride_a, rank, first);
    Walk at_b(s.batch.size, s.stride_b, rank, first);
    Walk at_c(s.batch.size, s.stride_c, rank, first);
    for (int64_t i = first; i < std::min(count, first + group); ++i) {
      block(s, alpha_t, a + at_a.offset(), b + at_b.offset(), beta_t, c + at_c.offset(), rows,
            columns);
      at_a.next(), at_b.next(), at_c.next();
    }
  });
}

template void gemm(const GemmShape&, double, const float*, const float*, double, float*);
template void gemm(const GemmShape&, double, const double*, const double*, double, double*);

}  // namespace gradus::cpu
