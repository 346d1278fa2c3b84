#include "gradus/nn/dropout.h"

#include "gradus/autograd/ops.h"
#include "gradus/kernels/nn_formula.h"

namespace gradus::nn {

Tensor dropout(At x, double p, Generator& generator) {
  require(p >= 0 && p < 1, "dropout: p must lie in [0, 1): ", p);
  if (p == 0) return *x;
  const Tensor keep = bernoulli(1 - p, x->shape(), generator, x->device());
  return map(formula::KeepScaled{1 / (1 - p)}, At(keep, x.here.file, x.here.line), *x);
}

Tensor Dropout::operator()(At x, Generator& generator, Mode mode) const {
  require(p >= 0 && p < 1, "dropout: p must lie in [0, 1): ", p);
  return mode == Mode::train ? dropout(x, p, generator) : *x;
}

}  // namespace gradus::nn
