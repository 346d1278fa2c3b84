// Losses. Shapes must be equal: a loss never broadcasts.
#include "gradus/autograd/ops.h"
#include "gradus/kernels/loss_formula.h"
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

// The targets of (rows, classes) losses, each known to be a class.
Tensor checked_classes(const char* name, const Tensor& x, const Tensor& target) {
  detail::require_floating(name, x);
  detail::require_dtype(name, target, DType::i64, "target");
  require(x.dim() == 2, name, ": needs (rows, classes), got ", x.shape());
  require(target.shape() == Shape{x.size(0)}, name, ": target must be (", x.size(0), ",), got ",
          target.shape());
  return detail::checked_indices(name, "target", x, target, x.size(1));
}

}  // namespace

Tensor mse_loss(At prediction, At target, LossOptions options) {
  check_pair("mse_loss", *prediction, *target);
  return reduce(map(formula::SquaredError{}, prediction, *target), options, prediction.here);
}

Tensor l1_loss(At prediction, At target, LossOptions options) {
  check_pair("l1_loss", *prediction, *target);
  return reduce(map(formula::AbsoluteError{}, prediction, *target), options, prediction.here);
}

Tensor huber_loss(At prediction, At target, double delta, LossOptions options) {
  check_pair("huber_loss", *prediction, *target);
  require(delta > 0, "huber_loss: delta must be positive, got ", delta);
  return reduce(map(formula::Huber{delta}, prediction, *target), options, prediction.here);
}

Tensor binary_cross_entropy_with_logits(At logits, At target, LossOptions options) {
  check_pair("binary_cross_entropy_with_logits", *logits, *target);
  return reduce(map(formula::BinaryCrossEntropy{}, logits, *target), options, logits.here);
}

Tensor nll_loss(At log_probabilities, At target, LossOptions options) {
  const Here here = log_probabilities.here;
  const Tensor ids = checked_classes("nll_loss", *log_probabilities, *target);
  const Tensor picked = gather(log_probabilities, 1, ids.unsqueeze(1));
  return reduce(neg(at(picked.squeeze(1, here), here)), options, here);
}

Tensor cross_entropy(At logits, At target, LossOptions options) {
  const Tensor ids = checked_classes("cross_entropy", *logits, *target);
  const Tensor losses = detail::cross_entropy_rows(logits, at(ids, logits.here));
  return reduce(losses, options, logits.here).to(logits->dtype(), logits.here);
}

}  // namespace gradus
