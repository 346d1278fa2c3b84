// The stationary autoregressive chain x_{t+1} = alpha x_t + sqrt(1 - alpha^2) xi, 0 < alpha < 1: it
// forgets its start at the rate alpha and ends in N(0, I). One alpha for all steps makes everything
// about it a closed form, which is what score matching is checked against.
#pragma once

#include "gradus/autograd/transforms.h"
#include "gradus/nn/mixture.h"

namespace gradus::diffusion {

// d log p(x) / d x by differentiation, in x's shape; log p(x) is summed over its elements, so they
// must be independent. Can be differentiated further.
GRADUS_API Tensor score(const TensorFunction& log_prob, At x);
template <class P>
requires requires(const P& p, const Tensor& x) { p.log_prob(x); }
Tensor score(const P& p, At x) {
  return score([&p](const Tensor& y) { return p.log_prob(y); }, x);
}

class GRADUS_API Chain {
 public:
  explicit Chain(double alpha);  // an Error outside of (0, 1)
  double alpha() const noexcept { return alpha_; }

  // Of x_t given x_0: alpha^t and 1 - alpha^(2t), for t >= 0.
  double signal(std::int64_t t) const;
  double variance(std::int64_t t) const;

  distributions::Normal transition(At x) const;                 // p(x_{t+1} | x_t = x)
  distributions::Normal marginal(At x0, std::int64_t t) const;  // p(x_t | x_0), t >= 1
  Tensor diffuse(At x0, std::int64_t t, At noise) const;        // of one shape
  // d log p(x_t | x_0) / d x_t = (alpha^t x_0 - x_t) / (1 - alpha^(2t)), -noise / its deviation.
  Tensor conditional_score(At x, At x0, std::int64_t t) const;
  // p(x_t) for a mixture of normal laws as p(x_0), again one; and for atoms (..., components).
  distributions::Mixture<distributions::Normal> marginal(
      const distributions::Mixture<distributions::Normal>& data, std::int64_t t) const;
  distributions::Mixture<distributions::Normal> marginal(const distributions::Parameter& logits,
                                                         const Tensor& atoms, std::int64_t t) const;

  // One step back, from x_{t+1} = x and the score of p(x_{t+1}) there, to first order in 1 - alpha:
  // N((2 - alpha) x + (1 - alpha^2) score, (1 - alpha^2) I). On stationary data its mean is off by
  // (1 - alpha)^2 x.
  distributions::Normal backward(At x, At score) const;

 private:
  double alpha_;
};

// 1/2 |model(x) - score|^2 of each element: explicit, against the score of p(x_t), and denoising,
// against that of p(x_t | x_0) at x_t = chain.diffuse(x_0, t, noise). Averaged over data and noise
// they differ by a number that no model changes (Vincent, 2011).
GRADUS_API Tensor explicit_score_matching(const TensorFunction& model, At x, At score);
GRADUS_API Tensor denoising_score_matching(const TensorFunction& model, const Chain& chain, At x0,
                                           std::int64_t t, At noise);
// 1/2 |model_noise(x_t) - noise|^2: the same loss times 1 - alpha^(2t) for the model with
// score = -noise / sqrt(1 - alpha^(2t)).
GRADUS_API Tensor noise_matching(const TensorFunction& model_noise, const Chain& chain, At x0,
                                 std::int64_t t, At noise);

}  // namespace gradus::diffusion
