// Formulas: each written once, as a generic functor, and read by several kinds of number.
//   Lane<T>       (cpu/simd.h)  the CPU loop; of width one, a CUDA thread
//   Dual<Lane>                  the fused kernel of a first derivative
//   Tensor                      the definition in primitive operations
//   Dual<Tensor>                the derivative's definition, and so every higher order
//   Reads                       which inputs the value, or a derivative, depends on
// Constants are plain double and take the precision of the number they meet. Branches go through
// select(mask, a, b), ordered so that NaN propagates. Only active inputs are Dual: the others enter
// as plain values, never as a dual number with derivative 0 (0 * inf is NaN).
#pragma once

#include "gradus/kernels/dual.h"

namespace gradus {

// A formula may also state its gradient df(g, x, y) where the output y saves work; the dual number
// is then its test.
namespace formula {

#define GRADUS_FORMULA_OF(Name, text, arguments, expression) \
  struct Name {                                              \
    static constexpr const char* name = text;                \
    GRADUS_INLINE auto operator() arguments const { return expression; }

#define GRADUS_FORMULA_1(Name, text, expression)             \
  GRADUS_FORMULA_OF(Name, text, (const auto& x), expression) \
  }                                                          \
  ;
#define GRADUS_FORMULA_1_DF(Name, text, expression, gradient)                     \
  GRADUS_FORMULA_OF(Name, text, (const auto& x), expression)                      \
  template <class V>                                                              \
  GRADUS_INLINE V df(const V& g, [[maybe_unused]] const V& x, const V& y) const { \
    return gradient;                                                              \
  }                                                                               \
  }                                                                               \
  ;
#define GRADUS_FORMULA_2(Name, text, expression)                            \
  GRADUS_FORMULA_OF(Name, text, (const auto& a, const auto& b), expression) \
  }                                                                         \
  ;
// With a constant c: x is the tensor.
#define GRADUS_FORMULA_C(Name, text, expression)             \
  GRADUS_FORMULA_OF(Name, text, (const auto& x), expression) \
  double c;                                                  \
  }                                                          \
  ;

// Names of public functions with one operand; autograd/ makes them from this list.
#define GRADUS_ALGEBRAIC_FORMULAS(X)                                                      \
  X(neg, Neg)                                                                             \
  X(abs, Abs)                                                                             \
  X(sign, Sign)                                                                           \
  X(sqrt, Sqrt)                                                                           \
  X(rsqrt, Rsqrt)                                                                         \
  X(square, Square) X(reciprocal, Reciprocal) X(relu, Relu) X(floor, Floor) X(ceil, Ceil) \
      X(round, Round)
#define GRADUS_TRANSCENDENTAL_FORMULAS(X)                                                     \
  X(exp, Exp)                                                                                 \
  X(expm1, Expm1)                                                                             \
  X(log, Log)                                                                                 \
  X(log1p, Log1p)                                                                             \
  X(sin, Sin)                                                                                 \
  X(cos, Cos) X(tan, Tan) X(tanh, Tanh) X(sigmoid, Sigmoid) X(softplus, Softplus) X(erf, Erf) \
      X(erfc, Erfc) X(ndtr, Ndtr) X(silu, Silu)
// The others: X(Formula, inputs, whether for integers too).
#define GRADUS_ALGEBRAIC_FORMULAS_OF_ONE(X)                                     \
  X(AddConstant, 1, true)                                                       \
  X(SubConstant, 1, true)                                                       \
  X(SubtractFrom, 1, true)                                                      \
  X(MulConstant, 1, true)                                                       \
  X(DivConstant, 1, false) X(DivideInto, 1, false) X(MaximumConstant, 1, false) \
      X(MinimumConstant, 1, false) X(LeakyRelu, 1, false) X(Clamp, 1, false)
#define GRADUS_TRANSCENDENTAL_FORMULAS_OF_ONE(X) \
  X(PowConstant, 1, false)                       \
  X(Elu, 1, false) X(GeluExact, 1, false) X(GeluTanh, 1, false) X(GeluSigmoid, 1, false)
#define GRADUS_FORMULAS_OF_SEVERAL(X)                                         \
  X(Add, 2, true)                                                             \
  X(Sub, 2, true)                                                             \
  X(Mul, 2, true)                                                             \
  X(Div, 2, false)                                                            \
  X(Pow, 2, false) X(Maximum, 2, true) X(Minimum, 2, true) X(Where, 3, false) \
      X(WhereConstant, 2, false) X(Hit, 3, false)
#define GRADUS_COMPARISONS_OF_TWO(X) \
  X(Less, 2, true)                   \
  X(LessEqual, 2, true)              \
  X(Greater, 2, true) X(GreaterEqual, 2, true) X(Equal, 2, true) X(NotEqual, 2, true)

