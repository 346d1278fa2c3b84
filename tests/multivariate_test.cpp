// The multivariate normal law: definition, products of normal laws, quadrature, draws, gradients.
#include "gradus/nn/multivariate_normal.h"

#include <numbers>

#include "gradus/autograd/check.h"
#include "gradus/nn/mixture.h"
#include "gradus/tests/ops.h"
#include "gradus/tests/quadrature.h"

namespace gradus::test {
namespace {

using namespace distributions;

struct MultivariateNormalTest : testing::Test {
  const Tensor mean = f64_of({0.5, -1.0});
  const Tensor covariance = from_vector<double>({2.0, 0.6, 0.6, 0.5}, Shape{2, 2});
  const Tensor scale_tril =
      from_vector<double>({std::sqrt(2.0), 0, 0.6 / std::sqrt(2.0), std::sqrt(0.32)}, Shape{2, 2});
  const MultivariateNormal p{.mean = mean, .covariance = covariance};
  const Tensor x = from_vector<double>({0, 0, 1.5, -2, 40, 3}, Shape{3, 2});
};

TEST_F(MultivariateNormalTest, IsItsDefinition) {
  // The inverse and the determinant of the covariance, by hand: det 0.64.
  const auto log_p = [](double a, double b) {
    const double u = a - 0.5, v = b + 1;
    return -0.5 * (0.5 * u * u - 1.2 * u * v + 2 * v * v) / 0.64 - std::log(2 * std::numbers::pi) -
           0.5 * std::log(0.64);
  };
  const std::vector<double> wanted{log_p(0, 0), log_p(1.5, -2), log_p(40, 3)};
  EXPECT_TRUE(near(p.log_prob(x), wanted));
  EXPECT_TRUE(near(MultivariateNormal{.mean = mean, .scale_tril = scale_tril}.log_prob(x), wanted));
  EXPECT_NEAR(p.entropy().item(), 1 + std::log(2 * std::numbers::pi) + 0.5 * std::log(0.64), 1e-14);
  EXPECT_TRUE(near(variance(p), {2, 0.5}));
  EXPECT_TRUE(close(distributions::covariance({.mean = mean, .scale_tril = scale_tril}), covariance,
                    1e-15));
}

TEST_F(MultivariateNormalTest, WithADiagonalItIsAProduct) {
  const Tensor s = f64_of({0.8, 1.7});
  const MultivariateNormal d{.mean = mean, .scale_tril = eye(2, -1, f64) * s};
  const Normal each{mean, s}, other{0.3, 1.1};
  EXPECT_TRUE(close(d.log_prob(x), sum(each.log_prob(x), -1), 1e-14));
  EXPECT_TRUE(close(d.entropy(), sum(each.entropy()), 1e-14));
  const MultivariateNormal q{.mean = full({2}, 0.3, f64), .scale_tril = 1.1 * eye(2, -1, f64)};
  EXPECT_NEAR(kl_divergence(d, q).item(), sum(kl_divergence(each, other)).item(), 1e-14);
}

TEST_F(MultivariateNormalTest, ItsDivergenceAgreesWithTheEstimate) {
  const MultivariateNormal q{.mean = f64_of({0.0, 0.2}), .covariance = eye(2, -1, f64)};
  Generator generator(1);
  const Estimate e = kl_monte_carlo(p, q, 100000, generator);
  EXPECT_LT(std::abs(e.value.item() - kl_divergence(p, q).item()), 5 * e.standard_error.item());
  EXPECT_LT(e.standard_error.item(), 0.02);
  EXPECT_NEAR(kl_divergence(p, p).item(), 0, 1e-15);
}

TEST_F(MultivariateNormalTest, DrawsHaveItsMomentsAndMarginals) {
  Generator generator(2);
  const Tensor z = p.rsample(generator, {100000});
  EXPECT_EQ(z.shape(), (Shape{100000, 2}));
  const Tensor centred = z - mean;
  const Tensor found = matmul(centred.t(), centred) / 1e5;
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 2; ++j) {
      const double c = covariance[i][j].item();
      const double spread =
          std::sqrt((covariance[i][i].item() * covariance[j][j].item() + c * c) / 1e5);
      EXPECT_NEAR(found[i][j].item(), c, 5 * spread);
    }
  for (int i = 0; i < 2; ++i) {
    const Normal marginal{mean[i], std::sqrt(covariance[i][i].item())};
    EXPECT_LT(kolmogorov_smirnov(marginal.cdf(z.slice(1, i, i + 1).squeeze(1))), 1.95);
  }
}

TEST_F(MultivariateNormalTest, Gradients) {
  const Tensor point = f64_of({0.9, -0.4}), other = f64_of({0.1, 0.3});
  const auto expect = [](const TensorsFunction& f, const Tensors& inputs) {
    const CheckResult r = check_gradients(f, inputs, {.order = 2});
    EXPECT_TRUE(r.ok) << r.text;
  };
  const auto of = [](const Tensor& m, const Tensor& a) {
    return MultivariateNormal{.mean = m, .covariance = matmul(a, a.t()) + eye(2, -1, f64)};
  };
  const Tensor a = from_vector<double>({0.4, -0.3, 0.7, 0.9}, Shape{2, 2}), b = flip(a, 0);
  expect([&](const auto& v) { return of(v[0], v[1]).log_prob(v[2]); }, {mean, a, point});
  expect([&](const auto& v) { return of(v[0], v[1]).entropy(); }, {mean, a});
  expect([&](const auto& v) { return kl_divergence(of(v[0], v[1]), of(v[2], v[3])); },
         {mean, a, other, b});
  expect(
      [](const auto& v) {
        Generator generator(3);
        return MultivariateNormal{.mean = v[0], .scale_tril = v[1]}.rsample(generator, {2});
      },
      {mean, scale_tril});
}

TEST_F(MultivariateNormalTest, BatchesAndMixtures) {
  const Tensor means = stack({mean, -mean, 0.0 * mean}, 0);
  const MultivariateNormal three{.mean = means, .covariance = covariance};
  EXPECT_EQ(three.log_prob(x).shape(), (Shape{3}));
  EXPECT_EQ(three.entropy().shape(), (Shape{3}));
  Generator generator(4);
  EXPECT_EQ(three.rsample(generator, {5}).shape(), (Shape{5, 3, 2}));
  const Tensor logits = f64_of({0.1, 0.5, -0.3}), w = softmax(logits, -1);
  const Mixture<MultivariateNormal> mixture{logits, three};
  const Tensor each = exp(three.log_prob(x.unsqueeze(1)));
  EXPECT_TRUE(close(exp(mixture.log_prob(x)), sum(w * each, 1), 1e-14));
  EXPECT_TRUE(close(distributions::mean(mixture), sum(w.unsqueeze(1) * means, 0), 1e-15));
  const Tensor z = mixture.sample(generator, {50000});
  EXPECT_EQ(z.shape(), (Shape{50000, 2}));
  const std::vector<double> m = doubles(gradus::mean(z, 0) - distributions::mean(mixture));
  const std::vector<double> v = doubles(variance(mixture));
  for (std::size_t i = 0; i < 2; ++i) EXPECT_LT(std::abs(m[i]), 5 * std::sqrt(v[i] / 5e4));
}

TEST_F(MultivariateNormalTest, RefusesWhatIsNoCovariance) {
  const auto with = [&](const Tensor& c) {
    return MultivariateNormal{.mean = mean, .covariance = c}.entropy();
  };
  EXPECT_TRUE(throws("cholesky", "positive definite", [&] { with(-covariance); }));
  EXPECT_TRUE(throws("MultivariateNormal", "must be (..., 2, 2), got (3, 3)",
                     [&] { with(eye(3, -1, f64)); }));
  EXPECT_TRUE(
      throws("MultivariateNormal", "neither", [&] { MultivariateNormal{.mean = mean}.entropy(); }));
  EXPECT_TRUE(throws("MultivariateNormal", "both", [&] {
    MultivariateNormal{mean, covariance, scale_tril}.entropy();
  }));
  EXPECT_TRUE(throws("MultivariateNormal", "the diagonal of scale_tril must be positive", [&] {
    MultivariateNormal{.mean = mean, .scale_tril = -scale_tril}.log_prob(x);
  }));
  EXPECT_TRUE(throws("MultivariateNormal.log_prob", "takes vectors (..., 2)",
                     [&] { p.log_prob(zeros({3}, f64)); }));
  EXPECT_TRUE(throws("kl_divergence", "no closed form for KL(MultivariateNormal || Normal)", [&] {
    kl_divergence(p, Normal{0.0, 1.0});
  }));
}

TEST_F(MultivariateNormalTest, DevicesAgree) {
  const auto on = [&](Device d) {
    const MultivariateNormal there{.mean = mean.to(d), .covariance = covariance.to(d)};
    Generator generator(5);
    const Tensor z = there.rsample(generator, {3});
    return concat({z, there.log_prob(z).unsqueeze(1)}, 1).to(Device::cpu);
  };
  for (const Device d : tested_devices()) EXPECT_TRUE(close(on(d), on(Device::cpu), 1e-13));
}

}  // namespace
}  // namespace gradus::test
