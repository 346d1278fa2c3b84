// Elementwise operations of several operands.
#include <cmath>

#include "gradus/autograd/apply.h"
#include "gradus/tensor/copy.h"

namespace gradus {

using namespace formula;
using detail::apply;

namespace {

// A formula with a constant; an integer tensor takes whole numbers only.
template <class F>
Tensor apply_constant(const F& f, double c, At x) {
  if (x->defined() && !is_floating(x->dtype()))
    require(c == std::floor(c) && std::abs(c) < 9e15, F::name, ": a tensor of ", x->dtype(),
            " takes whole numbers only, got ", c);
  return apply<true>(f, x);
}

}  // namespace

Tensor add(At a, At b) { return apply<true>(Add{}, a, b); }
Tensor sub(At a, At b) { return apply<true>(Sub{}, a, b); }
Tensor mul(At a, At b) { return apply<true>(Mul{}, a, b); }
Tensor div(At a, At b) { return apply(Div{}, a, b); }
Tensor maximum(At a, At b) { return apply<true>(Maximum{}, a, b); }
Tensor minimum(At a, At b) { return apply<true>(Minimum{}, a, b); }
Tensor add(At a, double b) { return apply_constant(AddConstant{b}, b, a); }
Tensor sub(At a, double b) { return apply_constant(SubConstant{b}, b, a); }
Tensor sub(double a, At b) { return apply_constant(SubtractFrom{a}, a, b); }
Tensor mul(At a, double b) { return apply_constant(MulConstant{b}, b, a); }
Tensor div(At a, double b) { return apply(DivConstant{b}, a); }
Tensor div(double a, At b) { return apply(DivideInto{a}, b); }
Tensor pow(At base, At exponent) { return apply(Pow{}, base, exponent); }
Tensor pow(At base, double exponent) {
  detail::require_floating("pow", *base);
  if (exponent == 2) return square(base);
  if (exponent == 0.5) return sqrt(base);
  if (exponent == -1) return reciprocal(base);
  return apply(PowConstant{exponent}, base);
}
Tensor maximum(At a, double b) { return apply(MaximumConstant{b}, a); }
Tensor minimum(At a, double b) { return apply(MinimumConstant{b}, a); }
Tensor where(At condition, At a, At b) { return apply(Where{}, condition, a, b); }
Tensor where(At condition, At a, double b) { return apply(WhereConstant{b, false}, condition, a); }
Tensor where(At condition, double a, At b) { return apply(WhereConstant{a, true}, condition, b); }

}  // namespace gradus
