#include "gradus/nn/embedding.h"

#include "gradus/autograd/ops.h"

namespace gradus::nn {

Embedding::Embedding(std::int64_t rows, std::int64_t size, Generator& generator, DType dtype) {
  require(rows > 0 && size > 0, "Embedding: sizes must be positive: ", rows, " rows of ", size);
  weight = randn({rows, size}, generator, dtype);
  weight.requires_grad_();
}

Tensor Embedding::operator()(At ids) const {
  return embedding(At(weight, ids.here.file, ids.here.line), ids);
}

}  // namespace gradus::nn
