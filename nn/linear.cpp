#include "gradus/nn/linear.h"

#include <cmath>

#include "gradus/autograd/ops.h"
#include "gradus/nn/init.h"

namespace gradus::nn {

Linear::Linear(std::int64_t in, std::int64_t out, Generator& generator, LinearOptions options) {
  require(in > 0 && out > 0, "Linear: sizes must be positive: ", in, " -> ", out);
  const double limit = 1 / std::sqrt(static_cast<double>(in));
  weight =
      kaiming_uniform({out, in}, generator, {.gain = 1 / std::sqrt(3.0), .dtype = options.dtype});
  weight.requires_grad_();
  if (options.bias) {
    bias = uniform({out}, -limit, limit, generator, options.dtype);
    bias.requires_grad_();
  }
}

Tensor Linear::operator()(At x) const { return linear(x, weight, bias); }

}  // namespace gradus::nn
