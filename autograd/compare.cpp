// Comparisons and logic: boolean results, no derivatives.
#include <cmath>

#include "gradus/autograd/apply.h"
#include "gradus/tensor/copy.h"

namespace gradus {

using namespace formula;
using detail::apply;

namespace {

// Small integers are compared as numbers that hold them exactly.
Tensor comparable(const Tensor& t) {
  if (t.defined() && (t.dtype() == DType::u8 || t.dtype() == DType::boolean))
    return t.to(DType::i32);
  return t;
}
template <class F>
Tensor compare(At a, At b) {
  if (a->defined() && b->defined()) detail::require_same_dtype(F::name, *a, *b);
  const Tensor x = comparable(*a), y = comparable(*b);
  return apply<true>(F{}, At(x, a.here.file, a.here.line), At(y));
}
template <class F>
Tensor compare(At a, double b) {
  detail::require_defined(F::name, *a);
  const Tensor c = full({}, b, a->dtype());
  if (is_floating(a->dtype()) || c.item() == b)
    return compare<F>(a, At(full({}, b, a->dtype(), a->device())));
  // An integer is compared with the number itself, not with what is left of it as an integer.
  const Tensor x = a->to(DType::f64), y = full({}, b, DType::f64, a->device());
  return compare<F>(At(x, a.here.file, a.here.line), At(y));
}

}  // namespace

Tensor less(At a, At b) { return compare<Less>(a, b); }
Tensor less_equal(At a, At b) { return compare<LessEqual>(a, b); }
Tensor greater(At a, At b) { return compare<Greater>(a, b); }
Tensor greater_equal(At a, At b) { return compare<GreaterEqual>(a, b); }
Tensor equal(At a, At b) { return compare<Equal>(a, b); }
Tensor not_equal(At a, At b) { return compare<NotEqual>(a, b); }
Tensor less(At a, double b) { return compare<Less>(a, b); }
Tensor less_equal(At a, double b) { return compare<LessEqual>(a, b); }
Tensor greater(At a, double b) { return compare<Greater>(a, b); }
Tensor greater_equal(At a, double b) { return compare<GreaterEqual>(a, b); }
Tensor equal(At a, double b) { return compare<Equal>(a, b); }
Tensor not_equal(At a, double b) { return compare<NotEqual>(a, b); }

namespace {

const Tensor& boolean_operand(const char* name, const Tensor& t) {
  detail::require_dtype(name, t, DType::boolean, "an operand");
  return t;
}

}  // namespace

Tensor logical_and(At a, At b) {
  const Tensor x = boolean_operand("logical_and", *a).to(DType::i32);
  const Tensor y = boolean_operand("logical_and", *b).to(DType::i32);
  return not_equal(mul(At(x, a.here.file, a.here.line), y), 0);
}
Tensor logical_or(At a, At b) {
  const Tensor x = boolean_operand("logical_or", *a).to(DType::i32);
  const Tensor y = boolean_operand("logical_or", *b).to(DType::i32);
  return not_equal(add(At(x, a.here.file, a.here.line), y), 0);
}
Tensor logical_not(At x) {
  boolean_operand("logical_not", *x);
  return equal(x, 0);
}
Tensor isnan(At x) {
  detail::require_floating("isnan", *x);
  return compare<NotEqual>(x, x);
}
Tensor isfinite(At x) {
  detail::require_floating("isfinite", *x);
  const Tensor zero = mul(x, 0.0);  // NaN for infinities and NaN
  return compare<Equal>(zero, zero);
}

bool all_close(const Tensor& a, const Tensor& b, double relative, double absolute) {
  detail::require_defined("all_close", a);
  detail::require_defined("all_close", b);
  detail::require_same_dtype("all_close", a, b);
  if (a.shape() != b.shape()) return false;
  const std::vector<double> x = a.to(DType::f64).to_vector<double>();
  const std::vector<double> y = b.to(DType::f64).to_vector<double>();
  for (std::size_t i = 0; i < x.size(); ++i)
    if (!(x[i] == y[i] || std::abs(x[i] - y[i]) <= absolute + relative * std::abs(y[i])))
      return false;
  return true;
}

}  // namespace gradus
