#include "gradus/nn/chain.h"

#include <cmath>

#include "gradus/nn/domain.h"

namespace gradus::diffusion {
namespace {

Tensor half_square(const Tensor& a, const Tensor& b) {
  require(a.shape() == b.shape(), "score matching: the model gave ", a.shape(), " for ", b.shape());
  return 0.5 * square(a - b);
}

void check_time(const char* operation, std::int64_t t, std::int64_t first) {
  require(t >= first, operation, ": t must be at least ", first, ", got ", t);
}

}  // namespace

Tensor score(const TensorFunction& log_prob, At x) {
  const auto [y, pullback] = vjp(log_prob, *x, x.here);
  return pullback(ones(y.shape(), y.dtype(), y.device()));
}

Chain::Chain(double alpha) : alpha_(alpha) {
  require(alpha > 0 && alpha < 1, "Chain: alpha must lie in (0, 1), got ", alpha);
}

double Chain::signal(std::int64_t t) const {
  check_time("Chain.signal", t, 0);
  return std::exp(static_cast<double>(t) * std::log(alpha_));
}
double Chain::variance(std::int64_t t) const {
  check_time("Chain.variance", t, 0);
  return -std::expm1(2 * static_cast<double>(t) * std::log(alpha_));
}

distributions::Normal Chain::transition(At x) const {
  return {alpha_ * *x, std::sqrt(variance(1))};
}
distributions::Normal Chain::marginal(At x0, std::int64_t t) const {
  check_time("Chain.marginal", t, 1);
  return {signal(t) * *x0, std::sqrt(variance(t))};
}
Tensor Chain::diffuse(At x0, std::int64_t t, At noise) const {
  require(x0->shape() == noise->shape(), "Chain.diffuse: shapes differ: x0 ", x0->shape(),
          ", noise ", noise->shape());
  return signal(t) * *x0 + std::sqrt(variance(t)) * *noise;
}
Tensor Chain::conditional_score(At x, At x0, std::int64_t t) const {
  check_time("Chain.conditional_score", t, 1);
  return (signal(t) * *x0 - *x) / variance(t);
}

distributions::Mixture<distributions::Normal> Chain::marginal(
    const distributions::Mixture<distributions::Normal>& data, std::int64_t t) const {
  check_time("Chain.marginal", t, 1);
  const auto part = distributions::detail::scaled(data.components, data.logits.tensor());
  const double a = signal(t);
  return {data.logits, {a * part.location, sqrt(a * a * square(part.scale) + variance(t))}};
}
distributions::Mixture<distributions::Normal> Chain::marginal(
    const distributions::Parameter& logits, const Tensor& atoms, std::int64_t t) const {
  return {logits, marginal(atoms, t)};
}

distributions::Normal Chain::backward(At x, At score) const {
  return {(2 - alpha_) * *x + variance(1) * *score, std::sqrt(variance(1))};
}

Tensor explicit_score_matching(const TensorFunction& model, At x, At score) {
  return half_square(model(*x), *score);
}
Tensor denoising_score_matching(const TensorFunction& model, const Chain& chain, At x0,
                                std::int64_t t, At noise) {
  check_time("denoising_score_matching", t, 1);
  const Tensor x = chain.diffuse(x0, t, noise);
  return half_square(model(x), -*noise / std::sqrt(chain.variance(t)));
}
Tensor noise_matching(const TensorFunction& model_noise, const Chain& chain, At x0, std::int64_t t,
                      At noise) {
  check_time("noise_matching", t, 1);
  return half_square(model_noise(chain.diffuse(x0, t, noise)), *noise);
}

}  // namespace gradus::diffusion
