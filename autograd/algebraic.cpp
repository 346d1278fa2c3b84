// Elementwise operations of one operand without transcendental functions.
#include "gradus/autograd/apply.h"

namespace gradus {

using namespace formula;
using detail::apply;

#define GRADUS_DEFINE(function, Formula) \
  Tensor function(At x) { return apply(formula::Formula{}, x); }
GRADUS_ALGEBRAIC_FORMULAS(GRADUS_DEFINE)
#undef GRADUS_DEFINE

Tensor leaky_relu(At x, double slope) { return apply(LeakyRelu{slope}, x); }

Tensor clamp(At x, double low, double high) {
  require(low <= high, "clamp: low must not exceed high: ", low, " and ", high);
  return apply(Clamp{low, high}, x);
}

}  // namespace gradus
