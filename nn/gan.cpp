#include "gradus/nn/gan.h"

#include <numbers>

namespace gradus::gan {
namespace {

void check(const char* operation, const Tensor& logits, const char* which) {
  require(is_floating(logits.dtype()), operation, ": ", which, " must be f32 or f64, got ",
          logits.dtype());
  require(logits.numel() > 0, operation, ": ", which, " are empty: ", logits.shape());
}

// d |v| = v / |v|, and 0 at 0: the root never sees the 0.
Tensor norm(const Tensor& rows) {
  const Tensor squares = sum(square(rows), 1);
  const Tensor zero = less_equal(squares, 0);
  return where(zero, 0.0, sqrt(where(zero, 1.0, squares)));
}

}  // namespace

Tensor value(At real_logits, At fake_logits) {
  check("gan::value", *real_logits, "real logits");
  check("gan::value", *fake_logits, "fake logits");
  return -0.5 * (mean(softplus(-*real_logits)) + mean(softplus(fake_logits)));
}

Tensor discriminator_loss(At real_logits, At fake_logits, Loss loss) {
  check("discriminator_loss", *real_logits, "real logits");
  check("discriminator_loss", *fake_logits, "fake logits");
  const Tensor &real = *real_logits, &fake = *fake_logits;
  switch (loss) {
    case Loss::minimax:
    case Loss::non_saturating:
      return -value(real_logits, fake_logits);
    case Loss::least_squares:
      return 0.5 * (mean(square(real - 1.0)) + mean(square(fake)));
    case Loss::hinge:
      return mean(relu(1.0 - real)) + mean(relu(1.0 + fake));
    case Loss::wasserstein:
      return mean(fake) - mean(real);
  }
  throw Error("discriminator_loss: no such loss");
}

Tensor generator_loss(At fake_logits, Loss loss) {
  check("generator_loss", *fake_logits, "fake logits");
  const Tensor& fake = *fake_logits;
  switch (loss) {
    case Loss::minimax:
      return -0.5 * mean(softplus(fake));
    case Loss::non_saturating:
      return 0.5 * mean(softplus(-fake));
    case Loss::least_squares:
      return 0.5 * mean(square(fake - 1.0));
    case Loss::hinge:
    case Loss::wasserstein:
      return -mean(fake);
  }
  throw Error("generator_loss: no such loss");
}

Tensor gradient_penalty(const TensorFunction& critic, At real, At fake, Generator& generator,
                        PenaltyOptions options) {
  const char* name = "gradient_penalty";
  check(name, *real, "real samples");
  require(real->shape() == fake->shape(), name,
          ": real and fake samples differ in shape: ", real->shape(), " and ", fake->shape());
  require(real->dim() >= 1, name, ": the first axis must count the samples");
  const std::int64_t count = real->size(0);
  Shape one_each = real->shape();
  for (int axis = 1; axis < one_each.size(); ++axis) one_each[axis] = 1;
  const Tensor u = rand(one_each, generator, real->dtype(), real->device());
  const auto [y, pullback] = vjp(critic, u * *real + (1.0 - u) * *fake, real.here);
  require(y.numel() == count, name, ": the critic must give one number a sample, gave ", y.shape(),
          " for ", count, " samples");
  const Tensor gradient = pullback(ones(y.shape(), y.dtype(), y.device()));
  return mean(square(norm(reshape(gradient, {count, -1})) - options.target));
}

Tensor optimal_discriminator(At p, At q) {
  const Tensor total = *p + *q;
  const Tensor nowhere = equal(total, 0);
  return where(nowhere, 0.5, *p / where(nowhere, 1.0, total));
}

Tensor optimal_logits(At log_p, At log_q) { return *log_p - *log_q; }

Tensor jensen_shannon_bound(At real_logits, At fake_logits) {
  return value(real_logits, fake_logits) + std::numbers::ln2;
}

}  // namespace gradus::gan
