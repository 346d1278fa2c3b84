// Laplace, Uniform and mixtures: definitions, quadrature, draws, gradients, bad input.
#include "gradus/autograd/check.h"
#include "gradus/nn/mixture.h"
#include "gradus/tests/ops.h"
#include "gradus/tests/quadrature.h"

namespace gradus::test {
namespace {

using namespace distributions;

void expect_gradients(const TensorsFunction& f, const Tensors& inputs) {
  const CheckResult r = check_gradients(f, inputs, {.order = 2});
  EXPECT_TRUE(r.ok) << r.text;
}

// Draws follow the cdf, and have the mean and variance that the distribution claims.
void expect_draws(const auto& d) {
  Generator generator(17);
  const Tensor x = draw(d, generator, {100000});
  EXPECT_LT(kolmogorov_smirnov(d.cdf(x)), 1.95);
  const double n = 1e5, m = mean(d).item(), v = variance(d).item();
  EXPECT_NEAR(mean(x).item(), m, 5 * std::sqrt(v / n));
  const double fourth = mean(square(square(x - m))).item();
  EXPECT_NEAR(var(x).item(), v, 5 * std::sqrt((fourth - v * v) / n));
}

// The density is the derivative of the cdf, which icdf inverts.
void expect_consistent(const auto& d, const Tensor& points) {
  const Tensor x = leaf(points.clone());
  EXPECT_TRUE(close(grad(sum(d.cdf(x)), {x})[0], exp(d.log_prob(points)), 1e-13));
  EXPECT_TRUE(close(d.icdf(d.cdf(points)), points, 1e-12));
}

// ---- Laplace ------------------------------------------------------------------------------------

TEST(Laplace, IsItsDefinition) {
  const Laplace d{0.5, 2.0};
  const Tensor x = f64_of({-3.5, 0.5, 2.5, 1000});
  EXPECT_TRUE(near(d.log_prob(x), {-2 - std::log(4.0), -std::log(4.0), -1 - std::log(4.0),
                                   -499.75 - std::log(4.0)}));
  EXPECT_TRUE(near(d.cdf(x), {0.5 * std::exp(-2), 0.5, 1 - 0.5 * std::exp(-1), 1}));
  EXPECT_TRUE(near(d.icdf(f64_of({0, 0.25, 0.5, 0.75, 1})),
                   {-inf, 0.5 - 2 * std::log(2.0), 0.5, 0.5 + 2 * std::log(2.0), inf}));
  const Laplace wide{full({2}, 0.5, f64), 2.0};
  EXPECT_TRUE(near(wide.entropy(), {1 + std::log(4.0), 1 + std::log(4.0)}));
  EXPECT_TRUE(near(mean(wide), {0.5, 0.5}));
  EXPECT_TRUE(near(variance(wide), {8, 8}));
  EXPECT_TRUE(near(Laplace{0.0, 1.0}.cdf(f64_of({-700})), {0.5 * std::exp(-700)}, 1e-310));
  expect_consistent(d, linspace(-6, 7, 40, f64));
}

// The negative log-likelihood is that of least absolute deviations.
TEST(Laplace, ItsGradientIsTheSignOfTheResidual) {
  const Tensor m = leaf(f64_of({0.0, 1.0, 2.0})), x = f64_of({0.5, 1.0, -1.0});
  EXPECT_TRUE(near(grad(sum(Laplace{m, 0.25}.log_prob(x)), {m})[0], {4, 0, -4}, 0));
}

TEST(Laplace, DrawsAndGradients) {
  expect_draws(Laplace{full({}, 0.5, f64), 2.0});
  const Tensor m = f64_of({-0.7, 0.2, 1.3}), b = f64_of({0.9, 1.2, 0.8}),
               x = f64_of({0.6, 1.7, 0.9});
  const Tensor u = f64_of({0.3, 0.4, 0.6});
  expect_gradients([](const auto& v) { return Laplace{v[0], v[1]}.log_prob(v[2]); }, {m, b, x});
  expect_gradients([](const auto& v) { return Laplace{v[0], v[1]}.cdf(v[2]); }, {m, b, x});
  expect_gradients([](const auto& v) { return Laplace{v[0], v[1]}.icdf(v[2]); }, {m, b, u});
  expect_gradients(
      [](const auto& v) {
        Generator generator(5);
        return Laplace{v[0], v[1]}.rsample(generator, {2});
      },
      {m, b});
  Generator generator(6);
  EXPECT_TRUE(all(isfinite(Laplace{0.0, 1.0}.rsample(generator, {1000000}))).item<bool>());
}

// ---- Uniform ------------------------------------------------------------------------------------

TEST(Uniform, IsItsDefinition) {
  const Uniform d{-1.0, 3.0};
  const Tensor x = f64_of({-1, 0, 3});
  EXPECT_TRUE(near(d.log_prob(x), {-std::log(4.0), -std::log(4.0), -std::log(4.0)}));
  EXPECT_TRUE(near(d.cdf(f64_of({-5, -1, 0, 3, 9})), {0, 0, 0.25, 1, 1}));
  EXPECT_TRUE(near(d.icdf(f64_of({0, 0.25, 1})), {-1, 0, 3}));
  const Uniform two{f64_of({-1, 2}), 3.0};
  EXPECT_TRUE(near(two.entropy(), {std::log(4.0), 0}));
  EXPECT_TRUE(near(mean(two), {1, 2.5}));
  EXPECT_TRUE(near(variance(two), {16. / 12, 1. / 12}));
  EXPECT_EQ(two.support(), (Support{Support::Kind::interval, 0, -1, 3}));
  expect_consistent(d, linspace(-0.9, 2.9, 20, f64));
}

TEST(Uniform, DrawsAndGradients) {
  expect_draws(Uniform{full({}, -1, f64), 3.0});
  const Tensor a = f64_of({-0.7, 0.2}), b = f64_of({0.9, 2.2}), x = f64_of({0.6, 1.7});
  expect_gradients([](const auto& v) { return Uniform{v[0], v[1]}.log_prob(v[2]); }, {a, b, x});
  expect_gradients([](const auto& v) { return Uniform{v[0], v[1]}.cdf(v[2]); }, {a, b, x});
  expect_gradients([](const auto& v) { return Uniform{v[0], v[1]}.entropy(); }, {a, b});
  expect_gradients(
      [](const auto& v) {
        Generator generator(5);
        return Uniform{v[0], v[1]}.rsample(generator, {3});
      },
      {a, b});
}

// ---- Mixture ------------------------------------------------------------------------------------

struct MixtureTest : testing::Test {
  const Tensor logits = f64_of({0.3, -0.5, 1.0}), m = f64_of({-1.3, 0.4, 2.1});
  const Tensor s = f64_of({0.5, 0.3, 0.8});
  const Mixture<Normal> three{logits, {m, s}};
};

TEST_F(MixtureTest, IsTheWeightedSumOfItsComponents) {
  const Tensor x = linspace(-4, 5, 19, f64);
  const Tensor w = softmax(logits, -1);
  const Tensor density = sum(w * exp(Normal{m, s}.log_prob(x.unsqueeze(1))), 1);
  EXPECT_TRUE(close(exp(three.log_prob(x)), density, 1e-14));
  EXPECT_TRUE(close(three.cdf(x), sum(w * Normal{m, s}.cdf(x.unsqueeze(1)), 1), 1e-14));
  EXPECT_TRUE(std::isfinite(three.log_prob(full({}, 100, f64)).item()));  // densities underflow
  const double a = -12, b = 14;
  const Tensor t = grid(a, b, 2000), p = exp(three.log_prob(t));
  const double first = integral(p * t, a, b);
  EXPECT_NEAR(integral(p, a, b), 1, 1e-13);
  EXPECT_NEAR(mean(three).item(), first, 1e-13);
  EXPECT_NEAR(variance(three).item(), integral(p * square(t - first), a, b), 1e-12);
}

TEST_F(MixtureTest, DrawsAndGradients) {
  expect_draws(three);
  expect_draws(Mixture<Laplace>{logits, {m, s}});
  // Points of moderate fourth derivatives.
  const Tensor x = f64_of({-0.6, 1.7}), wide = f64_of({0.9, 1.1, 0.8});
  expect_gradients(
      [](const auto& v) {
        return Mixture<Normal>{v[0], {v[1], v[2]}}.log_prob(v[3]);
      },
      {logits, m, wide, x});
  expect_gradients(
      [](const auto& v) {
        return Mixture<Normal>{v[0], {v[1], v[2]}}.cdf(v[3]);
      },
      {logits, m, wide, x});
}

TEST_F(MixtureTest, Batches) {
  const Mixture<Normal> two{stack({logits, flip(logits, 0)}, 0), {m, 0.5}};
  const Tensor x = f64_of({0.1, 0.2});
  const Mixture<Normal> first{logits, {m, 0.5}}, second{flip(logits, 0), {m, 0.5}};
  EXPECT_NEAR(two.log_prob(x)[0].item(), first.log_prob(x[0]).item(), 1e-15);
  EXPECT_NEAR(two.log_prob(x)[1].item(), second.log_prob(x[1]).item(), 1e-15);
  Generator generator(3);
  const Mixture<Normal> rows{logits, {zeros({2, 3}, f64), 0.5}};
  EXPECT_EQ(rows.sample(generator, {5}).shape(), (Shape{5, 2}));
  EXPECT_EQ(mean(rows).shape(), (Shape{2}));
}

TEST(Mixture, DevicesAgree) {
  const Tensor logits = f64_of({0.3, -0.5}), m = f64_of({-1, 2}), x = f64_of({0.1, 0.7, 5});
  const auto of = [&](Device d) {
    const Mixture<Laplace> p{logits.to(d), {m.to(d), 0.5}};
    Generator generator(4);
    const Tensor drawn = p.sample(generator, {3});
    const Tensor u = Uniform{m.to(d), 4.0}.log_prob(full({}, 3, f64, d));
    return concat({p.log_prob(x.to(d)), drawn, u}, 0).to(Device::cpu);
  };
  for (const Device d : tested_devices()) EXPECT_TRUE(close(of(d), of(Device::cpu), 1e-14));
}

// ---- bad input ----------------------------------------------------------------------------------

TEST(Continuous, RefusesParametersAndValuesOutOfTheirDomain) {
  const Tensor x = zeros({2}), two = zeros({2});
  EXPECT_TRUE(throws("Laplace", "scale must be positive and finite, got 0", [&] {
    Laplace{0.0, 0.0}.log_prob(x);
  }));
  EXPECT_TRUE(throws("Laplace.icdf", "[0, 1]", [&] { Laplace{0.0, 1.0}.icdf(x + 2.0); }));
  EXPECT_TRUE(throws("Uniform", "high - low must be positive and finite, got 0", [&] {
    Uniform{1.0, 1.0}.cdf(x);
  }));
  EXPECT_TRUE(throws("Uniform", "high is missing", [&] { Uniform{1.0, Parameter()}.cdf(x); }));
  EXPECT_THROW((Uniform{0.0, full({2}, nan)}.entropy()), NumericError);
  EXPECT_TRUE(throws("Uniform.log_prob", "outside of the support [low, high]", [&] {
    Uniform{1.0, 2.0}.log_prob(x);
  }));
  EXPECT_TRUE(throws("Uniform.log_prob", "outside of the support", [&] {
    Uniform{-2.0, -1.0}.log_prob(x);
  }));
  EXPECT_TRUE(throws("Mixture", "logits must be a tensor", [&] {
    Mixture<Normal>{0.0, {two, 1.0}}.log_prob(x);
  }));
  EXPECT_TRUE(throws("Mixture.log_prob", "3 logits", [&] {
    Mixture<Normal>{zeros({3}), {two, 1.0}}.log_prob(x);
  }));
  Generator generator(1);
  EXPECT_TRUE(throws("Mixture.sample", "2 logits", [&] {
    Mixture<Normal>{zeros({2}), {0.0, 1.0}}.sample(generator);
  }));
}

}  // namespace
}  // namespace gradus::test
