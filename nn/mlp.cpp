#include "gradus/nn/mlp.h"

namespace gradus::nn {

MLP::MLP(const std::vector<std::int64_t>& sizes, Generator& generator, MLPOptions options)
    : activation(options.activation) {
  require(sizes.size() >= 2, "MLP: needs at least two sizes, got ", sizes.size());
  require(activation != nullptr, "MLP: needs an activation");
  for (std::size_t i = 0; i + 1 < sizes.size(); ++i)
    layers.emplace_back(sizes[i], sizes[i + 1], generator,
                        LinearOptions{.bias = options.bias, .dtype = options.dtype});
}

Tensor MLP::operator()(At x) const {
  require(!layers.empty(), "MLP: used before it was given layers");
  Tensor y = layers[0](x);
  for (std::size_t i = 1; i < layers.size(); ++i)
    y = layers[i](At(activation(At(y, x.here.file, x.here.line)), x.here.file, x.here.line));
  return y;
}

}  // namespace gradus::nn
