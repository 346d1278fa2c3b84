// y = x W' + b.
#pragma once

#include "gradus/nn/module.h"
#include "gradus/tensor/random.h"

namespace gradus::nn {

struct LinearOptions {
  bool bias = true;
  DType dtype = DType::f32;
};

// (..., in) -> (..., out). Weight and bias start uniform in +-1 / sqrt(in).
struct GRADUS_API Linear {
  Tensor weight;  // (out, in)
  Tensor bias;    // (out), or without a value

  Linear() = default;
  Linear(std::int64_t in, std::int64_t out, Generator& generator, LinearOptions options = {});
  Tensor operator()(At x) const;
  static void each(auto& self, auto&& f) {
    f("weight", self.weight);
    f("bias", self.bias);
  }
};

}  // namespace gradus::nn
