// The formulas of losses, of a prediction x and a target.
#pragma once

#include "gradus/kernels/formula.h"

namespace gradus::formula {

#define GRADUS_LOSS_FORMULAS(X) \
  X(SquaredError, 2, false)     \
  X(AbsoluteError, 2, false) X(Huber, 2, false) X(BinaryCrossEntropy, 2, false)

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

}  // namespace gradus::formula
