// Solutions and determinants, by elimination.
#include "gradus/autograd/linalg.h"

#include <algorithm>

#include "gradus/autograd/linalg_operands.h"
#include "gradus/autograd/transforms.h"
#include "gradus/kernels/linalg.h"
#include "gradus/tensor/ledger.h"

namespace gradus::linalg {
namespace {

using namespace detail;
using Index = std::int64_t;

// P A = L U of each matrix.
struct Factors {
  Tensor lu, pivots, sign, quality;

  explicit Factors(const char* operation, const Tensor& a) {
    require_square(operation, a);
    require_finite(operation, a);
    const Index n = a.size(-1);
    const Shape batch = batch_shape(a);
    lu = columns(a);
    pivots = empty(with_sizes(batch, {n}), DType::i32, a.device());
    sign = ones(batch, a.dtype(), a.device());
    quality = ones(batch, a.dtype(), a.device());
    if (a.numel() == 0) return;
    gradus::detail::count(operation, Work::solve, 2 * a.numel() * n / 3,
                          {&a, &lu, &pivots, &sign, &quality});
    with_float(operation, a.dtype(), [&](auto zero) {
      using T = decltype(zero);
      GRADUS_RUN(a.device(), lu(out_pointer<T>(lu), out_pointer<std::int32_t>(pivots),
                                out_pointer<T>(sign), out_pointer<T>(quality), batch.numel(), n));
    });
  }
  void require_regular(const char* operation, const Tensor& a) const {
    require_each(operation, quality, " is singular",
                 ": a matrix is singular: its weakest pivot is rounding noise",
                 [&](Index i) { return condition(a, i); });
  }
  // X with A X = B, for B's columns; one A for all where there is one.
  void solve(const Tensor& b) const {
    if (b.numel() == 0) return;
    const Index n = lu.size(-1), batch = batch_count(b);
    gradus::detail::count("solve", Work::solve, 2 * b.numel() * n, {&lu, &pivots, &b, &b});
    with_float("solve", b.dtype(), [&](auto zero) {
      using T = decltype(zero);
      GRADUS_RUN(b.device(), lu_solve(pointer<T>(lu), pointer<std::int32_t>(pivots),
                                      batch_count(lu) == 1 ? 0 : n * n, out_pointer<T>(b), batch, n,
                                      b.size(-2)));
    });
  }
  Tensor diagonal() const {
    Shape shape = lu.shape(), strides = lu.strides();
    const int last = shape.size() - 1;
    shape.erase(last);
    strides.erase(last);
    strides[last - 1] = lu.size(-1) + 1;
    return lu.alias(shape, strides, 0);
  }
  Tensor unless_singular(const Tensor& y, double otherwise) const {
    return where(quality > 0.0, y, otherwise);
  }
};

Tensor identity(const Tensor& like) {
  return expand(eye(like.size(-1), -1, like.dtype(), like.device()), like.shape());
}

// Under an operation's name, also that whose rule needs it.
Tensor inverse(const char* operation, At a) {
  const Factors f(operation, *a);
  f.require_regular(operation, *a);
  const Tensor x = gradus::detail::contiguous_copy(identity(*a));
  f.solve(x);
  return record(operation, a.here, rows(x), wrt(a, [](const Tensor& g, const Tensor& y) {
                  return -matmul(transposed(y), matmul(g, transposed(y)));
                }));
}

// A number for each matrix, to multiply matrices with.
Tensor over_matrices(const Tensor& t) { return t.unsqueeze(-1).unsqueeze(-1); }

Tensor determinant(const Factors& f) {
  return result_of([&] { return f.unless_singular(f.sign * prod(f.diagonal(), -1), 0); });
}

// det of matrices that are far from singular, as the rule takes them.
Tensor regular_det(const Tensor& a) {
  return record("det", Here::now(), determinant(Factors("det", a)),
                wrt(a, [a = saved(a)](const Tensor& g, const Tensor& y) {
                  return over_matrices(g * y) * transposed(inverse("det", *a));
                }));
}

// Divides by nothing, so singular matrices are no exception: Bird, "A simple division-free
// algorithm for computing determinants" (2011). O(n^4).
Tensor det_without_division(const Tensor& a) {
  const Index n = a.size(-1);
  const Tensor one = eye(n, -1, a.dtype(), a.device());
  const Tensor below = tril(ones({n, n}, a.dtype(), a.device()), -1);
  Tensor f = a;
  for (Index k = 1; k < n; ++k) {
    const Tensor rest = matmul(sum(f * one, -1, true).squeeze(-1), below);
    f = matmul(triu(f, 1) - rest.unsqueeze(-1) * one, a);
  }
  const Tensor corner = f.slice(-1, 0, 1).slice(-2, 0, 1).squeeze(-1).squeeze(-1);
  return n % 2 ? corner : -corner;
}

// det near any matrix, with all its derivatives. With A = U S V^T at the point itself, u and v the
// columns whose singular values are small, and B = A + u e v^T, where e makes them large:
// det A = det B det(v^T B^-1 A v), of which the first is regular and the second small in size.
Tensor det_by_parts(const Tensor& a) {
  const Svd f = svd(values_of(a));
  const Tensor largest = f.s.slice(-1, 0, 1);
  const Tensor small = f.s <= largest * 1e-2;
  const auto count = static_cast<Index>(max(sum(small.to(a.dtype()), -1)).item());
  if (count == 0) return regular_det(a);
  const Index n = a.size(-1);
  const Tensor e = where(small, expand(where(largest > 0.0, largest, 1.0), f.s.shape()), 0.0);
  const Tensor u = f.u.slice(-1, n - count, n), vh = f.vh.slice(-2, n - count, n);
  const Tensor v = transposed(vh);
  const Tensor b = a + matmul(u * e.slice(-1, n - count, n).unsqueeze(-2), vh);
  return regular_det(b) * det_without_division(matmul(vh, solve(b, matmul(a, v))));
}

}  // namespace

Tensor inv(At a) { return inverse("inv", a); }

Tensor solve(At a, At b) {
  require_square("solve", *a);
  gradus::detail::require_floating("solve", *b);
  if (b->dim() == 1) return solve(a, at(b->unsqueeze(1, b.here), b)).squeeze(-1, a.here);
  const Shape batch = system_batch("solve", *a, *b);
  const Tensor result = result_of([&] {
    const Index n = a->size(-1), k = b->size(-1);
    const bool one = batch_count(*a) == 1;
    const Tensor each = one ? *a : expand(values_of(*a), with_sizes(batch, {n, n}));
    const Factors f("solve", each);
    f.require_regular("solve", each);
    const Tensor x = columns(expand(values_of(*b), with_sizes(batch, {n, k})));
    f.solve(x);
    return rows(x);
  });
  const Tensor* inputs[] = {&*a, &*b};
  return record_joint("solve", a.here, result, inputs, 2, gradus::detail::active(*a),
                      [a = saved(a), to_a = a->shape(), to_b = b->shape()](
                          const Tensor& g, const Tensor& y, const bool* wanted, Tensor* out) {
                        const Tensor gb = solve(transposed(*a), g);
                        if (wanted[0]) out[0] = sum_to(-matmul(gb, transposed(y)), to_a);
                        if (wanted[1]) out[1] = sum_to(gb, to_b);
                      });
}

Tensor det(At a) {
  const Factors f("det", *a);
  return record(
      "det", a.here, determinant(f),
      wrt(a, [a = saved(a), quality = saved(f.quality)](const Tensor& g, const Tensor& y) {
        if (a->numel() == 0) return zeros(a->shape(), a->dtype(), a->device());
        // Below, the inverse has lost what the derivative needs.
        if (min(*quality).item() > 1e-3)
          return over_matrices(g * y) * transposed(inverse("det", *a));
        return vjp(det_by_parts, *a).pullback(g);
      }));
}

Slogdet slogdet(At a) {
  const Factors f("slogdet", *a);
  const Tensor d = f.diagonal();
  const Tensor signs = f.unless_singular(f.sign * prod(sign(d), -1), 0);
  const Tensor y = result_of([&] { return f.unless_singular(sum(log(abs(d)), -1), -INFINITY); });
  return {record_nothing("slogdet", a.here, signs, {&*a}),
          record("slogdet", a.here, y, wrt(a, [a = saved(a)](const Tensor& g) {
                   return over_matrices(g) * transposed(inverse("slogdet", *a));
                 }))};
}

namespace {

// Half of the diagonal and what is below it: of a symmetric X = L + L^T, L.
Tensor lower_half(const Tensor& x) { return (tril(x) + tril(x, -1)) * 0.5; }

Tensor cholesky_of(At a) {
  const Tensor y = gradus::detail::contiguous_copy(values_of(*a));
  const Tensor quality = ones(batch_shape(*a), a->dtype(), a->device());
  const Index n = a->size(-1);
  gradus::detail::count("cholesky", Work::solve, a->numel() * n / 3, {&*a, &y, &quality});
  if (a->numel())
    with_float("cholesky", a->dtype(), [&](auto zero) {
      using T = decltype(zero);
      GRADUS_RUN(a->device(),
                 cholesky(out_pointer<T>(y), out_pointer<T>(quality), batch_count(y), n));
    });
  require_each("cholesky", quality, " is not positive definite",
               ": a matrix is not positive definite, or by rounding noise alone", [&](Index i) {
                 const Tensor one = reshape(values_of(*a), {-1, n, n})[i];
                 std::ostringstream text;
                 text << ": its smallest eigenvalue is " << eigh(one).values[0].item()
                      << condition(one, 0);
                 return text.str();
               });
  // Murray, "Differentiation of the Cholesky decomposition" (2016): with P = lower_half(L^T G),
  // L^-T (P + P^T) / 2 L^-1.
  return record("cholesky", a.here, y, wrt(a, [](const Tensor& g, const Tensor& l) {
                  const Tensor p = lower_half(matmul(transposed(l), g));
                  const TriangularOptions t{.transpose = true};
                  const Tensor half = triangular_solve(l, (p + transposed(p)) * 0.5, t);
                  return transposed(triangular_solve(l, transposed(half), t));
                }));
}

}  // namespace

Tensor cholesky(At a) { return cholesky_of(at(symmetric("cholesky", a), a)); }

Tensor triangular_solve(At a, At b, TriangularOptions options) {
  require_square("triangular_solve", *a);
  gradus::detail::require_floating("triangular_solve", *b);
  if (b->dim() == 1)
    return triangular_solve(a, at(b->unsqueeze(1, b.here), b), options).squeeze(-1, a.here);
  const Shape batch = system_batch("triangular_solve", *a, *b);
  const Tensor result = result_of([&] {
    const Index n = a->size(-1), k = b->size(-1);
    const bool one = batch_count(*a) == 1;
    const Tensor m = columns(one ? *a : expand(values_of(*a), with_sizes(batch, {n, n})));
    const Tensor x = columns(expand(values_of(*b), with_sizes(batch, {n, k})));
    const Tensor read = options.upper ? tril(m, options.unit_diagonal ? -1 : 0)
                                      : triu(m, options.unit_diagonal ? 1 : 0);
    require_finite("triangular_solve", read);
    if (!options.unit_diagonal && m.numel()) {
      const Tensor diagonal = sum(read * eye(n, -1, m.dtype(), m.device()), -1);
      require_each("triangular_solve", min(abs(diagonal), -1),
                   " is singular: its diagonal holds a 0 (condition number inf)",
                   ": a matrix is singular: its diagonal holds a 0");
    }
    gradus::detail::count("triangular_solve", Work::solve, x.numel() * n, {&m, &x, &x});
    if (x.numel())
      with_float("triangular_solve", x.dtype(), [&](auto zero) {
        using T = decltype(zero);
        const Triangle t{options.upper, options.transpose, options.unit_diagonal};
        GRADUS_RUN(x.device(), triangular_solve(pointer<T>(m), one ? 0 : n * n, t,
                                                out_pointer<T>(x), batch.numel(), n, k));
      });
    return rows(x);
  });
  const Tensor* inputs[] = {&*a, &*b};
  return record_joint("triangular_solve", a.here, result, inputs, 2, gradus::detail::active(*a),
                      [a = saved(a), to_a = a->shape(), to_b = b->shape(), options](
                          const Tensor& g, const Tensor& y, const bool* wanted, Tensor* out) {
                        TriangularOptions other = options;
                        other.transpose = !options.transpose;
                        const Tensor gb = triangular_solve(*a, g, other);
                        if (wanted[1]) out[1] = sum_to(gb, to_b);
                        if (!wanted[0]) return;
                        const Tensor ga = options.transpose ? matmul(y, transposed(gb))
                                                            : matmul(gb, transposed(y));
                        const int off = options.unit_diagonal ? 1 : 0;
                        out[0] = sum_to(-(options.upper ? triu(ga, off) : tril(ga, -off)), to_a);
                      });
}

}  // namespace gradus::linalg
