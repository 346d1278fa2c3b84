#include "examples/common/latent.h"

#include <cmath>

#include "gradus/nn/divergence.h"

namespace gradus::examples {

Latent make_latent(const std::string& family, const distributions::Parameter& location,
                   const distributions::Parameter& scale) {
  if (family == "normal") return distributions::Normal{location, scale};
  return distributions::LogNormal{location, scale};
}

Tensor kl_divergence(const Latent& q, const Latent& p) {
  return std::visit([](auto& a, auto& b) { return distributions::kl_divergence(a, b); }, q, p);
}

Tensor rsample(const Latent& latent, Generator& generator, const Shape& shape) {
  return std::visit([&](auto& d) { return d.rsample(generator, shape); }, latent);
}

Tensor log_prob(const Latent& latent, const Tensor& z) {
  return std::visit([&](auto& d) { return d.log_prob(z); }, latent);
}

Tensor icdf(const Latent& latent, const Tensor& probability) {
  return std::visit([&](auto& d) { return d.icdf(probability); }, latent);
}

Tensor importance_weighted_bound(const Latent& q, const Latent& prior, const Tensor& z,
                                 const Tensor& log_likelihood) {
  const Tensor log_weights = log_likelihood + (log_prob(prior, z) - log_prob(q, z)).sum(-1);
  return logsumexp(log_weights, 0) - std::log(static_cast<double>(z.size(0)));
}

}  // namespace gradus::examples
