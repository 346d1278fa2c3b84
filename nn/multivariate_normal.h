// Normal laws of vectors.
#pragma once

#include "gradus/nn/divergence.h"

namespace gradus::distributions {

// Of vectors (..., n) with a mean and either a covariance or its Cholesky factor, the lower
// scale_tril with covariance = scale_tril scale_tril^T, (..., n, n); batch axes broadcast. A
// covariance that is not positive definite, or a factor without a positive diagonal, is an Error.
// log_prob, entropy and divergences give one number a vector.
struct GRADUS_API MultivariateNormal {
  static constexpr const char* name = "MultivariateNormal";
  static constexpr int event_rank = 1;
  Tensor mean, covariance = {}, scale_tril = {};

  Support support() const { return {Support::Kind::real}; }  // of each component
  Tensor factor() const;                                     // scale_tril, or of the covariance
  Tensor rsample(Generator& generator, const Shape& shape = {}) const;
  Tensor log_prob(At x) const;
  Tensor entropy() const;
};

GRADUS_API Tensor mean(const MultivariateNormal& d);
GRADUS_API Tensor variance(const MultivariateNormal& d);  // of each component
GRADUS_API Tensor covariance(const MultivariateNormal& d);
GRADUS_API Divergence kl(const MultivariateNormal& p, const MultivariateNormal& q);

}  // namespace gradus::distributions
