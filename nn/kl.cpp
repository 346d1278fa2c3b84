// Kullback-Leibler divergences in closed form.
#include <limits>
#include <numbers>

#include "gradus/kernels/nn_formula.h"
#include "gradus/nn/divergence.h"
#include "gradus/nn/domain.h"

namespace gradus::distributions {
namespace {

using std::numbers::ln2;
using std::numbers::sqrt2;

constexpr double half_log_2pi = 0.91893853320467274178;
constexpr double infinity = std::numeric_limits<double>::infinity();

// Location and scale of both.
struct Both {
  detail::Scaled p, q;
};
template <class P, class Q>
Both both(const P& p, const Parameter& p0, const Parameter& p1, const Q& q, const Parameter& q0,
          const Parameter& q1) {
  const Tensor like = detail::first_tensor({&p0, &p1, &q0, &q1});
  return {detail::scaled(p, like), detail::scaled(q, like)};
}

// -entropy - E[log q] for a Normal q, from the mean square distance to its mean.
Tensor cross_normal(const Tensor& entropy, const Tensor& square_distance, const Tensor& deviation) {
  return square_distance / (2.0 * square(deviation)) + log(deviation) + half_log_2pi - entropy;
}

Tensor normal_kl(const Both& d) {
  return map(formula::NormalKl{}, d.p.location, d.p.scale, d.q.location, d.q.scale);
}

// The value of a discrete pair, with a reason where it is infinite.
Divergence discrete(const Tensor& value, const char* family) {
  if (detail::range(value).high < infinity) return {value, {}};
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

// E[z] = exp(mu + sigma^2 / 2) and E[z^2] = exp(2 mu + 2 sigma^2).
Divergence kl(const LogNormal& p, const Normal& q) {
  const auto [a, b] = both(p, p.mu, p.sigma, q, q.mean, q.standard_deviation);
  const Tensor variance = square(a.scale);
  const Tensor first = exp(a.location + 0.5 * variance);
  const Tensor second = exp(2.0 * (a.location + variance));
  const Tensor distance = second - 2.0 * b.location * first + square(b.location);
  const Tensor entropy = log(a.scale) + a.location + (half_log_2pi + 0.5);
  return {cross_normal(entropy, distance, b.scale), {}};
}

// E|x - m| of a normal law: that of a folded one.
Divergence kl(const Normal& p, const Laplace& q) {
  const auto [a, b] = both(p, p.mean, p.standard_deviation, q, q.mean, q.scale);
  const Tensor shift = (a.location - b.location) / (a.scale * sqrt2);
  const double two_over_root_pi = 2 * std::numbers::inv_sqrtpi;
  const Tensor distance =
      a.scale / sqrt2 * (two_over_root_pi * exp(-square(shift)) + 2.0 * shift * erf(shift));
  return {distance / b.scale + log(b.scale) - log(a.scale) + (ln2 - half_log_2pi - 0.5), {}};
}

Divergence kl(const Laplace& p, const Laplace& q) {
  const auto [a, b] = both(p, p.mean, p.scale, q, q.mean, q.scale);
  return {map(formula::LaplaceKl{}, a.location, a.scale, b.location, b.scale), {}};
}

Divergence kl(const Laplace& p, const Normal& q) {
  const auto [a, b] = both(p, p.mean, p.scale, q, q.mean, q.standard_deviation);
  const Tensor distance = 2.0 * square(a.scale) + square(a.location - b.location);
  return {cross_normal(log(a.scale) + (1 + ln2), distance, b.scale), {}};
}

Divergence kl(const Uniform& p, const Normal& q) {
  const auto [a, b] = both(p, p.low, p.high, q, q.mean, q.standard_deviation);
  const Tensor middle = a.location + 0.5 * a.scale;
  const Tensor distance = square(a.scale) / 12.0 + square(middle - b.location);
  return {cross_normal(log(a.scale), distance, b.scale), {}};
}

Divergence kl(const Uniform& p, const Uniform& q) {
  const auto [a, b] = both(p, p.low, p.high, q, q.low, q.high);
  const auto high = [](const Uniform& d, const Tensor& like) {
    return d.high.tensor(like).detach();
  };
  const Tensor below = less(a.location.detach(), b.location.detach());
  const Tensor above = greater(high(p, a.location), high(q, b.location));
  const Tensor outside = logical_or(below, above);
  const Tensor value = where(outside, infinity, log(b.scale) - log(a.scale));
  if (!any(outside).to(Device::cpu).item<bool>()) return {value, {}};
  std::ostringstream reason;
  reason << "KL(Uniform || Uniform): the second has its support on " << q.support()
         << ", and the first on " << p.support();
  return {value, reason.str()};
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

}  // namespace gradus::distributions
