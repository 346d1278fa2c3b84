// Products of at most three rows or columns: every element of the matrix is read once, so they are
// as fast as memory is.
#pragma once

#include "gradus/kernels/cuda/gemm_tile.cuh"

namespace gradus::GRADUS_GPU::product {

// Element (i, term) lies at data[i * row + term * step].
template <class T>
struct Operand {
  const T* data;
  Index row, step;
  bool wide;  // terms can be read 16 bytes at a time
};
// The long operand is the matrix, the short one holds the vectors: op(A) and the transpose of
// op(B), or the other way round if `swapped`.
template <class T, class C>
struct Few {
  Product<T, C> product;
  Operand<T> matrix, vectors;
  bool swapped;
  Index length;  // of a column of the matrix
  int vector_count;
};

template <class T, class C, class S>
GRADUS_DEVICE void finish_few(const Few<T, C>& f, Index item, Index row, int vector, S sum) {
  const Product<T, C>& p = f.product;
  const Index i = f.swapped ? vector : row, j = f.swapped ? row : vector;
  C* const c = p.c + offset(p, p.stride_c, item) + i * p.ldc + j;
  const S before = p.beta == S(0) ? S(0) : static_cast<S>(*c);
  *c = result(p, add_chain(p, 0, sum, before), j);
}

template <class T>
struct alignas(16) Chunk {
  T v[16 / sizeof(T)];
};
// Terms of a row, from `term` on; zeros where fewer are left.
template <class T>
GRADUS_DEVICE Chunk<T> load_chunk(const Operand<T>& operand, const T* row, Index term,
                                  Index count) {
  constexpr int wide = 16 / sizeof(T);
  if (operand.wide && count >= wide) return *reinterpret_cast<const Chunk<T>*>(row + term);
  Chunk<T> chunk{};
  GRADUS_UNROLL
  for (int i = 0; i < wide; ++i)
    if (i < count) chunk.v[i] = row[(term + i) * operand.step];
  return chunk;
}

// `lanes` threads to a row, 32 or all 256 of the block: terms lie side by side.
template <class T, class C>
__global__ void __launch_bounds__(256) multiply_rows(const Few<T, C> f, int lanes) {
  using S = computed<T>;
  constexpr int wide = 16 / sizeof(T);
  const Product<T, C>& p = f.product;
  const int t = static_cast<int>(threadIdx.x), lane = t % lanes, rows = 256 / lanes;
  const Index blocks = (f.length + rows - 1) / rows;
  const Index item = blockIdx.x / blocks, row = blockIdx.x % blocks * rows + t / lanes;
  const bool there = row < f.length;
  const T* const matrix =
      f.matrix.data + offset(p, f.swapped ? p.stride_b : p.stride_a, item) + row * f.matrix.row;
  const T* const vectors = f.vectors.data + offset(p, f.swapped ? p.stride_a : p.stride_b, item);

  S sum[few] = {};
  for (Index term = lane * wide; there && term < p.terms; term += lanes * wide) {
    const Index count = p.terms - term;
    const auto w = load_chunk(f.matrix, matrix, term, count);
    GRADUS_UNROLL
    for (int v = 0; v < few; ++v) {
      if (v >= f.vector_count) continue;
      const auto x = load_chunk(f.vectors, vectors + v * f.vectors.row, term, count);
      GRADUS_UNROLL
      for (int i = 0; i < wide; ++i)
        sum[v] = multiply_add(static_cast<S>(w.v[i]), static_cast<S>(x.v[i]), sum[v]);
    }
  }

  GRADUS_SHARED(S, of_warp, [8][few]);
  GRADUS_UNROLL
  for (int v = 0; v < few; ++v) {
    for (int distance = 16; distance > 0; distance /= 2)
      sum[v] += __shfl_xor_sync(full_mask, sum[v], distance);
    if (t % 32 == 0) of_warp[t / 32][v] = sum[v];
  }
  __syncthreads();
  if (!there || lane >= f.vector_count) return;
  S total = of_warp[t / 32][lane];
  for (int warp = 1; warp < lanes / 32; ++warp) total += of_warp[warp][lane];
  finish_few(f, item, row, lane, total);
}

// A thread to a row and to each of `slices` parts of the terms: rows lie side by side.
template <class T, class C>
__global__ void __launch_bounds__(1024) multiply_columns(const Few<T, C> f, int slices) {
  using S = computed<T>;
  const Product<T, C>& p = f.product;
  const int lane = static_cast<int>(threadIdx.x) % 32, slice = static_cast<int>(threadIdx.x) / 32;
  const Index blocks = (f.length + 31) / 32;
  const Index item = blockIdx.x / blocks, row = blockIdx.x % blocks * 32 + lane;
  const bool there = row < f.length;
  const T* const matrix =
      f.matrix.data + offset(p, f.swapped ? p.stride_b : p.stride_a, item) + row;
  const T* const vectors = f.vectors.data + offset(p, f.swapped ? p.stride_a : p.stride_b, item);

  S sum[few] = {};
  for (Index term = slice; there && term < p.terms; term += slices) {
    const S w = static_cast<S>(matrix[term * f.matrix.step]);
    GRADUS_UNROLL
    for (int v = 0; v < few; ++v)
      if (v < f.vector_count)
        sum[v] = multiply_add(w, static_cast<S>(vectors[v * f.vectors.row + term * f.vectors.step]),
                              sum[v]);
  }

  GRADUS_SHARED(S, of_slice, [32][few][33]);
  GRADUS_UNROLL
  for (int v = 0; v < few; ++v) of_slice[slice][v][lane] = sum[v];
  __syncthreads();
  if (!there || slice >= f.vector_count) return;
  S total = of_slice[0][slice][lane];
  for (int i = 1; i < slices; ++i) total += of_slice[i][slice][lane];
  finish_few(f, item, row, slice, total);
}

}  // namespace gradus::GRADUS_GPU::product
