// The latents of variational autoencoders: families that a flag names, and the bound on the
// evidence that takes several samples.
#pragma once

#include <string>
#include <variant>

#include "gradus/nn/distributions.h"

namespace gradus::examples {

using Latent = std::variant<distributions::Normal, distributions::LogNormal>;

// "normal" or "log-normal".
Latent make_latent(const std::string& family, const distributions::Parameter& location,
                   const distributions::Parameter& scale);

Tensor kl_divergence(const Latent& q, const Latent& p);
Tensor rsample(const Latent& latent, Generator& generator, const Shape& shape = {});
Tensor log_prob(const Latent& latent, const Tensor& z);
Tensor icdf(const Latent& latent, const Tensor& probability);

// log (1/K) sum_k p(x, z_k) / q(z_k | x), one number an example (Burda, Grosse and Salakhutdinov,
// 2016). z is (K, examples, size), drawn from q; log_likelihood is log p(x | z), (K, examples).
// With K = 1 it estimates the evidence lower bound, and it grows with K.
Tensor importance_weighted_bound(const Latent& q, const Latent& prior, const Tensor& z,
                                 const Tensor& log_likelihood);

}  // namespace gradus::examples
