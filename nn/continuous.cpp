// Laplace and Uniform.
#include <cmath>
#include <numbers>

#include "gradus/kernels/nn_formula.h"
#include "gradus/nn/distributions.h"
#include "gradus/nn/domain.h"

namespace gradus::distributions {
namespace {

using std::numbers::ln2;

// Composed on devices: its sums of gradients in f64 would spill registers.
struct LaplaceIcdf {
  static constexpr const char* name = "Laplace.icdf";
  GRADUS_INLINE auto operator()(const auto& u, const auto& mean, const auto& scale) const {
    const auto distance = log(2.0 * select(u < 0.5, u, 1.0 - u));
    return mean + scale * select(u < 0.5, distance, -distance);
  }
};

}  // namespace

// ---- Laplace ------------------------------------------------------------------------------------

// An exponential of either sign. -log(1 - u) is finite for every u in [0, 1).
Tensor Laplace::rsample(Generator& generator, const Shape& shape) const {
  const auto d = detail::scaled(*this, {});
  const Shape full = detail::draw_shape("Laplace.rsample", shape, d.shape);
  const auto uniform = [&] {
    return rand(full, generator, d.location.dtype(), d.location.device());
  };
  const Tensor distance = -log1p(-uniform());
  const Tensor noise = where(less(uniform(), 0.5), -distance, distance);
  return d.location + d.scale * noise;
}
Tensor Laplace::log_prob(At x) const {
  const auto d = detail::scaled(*this, *x);
  return map(formula::LaplaceLogProb{}, x, d.location, d.scale);
}
Tensor Laplace::cdf(At x) const {
  const auto d = detail::scaled(*this, *x);
  return map(formula::LaplaceCdf{}, x, d.location, d.scale);
}
Tensor Laplace::icdf(At probability) const {
  detail::require_probability("Laplace.icdf", *probability);
  const auto d = detail::scaled(*this, *probability);
  return map(LaplaceIcdf{}, probability, d.location, d.scale);
}
Tensor Laplace::entropy() const {
  const auto d = detail::scaled(*this, {});
  return expand(log(d.scale) + (1 + ln2), d.shape);
}
Tensor mean(const Laplace& d) {
  const auto l = detail::scaled(d, {});
  return expand(l.location, l.shape);
}
Tensor variance(const Laplace& d) {
  const auto l = detail::scaled(d, {});
  return expand(2.0 * square(l.scale), l.shape);
}

// ---- Uniform ------------------------------------------------------------------------------------

Support Uniform::support() const {
  const auto d = detail::scaled(*this, full({}, 0, DType::f64));
  return {Support::Kind::interval, 0, detail::range(d.location).low,
          detail::range(high.tensor(d.location)).high};
}
Tensor Uniform::rsample(Generator& generator, const Shape& shape) const {
  const auto d = detail::scaled(*this, {});
  const Shape full = detail::draw_shape("Uniform.rsample", shape, d.shape);
  return map(formula::Along{}, rand(full, generator, d.location.dtype(), d.location.device()),
             d.location, d.scale);
}
Tensor Uniform::log_prob(At x) const {
  const auto d = detail::scaled(*this, *x);
  const char* rule = ": value outside of the support [low, high]: its distance to an end";
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const Tensor inside = x->detach();
  detail::require_within("Uniform.log_prob", rule, inside - d.location.detach(), 0, infinity);
  detail::require_within("Uniform.log_prob", rule, high.tensor(d.location).detach() - inside, 0,
                         infinity);
  return map(formula::UniformLogProb{}, x, d.scale);
}
Tensor Uniform::cdf(At x) const {
  const auto d = detail::scaled(*this, *x);
  return clamp((*x - d.location) / d.scale, 0, 1);
}
Tensor Uniform::icdf(At probability) const {
  detail::require_probability("Uniform.icdf", *probability);
  const auto d = detail::scaled(*this, *probability);
  return map(formula::Along{}, probability, d.location, d.scale);
}
Tensor Uniform::entropy() const { return log(detail::scaled(*this, {}).scale); }
Tensor mean(const Uniform& d) {
  const auto u = detail::scaled(d, {});
  return u.location + 0.5 * u.scale;
}
Tensor variance(const Uniform& d) { return square(detail::scaled(d, {}).scale) / 12.0; }

}  // namespace gradus::distributions
