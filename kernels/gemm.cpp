#include "gradus/kernels/gemm.h"

#include <algorithm>
#include <utility>

#include "gradus/kernels/cpu/epilogue.h"
#include "gradus/kernels/cpu/inner_product.h"
#include "gradus/kernels/cpu/pool.h"
#include "gradus/kernels/cpu/product.h"
#include "gradus/kernels/cpu/small_product.h"
#include "gradus/kernels/cpu/walk.h"

namespace gradus::cpu {
namespace {

using namespace product;

template <class T>
void scale(T beta, T* c, Index ldc, Index rows, Index columns) {
  for (Index i = 0; i < rows; ++i)
    for (Index j = 0; j < columns; ++j)
      c[i * ldc + j] = beta == T(0) ? T(0) : beta * c[i * ldc + j];
}

template <class T>
void run_tile(const Product<T>& s, Range rows, Range columns, T* scratch) {
  if (s.terms == 0) {
    scale(s.beta, s.c + rows.begin * s.ldc + columns.begin, s.ldc, rows.size(), columns.size());
    return with_isa([&](auto set) { finish<decltype(set)>(s, rows, columns); });
  }
  if (s.small)  // entered on its own: a small product notices the frame of the larger ones
    return with_isa([&](auto set) GRADUS_LAMBDA {
      multiply_small<decltype(set)>(s);
      finish<decltype(set)>(s, rows, columns);
    });
  with_isa([&](auto set) GRADUS_LAMBDA {
    using Set = decltype(set);
    if (s.inner) {
      inner_product_tile<typename Set::template Lane<T>>(s, rows, columns);
      finish<Set>(s, rows, columns);
    } else {
      multiply_tile<Set>(s, rows, columns, scratch);
    }
  });
}

constexpr double one_tile = 0.9e6;  // multiplications that are left to one thread

// How one product is cut. The number of threads may decide, because no bit depends on it. Cutting
// rows packs B again for each part, cutting columns copies A again where it is copied.
struct Cut {
  Index rows = 1, columns = 1;
};
template <class T>
Cut cut(const Product<T>& s) {
  if (threads() == 1) return {};
  const int wanted = 2 * threads();
  const auto tiles = static_cast<Index>(std::min<double>(s.work() / one_tile, wanted));
  if (tiles <= 1) return {};
  const Index most_in_columns = ceil_div(s.n, column_grain<T>), most_in_rows = ceil_div(s.m, 48);
  Cut c;
  if (s.compact && s.m > s.n) {
    c.rows = std::min(tiles, most_in_rows);
    c.columns = std::min(ceil_div(tiles, c.rows), most_in_columns);
  } else {
    c.columns = std::min(tiles, most_in_columns);
    c.rows = std::min(ceil_div(tiles, c.columns), most_in_rows);
  }
  return c;
}

// A product of the batch as it is computed, and the batch.
template <class T>
struct Plan {
  Product<T> product;
  bool swapped = false;  // C's transpose is computed: A is op(B)
  int rank;              // of the batch
  Index count = 1;       // of products
  Cut cut;
  Index group = 1;  // products to a tile

