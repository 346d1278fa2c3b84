// Kullback-Leibler divergences in closed form.
#include <limits>

#include "gradus/nn/distributions.h"
#include "gradus/nn/domain.h"

namespace gradus::distributions {
namespace {

struct NormalKl {
  static constexpr const char* name = "kl_divergence";
  GRADUS_INLINE auto operator()(const auto& mean_p, const auto& deviation_p, const auto& mean_q,
                                const auto& deviation_q) const {
    const auto ratio = deviation_p / deviation_q;
    const auto shift = (mean_p - mean_q) / deviation_q;
    return 0.5 * (ratio * ratio + shift * shift - 1.0) - log(ratio);
  }
};

struct Both {
  detail::Scaled p, q;
};
template <class P, class Q>
Both both(const P& p, const Parameter& p0, const Parameter& p1, const Q& q, const Parameter& q0,
          const Parameter& q1) {
  const Tensor like = detail::first_tensor({&p0, &p1, &q0, &q1});
  return {detail::scaled(p, like), detail::scaled(q, like)};
}

Tensor normal_kl(const Both& d) {
  return map(NormalKl{}, d.p.location, d.p.scale, d.q.location, d.q.scale);
}

// The value of a discrete pair, with a reason where it is infinite.
Divergence discrete(const Tensor& value, const char* family) {
  if (detail::range(value).high < std::numeric_limits<double>::infinity()) return {value, {}};
  const std::string name = family;
  return {value, "KL(" + name + " || " + name + "): the second " + name +
                     " gives probability 0 to a value that the first one takes"};
}

}  // namespace

Divergence kl(const Normal& p, const Normal& q) {
  return {normal_kl(both(p, p.mean, p.standard_deviation, q, q.mean, q.standard_deviation)), {}};
}

// The same change of variable on both sides changes nothing.
Divergence kl(const LogNormal& p, const LogNormal& q) {
  return {normal_kl(both(p, p.mu, p.sigma, q, q.mu, q.sigma)), {}};
}

// -entropy(p) - E_p[log q], with E[z] = exp(mu + sigma^2 / 2) and E[z^2] = exp(2 mu + 2 sigma^2).
Divergence kl(const LogNormal& p, const Normal& q) {
  const auto [a, b] = both(p, p.mu, p.sigma, q, q.mean, q.standard_deviation);
  const Tensor variance = square(a.scale);
  const Tensor first = exp(a.location + 0.5 * variance);
  const Tensor second = exp(2.0 * (a.location + variance));
  const Tensor distance = second - 2.0 * b.location * first + square(b.location);
  return {distance / (2.0 * square(b.scale)) + log(b.scale) - log(a.scale) - a.location - 0.5, {}};
}

Divergence kl(const Normal& p, const LogNormal& q) {
  const auto [a, b] = both(p, p.mean, p.standard_deviation, q, q.mu, q.sigma);
  const Tensor outside = p.cdf(full({}, 0, a.location.dtype(), a.location.device())).detach();
  std::ostringstream reason;
  reason << "KL(Normal || LogNormal): the LogNormal has its support on " << q.support()
         << ", and the Normal has mass " << detail::range(outside).high << " at z <= 0";
  const Shape shape = broadcast_shapes("kl_divergence", a.shape, b.shape);
  return {
      full(shape, std::numeric_limits<double>::infinity(), a.location.dtype(), a.location.device()),
      reason.str()};
}

Divergence kl(const Bernoulli& p, const Bernoulli& q) {
  const Tensor like =
      detail::first_tensor({&p.logits, &p.probabilities, &q.logits, &q.probabilities});
  const auto a = detail::odds(p, like), b = detail::odds(q, like);
  if (a.are_logits && b.are_logits)  // from the logarithms: nothing cancels, nothing overflows
    return {a.probability() * (softplus(-b.value) - softplus(-a.value)) +
                a.complement() * (softplus(b.value) - softplus(a.value)),
            {}};
  const Tensor x = a.probability();
  return discrete(detail::mixed_log(x, x) - detail::mixed_log(x, b.probability()), "Bernoulli");
}

Divergence kl(const Categorical& p, const Categorical& q) {
  require(p.support() == q.support(), "kl_divergence: supports differ: ", p.support(), " and ",
          q.support());
  const Tensor a = detail::log_probabilities(p), b = detail::log_probabilities(q);
  const Tensor weight = exp(a);
  const Tensor ratio = a - b;  // NaN where both are -inf, and the weight 0
  return discrete(sum(weight * where(weight > 0, ratio, 0.0), -1), "Categorical");
}

namespace detail {

Tensor require_finite(Divergence divergence) {
  require(divergence.reason.empty(), "kl_divergence: infinite: ", divergence.reason);
  return std::move(divergence.value);
}

}  // namespace detail
}  // namespace gradus::distributions
