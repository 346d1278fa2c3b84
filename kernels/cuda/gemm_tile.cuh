// What the kernels of gemm.cu share: a product, how its terms are cut, where a block works, and
// what becomes of a tile of sums.
//
// An element is the sum of chains of multiply-adds, cut every most_terms and added in order. That
// alone fixes its bits: neither the tile it lies in, nor whether the chains of one element are
// computed by one block or by several, nor the device has a say. In f32 and f64 the cuts are the
// CPU's, and so are the bits.
#pragma once

#include <cstdint>
#include <type_traits>

#include "gradus/kernels/cuda/gpu.h"
#include "gradus/kernels/cuda/scalar.h"
#include "gradus/kernels/formula.h"
#include "gradus/kernels/gemm.h"

namespace gradus::GRADUS_GPU::product {

using Index = std::int64_t;

constexpr Index few = 3;  // rows or columns: bound by memory, not by arithmetic
template <class T>
constexpr Index most_terms = std::is_same_v<T, bf16> ? 4096 : 384;

template <class T, class C>
struct Product {
  using Sum = computed<T>;

  Index m, n, terms;
  const T *a, *b;
  C* c;
  Index lda, ldb, ldc;
  bool a_by_terms, b_by_terms;           // the terms of a row or column lie side by side
  bool a_aligned, b_aligned, c_aligned;  // fit for accesses of 16 bytes, of four elements
  Sum alpha, beta;
  Epilogue<C> epilogue;
  int rank;     // of the batch
  Index count;  // of products in it
  Index size[max_rank], stride_a[max_rank], stride_b[max_rank], stride_c[max_rank];
  int chains;
  bool split;  // every chain by a block of its own
  Sum* sums;   // of the chains: [chain][product][m][n] if split, else their total where C is bf16
};

GRADUS_DEVICE float multiply_add(float a, float b, float c) { return fmaf(a, b, c); }
GRADUS_DEVICE double multiply_add(double a, double b, double c) { return fma(a, b, c); }

struct Range {
  Index begin, end;
};
// f32 and f64: parts that differ by one at most. bf16: cut where 16 bytes begin.
template <class T, class C>
GRADUS_DEVICE Range chain_terms(const Product<T, C>& p, int chain) {
  if constexpr (std::is_same_v<T, bf16>) {
    const Index end = (chain + 1) * most_terms<T>;
    return {chain * most_terms<T>, end < p.terms ? end : p.terms};
  } else {
    const Index size = p.terms / p.chains, longer = p.terms % p.chains;
    const Index begin = chain * size + (chain < longer ? chain : longer);
    return {begin, begin + size + (chain < longer)};
  }
}

template <class T, class C>
GRADUS_DEVICE Index offset(const Product<T, C>& p, const Index (&stride)[max_rank], Index item) {
  Index at = 0;
  for (int i = p.rank - 1; i >= 0; --i) {
    at += item % p.size[i] * stride[i];
    item /= p.size[i];
  }
  return at;
}

// Tiles follow one another down eight rows of tiles, then across: blocks that run at the same time
// read the same rows and columns, and find them in the cache.
struct Place {
  int item, down, across;  // the product in the batch; the tile in it
  int chain;               // the first, and the only one if split
};
template <int rows, int columns, class T, class C>
GRADUS_DEVICE Place place(const Product<T, C>& p) {
  const auto down = static_cast<unsigned>((p.m + rows - 1) / rows);
  const auto across = static_cast<unsigned>((p.n + columns - 1) / columns);
  const unsigned tile = blockIdx.x % (down * across), block = blockIdx.x / (down * across);
  const unsigned parts = p.split ? p.chains : 1, part = block % parts;
  const unsigned first = tile / (8 * across) * 8, rest = tile - first * across;
  const unsigned height = down - first < 8 ? down - first : 8;
  return {static_cast<int>(block / parts), static_cast<int>(first + rest % height),
          static_cast<int>(rest / height), static_cast<int>(part)};
}

// Four elements of a row.
template <class T>
struct alignas(sizeof(T) < 4 ? 4 * sizeof(T) : 16) Quad {
  T v[4];
};
template <class T>
GRADUS_DEVICE Quad<T> load(const T* from, Index count, bool aligned) {
  if (aligned && count >= 4) return *reinterpret_cast<const Quad<T>*>(from);
  Quad<T> q{};
  GRADUS_UNROLL
  for (int i = 0; i < 4; ++i)
    if (i < count) q.v[i] = from[i];
  return q;
}
template <class T>
GRADUS_DEVICE void store(const Quad<T>& q, T* to, Index count, bool aligned) {
  if (aligned && count >= 4) {
    *reinterpret_cast<Quad<T>*>(to) = q;
    return;
  }
  GRADUS_UNROLL
  for (int i = 0; i < 4; ++i)
    if (i < count) to[i] = q.v[i];
}

// An element after one chain more. `before` is what C held, read only where beta is not 0; later
// the total of the chains that came first.
template <class T, class C, class S>
GRADUS_DEVICE S add_chain(const Product<T, C>& p, int chain, S sum, S before) {
  if (chain > 0) return p.alpha * sum + before;
  const S old = p.beta == S(0) ? S(0) : p.beta * before;
  if (p.terms == 0) return old;
  return p.beta == S(0) ? p.alpha * sum : p.alpha * sum + old;
}

template <class T, class C, class S>
GRADUS_DEVICE C result(const Product<T, C>& p, S x, Index column) {
  if (p.epilogue.bias) x = x + static_cast<S>(p.epilogue.bias[column]);
  const auto z = Scalar<S>::of(x);
  switch (p.epilogue.activation) {
    case Activation::none:
      break;
    case Activation::relu:
      return static_cast<C>(formula::Relu{}(z).v);
    case Activation::gelu:
      return static_cast<C>(formula::GeluExact{}(z).v);
    case Activation::gelu_tanh:
      return static_cast<C>(formula::GeluTanh{}(z).v);
    case Activation::gelu_sigmoid:
      return static_cast<C>(formula::GeluSigmoid{}(z).v);
  }
  return static_cast<C>(x);
}

// Four elements of C, from which `chains` of their sums are taken: sum(chain) gives a Quad.
template <class T, class C, class S, class Sums>
GRADUS_DEVICE void finish_quad(const Product<T, C>& p, int chain, int end, C* c, S* total,
                               bool total_aligned, Index column, const Sums& sum) {
  const Index count = p.n - column;
  Quad<S> x{};
  if (chain > 0) {
    x = load(total, count, total_aligned);
  } else if (p.beta != S(0)) {
    const Quad<C> old = load(c, count, p.c_aligned);
    GRADUS_UNROLL
    for (int i = 0; i < 4; ++i) x.v[i] = static_cast<S>(old.v[i]);
  }
  for (; chain < end; ++chain) {
    const Quad<S> next = sum(chain);
    GRADUS_UNROLL
    for (int i = 0; i < 4; ++i) x.v[i] = add_chain(p, chain, next.v[i], x.v[i]);
  }
  if (end < p.chains) return store(x, total, count, total_aligned);
  Quad<C> y;
  GRADUS_UNROLL
  for (int i = 0; i < 4; ++i) y.v[i] = i < count ? result(p, x.v[i], column + i) : C(0.0f);
  store(y, c, count, p.c_aligned);
}

// What becomes of a block's tile of sums of one chain, which lies in shared memory.
template <int rows, int columns, int threads, class T, class C, class S>
GRADUS_DEVICE void finish_tile(const Product<T, C>& p, const Place& at, int chain, const S* tile,
                               int step) {
  C* const c = p.c + offset(p, p.stride_c, at.item);
  S* const sums = p.sums + (p.split ? chain * p.count + at.item : at.item) * p.m * p.n;
  for (int i = static_cast<int>(threadIdx.x); i < rows * columns / 4; i += threads) {
    const int r = i / (columns / 4), q = i % (columns / 4) * 4;
    const Index row = Index(at.down) * rows + r, column = Index(at.across) * columns + q;
    if (row >= p.m || column >= p.n) continue;
    const auto sum = *reinterpret_cast<const Quad<S>*>(tile + r * step + q);
    S* own = sums + row * p.n + column;
    if (p.split) {
      store(sum, own, p.n - column, p.n % 4 == 0);
      continue;
    }
    bool aligned = p.n % 4 == 0;
    if constexpr (std::is_same_v<S, C>) {
      own = c + row * p.ldc + column;
      aligned = p.c_aligned;
    }
    finish_quad(p, chain, chain + 1, c + row * p.ldc + column, own, aligned, column,
                [&](int) { return sum; });
  }
}

// Adds the chains that blocks have computed each on its own.
template <class T, class C>
__global__ void __launch_bounds__(256) add_chains(const Product<T, C> p) {
  using S = computed<T>;
  const Index quads = (p.n + 3) / 4;
  const Index i = blockIdx.x * Index(256) + threadIdx.x;
  if (i >= p.count * p.m * quads) return;
  const Index column = i % quads * 4, row = i / quads % p.m, item = i / quads / p.m;
  S* const sums = p.sums + (item * p.m + row) * p.n + column;
  C* const c = p.c + offset(p, p.stride_c, item) + row * p.ldc + column;
  finish_quad(p, 0, p.chains, c, sums, false, column, [&](int chain) {
    return load(sums + chain * p.count * p.m * p.n, p.n - column, p.n % 4 == 0);
  });
}

}  // namespace gradus::GRADUS_GPU::product
