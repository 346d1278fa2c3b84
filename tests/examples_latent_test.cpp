// The importance-weighted bound: against evidence that is known, its order in K, its gradient.
#include "examples/common/latent.h"

#include <gtest/gtest.h>

#include <cmath>

#include "gradus/gradus.h"
#include "gradus/tests/examples_support.h"

namespace gradus::examples {
namespace {

// With q the true posterior every weight is p(x): the bound is the evidence, whatever K.
TEST(ImportanceWeightedBound, IsTheEvidenceUnderTheTruePosterior) {
  Generator generator(3);
  const Tensor x = 3 * randn({7, 1}, generator, f64);
  const Latent prior = make_latent("normal", 0.0, 1.0);
  const Latent q = make_latent("normal", x / 2, std::sqrt(0.5));
  const Tensor evidence = distributions::Normal{0.0, std::sqrt(2.0)}.log_prob(x).sum(-1);
  for (std::int64_t samples : {1, 2, 30}) {
    const Tensor z = rsample(q, generator, {samples});
    const Tensor likelihood = distributions::Normal{z, 1.0}.log_prob(x).sum(-1);
    const Tensor bound = importance_weighted_bound(q, prior, z, likelihood);
    ASSERT_EQ(bound.shape(), Shape({7}));
    EXPECT_LT(max(abs(bound - evidence)).item(), 1e-13);
  }
}

// A variational autoencoder of three matrices.
struct Small {
  std::string family;
  std::vector<Tensor> weights;  // (3, 6), (3, 6), (6, 3)

  Latent posterior(const Tensor& x) const {
    return make_latent(family, linear(x, weights[0]), exp(linear(x, weights[1])));
  }
  Latent prior() const { return make_latent(family, 0.0, 1.0); }
  Tensor log_likelihood(const Tensor& z, const Tensor& x) const {
    return distributions::Bernoulli{.logits = linear(z, weights[2])}.log_prob(x).sum(-1);
  }
  Tensor elbo(const Tensor& x, Generator& generator) const {
    const Latent q = posterior(x);
    return log_likelihood(rsample(q, generator), x) - kl_divergence(q, prior()).sum(-1);
  }
  Tensor bound(const Tensor& x, std::int64_t samples, Generator& generator) const {
    const Latent q = posterior(x);
    const Tensor z = rsample(q, generator, {samples});
    return importance_weighted_bound(q, prior(), z, log_likelihood(z, x));
  }
};

Small small(const std::string& family, Generator& generator) {
  Small model{family, {}};
  for (const Shape& shape : {Shape{3, 6}, Shape{3, 6}, Shape{6, 3}})
    model.weights.push_back((0.3 * randn(shape, generator, f64)).requires_grad_());
  return model;
}

Tensor stripes(std::int64_t count, Generator& generator) {
  const Tensor side = bernoulli(0.5, {count, 1}, generator).to(f64);
  const Tensor left = from_vector<double>({1, 1, 1, 0, 0, 0});
  return side * left + (1 - side) * (1 - left);
}

double standard_error(const Tensor& x) {
  return std::sqrt(var(x, {0}, {.correction = 1}).item() / static_cast<double>(x.numel()));
}

// Of the same trained weights: one sample estimates the ELBO, and more samples bound more tightly.
TEST(ImportanceWeightedBound, GrowsFromTheELBOWithTheSamples) {
  for (const char* family : {"normal", "log-normal"}) {
    SCOPED_TRACE(family);
    Generator generator(5);
    const Small model = small(family, generator);
    const Tensor x = stripes(4000, generator);
    optim::Adam adam(model.weights, {.learning_rate = 0.02});
    for (int step = 0; step < 150; ++step)
      adam.step(grad(-mean(model.elbo(x.slice(0, 0, 100), generator)), model.weights));

    const NoGrad no_grad;
    Tensor lower = model.elbo(x, generator);
    const Tensor one = model.bound(x, 1, generator);
    EXPECT_LT(std::abs(mean(one - lower).item()), 4 * standard_error(one - lower));
    for (std::int64_t samples : {3, 12, 50}) {
      const Tensor higher = model.bound(x, samples, generator);
      EXPECT_GT(mean(higher - lower).item(), 4 * standard_error(higher - lower)) << samples;
      lower = higher;
    }
  }
}

TEST(ImportanceWeightedBound, HasTheGradientOfItsDifferences) {
  for (const char* family : {"normal", "log-normal"}) {
    for (std::int64_t samples : {1, 4}) {
      Generator generator(9);
      const Small model = small(family, generator);
      const Tensor x = stripes(3, generator);
      const auto f = [&](const std::vector<Tensor>& weights) {
        Generator noise(1);  // the same at every call
        return Small{family, weights}.bound(x, samples, noise);
      };
      std::vector<Tensor> weights;
      for (const Tensor& w : model.weights) weights.push_back(w.detach());
      const CheckResult result = check_gradients(f, weights);
      EXPECT_TRUE(result.ok) << family << ", " << samples << " samples: " << result.text;
    }
  }
}

}  // namespace
}  // namespace gradus::examples
