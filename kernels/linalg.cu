// Elimination and substitution: a block for each matrix, in place in global memory, a step for each
// pivot. For the small matrices of models; the bits depend on the sizes alone.
#include "gradus/kernels/linalg.h"

#include <cmath>

#include "gradus/kernels/cuda/block.cuh"

namespace gradus::GRADUS_GPU {
namespace {

using Index = std::int64_t;

constexpr int threads = 128;

// body(row, column) for each element of a rectangle, rows fastest, over the block's threads. What a
// thread steps over is counted once: a division of 64 bits is a call, and calls spill registers.
template <class Body>
GRADUS_DEVICE void each_element(Index rows, Index columns, const Body& body) {
  if (rows == 0) return;
  const auto height = static_cast<unsigned>(rows <= threads ? rows : threads + 1);
  const Index whole = threads / height, rest = threads - whole * rows;
  Index column = threadIdx.x / height, row = threadIdx.x - column * rows;
  while (column < columns) {
    body(row, column);
    row += rest, column += whole;
    if (row >= rows) row -= rows, ++column;
  }
}

struct Candidate {
  double size;
  Index row;
};
struct LargerFirst {
  GRADUS_DEVICE Candidate operator()(const Candidate& a, const Candidate& b) const {
    return b.size > a.size || (b.size == a.size && b.row < a.row) ? b : a;
  }
};

// The smallest of the pivots' ratios, or 0 where one is noise, to `quality` by one thread.
template <class T, class Ratio>
GRADUS_DEVICE void store_quality(Index n, T* warps, T* quality, const Ratio& ratio) {
  T least = 1;
  for (Index k = threadIdx.x; k < n; k += threads) {
    const T r = ratio(k);
    least = r > pivot_noise<T>(n) ? (r < least ? r : least) : T(0);
  }
  least = fold_threads(least, threads, warps, [](T a, T b) { return a < b ? a : b; });
  if (threadIdx.x == 0) *quality = least;
}

template <class T>
__global__ void __launch_bounds__(threads)
    lu_kernel(T* matrices, std::int32_t* all_pivots, T* sign, T* quality, Index n) {
  GRADUS_SHARED(Candidate, candidates, [threads / warp_size]);
  GRADUS_SHARED(T, warps, [threads / warp_size]);
  T* const a = matrices + blockIdx.x * n * n;
  std::int32_t* const pivots = all_pivots + blockIdx.x * n;
  T determinant = 1;
  for (Index k = 0; k < n; ++k) {
    Candidate best{-1, n};
    for (Index i = k + threadIdx.x; i < n; i += threads)
      best = LargerFirst()(best, {std::abs(static_cast<double>(a[i + k * n])), i});
    best = fold_threads(best, threads, candidates, LargerFirst());
    const Index p = best.row < n ? best.row : k;  // of NaN alone, none
    if (threadIdx.x == 0) pivots[k] = static_cast<std::int32_t>(p);
    if (p != k) {
      determinant = -determinant;
      for (Index j = threadIdx.x; j < n; j += threads) {
        const T x = a[k + j * n];
        a[k + j * n] = a[p + j * n];
        a[p + j * n] = x;
      }
    }
    __syncthreads();
    const T pivot = a[k + k * n];
    if (pivot != 0)
      for (Index i = k + 1 + threadIdx.x; i < n; i += threads) a[i + k * n] /= pivot;
    __syncthreads();
    // The next search reads what its own threads write here, and ends in a barrier.
    each_element(n - k - 1, n - k - 1, [&](Index i, Index j) {
      a[k + 1 + i + (k + 1 + j) * n] -= a[k + 1 + i + k * n] * a[k + (k + 1 + j) * n];
    });
  }
  if (threadIdx.x == 0) sign[blockIdx.x] = determinant;
  store_quality(n, warps, quality + blockIdx.x, [&](Index k) {
    const T pivot = std::abs(a[k + k * n]);
    T terms = pivot;
    for (Index j = 0; j < k; ++j) terms += std::abs(a[k + j * n] * a[j + k * n]);
    return pivot > 0 ? pivot / terms : T(0);
  });
}

template <class T>
__global__ void __launch_bounds__(threads) cholesky_kernel(T* matrices, T* quality, Index n) {
  GRADUS_SHARED(T, warps, [threads / warp_size]);
  T* const a = matrices + blockIdx.x * n * n;
  for (Index k = 0; k < n; ++k) {
    const T pivot = std::sqrt(a[k + k * n]);  // of a negative number NaN, which stays
    __syncthreads();
    for (Index j = k + threadIdx.x; j < n; j += threads)
      a[k + j * n] = j == k ? pivot : a[k + j * n] / pivot;
    __syncthreads();
    each_element(n - k - 1, n - k - 1, [&](Index i, Index j) {
      if (i <= j) a[k + 1 + i + (k + 1 + j) * n] -= a[k + (k + 1 + i) * n] * a[k + (k + 1 + j) * n];
    });
    __syncthreads();
  }
  each_element(n, n, [&](Index i, Index j) {
    if (i > j) a[i + j * n] = 0;
  });
  store_quality(n, warps, quality + blockIdx.x, [&](Index k) {
    T terms = 0;
    for (Index j = 0; j <= k; ++j) terms += a[j + k * n] * a[j + k * n];
    return a[k + k * n] * a[k + k * n] / terms;
  });
}

// x (n, k) becomes the solution of a triangular system, a row of it after the other. Sizes are such
// as LAPACK counts, in 32 bits: with 64 a division, which is a call, spills registers.
template <class T>
GRADUS_DEVICE void substitute(const T* a, const Triangle& t, T* x, int n, int k) {
  const bool from_below = t.upper != t.transpose;
  const Index height = n;
  for (int step = 0; step < n; ++step) {
    const int r = from_below ? n - 1 - step : step;
    if (!t.unit_diagonal) {
      for (int c = static_cast<int>(threadIdx.x); c < k; c += threads)
        x[r + c * height] /= a[r + r * height];
      __syncthreads();
    }
    const int first = from_below ? 0 : r + 1;
    each_element(n - step - 1, k, [&](Index row, Index c) {
      const Index i = first + row;
      x[i + c * height] -=
          (t.transpose ? a[r + i * height] : a[i + r * height]) * x[r + c * height];
    });
    __syncthreads();
  }
}

// Rows of b (n, k) change places as those of the factored matrix did.
template <class T>
__global__ void __launch_bounds__(threads)
    exchange_rows_kernel(const std::int32_t* pivots, Index stride, T* b, Index n, Index k) {
  const std::int32_t* const p = pivots + (stride ? blockIdx.x * n : 0);
  T* const x = b + blockIdx.x * n * k;
  for (Index c = threadIdx.x; c < k; c += threads)
    for (Index r = 0; r < n; ++r)
      if (p[r] != r) {
        const T y = x[r + c * n];
        x[r + c * n] = x[p[r] + c * n];
        x[p[r] + c * n] = y;
      }
}

template <class T>
__global__ void __launch_bounds__(threads)
    triangular_solve_kernel(const T* a, Index stride, const Triangle t, T* b, Index n, Index k) {
  substitute(a + blockIdx.x * stride, t, b + blockIdx.x * n * k, static_cast<int>(n),
             static_cast<int>(k));
}

}  // namespace

template <class T>
void lu(T* a, std::int32_t* pivots, T* sign, T* quality, Index batch, Index n) {
  GRADUS_LAUNCH(lu_kernel<T>, blocks_for(batch, 1), threads, 0, a, pivots, sign, quality, n);
}

template <class T>
void triangular_solve(const T* a, Index stride, const Triangle& t, T* b, Index batch, Index n,
                      Index k) {
  GRADUS_LAUNCH(triangular_solve_kernel<T>, blocks_for(batch, 1), threads, 0, a, stride, t, b, n,
                k);
}

template <class T>
void lu_solve(const T* factors, const std::int32_t* pivots, Index stride, T* b, Index batch,
              Index n, Index k) {
  GRADUS_LAUNCH(exchange_rows_kernel<T>, blocks_for(batch, 1), threads, 0, pivots, stride, b, n, k);
  triangular_solve(factors, stride, {.upper = false, .unit_diagonal = true}, b, batch, n, k);
  triangular_solve(factors, stride, {.upper = true}, b, batch, n, k);
}

template <class T>
void cholesky(T* a, T* quality, Index batch, Index n) {
  GRADUS_LAUNCH(cholesky_kernel<T>, blocks_for(batch, 1), threads, 0, a, quality, n);
}

#define GRADUS_LINALG(T)                                                                 \
  template void lu(T*, std::int32_t*, T*, T*, Index, Index);                             \
  template void lu_solve(const T*, const std::int32_t*, Index, T*, Index, Index, Index); \
  template void cholesky(T*, T*, Index, Index);                                          \
  template void triangular_solve(const T*, Index, const Triangle&, T*, Index, Index, Index);
GRADUS_LINALG(float)
GRADUS_LINALG(double)

}  // namespace gradus::GRADUS_GPU
