// Eigenvectors and singular vectors, and least squares by them. Values and vectors are one tensor,
// so that the rule, which needs both, keeps them without a cycle; results are views of it.
#include <limits>

#include "gradus/autograd/linalg.h"
#include "gradus/autograd/linalg_operands.h"
#include "gradus/kernels/linalg.h"
#include "gradus/tensor/ledger.h"

namespace gradus::linalg {
namespace {

using namespace detail;
using Index = std::int64_t;

double epsilon(const Tensor& t) {
  return t.dtype() == DType::f32 ? std::numeric_limits<float>::epsilon()
                                 : std::numeric_limits<double>::epsilon();
}

Tensor last(const Tensor& t, Index from, Index to) { return slice(t, -1, from, to); }

Tensor last_column(const Tensor& t) { return last(t, t.size(-1) - 1, t.size(-1)); }

// Of the values s, a column: for each pair whether they differ by more than rounding.
struct Pairs {
  Tensor scale, differ;
  explicit Pairs(const Tensor& s) {
    const Tensor x = values_of(s);
    scale = max(abs(x), -2, true) * (10 * static_cast<double>(s.size(-2)) * epsilon(s));
    differ = abs(transposed(x) - x) > scale;
  }
  // x / y where values differ, 0 where they do not.
  Tensor divide(const Tensor& x, const Tensor& y) const {
    return where(differ, x / where(differ, y, 1.0), 0.0);
  }
  // A vector's gradient g (rows) must be 0 where its value is another's, too.
  void require_distinct(const char* operation, const Tensor& g) const {
    const Index n = g.size(-2);
    const Tensor other = eye(n, -1, g.dtype(), g.device()) == 0.0;
    const Tensor used = any(values_of(g) != 0.0, -1, true);
    const Tensor bad = any((!differ) & other & used, {-2, -1});
    require_each(operation, (!bad).to(g.dtype()),
                 ": values coincide, and their vectors have no derivative",
                 ": values coincide, and their vectors have no derivative");
  }
};

Tensor diagonal_of(const Tensor& column) {
  return column * eye(column.size(-2), -1, column.dtype(), column.device());
}

const char* const not_converged = ": the iteration did not converge";

// With v the rows of eigenvectors: v^T (turn + diag(dL/dvalues)) v, where turn_ij is
// (v_i . dL/dv_j) / (value_j - value_i).
Tensor eigh_rule(const Tensor& g, const Tensor& y) {
  const Index n = y.size(-2);
  const Tensor v = last(y, 0, n), values = last_column(y), gv = last(g, 0, n);
  if (y.numel() == 0) return zeros(v.shape(), y.dtype(), y.device());
  const Pairs pairs(values);
  pairs.require_distinct("eigh", gv);
  const Tensor turn = pairs.divide(matmul(v, transposed(gv)), transposed(values) - values);
  return matmul(transposed(v), matmul(turn + diagonal_of(last_column(g)), v));
}

// Row i: vector i, then its value.
Tensor eigh_rows(At a) {
  const Index n = a->size(-1);
  const Tensor y = empty(with_sizes(batch_shape(*a), {n, n + 1}), a->dtype(), a->device());
  if (y.numel()) {
    const Tensor work = gradus::detail::contiguous_copy(values_of(*a));
    gradus::detail::count("eigh", Work::solve, 0, {&work, &y});
    with_float("eigh", a->dtype(), [&](auto zero) {
      using T = decltype(zero);
      const Index batch = batch_count(y);
      const Index bytes = GRADUS_RUN(a->device(), eigh_scratch<T>(batch, n));
      const Tensor scratch = empty({bytes}, DType::u8, a->device());
      GRADUS_RUN(a->device(), eigh(out_pointer<T>(work), out_pointer<T>(y),
                                   gradus::detail::first_byte_mutable(scratch), batch, n));
    });
    require_finite("eigh", y, not_converged, not_converged);
  }
  return record("eigh", a.here, y, wrt(a, eigh_rule));
}

// Townsend, "Differentiating the singular value decomposition" (2016), of rows.
Tensor svd_rule(const Tensor& g, const Tensor& y) {
  const Index n = y.size(-2), m = y.size(-1) - n - 1;
  if (y.numel() == 0) return zeros(with_sizes(batch_shape(y), {m, n}), y.dtype(), y.device());
  const Tensor u = last(y, 0, m), v = last(y, m, m + n), s = last_column(y);
  const Tensor gu = last(g, 0, m), gv = last(g, m, m + n);
  const Pairs pairs(s);
  pairs.require_distinct("svd", last(g, 0, m + n));
  const Tensor row = transposed(s), gap = (row - s) * (row + s);
  const auto turn = [&](const Tensor& x, const Tensor& gx) {
    const Tensor w = matmul(x, transposed(gx));
    return pairs.divide(w - transposed(w), gap);
  };
  const Tensor inner = turn(u, gu) * row + s * turn(v, gv) + diagonal_of(last_column(g));
  Tensor left = matmul(transposed(u), inner);
  if (m > n) {  // what of gu leaves the columns of U
    const Tensor positive = values_of(s) > pairs.scale;
    const Tensor used = any(values_of(gu) != 0.0, -1, true);
    const char* const rule = ": a singular value is 0, and its vector has no derivative";
    require_each("svd", (!any(used & !positive, {-2, -1})).to(g.dtype()), rule, rule);
    const Tensor outside = gu - matmul(matmul(gu, transposed(u)), u);
    left = left + transposed(where(positive, outside / where(positive, s, 1.0), 0.0));
  }
  return matmul(left, v);
}

// Of (..., m, n), m >= n. Row i: u_i, v_i, s_i.
Tensor svd_rows(At a) {
  const Index m = a->size(-2), n = a->size(-1);
  const Tensor y = empty(with_sizes(batch_shape(*a), {n, m + n + 1}), a->dtype(), a->device());
  if (y.numel()) {
    require_finite("svd", *a);
    const Tensor work = columns(*a);
    gradus::detail::count("svd", Work::solve, 0, {&work, &y});
    with_float("svd", a->dtype(), [&](auto zero) {
      using T = decltype(zero);
      const Index batch = batch_count(y);
      const Index bytes = GRADUS_RUN(a->device(), svd_scratch<T>(batch, m, n));
      const Tensor scratch = empty({bytes}, DType::u8, a->device());
      GRADUS_RUN(a->device(), svd(out_pointer<T>(work), out_pointer<T>(y),
                                  gradus::detail::first_byte_mutable(scratch), batch, m, n));
    });
    require_finite("svd", y, not_converged, not_converged);
  }
  return record("svd", a.here, y, wrt(a, svd_rule));
}

}  // namespace

Eigh eigh(At a) {
  const Tensor y = eigh_rows(at(symmetric("eigh", a), a));
  const Index n = a->size(-1);
  return {last_column(y).squeeze(-1), transposed(last(y, 0, n))};
}

Svd svd(At a) {
  require_matrices("svd", *a);
  const Index m = a->size(-2), n = a->size(-1);
  if (m < n) {
    const Svd t = svd(at(transposed(*a), a));
    return {transposed(t.vh), t.s, transposed(t.u)};
  }
  const Tensor y = svd_rows(a);
  return {transposed(last(y, 0, m)), last_column(y).squeeze(-1), last(y, m, m + n)};
}

Tensor lstsq(At a, At b) {
  require_matrices("lstsq", *a);
  gradus::detail::require_floating("lstsq", *b);
  if (b->dim() == 1) return lstsq(a, at(b->unsqueeze(1, b.here), b)).squeeze(-1, a.here);
  const Shape batch = system_batch("lstsq", *a, *b);
  const Tensor x = result_of([&] {
    const Index m = a->size(-2), n = a->size(-1), k = b->size(-1);
    if (a->numel() == 0 || b->numel() == 0)
      return zeros(with_sizes(batch, {n, k}), a->dtype(), a->device());
    require_finite("lstsq", *a);
    const Svd f = svd(values_of(*a));
    const Tensor least = f.s.slice(-1, 0, 1) * (static_cast<double>(std::max(m, n)) * epsilon(*a));
    const Tensor counts = f.s > least;
    const Tensor inverse = where(counts, 1.0 / where(counts, f.s, 1.0), 0.0);
    return matmul(transposed(f.vh), inverse.unsqueeze(-1) * matmul(transposed(f.u), values_of(*b)));
  });
  const Tensor* inputs[] = {&*a, &*b};
  // Golub and Pereyra (1973), transposed, with the pseudoinverses applied by lstsq itself.
  return record_joint("lstsq", a.here, x, inputs, 2, gradus::detail::active(*a),
                      [a = saved(a), b = saved(b), to_b = b->shape()](
                          const Tensor& g, const Tensor& y, const bool* wanted, Tensor* out) {
                        const Tensor ta = transposed(*a), gb = lstsq(ta, g);
                        if (wanted[1]) out[1] = sum_to(gb, to_b);
                        if (!wanted[0]) return;
                        const Tensor residual = *b - matmul(*a, y), outside = g - matmul(ta, gb);
                        out[0] = sum_to(matmul(residual, transposed(lstsq(*a, gb))) +
                                            matmul(lstsq(ta, y), transposed(outside)) -
                                            matmul(gb, transposed(y)),
                                        a->shape());
                      });
}

}  // namespace gradus::linalg
