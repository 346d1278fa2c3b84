// Mixtures of distributions of one family.
#pragma once

#include "gradus/nn/distributions.h"

namespace gradus::distributions {

namespace detail {

// Logarithms of the weights, checked against draws or log-probabilities of `shape`, whose axis
// `axis` counts the components.
GRADUS_API Tensor log_weights(const char* operation, const Parameter& logits, const Shape& shape,
                              int axis);
// Of draws with a component axis before the last `event_rank`, one component each.
GRADUS_API Tensor choose(const Tensor& draws, const Parameter& logits, int event_rank,
                         Generator& generator);
// Sum of weight times value over the component axis, which comes before the last `event_rank`.
GRADUS_API Tensor weighted(const char* operation, const Parameter& logits, const Tensor& values,
                           int event_rank);

}  // namespace detail

// Component k with probability softmax(logits)[k]; the components lie along the last axis of
// `logits` and of the parameters of `components` (before the axes of an outcome, where that is a
// vector). Values lie in the support of every component.
//
//   Mixture<Normal> two{from_vector<double>({0, 1}), {from_vector<double>({-2, 2}), 0.5}};
//
// Which component a draw is of cannot be differentiated: a mixture has `sample`, not `rsample`.
template <class D>
struct Mixture {
  static constexpr const char* name = "Mixture";
  static constexpr int event_rank = distributions::event_rank<D>();
  Parameter logits;  // (..., components)
  D components;

  Support support() const { return components.support(); }
  Tensor sample(Generator& generator, const Shape& shape = {}) const {
    const NoGrad off;
    return detail::choose(draw(components, generator, shape), logits, event_rank, generator);
  }
  Tensor log_prob(At x) const {
    const Tensor each = components.log_prob(x->unsqueeze(-1 - event_rank));
    return logsumexp(each + detail::log_weights("Mixture.log_prob", logits, each.shape(), -1), -1);
  }
  Tensor cdf(At x) const requires(event_rank == 0) {
    return detail::weighted("Mixture.cdf", logits, components.cdf(x->unsqueeze(-1)), 0);
  }
};

template <class D>
Tensor mean(const Mixture<D>& d) {
  return detail::weighted("Mixture: mean", d.logits, mean(d.components), event_rank<D>());
}
// The mean of the components' variances, and the variance of their means.
template <class D>
Tensor variance(const Mixture<D>& d) {
  const Tensor centred = mean(d.components) - mean(d).unsqueeze(-1 - event_rank<D>());
  return detail::weighted("Mixture: variance", d.logits, variance(d.components) + square(centred),
                          event_rank<D>());
}

}  // namespace gradus::distributions
