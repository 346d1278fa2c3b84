#include "gradus/nn/mixture.h"

#include "gradus/nn/domain.h"

namespace gradus::distributions::detail {

Tensor log_weights(const char* operation, const Parameter& logits, const Shape& shape, int axis) {
  require(logits.is_tensor() && logits.tensor().dim() >= 1,
          "Mixture: logits must be a tensor (..., components)");
  const std::int64_t count = logits.tensor().size(-1);
  const int at = shape.size() + axis;
  require(at >= 0 && shape[at] == count, operation, ": ", count,
          " logits, but the components' axis is not of that size: ", shape);
  return log_probabilities(Categorical{logits});
}

Tensor choose(const Tensor& draws, const Parameter& logits, int event_rank, Generator& generator) {
  const char* name = "Mixture.sample";
  const Tensor log_w = log_weights(name, logits, draws.shape(), -1 - event_rank);
  Shape rows = draws.shape();
  for (int i = 0; i < event_rank; ++i) rows.erase(rows.size() - 1);
  Tensor index = Categorical{expand(log_w, rows)}.sample(generator).unsqueeze(-1);
  Shape picked = rows;
  picked[picked.size() - 1] = 1;
  for (int i = 0; i < event_rank; ++i) {
    index = index.unsqueeze(-1);
    picked.push_back(draws.size(draws.dim() - event_rank + i));
  }
  return gather(draws, -1 - event_rank, expand(index, picked)).squeeze(-1 - event_rank);
}

Tensor weighted(const char* operation, const Parameter& logits, const Tensor& values,
                int event_rank) {
  Tensor w = exp(log_weights(operation, logits, values.shape(), -1 - event_rank));
  for (int i = 0; i < event_rank; ++i) w = w.unsqueeze(-1);
  return sum(w * values, -1 - event_rank);
}

}  // namespace gradus::distributions::detail
