// Internal to the distributions: parameters as tensors, and values, checked against their domains.
#pragma once

#include <initializer_list>

#include "gradus/nn/distributions.h"

namespace gradus::distributions::detail {

// The first that is a tensor: the numbers among the parameters take its dtype and device.
Tensor first_tensor(std::initializer_list<const Parameter*> parameters, const Tensor& value = {});

// The parameter as a tensor. `what` names it in errors, "Normal: standard_deviation". Numbers out
// of the domain are an Error; NaN and infinities, which come from computing, a NumericError.
Tensor any_real(const char* what, const Parameter& p, const Tensor& like);
Tensor positive(const char* what, const Parameter& p, const Tensor& like);
Tensor finite(const char* what, const Parameter& p, const Tensor& like);
Tensor probability(const char* what, const Parameter& p, const Tensor& like);

// Every element must lie in [low, high]. On a device that is found out when it is waited for.
void require_within(const char* what, const char* rule, const Tensor& t, double low, double high);

// Smallest and largest element; NaN where there is one. {0, 0} of none.
struct Range {
  double low, high;
};
Range range(const Tensor& x);

// `operation: value outside of the support ..., got x`, unless low <= x <= high everywhere.
void require_supported(const char* operation, const Tensor& x, const Support& support);
void require_probability(const char* operation, const Tensor& u);

// The shape of a draw: `shape`, then that of the parameters.
Shape draw_shape(const char* operation, const Shape& shape, const Shape& parameters);

inline At at(const Tensor& t, const At& caller) {
  return At(t, caller.here.file, caller.here.line);
}

// Location and scale, and the shape that both broadcast to.
struct Scaled {
  Tensor location, scale;
  Shape shape;
};
Scaled scaled(const Normal& d, const Tensor& like);
Scaled scaled(const LogNormal& d, const Tensor& like);
Scaled scaled(const Laplace& d, const Tensor& like);
Scaled scaled(const Uniform& d, const Tensor& like);  // low, and high - low

// Of the two parameters of a Bernoulli the one that is given, as a tensor.
struct Odds {
  bool are_logits;
  Tensor value;
  Tensor probability() const { return are_logits ? sigmoid(value) : value; }
  Tensor complement() const { return are_logits ? sigmoid(-value) : 1.0 - value; }
};
Odds odds(const Bernoulli& d, const Tensor& like);
// x log p + (1 - x) log(1 - p), where 0 log 0 = 0.
Tensor mixed_log(At x, const Tensor& p);

// Logarithms of the probabilities of the classes.
Tensor log_probabilities(const Categorical& d);

}  // namespace gradus::distributions::detail
