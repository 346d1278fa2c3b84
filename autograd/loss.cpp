// Losses. Shapes must be equal: a loss never broadcasts.
#include "gradus/autograd/ops.h"
#include "gradus/kernels/index.h"
#include "gradus/tensor/copy.h"

namespace gradus {
namespace detail {
Tensor cross_entropy_rows(At x, At target);
}
namespace {

At at(const Tensor& t, Here here) { return At(t, here.file, here.line); }

Tensor reduce(const Tensor& losses, LossOptions options, Here here) {
  switch (options.reduction) {
    case Reduction::mean:
      return mean(at(losses, here));
    case Reduction::sum:
      return sum(at(losses, here));
    case Reduction::none:
      break;
  }
  return losses;
}

void check_pair(const char* name, const Tensor& prediction, const Tensor& target) {
  detail::require_floating(name, prediction);
  detail::require_floating(name, target);
  detail::require_same_dtype(name, prediction, target);
  require(prediction.shape() == target.shape(), name, ": shapes differ: ", prediction.shape(),
          " and ", target.shape(), " (a loss does not broadcast)");
}

struct SquaredError {
  static constexpr const char* name = "mse_loss";
  GRADUS_INLINE auto operator()(const auto& x, const auto& y) const {
    const auto d = x - y;
    return d * d;
  }
};
struct AbsoluteError {
  static constexpr const char* name = "l1_loss";
  GRADUS_INLINE auto operator()(const auto& x, const auto& y) const { return abs(x - y); }
};
// d^2 / 2 for |d| <= delta, delta (|d| - delta / 2) beyond.
struct Huber {
  static constexpr const char* name = "huber_loss";
  double delta;
  GRADUS_INLINE auto operator()(const auto& x, const auto& y) const {
    const auto d = x - y;
    const auto size = abs(d);
    return select(size <= delta, 0.5 * (d * d), delta * (size - 0.5 * delta));
  }
};
// -t log sigmoid(x) - (1 - t) log sigmoid(-x) = max(x, 0) - t x + log(1 + exp(-|x|)); the first two
// terms are joined, because their difference would cancel.
struct BinaryCrossEntropy {
  static constexpr const char* name = "binary_cross_entropy_with_logits";
  GRADUS_INLINE auto operator()(const auto& x, const auto& t) const {
    return select(x > 0.0, x * (1.0 - t), -(x * t)) + softplus(select(x > 0.0, -x, x));
  }
};

// The targets of (rows, classes) losses, each known to be a class.
Tensor checked_classes(const char* name, const Tensor& x, const Tensor& target) {
  detail::require_floating(name, x);
  detail::require_dtype(name, target, DType::i64, "target");
  require(x.dim() == 2, name, ": needs (rows, classes), got ", x.shape());
  require(target.shape() == Shape{x.size(0)}, name, ": target must be (", x.size(0), ",), got ",
          target.shape());
  const Tensor ids = detail::contiguous_value(target);
  const std::int64_t* p = ids.data<std::int64_t>();
  const std::int64_t bad = cpu::find_out_of_range(p, ids.numel(), x.size(1));
  if (bad >= 0)
    fail(name, ": target ", p[bad], " at position ", bad, " lies outside of [0, ", x.size(1), ")");
  return ids;
}

}  // namespace

Tensor mse_loss(At prediction, At target, LossOptions options) {
  check_pair("mse_loss", *prediction, *target);
  return reduce(map(SquaredError{}, prediction, *target), options, prediction.here);
}

Tensor l1_loss(At prediction, At target, LossOptions options) {
  check_pair("l1_loss", *prediction, *target);
  return reduce(map(AbsoluteError{}, prediction, *target), options, prediction.here);
}

Tensor huber_loss(At prediction, At target, double delta, LossOptions options) {
  check_pair("huber_loss", *prediction, *target);
  require(delta > 0, "huber_loss: delta must be positive, got ", delta);
  return reduce(map(Huber{delta}, prediction, *target), options, prediction.here);
}

Tensor binary_cross_entropy_with_logits(At logits, At target, LossOptions options) {
  check_pair("binary_cross_entropy_with_logits", *logits, *target);
  return reduce(map(BinaryCrossEntropy{}, logits, *target), options, logits.here);
}

Tensor nll_loss(At log_probabilities, At target, LossOptions options) {
  const Here here = log_probabilities.here;
  const Tensor ids = checked_classes("nll_loss", *log_probabilities, *target);
  const Tensor picked = gather(log_probabilities, 1, ids.unsqueeze(1));
  return reduce(neg(at(picked.squeeze(1, here), here)), options, here);
}

Tensor cross_entropy(At logits, At target, LossOptions options) {
  const Tensor ids = checked_classes("cross_entropy", *logits, *target);
  return reduce(detail::cross_entropy_rows(logits, at(ids, logits.here)), options, logits.here);
}

}  // namespace gradus
