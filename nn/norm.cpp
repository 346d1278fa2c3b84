#include "gradus/nn/norm.h"

#include <cmath>

#include "gradus/autograd/ops.h"

namespace gradus::nn {

LayerNorm::LayerNorm(std::int64_t size, DType dtype) {
  require(size > 0, "LayerNorm: the size must be positive, got ", size);
  gain = ones({size}, dtype);
  bias = zeros({size}, dtype);
  gain.requires_grad_();
  bias.requires_grad_();
}

Tensor LayerNorm::operator()(At x) const { return layer_norm(x, gain, bias, eps); }

FixedNormActivation FixedNormActivation::centred(const Tensor& beta) {
  require(beta.dim() == 1 && is_floating(beta.dtype()),
          "FixedNormActivation: beta must be (units,) of floating numbers, got ", beta.shape(), ' ',
          beta.dtype());
  const std::vector<double> values = beta.detach().to(DType::f64).to_vector<double>();
  for (std::size_t i = 0; i < values.size(); ++i)
    require(values[i] != 0 && std::isfinite(values[i]),
            "FixedNormActivation: beta must be finite and not 0, got ", values[i], " for unit ", i);
  FixedNormActivation phi;
  phi.beta = beta.detach();
  return phi;
}

FixedNormActivation::FixedNormActivation(const Tensor& g, const Tensor& b)
    : FixedNormActivation(centred(b)) {
  require(g.shape() == b.shape() && g.dtype() == b.dtype(), "FixedNormActivation: gamma ",
          g.shape(), ' ', g.dtype(), " and beta ", b.shape(), ' ', b.dtype(), " differ");
  gamma = g.detach();
}

Tensor FixedNormActivation::operator()(At z) const {
  require(z->dim() >= 1 && z->size(-1) == beta.size(0), "FixedNormActivation: z ", z->shape(),
          " does not end in ", beta.size(0), " units");
  const Tensor shifted = sub(z, gamma.defined() ? gamma : mean(z, -1, true));
  return div(At(shifted, z.here.file, z.here.line), beta);
}

}  // namespace gradus::nn
