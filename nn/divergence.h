// Divergences between distributions, in nats, one number an element (of Categorical a row, of
// distributions of vectors an outcome).
//
//   kl_divergence(p, q)             closed form or an error
//   kl_monte_carlo(p, q, n, g)      an estimate, never in place of the closed form
//   jensen_shannon(p, q)            discrete: exact
//   jensen_shannon_quadrature, jensen_shannon_monte_carlo
#pragma once

#include <limits>
#include <string>

#include "gradus/nn/distributions.h"

namespace gradus::distributions {

// ---- Kullback-Leibler: KL(p || q) = E_p[log p - log q] ------------------------------------------

// Infinite where p has mass that q lacks; `reason` then says so, and how much.
struct Divergence {
  Tensor value;
  std::string reason;  // empty where all are finite
};

// The closed forms. To add a pair, declare kl(P, Q) beside the distribution: it is found by its
// arguments. A normal or Laplace law from one on a part of the line is infinite by the last one.
GRADUS_API Divergence kl(const Normal& p, const Normal& q);
GRADUS_API Divergence kl(const Normal& p, const Laplace& q);
GRADUS_API Divergence kl(const LogNormal& p, const LogNormal& q);
GRADUS_API Divergence kl(const LogNormal& p, const Normal& q);
GRADUS_API Divergence kl(const Laplace& p, const Laplace& q);
GRADUS_API Divergence kl(const Laplace& p, const Normal& q);
GRADUS_API Divergence kl(const Uniform& p, const Uniform& q);
GRADUS_API Divergence kl(const Uniform& p, const Normal& q);
GRADUS_API Divergence kl(const Bernoulli& p, const Bernoulli& q);
GRADUS_API Divergence kl(const Categorical& p, const Categorical& q);

template <class D>
concept Distribution = requires(const D& d, const Tensor& x) {
  D::name;
  d.support();
  d.log_prob(x);
};

namespace detail {

GRADUS_API Tensor require_finite(Divergence divergence);
// Whether `inner` lies within `outer`.
GRADUS_API bool contains(const Support& outer, const Support& inner);
[[noreturn]] GRADUS_API void no_closed_form(const char* p, const char* q);

// Two laws on the line, of which one draw each is given, where the first has mass outside of the
// second's support.
class GRADUS_API Outside {
 public:
  Outside(const Support& support, const Tensor& of_p, const Tensor& of_q);
  Tensor low, high;  // the ends of the support
  // Given the mass of p up to either end.
  Divergence infinite(const char* p, const char* q, const Support& of_p, const Tensor& below,
                      const Tensor& up_to_high) const;

