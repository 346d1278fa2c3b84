#include "gradus/nn/divergence.h"

#include <cmath>
#include <numbers>
#include <sstream>

#include "gradus/nn/domain.h"

namespace gradus::distributions {
namespace {

using Kind = Support::Kind;
constexpr double infinity = std::numeric_limits<double>::infinity();

bool discrete(const Support& s) { return s.kind == Kind::zero_or_one || s.kind == Kind::classes; }

double low_end(const Support& s) {
  return s.kind == Kind::real ? -infinity : s.kind == Kind::interval ? s.low : 0;
}
double high_end(const Support& s) { return s.kind == Kind::interval ? s.high : infinity; }

// The logarithms of the probabilities of 0 and 1, along a new last axis.
Tensor log_outcomes(const Bernoulli& d, const Tensor& like) {
  const detail::Odds o = detail::odds(d, like);
  const Tensor one = o.are_logits ? -softplus(-o.value) : log(o.value);
  const Tensor zero = o.are_logits ? -softplus(o.value) : log1p(-o.value);
  return stack({zero, one}, -1);
}

}  // namespace

namespace detail {

Tensor require_finite(Divergence divergence) {
  require(divergence.reason.empty(), "kl_divergence: infinite: ", divergence.reason);
  return std::move(divergence.value);
}

bool contains(const Support& outer, const Support& inner) {
  if (discrete(outer) || discrete(inner)) {
    require(outer == inner, "kl_divergence: supports differ: ", inner, " and ", outer);
    return true;
  }
  return low_end(outer) <= low_end(inner) && high_end(inner) <= high_end(outer);
}

void no_closed_form(const char* p, const char* q) {
  throw Error("kl_divergence: no closed form for KL(" + std::string(p) + " || " + q +
              "); kl_monte_carlo(p, q, samples, generator) estimates it");
}

Outside::Outside(const Support& support, const Tensor& of_p, const Tensor& of_q)
    : support_(support), shape_(broadcast_shapes("kl_divergence", of_p.shape(), of_q.shape())) {
  // Where one of the two has numbers for parameters, the other decides.
  const DType dtype =
      of_p.dtype() == DType::f64 || of_q.dtype() == DType::f64 ? DType::f64 : DType::f32;
  const Device device = of_p.device() == Device::cpu ? of_q.device() : of_p.device();
  low = full({}, low_end(support), dtype, device);
  high = full({}, high_end(support), dtype, device);
}

Divergence Outside::infinite(const char* p, const char* q, const Support& of_p, const Tensor& below,
                             const Tensor& up_to_high) const {
  const Range mass = range(below + (1.0 - up_to_high));
  // An interval is that of all elements together: some may lie within.
  if (of_p.kind == Kind::interval && !(mass.low > 0)) no_closed_form(p, q);
  std::ostringstream reason;
  reason << "KL(" << p << " || " << q << "): the " << q << " has its support on " << support_
         << ", and the " << p << " has mass " << mass.high << " outside of it";
  return {full(shape_, infinity, low.dtype(), low.device()), reason.str()};
}

Estimate estimate(const char* operation, const Tensor& samples) {
  const std::int64_t count = samples.size(0);
  require(count >= 2, operation, ": needs at least 2 samples, got ", count);
  return {mean(samples, 0), sqrt(var(samples.detach(), 0) / static_cast<double>(count))};
}

void require_contained(const char* p, const Support& inner, const char* q, const Support& outer) {
  require(contains(outer, inner), "kl_monte_carlo: infinite: KL(", p, " || ", q, "): the ", q,
          " has its support on ", outer, ", the ", p, " on ", inner);
}

Tensor log_ratio_to_mean(const Tensor& log_p, const Tensor& log_q) {
  const Tensor somewhere = greater(log_p.detach(), -infinity);
  return std::numbers::ln2 - softplus(where(somewhere, log_q - log_p, 0.0));
}

Tensor jensen_shannon_terms(const Tensor& log_p, const Tensor& log_q) {
  return 0.5 * (exp(log_p) * log_ratio_to_mean(log_p, log_q) +
                exp(log_q) * log_ratio_to_mean(log_q, log_p));
}

Tensor trapezoids(const char* operation, const Tensor& values, const Tensor& grid) {
  const std::int64_t n = grid.numel();
  require(grid.dim() == 1 && n >= 2, operation, ": the grid must be (n), n >= 2, got ",
          grid.shape());
  require(values.shape() == grid.shape(), operation,
          ": takes distributions of one number, and got batches: ", values.shape(),
          " values on a grid of ", grid.shape());
  const Tensor widths = grid.slice(0, 1, n) - grid.slice(0, 0, n - 1);
  require(range(widths).low > 0, operation, ": the grid must rise");
  return 0.5 * sum(widths * (values.slice(0, 1, n) + values.slice(0, 0, n - 1)));
}

Tensor within(const Support& support, const Tensor& x) {
  if (support.kind == Kind::positive) return greater(x, 0);
  return logical_and(greater_equal(x, support.low), less_equal(x, support.high));
}

double inner_point(const Support& support) {
  return support.kind == Kind::positive ? 1 : 0.5 * (support.low + support.high);
}

}  // namespace detail

Tensor jensen_shannon(const Bernoulli& p, const Bernoulli& q) {
  const Tensor like =
      detail::first_tensor({&p.logits, &p.probabilities, &q.logits, &q.probabilities});
  return sum(detail::jensen_shannon_terms(log_outcomes(p, like), log_outcomes(q, like)), -1);
}

Tensor jensen_shannon(const Categorical& p, const Categorical& q) {
  require(p.support() == q.support(), "jensen_shannon: supports differ: ", p.support(), " and ",
          q.support());
  return sum(
      detail::jensen_shannon_terms(detail::log_probabilities(p), detail::log_probabilities(q)), -1);
}

}  // namespace gradus::distributions
