#include "gradus/nn/conv.h"

#include <cmath>

#include "gradus/nn/init.h"

namespace gradus::nn {

Conv2d::Conv2d(std::int64_t in, std::int64_t out, HeightWidth kernel, Generator& generator,
               ConvOptions o)
    : options{o.stride, o.padding, o.dilation, o.groups} {
  require(in > 0 && out > 0 && kernel.height > 0 && kernel.width > 0,
          "Conv2d: sizes must be positive: ", in, " -> ", out, ", kernel ",
          Shape{kernel.height, kernel.width});
  require(o.groups > 0 && in % o.groups == 0 && out % o.groups == 0, "Conv2d: ", o.groups,
          " groups do not divide ", in, " channels into ", out);
  const Shape shape{out, in / o.groups, kernel.height, kernel.width};
  weight = kaiming_uniform(shape, generator, {.gain = 1 / std::sqrt(3.0), .dtype = o.dtype});
  weight.requires_grad_();
  if (o.bias) {
    const double limit = 1 / std::sqrt(static_cast<double>(fan(shape).in));
    bias = uniform({out}, -limit, limit, generator, o.dtype);
    bias.requires_grad_();
  }
}

Tensor Conv2d::operator()(At x) const { return conv2d(x, weight, bias, options); }

}  // namespace gradus::nn
