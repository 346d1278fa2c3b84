// Attention, by its definition.
#include <cmath>

#include "gradus/autograd/ops.h"
#include "gradus/autograd/precision.h"
#include "gradus/tensor/copy.h"

namespace gradus {
namespace {

At at(const Tensor& t, Here here) { return At(t, here.file, here.line); }

void check_operands(const char* name, const Tensor& q, const Tensor& k,
                    const AttentionOptions& options) {
  detail::require_floating(name, q);
  detail::require_floating(name, k);
  detail::require_same_dtype(name, q, k);
  require(q.dim() == 4 && k.dim() == 4, name, ": needs (batch, heads, time, size), got queries ",
          q.shape(), " and keys ", k.shape());
  require(q.size(0) == k.size(0), name, ": batches differ: queries ", q.shape(), " and keys ",
          k.shape());
  require(q.size(3) == k.size(3) && q.size(3) > 0, name, ": sizes differ or are 0: queries ",
          q.shape(), " and keys ", k.shape());
  require(k.size(1) > 0 && q.size(1) % k.size(1) == 0, name, ": ", q.size(1),
          " heads do not divide into groups of ", k.size(1), " key heads");
  require(!options.causal || q.size(2) <= k.size(2), name, ": causal, the ", q.size(2),
          " queries are the last of the keys, and there are ", k.size(2));
  const double scale = options.scale.value_or(1);
  require(scale > 0 && std::isfinite(scale), name, ": scale must be positive and finite, got ",
          scale);
}

// True where query i attends to key j; undefined where all do.
Tensor attended(const char* name, const Tensor& q, const Tensor& k,
                const AttentionOptions& options) {
  Tensor mask = options.mask;
  if (mask.defined()) {
    detail::require_dtype(name, mask, DType::boolean, "mask");
    detail::require_same_device(name, q, mask);
    const Shape scores{q.size(0), q.size(1), q.size(2), k.size(2)};
    require(broadcast_shapes(name, mask.shape(), scores) == scores, name, ": mask ", mask.shape(),
            " does not broadcast to ", scores);
  }
  if (!options.causal) return mask;
  // Counted on the device: a recorded step (graphed) takes no copies from the CPU.
  const auto count = [](const Tensor& t) {
    return cumsum(ones({t.size(2)}, DType::f64, t.device()), 0);
  };
  const Tensor lead = sub(count(k), count(q).unsqueeze(1));
  const Tensor past = less_equal(lead, static_cast<double>(k.size(2) - q.size(2)));
  return mask.defined() ? logical_and(mask, past) : past;
}

// Of operands that were checked, f32 or f64.
Tensor weights_of(const char* name, At q, At k, const AttentionOptions& options) {
  const Here here = q.here;
  const Tensor mask = attended(name, *q, *k, options);
  // The heads of a group are rows of one product with the keys that they share.
  const std::int64_t rows = q->size(1) / k->size(1) * q->size(2);
  const Tensor grouped = q->reshape({q->size(0), k->size(1), rows, q->size(3)}, here);
  const Tensor scores = matmul(at(grouped, here), k->transpose(-2, -1, here))
                            .reshape({q->size(0), q->size(1), q->size(2), k->size(2)}, here);
  const auto masked = [&](const Tensor& x, double value) {
    return mask.defined() ? where(at(mask, here), x, value) : x;
  };
  if (options.weights == AttentionWeights::relu) {
    const Tensor positive = masked(relu(at(scores, here)), 0);
    const Tensor total = sum(at(positive, here), -1, true);
    return div(at(positive, here), where(at(equal(total, 0), here), 1.0, total));
  }
  const double scale = options.scale.value_or(1 / std::sqrt(static_cast<double>(q->size(3))));
  // Far below any logit, and finite: a row of nothing else is uniform until the mask clears it.
  const double lowest = q->dtype() == DType::f64 ? -1e308 : -1e38;
  const Tensor logits = masked(mul(at(scores, here), scale), lowest);
  return masked(softmax(at(logits, here), -1), 0);
}

}  // namespace

Tensor attention_weights(At q, At k, const AttentionOptions& options) {
  check_operands("attention_weights", *q, *k, options);
  const auto of = [&](const Tensor& queries, const Tensor& keys) {
    return weights_of("attention_weights", at(queries, q.here), keys, options);
  };
  return detail::in_float(q->dtype(), of, *q, *k);
}

Tensor attention(At q, At k, At v, const AttentionOptions& options) {
  check_operands("attention", *q, *k, options);
  detail::require_floating("attention", *v);
  detail::require_same_dtype("attention", *k, *v);
  require(v->dim() == 4 && v->size(0) == k->size(0) && v->size(1) == k->size(1) &&
              v->size(2) == k->size(2),
          "attention: values ", v->shape(), " do not go with keys ", k->shape());
  const auto of = [&, here = q.here](const Tensor& queries, const Tensor& keys,
                                     const Tensor& values) {
    const Tensor p = weights_of("attention", at(queries, here), keys, options);
    const std::int64_t rows = p.size(1) / values.size(1) * p.size(2);
    const Tensor grouped = p.reshape({p.size(0), values.size(1), rows, p.size(3)}, here);
    return matmul(at(grouped, here), values)
        .reshape({p.size(0), p.size(1), p.size(2), values.size(3)}, here);
  };
  return detail::in_float(q->dtype(), of, *q, *k, *v);
}

}  // namespace gradus
