// The elementwise operations: every one is a map over a formula of kernels/formula.h.
#include <cmath>

#include "gradus/autograd/ops.h"
#include "gradus/tensor/copy.h"

namespace gradus {
namespace {

using namespace formula;

template <bool integers = false, class F, class... Ts>
Tensor apply(const F& f, At first, const Ts&... rest) {
  const Tensor* inputs[] = {&first.tensor, &rest.tensor...};
  return detail::run_map(detail::map_op<F, 1 + static_cast<int>(sizeof...(Ts)), integers>(), &f, inputs,
                         first.here);
}

// A formula with a constant; an integer tensor takes whole numbers only.
template <class F>
Tensor apply_constant(const F& f, double c, At x) {
  if (x->defined() && !is_floating(x->dtype()))
    require(c == std::floor(c) && std::abs(c) < 9e15, F::name, ": a tensor of ", x->dtype(),
            " takes whole numbers only, got ", c);
  return apply<true>(f, x);
}

// Small integers and bf16 are compared as numbers that hold them exactly.
Tensor comparable(const Tensor& t) {
  if (t.defined() && (t.dtype() == DType::u8 || t.dtype() == DType::boolean)) return t.to(DType::i32);
  if (t.defined() && t.dtype() == DType::bf16) return t.to(DType::f32);
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
  const Tensor c = full({}, b, a->dtype(), a->device());
  if (is_floating(a->dtype()) || c.item() == b) return compare<F>(a, At(c));
  // An integer is compared with the number itself, not with what is left of it as an integer.
  const Tensor x = a->to(DType::f64), y = full({}, b, DType::f64);
  return compare<F>(At(x, a.here.file, a.here.line), At(y));
}

}  // namespace

#define GRADUS_DEFINE(function, Formula) \
  Tensor function(At x) { return apply(formula::Formula{}, x); }
GRADUS_UNARY_FORMULAS(GRADUS_DEFINE)
#undef GRADUS_DEFINE

Tensor add(At a, At b) { return apply<true>(Add{}, a, b); }
Tensor sub(At a, At b) { return apply<true>(Sub{}, a, b); }
Tensor mul(At a, At b) { return apply<true>(Mul{}, a, b); }
Tensor div(At a, At b) { return apply(Div{}, a, b); }
Tensor maximum(At a, At b) { return apply<true>(Maximum{}, a, b); }
Tensor minimum(At a, At b) { return apply<true>(Minimum{}, a, b); }
Tensor add(At a, double b) { return apply_constant(AddConstant{b}, b, a); }
Tensor sub(At a, double b) { return apply_constant(AddConstant{-b}, b, a); }
Tensor sub(double a, At b) { return apply_constant(SubtractFrom{a}, a, b); }
Tensor mul(At a, double b) { return apply_constant(MulConstant{b}, b, a); }
Tensor div(At a, double b) { return apply(DivConstant{b}, a); }
Tensor div(double a, At b) { return apply(DivideInto{a}, b); }
Tensor pow(At base, At exponent) { return apply(Pow{}, base, exponent); }
Tensor pow(At base, double exponent) {
  if (exponent == 2) return square(base);
  if (exponent == 0.5) return sqrt(base);
  if (exponent == -1) return reciprocal(base);
  return apply(PowConstant{exponent}, base);
}
Tensor maximum(At a, double b) { return apply(MaximumConstant{b}, a); }
Tensor minimum(At a, double b) { return apply(MinimumConstant{b}, a); }
Tensor leaky_relu(At x, double slope) { return apply(LeakyRelu{slope}, x); }
Tensor elu(At x, double alpha) { return apply(Elu{alpha}, x); }

Tensor clamp(At x, double low, double high) {
  require(low <= high, "clamp: low must not exceed high: ", low, " and ", high);
  return apply(Clamp{low, high}, x);
}

Tensor gelu(At x, Gelu form) {
  switch (form) {
    case Gelu::exact: return apply(GeluExact{}, x);
    case Gelu::tanh: return apply(GeluTanh{}, x);
    case Gelu::sigmoid: break;
  }
  return apply(GeluSigmoid{}, x);
}

Tensor where(At condition, At a, At b) { return apply(Where{}, condition, a, b); }
Tensor where(At condition, At a, double b) { return apply(WhereConstant{b, false}, condition, a); }
Tensor where(At condition, double a, At b) { return apply(WhereConstant{a, true}, condition, b); }

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
