#include "gradus/nn/dropout.h"

#include "gradus/autograd/ops.h"

namespace gradus::nn {
namespace {

struct KeepScaled {
  static constexpr const char* name = "dropout";
  static constexpr unsigned boolean_inputs = 1;
  double scale;
  GRADUS_INLINE auto operator()(const auto& keep, const auto& x) const {
    return select(keep != 0.0, x * scale, 0.0);
  }
};

}  // namespace

Tensor dropout(At x, double p, Generator& generator) {
  require(p >= 0 && p < 1, "dropout: p must lie in [0, 1): ", p);
  if (p == 0) return *x;
  const Tensor keep = bernoulli(1 - p, x->shape(), generator, x->device());
  return map(KeepScaled{1 / (1 - p)}, At(keep, x.here.file, x.here.line), *x);
}

Tensor Dropout::operator()(At x, Generator& generator, Mode mode) const {
  require(p >= 0 && p < 1, "dropout: p must lie in [0, 1): ", p);
  return mode == Mode::train ? dropout(x, p, generator) : *x;
}

}  // namespace gradus::nn
