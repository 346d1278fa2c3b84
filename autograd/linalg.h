// Linear algebra of dense matrices: the last two axes; the axes before them are batches. f32 and
// f64, any order of derivative. LAPACK on the CPU, a block for each matrix on a device.
//
// A matrix is singular here when elimination leaves a pivot of rounding noise: at most 4 n eps of
// the terms that it is the rest of, a measure that scaling rows or columns does not change. An
// Error names the operation, the matrix in its batch and its condition number; a NaN or an infinity
// in a matrix is a NumericError. (A device notes both, and the next call that waits throws.)
#pragma once

#include "gradus/autograd/graph.h"

namespace gradus::linalg {

GRADUS_API Tensor inv(At a);  // (..., n, n); singular: Error
// X with A X = B: (..., n, n) and (..., n, k), batch axes broadcast; a b of one axis is a vector.
// Singular: Error.
GRADUS_API Tensor solve(At a, At b);
// (..., n, n) -> (...). Of a singular matrix 0, and its derivatives are exact there too: minors.
GRADUS_API Tensor det(At a);

struct Slogdet {
  Tensor sign, logabsdet;
};
// det = sign exp(logabsdet), both (...); 0 and -inf of a singular matrix, whose derivative is an
// Error.
GRADUS_API Slogdet slogdet(At a);

// The lower L with A = L L^T, (..., n, n). A is symmetric within sqrt(eps) of its largest element;
// (A + A^T) / 2 is what counts, for the gradient as well. Not positive definite: Error.
GRADUS_API Tensor cholesky(At a);

struct TriangularOptions {
  bool upper = false, transpose = false, unit_diagonal = false;
};
// X with A X = B, or A^T X = B, shapes as in solve. Of A the lower triangle is read alone, or the
// upper one; not the diagonal, where that is ones. A 0 on the diagonal: Error.
GRADUS_API Tensor triangular_solve(At a, At b, TriangularOptions options = {});

struct Eigh {
  Tensor values, vectors;
};
// A = V diag(values) V^T of a symmetric A (as in cholesky): values (..., n), ascending, and vectors
// (..., n, n) as columns, the largest component of each positive. A derivative of the values alone
// is right where values coincide too, if what follows treats those alike; that of vectors of
// coinciding values does not exist: Error.
GRADUS_API Eigh eigh(At a);

struct Svd {
  Tensor u, s, vh;
};
// A = U diag(s) Vh with k = min(m, n): u (..., m, k), s (..., k), descending, vh (..., k, n). The
// largest component of each column of the longer factor is positive. Derivatives as in eigh.
GRADUS_API Svd svd(At a);

// The X with the smallest |A X - B|, and of those the smallest itself: (..., m, n) and (..., m, k),
// or b a vector, as in solve. Singular values below max(m, n) eps times the largest count as 0; the
// derivative is that among matrices of the same rank (Golub and Pereyra, 1973).
GRADUS_API Tensor lstsq(At a, At b);

}  // namespace gradus::linalg
