// Bernoulli and Categorical.
#include <cmath>

#include "gradus/kernels/nn_formula.h"
#include "gradus/nn/distributions.h"
#include "gradus/nn/domain.h"

namespace gradus::distributions {
namespace {

// p log p with 0 at 0, from log p.
Tensor weighted_log(const Tensor& log_p) {
  const Tensor p = exp(log_p);
  return p * where(p > 0, log_p, 0.0);
}

}  // namespace

namespace detail {

Tensor mixed_log(At x, const Tensor& p) { return map(formula::MixedLog{}, x, p); }

Odds odds(const Bernoulli& d, const Tensor& value) {
  require(d.logits.given() != d.probabilities.given(),
          "Bernoulli: takes logits or probabilities, got ", d.logits.given() ? "both" : "neither");
  const Tensor like = first_tensor({&d.logits, &d.probabilities}, value);
  if (d.logits.given()) return {true, finite("Bernoulli: logits", d.logits, like)};
  return {false, probability("Bernoulli: probabilities", d.probabilities, like)};
}

Tensor log_probabilities(const Categorical& d) {
  const std::int64_t classes = d.support().classes;
  require(classes > 0, "Categorical: logits have no classes: ", d.logits.tensor().shape());
  const Tensor logits = d.logits.tensor();
  // A row must have a finite largest logit; -inf is a class of probability 0.
  const Range r = range(max(logits.detach(), -1));
  if (!(std::isfinite(r.low) && std::isfinite(r.high))) {
    std::ostringstream text;
    text << "Categorical: the largest logit of a row must be finite, got "
         << (std::isfinite(r.low) ? r.high : r.low);
    throw NumericError(text.str());
  }
  return log_softmax(logits, -1);
}

}  // namespace detail

// ---- Bernoulli ----------------------------------------------------------------------------------

Tensor Bernoulli::sample(Generator& generator, const Shape& shape) const {
  const Tensor p = detail::odds(*this, {}).probability().detach();
  const Shape full = detail::draw_shape("Bernoulli.sample", shape, p.shape());
  return bernoulli(p.expand(full), generator).to(p.dtype());
}

Tensor Bernoulli::log_prob(At x) const {
  const auto d = detail::odds(*this, *x);
  detail::require_supported("Bernoulli.log_prob", *x, support());
  if (!d.are_logits) return detail::mixed_log(x, d.value);
  const Shape shape = broadcast_shapes("Bernoulli.log_prob", x->shape(), d.value.shape());
  const auto fit = [&](const Tensor& t) { return t.shape() == shape ? t : expand(t, shape); };
  const Tensor logits = fit(d.value);
  return -binary_cross_entropy_with_logits(detail::at(logits, x), fit(*x),
                                           {.reduction = Reduction::none});
}

Tensor Bernoulli::cdf(At x) const {
  const Tensor below_one = detail::odds(*this, *x).complement();
  require(!std::isnan(detail::range(*x).low), "Bernoulli.cdf: a value is NaN");
  const Tensor one = full({}, 1, below_one.dtype(), below_one.device());
  return where(less(x, 0), 0.0, where(less(x, 1), below_one, one));
}

Tensor Bernoulli::icdf(At probability) const {
  detail::require_probability("Bernoulli.icdf", *probability);
  const Tensor below_one = detail::odds(*this, *probability).complement();
  return greater(probability, below_one).to(probability->dtype());
}

Tensor Bernoulli::entropy() const {
  const auto d = detail::odds(*this, {});
  if (!d.are_logits) return -detail::mixed_log(d.value, d.value);
  return d.probability() * softplus(-d.value) + d.complement() * softplus(d.value);
}

Tensor mean(const Bernoulli& d) { return detail::odds(d, {}).probability(); }
Tensor variance(const Bernoulli& d) {
  const auto o = detail::odds(d, {});
  return o.probability() * o.complement();
}

// ---- Categorical --------------------------------------------------------------------------------

namespace {

// The given axes of x and the rows of `table`, broadcast: what to gather with, and from.
struct Lookup {
  Tensor table, index;
};
Lookup lookup(const char* operation, const Tensor& table, const Tensor& x) {
  Shape rows = table.shape();
  const std::int64_t classes = rows.back();
  rows.erase(rows.size() - 1);
  Shape shape = broadcast_shapes(operation, rows, x.shape());
  const Tensor index = expand(x, shape).unsqueeze(-1);
  shape.push_back(classes);
  return {expand(table, shape), index};
}

Tensor pick(const char* operation, const Tensor& table, At x, const Support& support) {
  require(x->dtype() == DType::i64, operation, ": values must be i64, got ", x->dtype());
  detail::require_supported(operation, *x, support);
  const Lookup l = lookup(operation, table, *x);
  return gather(detail::at(l.table, x), -1, l.index).squeeze(-1);
}

}  // namespace

Support Categorical::support() const {
  require(logits.is_tensor() && logits.tensor().dim() >= 1,
          "Categorical: logits must be a tensor (..., classes)");
  return {Support::Kind::classes, logits.tensor().size(-1)};
}

// The largest of logit + Gumbel noise has the distribution of the classes. In f64: the noise of
// rare classes lies in the tail.
Tensor Categorical::sample(Generator& generator, const Shape& shape) const {
  const Tensor log_p = detail::log_probabilities(*this).detach().to(DType::f64);
  const Shape full = detail::draw_shape("Categorical.sample", shape, log_p.shape());
  const Tensor uniform = rand(full, generator, DType::f64, log_p.device());
  return argmax(log_p - log(-log(uniform)), -1);
}

Tensor Categorical::log_prob(At x) const {
  return pick("Categorical.log_prob", detail::log_probabilities(*this), x, support());
}

Tensor Categorical::cdf(At x) const {
  const Tensor sums = cumsum(exp(detail::log_probabilities(*this)), -1);
  return pick("Categorical.cdf", sums, x, support());
}

Tensor Categorical::icdf(At probability) const {
  detail::require_probability("Categorical.icdf", *probability);
  const Tensor sums = cumsum(exp(detail::log_probabilities(*this)), -1).detach();
  // The last sum is 1 but for rounding: it is never passed.
  const Tensor before_last = sums.slice(-1, 0, sums.size(-1) - 1);
  return sum(less(before_last, probability->detach().unsqueeze(-1)), -1);
}

Tensor Categorical::entropy() const {
  return -sum(weighted_log(detail::log_probabilities(*this)), -1);
}

}  // namespace gradus::distributions