  Plan(const GemmShape& s, T alpha, const T* a, const T* b, T beta, T* c,
       const Epilogue<T>& epilogue)
      : rank(s.batch.rank) {
    // Batches that share B and follow one another in A and C are rows of one product.
    Index m = s.m;
    for (; rank > 0; --rank) {
      const int i = rank - 1;
      const bool rows = s.stride_b[i] == 0 && !s.transpose_a && s.stride_a[i] == m * s.lda &&
                        s.stride_c[i] == m * s.ldc;
      if (!rows && s.batch.size[i] != 1) break;
      m *= s.batch.size[i];
    }
    for (int i = 0; i < rank; ++i) count *= s.batch.size[i];
    product = {m,  s.n, s.k, {a, s.lda, 1}, {b, s.ldb, 1}, alpha, beta, c, s.ldc, epilogue, {}, {},
               {}, {},  {}};
    Product<T>& p = product;
    if (s.transpose_a) std::swap(p.a.down, p.a.across);
    if (s.transpose_b) std::swap(p.b.down, p.b.across);
    // A column of C that lies side by side is a row of its transpose.
    swapped = p.one_bias = p.n == 1 && p.ldc == 1;
    if (swapped) {
      std::swap(p.m, p.n);
      std::swap(p.a, p.b);
      std::swap(p.a.down, p.a.across);
      std::swap(p.b.down, p.b.across);
    }
    const auto item = static_cast<Index>(sizeof(T));
    p.inner = p.a.across == 1 && p.b.down == 1 && std::min(p.m, p.n) <= few;
    // Rows of A that lie a multiple of 2 KiB apart push one another out of the cache; where its
    // terms are far apart, each is read from a cache line of its own; and where they pass many
    // columns, each is better read from one page.
    p.compact = !p.inner && p.m > few && p.n > 64 &&
                (p.a.across != 1 || p.n > 256 || p.a.down * item % 2048 == 0);
    p.fits = p.terms * p.b.down * item <= 32768;
    p.small = p.fits && !p.inner && !p.compact && p.b.across == 1 && p.n % per_line<T> == 0 &&
              p.terms <= most_terms && p.work() < one_tile;
    if (!p.small && count < 16) cut = gradus::cpu::cut(p);
    if (pieces() == 1 && count > 1)  // small products share a tile
      group = static_cast<Index>(std::clamp(2e6 / p.work(), 1.0, static_cast<double>(count)));
  }
  Index pieces() const { return cut.rows * cut.columns; }
  Index tiles() const { return (group == 1 ? count : ceil_div(count, group)) * pieces(); }
};

}  // namespace

template <class T>
Index gemm_scratch(const GemmShape& s) {
  const Plan<T> plan(s, T(1), nullptr, nullptr, T(0), nullptr, {});
  const Index shares = plan.tiles() == 1 ? 1 : threads();  // any thread may take any tile
  return shares * scratch_elements(plan.product) * static_cast<Index>(sizeof(T));
}

template <class T, class C>
void gemm_epilogue(const GemmShape& s, double alpha, const T* a, const T* b, double beta, C* c,
                   const Epilogue<C>& epilogue, void* scratch) {
  const Plan<T> plan(s, static_cast<T>(alpha), a, b, static_cast<T>(beta), c, epilogue);
  const Product<T>& product = plan.product;
  if (product.m == 0 || product.n == 0 || plan.count == 0) return;
  T* const memory = static_cast<T*>(scratch);
  if (plan.tiles() == 1 && plan.count == 1)
    return run_tile(product, {0, product.m}, {0, product.n}, memory);

  const Index pieces = plan.pieces(), share = scratch_elements(product);
  parallel(plan.tiles(), [&](Index tile) {
    const Index own = plan.tiles() == 1 ? 0 : worker();
    const Index first = tile / pieces * plan.group, piece = tile % pieces;
    const Range rows = part(product.m, plan.cut.rows, piece / plan.cut.columns, 12);
    const Range columns =
        part(product.n, plan.cut.columns, piece % plan.cut.columns, column_grain<T>);
    if (rows.size() == 0 || columns.size() == 0) return;
    Walk at_a(s.batch.size, s.stride_a, plan.rank, first);
    Walk at_b(s.batch.size, s.stride_b, plan.rank, first);
    Walk at_c(s.batch.size, s.stride_c, plan.rank, first);
    for (Index i = first; i < std::min(plan.count, first + plan.group); ++i) {
      Product<T> one = product;
      one.a.data += plan.swapped ? at_b.offset() : at_a.offset();
      one.b.data += plan.swapped ? at_a.offset() : at_b.offset();
      one.c += at_c.offset();
      run_tile(one, rows, columns, memory + own * share);
      at_a.next(), at_b.next(), at_c.next();
    }
  });
}

template <class T>
void gemm(const GemmShape& s, double alpha, const T* a, const T* b, double beta, T* c,
          void* scratch) {
  gemm_epilogue<T, T>(s, alpha, a, b, beta, c, {}, scratch);
}

#define GRADUS_INSTANTIATE(T)                                                           \
  template Index gemm_scratch<T>(const GemmShape&);                                     \
  template void gemm(const GemmShape&, double, const T*, const T*, double, T*, void*);  \
  template void gemm_epilogue(const GemmShape&, double, const T*, const T*, double, T*, \
                              const Epilogue<T>&, void*);
GRADUS_INSTANTIATE(float)
GRADUS_INSTANTIATE(double)
#undef GRADUS_INSTANTIATE

}  // namespace gradus::cpu
