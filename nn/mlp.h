// Linear layers with an activation between them.
#pragma once

#include "gradus/autograd/ops.h"
#include "gradus/nn/linear.h"

namespace gradus::nn {

using ActivationFunction = Tensor (*)(At);

struct MLPOptions {
  ActivationFunction activation = relu;
  bool bias = true;
  DType dtype = DType::f32;
};

// MLP({784, 400, 10}, generator): (..., 784) -> (..., 10), without an activation after the last
// layer. Two sizes at least.
struct GRADUS_API MLP {
  std::vector<Linear> layers;
  ActivationFunction activation = relu;

  MLP() = default;
  MLP(const std::vector<std::int64_t>& sizes, Generator& generator, MLPOptions options = {});
  Tensor operator()(At x) const;
  static void each(auto& self, auto&& f) { f("layers", self.layers); }
};

}  // namespace gradus::nn