 private:
  Support support_;
  Shape shape_;
};

template <class D>
concept OnTheLine = Distribution<D> && event_rank<D>()
== 0 && requires(const D& d, const Tensor& x) { d.cdf(x); };

}  // namespace detail

// Any other pair: infinite where the supports tell, otherwise an error that names kl_monte_carlo.
template <Distribution P, Distribution Q>
Divergence kl(const P& p, const Q& q) {
  if constexpr (detail::OnTheLine<P> && detail::OnTheLine<Q>) {
    if (const Support s = q.support(); !detail::contains(s, p.support())) {
      Generator any;
      const detail::Outside at(s, draw(p, any), draw(q, any));
      return at.infinite(P::name, Q::name, p.support(), p.cdf(at.low), p.cdf(at.high));
    }
  }
  detail::no_closed_form(P::name, Q::name);
}

// kl(p, q).value as a term of a loss: one that is infinite has no gradient to follow, and throws
// with the reason.
template <class P, class Q>
requires requires(const P& p, const Q& q) { kl(p, q); }
Tensor kl_divergence(const P& p, const Q& q) { return detail::require_finite(kl(p, q)); }

// ---- estimates ----------------------------------------------------------------------------------

// A mean over samples, and the standard error of it.
struct Estimate {
  Tensor value, standard_error;
};

namespace detail {
GRADUS_API Estimate estimate(const char* operation, const Tensor& samples);
GRADUS_API void require_contained(const char* p, const Support& inner, const char* q,
                                  const Support& outer);
// Where draws x are not differentiable, f with the term that makes the gradient of its average
// right: f's value times the gradient of log p.
template <class P>
Tensor with_score(const P& p, const Tensor& x, const Tensor& f) {
  if constexpr (Reparameterised<P>) return f;
  const Tensor log_p = p.log_prob(x);
  return f + (log_p - log_p.detach()) * f.detach();
}
}  // namespace detail

// The average of log p - log q over `samples` >= 2 draws of p. Its gradient passes through the
// draws where p has rsample, and is that of the score function otherwise: unbiased either way.
template <Distribution P, Distribution Q>
Estimate kl_monte_carlo(const P& p, const Q& q, std::int64_t samples, Generator& generator) {
  detail::require_contained(P::name, p.support(), Q::name, q.support());
  const Tensor x = draw(p, generator, {samples});
  const Tensor ratio = p.log_prob(x) - q.log_prob(x);
  return detail::estimate("kl_monte_carlo", detail::with_score(p, x, ratio));
}

// ---- Jensen-Shannon: JSD(p, q) = (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2 -------------

// Between 0 and log 2, which disjoint supports give exactly; what has probability 0 adds exactly 0.
GRADUS_API Tensor jensen_shannon(const Bernoulli& p, const Bernoulli& q);
GRADUS_API Tensor jensen_shannon(const Categorical& p, const Categorical& q);

namespace detail {
// p log(p / m) / 2 + q log(q / m) / 2 of densities p and q.
GRADUS_API Tensor jensen_shannon_terms(const Tensor& log_p, const Tensor& log_q);
GRADUS_API Tensor trapezoids(const char* operation, const Tensor& values, const Tensor& grid);
// log(p / m).
GRADUS_API Tensor log_ratio_to_mean(const Tensor& log_p, const Tensor& log_q);
GRADUS_API Tensor within(const Support& support, const Tensor& x);
GRADUS_API double inner_point(const Support& support);  // positive ones and intervals

// log_prob, and -inf outside of the support.
template <class D>
Tensor log_density(const D& d, const Tensor& x) {
  const Support s = d.support();
  if (s.kind != Support::Kind::positive && s.kind != Support::Kind::interval) return d.log_prob(x);
  const Tensor inside = within(s, x);
  const double somewhere = inner_point(s), nowhere = -std::numeric_limits<double>::infinity();
  return where(inside, d.log_prob(where(inside, x, somewhere)), nowhere);
}
}  // namespace detail

// Of two laws on the line, one number each, by the trapezoidal rule over `grid`: rising points,
// (n), f64 or the parameters' dtype, which should cover the mass of both.
template <Distribution P, Distribution Q>
Tensor jensen_shannon_quadrature(const P& p, const Q& q, const Tensor& grid) {
  const Tensor log_p = detail::log_density(p, grid), log_q = detail::log_density(q, grid);
  return detail::trapezoids("jensen_shannon_quadrature", detail::jensen_shannon_terms(log_p, log_q),
                            grid);
}

// From `samples` >= 2 draws of each.
template <Distribution P, Distribution Q>
Estimate jensen_shannon_monte_carlo(const P& p, const Q& q, std::int64_t samples,
                                    Generator& generator) {
  const auto half = [&](const auto& own, const auto& other) {
    const Tensor x = draw(own, generator, {samples});
    const Tensor ratio = detail::log_ratio_to_mean(own.log_prob(x), detail::log_density(other, x));
    return 0.5 * detail::with_score(own, x, ratio);
  };
  return detail::estimate("jensen_shannon_monte_carlo", half(p, q) + half(q, p));
}

}  // namespace gradus::distributions
