// Factorisations of dense matrices, one for each of a batch that lies one after the other. Matrices
// are column-major, as LAPACK's; all values are finite. On the CPU they are LAPACK's, a matrix to
// a tile; a device gives each matrix a block.
#pragma once

#include <limits>

#include "gradus/kernels/cpu/isa.h"
#include "gradus/kernels/kernel.h"

namespace gradus {

// A pivot of elimination at most this much of the terms that it is the rest of is rounding noise.
template <class T>
GRADUS_INLINE T pivot_noise(std::int64_t n) {
  return 4 * static_cast<T>(n) * std::numeric_limits<T>::epsilon();
}

// a (n, n) becomes L and U with P A = L U, the diagonal of L (ones) left out; row i was exchanged
// with row pivots[i]. sign is P's determinant. quality is the smallest |u_kk| / sum_j |l_kj u_jk|,
// which scaling rows or columns does not change, or 0 where a pivot is noise.
GRADUS_KERNEL(template <class T> void lu(T* a, std::int32_t* pivots, T* sign, T* quality,
                                         std::int64_t batch, std::int64_t n))
// b (n, k) becomes X with A X = B. The factors of matrix i begin at i * stride: 0 for one A.
GRADUS_KERNEL(template <class T> void lu_solve(const T* factors, const std::int32_t* pivots,
                                               std::int64_t stride, T* b, std::int64_t batch,
                                               std::int64_t n, std::int64_t k))

// The symmetric a becomes U with A = U^T U, zeros below: read by rows, the L of A = L L^T. quality
// is the smallest u_kk^2 / a_kk, or 0 where A is not positive definite, or by noise alone.
GRADUS_KERNEL(template <class T>
              void cholesky(T* a, T* quality, std::int64_t batch, std::int64_t n))

struct Triangle {
  bool upper = false, transpose = false, unit_diagonal = false;
};
// b (n, k) becomes X with op(A) X = B, op the transposition where asked for. Of a the triangle is
// read alone, without its diagonal where that is ones; its diagonal holds no 0. Stride as above, in
// elements.
GRADUS_KERNEL(template <class T> void triangular_solve(const T* a, std::int64_t stride,
                                                       const Triangle&, T* b, std::int64_t batch,
                                                       std::int64_t n, std::int64_t k))

// Vectors come with the largest of their components positive (of those within 1 % of it the
// first), so that devices agree. Scratch: bytes, aligned to 64. What did not converge is NaN.
//
// The symmetric a is destroyed; row i of out (n, n + 1) is eigenvector i and its value, ascending.
GRADUS_KERNEL(template <class T> std::int64_t eigh_scratch(std::int64_t batch, std::int64_t n))
GRADUS_KERNEL(template <class T>
              void eigh(T* a, T* out, void* scratch, std::int64_t batch, std::int64_t n))
// a (m, n), m >= n, is destroyed; row i of out (n, m + n + 1) is u_i, v_i and s_i, descending,
// where A = sum_i s_i u_i v_i^T. The component that is positive is u's.
GRADUS_KERNEL(template <class T>
              std::int64_t svd_scratch(std::int64_t batch, std::int64_t m, std::int64_t n))
GRADUS_KERNEL(template <class T> void svd(T* a, T* out, void* scratch, std::int64_t batch,
                                          std::int64_t m, std::int64_t n))

// Negates `row`, of `count` numbers, where the largest of the first n is negative.
template <class T>
GRADUS_INLINE void orient(T* row, std::int64_t n, std::int64_t count) {
  T largest = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const T size = row[i] < 0 ? -row[i] : row[i];
    if (size > largest) largest = size;
  }
  for (std::int64_t i = 0; i < n; ++i) {
    const T x = row[i];
    if (x >= T(0.99) * largest) return;
    if (-x >= T(0.99) * largest) break;
  }
  for (std::int64_t i = 0; i < count; ++i) row[i] = -row[i];
}

}  // namespace gradus
