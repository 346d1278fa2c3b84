// Elementwise operations of one operand with exponentials, logarithms and their kin.
#include "gradus/autograd/apply.h"

namespace gradus {

using namespace formula;
using detail::apply;

#define GRADUS_DEFINE(function, Formula) \
  Tensor function(At x) { return apply(formula::Formula{}, x); }
GRADUS_TRANSCENDENTAL_FORMULAS(GRADUS_DEFINE)
#undef GRADUS_DEFINE

Tensor elu(At x, double alpha) { return apply(Elu{alpha}, x); }

Tensor gelu(At x, Gelu form) {
  switch (form) {
    case Gelu::exact:
      return apply(GeluExact{}, x);
    case Gelu::tanh:
      return apply(GeluTanh{}, x);
    case Gelu::sigmoid:
      break;
  }
  return apply(GeluSigmoid{}, x);
}

}  // namespace gradus
