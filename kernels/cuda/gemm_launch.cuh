// From the shape of a product to the grids that compute it.
#pragma once

#include <algorithm>
#include <string>
#include <type_traits>

#include "gradus/kernels/cuda/gemm_mma.cuh"
#include "gradus/kernels/cuda/gemm_simt.cuh"
#include "gradus/kernels/error.h"

namespace gradus::GRADUS_GPU::product {

inline Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

inline unsigned grid(Index blocks) {
  if (blocks > 0x7fffffff)
    throw Error("gemm: a grid has fewer than 2^31 blocks: " + std::to_string(blocks));
  return static_cast<unsigned>(blocks);
}

template <class T, class C>
Product<T, C> make_product(const GemmShape& s, double alpha, const T* a, const T* b, double beta,
                           C* c, const Epilogue<C>& epilogue, void* scratch) {
  using Sum = computed<T>;
  Product<T, C> p{};
  p.m = s.m, p.n = s.n, p.terms = s.k;
  // Batches that share B and follow one another in A and C are rows of one product.
  for (p.rank = s.batch.rank; p.rank > 0; --p.rank) {
    const int i = p.rank - 1;
    const bool rows = s.stride_b[i] == 0 && !s.transpose_a && s.stride_a[i] == p.m * s.lda &&
                      s.stride_c[i] == p.m * s.ldc;
    if (!rows && s.batch.size[i] != 1) break;
    p.m *= s.batch.size[i];
  }
  p.count = 1;
  for (int i = 0; i < p.rank; ++i) {
    p.count *= s.batch.size[i];
    p.size[i] = s.batch.size[i];
    p.stride_a[i] = s.stride_a[i], p.stride_b[i] = s.stride_b[i], p.stride_c[i] = s.stride_c[i];
  }
  const auto aligned = [&](const void* x, Index ld, const Index* stride, std::size_t bytes,
                           Index elements) {
    bool fits = reinterpret_cast<std::uintptr_t>(x) % bytes == 0 && ld % elements == 0;
    for (int i = 0; i < p.rank; ++i) fits = fits && stride[i] % elements == 0;
    return fits;
  };
  p.a = a, p.b = b, p.c = c, p.lda = s.lda, p.ldb = s.ldb, p.ldc = s.ldc;
  p.a_by_terms = !s.transpose_a, p.b_by_terms = s.transpose_b;
  p.a_aligned = aligned(a, s.lda, p.stride_a, 16, 16 / sizeof(T));
  p.b_aligned = aligned(b, s.ldb, p.stride_b, 16, 16 / sizeof(T));
  p.c_aligned = aligned(c, s.ldc, p.stride_c, alignof(Quad<C>), 4);
  p.alpha = static_cast<Sum>(alpha), p.beta = static_cast<Sum>(beta);
  p.epilogue = epilogue;
  p.chains = static_cast<int>(std::max<Index>(1, ceil_div(p.terms, most_terms<T>)));
  p.sums = static_cast<Sum*>(scratch);
  return p;
}

// Of p.sums.
template <class T, class C>
Index scratch_bytes(const Product<T, C>& p) {
  if (!p.split && (p.chains == 1 || std::is_same_v<C, computed<T>>)) return 0;
  return (p.split ? p.chains : 1) * p.count * p.m * p.n * static_cast<Index>(sizeof(*p.sums));
}

template <class Tile, class T, class C>
Index count_tiles(const Product<T, C>& p) {
  return ceil_div(p.m, Tile::m) * ceil_div(p.n, Tile::n) * p.count;
}

template <class Tile, class T, class C>
void multiply(const Product<T, C>& p) {
  const unsigned blocks = grid(count_tiles<Tile>(p) * (p.split ? p.chains : 1));
  if constexpr (std::is_same_v<T, bf16>) {
    const auto run = [&](auto a_by_terms, auto b_by_terms) {
      constexpr bool at = decltype(a_by_terms)::value, bt = decltype(b_by_terms)::value;
      GRADUS_LAUNCH((multiply_mma<Tile, at, bt, C>), blocks, Tile::threads, Tile::shared, p);
    };
    const std::true_type yes;
    const std::false_type no;
    if (p.a_by_terms)
      p.b_by_terms ? run(yes, yes) : run(yes, no);
    else
      p.b_by_terms ? run(no, yes) : run(no, no);
  } else {
    GRADUS_LAUNCH(multiply_simt<Tile>, blocks, Tile::threads, Tile::shared, p);
  }
  if (p.split)
    GRADUS_LAUNCH((add_chains<T, C>), grid(ceil_div(p.count * p.m * ceil_div(p.n, 4), 256)), 256, 0,
                  p);
}

}  // namespace gradus::GRADUS_GPU::product
