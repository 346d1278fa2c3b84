// Convolution of images.
#pragma once

#include "gradus/autograd/ops.h"
#include "gradus/nn/module.h"
#include "gradus/tensor/random.h"

namespace gradus::nn {

struct ConvOptions {
  HeightWidth stride = 1, padding = 0, dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
  DType dtype = DType::f32;
};

// conv2d, (batch, in, height, width) -> (batch, out, height', width'). Weight and bias start
// uniform in +-1 / sqrt(in / groups * height * width of the kernel).
struct GRADUS_API Conv2d {
  Tensor weight;  // (out, in / groups, height, width)
  Tensor bias;    // (out), or without a value
  Conv2dOptions options;

  Conv2d() = default;
  Conv2d(std::int64_t in, std::int64_t out, HeightWidth kernel, Generator& generator,
         ConvOptions options = {});
  Tensor operator()(At x) const;
  static void each(auto& self, auto&& f) {
    f("weight", self.weight);
    f("bias", self.bias);
  }
};

}  // namespace gradus::nn
