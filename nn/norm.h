// Layers that normalise.
#pragma once

#include "gradus/nn/module.h"

namespace gradus::nn {

// layer_norm over the last axis, (..., size) -> (..., size). It starts with gain 1 and bias 0.
struct GRADUS_API LayerNorm {
  Tensor gain, bias;  // (size)
  double eps = 1e-5;

  LayerNorm() = default;
  explicit LayerNorm(std::int64_t size, DType dtype = DType::f32);
  Tensor operator()(At x) const;
  static void each(auto& self, auto&& f) {
    f("gain", self.gain);
    f("bias", self.bias);
  }
};

// Batch normalisation with its statistics fixed, as an activation of units: (z - gamma) / beta,
// (..., units) -> (..., units). No beta may be 0. Neither is trained; both are saved.
struct GRADUS_API FixedNormActivation {
  Tensor gamma;  // (units), or without a value: the mean of each sample's own units
  Tensor beta;   // (units)

  FixedNormActivation() = default;
  FixedNormActivation(const Tensor& gamma, const Tensor& beta);
  static FixedNormActivation centred(const Tensor& beta);
  Tensor operator()(At z) const;
  static void each(auto& self, auto&& f) {
    f("gamma", self.gamma);
    f("beta", self.beta);
  }
};

}  // namespace gradus::nn