GRADUS_FORMULA_1(Neg, "neg", -x)
GRADUS_FORMULA_1(Abs, "abs", abs(x))
GRADUS_FORMULA_1(Sign, "sign", sign(x))
GRADUS_FORMULA_1_DF(Exp, "exp", exp(x), g* y)
GRADUS_FORMULA_1_DF(Expm1, "expm1", expm1(x), g*(y + 1.0))
GRADUS_FORMULA_1(Log, "log", log(x))
GRADUS_FORMULA_1(Log1p, "log1p", log1p(x))
GRADUS_FORMULA_1_DF(Sqrt, "sqrt", sqrt(x), 0.5 * g / y)
GRADUS_FORMULA_1_DF(Rsqrt, "rsqrt", rsqrt(x), -0.5 * g * y * (y * y))
GRADUS_FORMULA_1(Square, "square", x* x)
GRADUS_FORMULA_1_DF(Reciprocal, "reciprocal", 1.0 / x, -(g*(y* y)))
GRADUS_FORMULA_1(Sin, "sin", sin(x))
GRADUS_FORMULA_1(Cos, "cos", cos(x))
GRADUS_FORMULA_1_DF(Tan, "tan", tan(x), g*(y* y + 1.0))
GRADUS_FORMULA_1_DF(Tanh, "tanh", tanh(x), g*((1.0 - y) * (1.0 + y)))
GRADUS_FORMULA_1_DF(Sigmoid, "sigmoid", sigmoid(x), g*(y*(1.0 - y)))
GRADUS_FORMULA_1(Softplus, "softplus", softplus(x))
GRADUS_FORMULA_1(Erf, "erf", erf(x))
GRADUS_FORMULA_1(Erfc, "erfc", erfc(x))
GRADUS_FORMULA_1(Ndtr, "ndtr", ndtr(x))
GRADUS_FORMULA_1_DF(Relu, "relu", select(x <= 0.0, 0.0, x), select(y <= 0.0, 0.0, g))
GRADUS_FORMULA_1(Floor, "floor", floor(x))
GRADUS_FORMULA_1(Ceil, "ceil", ceil(x))
GRADUS_FORMULA_1(Round, "round", round(x))

GRADUS_FORMULA_2(Add, "add", a + b)
GRADUS_FORMULA_2(Sub, "sub", a - b)
GRADUS_FORMULA_2(Mul, "mul", a* b)
GRADUS_FORMULA_2(Div, "div", a / b)
GRADUS_FORMULA_2(Pow, "pow", pow(a, b))
// The first operand at a tie; NaN wins.
GRADUS_FORMULA_2(Maximum, "maximum", select(a < b, b, select(b <= a, a, a + b)))
GRADUS_FORMULA_2(Minimum, "minimum", select(b < a, b, select(a <= b, a, a + b)))
GRADUS_FORMULA_2(Less, "less", a < b)
GRADUS_FORMULA_2(LessEqual, "less_equal", a <= b)
GRADUS_FORMULA_2(Greater, "greater", a > b)
GRADUS_FORMULA_2(GreaterEqual, "greater_equal", a >= b)
GRADUS_FORMULA_2(Equal, "equal", a == b)
GRADUS_FORMULA_2(NotEqual, "not_equal", a != b)

GRADUS_FORMULA_C(AddConstant, "add", x + c)
GRADUS_FORMULA_C(SubConstant, "sub", x - c)
GRADUS_FORMULA_C(SubtractFrom, "sub", c - x)
GRADUS_FORMULA_C(MulConstant, "mul", x* c)
GRADUS_FORMULA_C(DivConstant, "div", x / c)
GRADUS_FORMULA_C(DivideInto, "div", c / x)
GRADUS_FORMULA_C(PowConstant, "pow", pow(x, c))
GRADUS_FORMULA_C(MaximumConstant, "maximum", select(x < c, c, x))
GRADUS_FORMULA_C(MinimumConstant, "minimum", select(x > c, c, x))
GRADUS_FORMULA_C(LeakyRelu, "leaky_relu", select(x > 0.0, x, c* x))
GRADUS_FORMULA_C(Elu, "elu", select(x > 0.0, x, c* expm1(select(x > 0.0, 0.0, x))))

struct Clamp {
  static constexpr const char* name = "clamp";
  double low, high;
  GRADUS_INLINE auto operator()(const auto& x) const { return clamp(x, low, high); }
};

struct Where {
  static constexpr const char* name = "where";
  static constexpr unsigned boolean_inputs = 1;
  GRADUS_INLINE auto operator()(const auto& condition, const auto& a, const auto& b) const {
    return select(condition != 0.0, a, b);
  }
};
// The gradient of max and min: s where x is the extreme element y, 0 elsewhere.
struct Hit {
  static constexpr const char* name = "max";
  GRADUS_INLINE auto operator()(const auto& x, const auto& y, const auto& s) const {
    return select(x == y, s, 0.0 * s);
  }
};
struct WhereConstant {  // otherwise: the constant stands where the condition holds
  static constexpr const char* name = "where";
  static constexpr unsigned boolean_inputs = 1;
  double c;
  bool otherwise;
  GRADUS_INLINE auto operator()(const auto& condition, const auto& x) const {
    return otherwise ? select(condition != 0.0, c, x) : select(condition != 0.0, x, c);
  }
};

// x sigmoid(c x), for x > 0 as x - x sigmoid(-c x): there the rounding of what is taken away hardly
// counts. Beyond +-limit the factor is 0 or 1 to the last bit in f64 too; the guard keeps inf * 0
// out of the value and of every derivative.
template <class V>
GRADUS_INLINE V gated(const V& x, double c) {
  const double limit = 800.0 / c;
  const V w = clamp(x, -limit, limit);
  const V part = w * sigmoid(select(w > 0.0, -c * w, c * w));
  return select(x > limit, x, select(w > 0.0, w - part, part));
}
GRADUS_FORMULA_1(Silu, "silu", gated(x, 1.0))
GRADUS_FORMULA_1(GeluSigmoid, "gelu", gated(x, 1.702))

GRADUS_FORMULA_1(GeluExact, "gelu", gelu(x))  // x Phi(x)
// x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) = x sigmoid(2 sqrt(2/pi) (...)).
struct GeluTanh {
  static constexpr const char* name = "gelu";
  GRADUS_INLINE auto operator()(const auto& x) const {
    const auto w = clamp(x, -40.0, 40.0);
    return select(x > 40.0, x, w * sigmoid(1.5957691216057308 * (w + 0.044715 * (w * w * w))));
  }
};

}  // namespace formula
}  // namespace gradus
