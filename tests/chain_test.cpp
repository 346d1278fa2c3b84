// The autoregressive chain: composition, exact scores, score matching, and the way back.
#include "gradus/nn/chain.h"

#include "gradus/nn/divergence.h"
#include "gradus/tests/ops.h"
#include "gradus/tests/quadrature.h"

namespace gradus::test {
namespace {

using diffusion::Chain;
using namespace distributions;

// The data of the reference: atoms and their weights.
struct ChainTest : testing::Test {
  const Tensor atoms = f64_of({-1.3, 0.4, 2.1});
  const Tensor weights = f64_of({0.2, 0.5, 0.3});
  const Parameter logits = log(weights);
  const Chain chain{0.9};
};

TEST_F(ChainTest, StepsComposeToTheMarginal) {
  Tensor mean = atoms;
  double variance = 0;
  for (std::int64_t t = 1; t <= 40; ++t) {
    const Normal step = chain.transition(mean);
    mean = step.mean.tensor();
    variance = 0.81 * variance + std::pow(step.standard_deviation.tensor(atoms).item(), 2);
    EXPECT_TRUE(close(mean, chain.marginal(atoms, t).mean.tensor(), 1e-15));
    EXPECT_NEAR(variance, chain.variance(t), 1e-14);
  }
  EXPECT_EQ(chain.signal(0), 1);
  EXPECT_EQ(chain.variance(0), 0);
  EXPECT_EQ(chain.signal(100000), 0);
  EXPECT_EQ(chain.variance(100000), 1);
}

TEST_F(ChainTest, ItsDistanceFromTheStationaryLawIsTheClosedForm) {
  for (const std::int64_t t : {1, 5, 30}) {
    const double a = std::pow(0.9, 2.0 * static_cast<double>(t));
    const Tensor wanted = 0.5 * (a * square(atoms) - a - std::log(1 - a));
    EXPECT_TRUE(close(kl_divergence(chain.marginal(atoms, t), Normal{0.0, 1.0}), wanted, 1e-14));
  }
}

TEST_F(ChainTest, ConditionalScoresAreTheNoise) {
  Generator generator(1);
  const Tensor noise = randn({3}, generator, f64), x = chain.diffuse(atoms, 3, noise);
  const double deviation = std::sqrt(chain.variance(3));
  EXPECT_TRUE(close(chain.conditional_score(x, atoms, 3), -noise / deviation, 1e-14));
  EXPECT_TRUE(close(diffusion::score(chain.marginal(atoms, 3), x), -noise / deviation, 1e-14));
}

TEST_F(ChainTest, TheScoreOfAMixtureIsThePosteriorMeanOfTheConditionalOnes) {
  const auto p = chain.marginal(logits, atoms, 3);
  const Tensor x = linspace(-3, 3, 25, f64);
  const Tensor each = chain.conditional_score(x.unsqueeze(1), atoms, 3);
  const Tensor responsibility =
      softmax(chain.marginal(atoms, 3).log_prob(x.unsqueeze(1)) + log(weights), -1);
  EXPECT_TRUE(close(diffusion::score(p, x), sum(responsibility * each, 1), 1e-13));
  // A mixture of normal laws of small variance is that of atoms, to the order of the variance.
  const auto wide = chain.marginal(Mixture<Normal>{logits, {atoms, 1e-8}}, 3);
  EXPECT_TRUE(close(diffusion::score(wide, x), diffusion::score(p, x), 1e-13));
  // A score is differentiated further.
  const Tensor y = leaf(x.clone());
  const Tensor slope = grad(sum(diffusion::score(chain.marginal(atoms[0], 3), y)), {y})[0];
  EXPECT_TRUE(close(slope, full({25}, -1 / chain.variance(3), f64), 1e-13));
}

// E over x0 and noise by sums and quadrature, E over x_t likewise; the model is any function.
TEST_F(ChainTest, ExplicitAndDenoisingScoreMatchingDifferByANumber) {
  const double a = -10, b = 10;
  const std::int64_t t = 3;
  const auto p = chain.marginal(logits, atoms, t);
  const Tensor x = grid(a, b, 4000), density = exp(p.log_prob(x)), exact = diffusion::score(p, x);
  const Tensor noise = x.unsqueeze(1), data = atoms.unsqueeze(0).expand({4001, 3});
  const Tensor normal = exp(Normal{0.0, 1.0}.log_prob(noise));
  std::vector<std::vector<Tensor>> gradients;
  for (const double start : {-0.8, 0.3}) {
    const Tensor theta = leaf(f64_of({start, 0.4, -0.2}));
    const auto model = [&](const Tensor& y) {
      return theta[0] * y + theta[1] * tanh(y) + theta[2];
    };
    const Tensor explicit_loss = sum(density * diffusion::explicit_score_matching(model, x, exact));
    const Tensor denoising_loss =
        sum(normal * sum(weights * diffusion::denoising_score_matching(model, chain, data, t,
                                                                       noise.expand({4001, 3})),
                         1, true));
    const double h = (b - a) / 4000;
    EXPECT_NEAR((denoising_loss - explicit_loss).item() * h, 0.6352394768335, 1e-12);
    const Tensor d = grad(explicit_loss, {theta})[0], e = grad(denoising_loss, {theta})[0];
    EXPECT_TRUE(close(h * d, h * e, 1e-11));
  }
}

TEST_F(ChainTest, PredictingTheNoiseIsScoreMatchingTimesTheVariance) {
  Generator generator(2);
  const Tensor noise = randn({3}, generator, f64);
  const double variance = chain.variance(4), deviation = std::sqrt(variance);
  const auto model_noise = [](const Tensor& x) { return tanh(x); };
  const auto model_score = [&](const Tensor& x) { return -tanh(x) / deviation; };
  EXPECT_TRUE(close(
      diffusion::noise_matching(model_noise, chain, atoms, 4, noise),
      variance * diffusion::denoising_score_matching(model_score, chain, atoms, 4, noise), 1e-14));
}

TEST_F(ChainTest, TheWayBackIsOffByTheSquareOnStationaryData) {
  const Tensor x = f64_of({-2.0, 0.5, 1.0});
  for (const double alpha : {0.5, 0.9, 0.99}) {
    const Chain c(alpha);
    const Tensor error = c.backward(x, -x).mean.tensor() - alpha * x;
    EXPECT_TRUE(close(error, (1 - alpha) * (1 - alpha) * x, 1e-15));
  }
}

TEST_F(ChainTest, GoingBackWithTheExactScoreGivesTheDataBack) {
  const Chain slow(0.99);
  const Mixture<Normal> data{logits, {atoms, 0.3}};
  Generator generator(3);
  Tensor x = randn({4000}, generator, f64);
  for (std::int64_t t = 400; t >= 1; --t)
    x = slow.backward(x, diffusion::score(slow.marginal(data, t), x)).rsample(generator);
  // Besides chance, an error of first order in 1 - alpha, and what of the data is left at t = 400.
  const double chance = 5 / std::sqrt(4e3), bias = 0.02;
  const double wanted = variance(data).item();
  EXPECT_NEAR(mean(x).item(), mean(data).item(), chance * std::sqrt(wanted) + bias);
  EXPECT_NEAR(var(x).item(), wanted, chance * 1.5 * wanted + bias);
  for (const double edge : {-1.3, -0.45, 0.4, 1.25, 2.1})
    EXPECT_NEAR(mean(less(x, edge).to(f64)).item(), data.cdf(full({}, edge, f64)).item(),
                chance * 0.5 + bias);
}

TEST_F(ChainTest, RefusesWhatIsNoChain) {
  for (const double alpha : {0.0, 1.0, -0.5, 1.5, nan})
    EXPECT_TRUE(throws("Chain", "alpha must lie in (0, 1)", [&] { Chain{alpha}; }));
  EXPECT_TRUE(throws("Chain.marginal", "t must be at least 1", [&] { chain.marginal(atoms, 0); }));
  EXPECT_TRUE(throws("Chain.signal", "at least 0", [&] { chain.signal(-1); }));
  EXPECT_TRUE(throws("Chain.diffuse", "shapes differ: x0 (3,), noise (3, 1)", [&] {
    chain.diffuse(ones({3}), 1, ones({3, 1}));
  }));
  const auto wrong = [](const Tensor& x) { return sum(x); };
  EXPECT_TRUE(throws("score matching", "the model gave ()",
                     [&] { diffusion::explicit_score_matching(wrong, atoms, atoms); }));
}

TEST_F(ChainTest, DevicesAgree) {
  const Tensor x = f64_of({-0.5, 1.5});
  const auto on = [&](Device d) {
    const auto p = chain.marginal(logits.tensor().to(d), atoms.to(d), 3);
    return diffusion::score(p, x.to(d)).to(Device::cpu);
  };
  for (const Device d : tested_devices()) EXPECT_TRUE(close(on(d), on(Device::cpu), 1e-14));
}

}  // namespace
}  // namespace gradus::test
