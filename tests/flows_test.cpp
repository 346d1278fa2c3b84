// Transforms and flows: inverses, volume changes against Jacobians, densities, singular maps.
#include "gradus/nn/flows.h"

#include <numbers>

#include "gradus/autograd/check.h"
#include "gradus/nn/divergence.h"
#include "gradus/nn/module.h"
#include "gradus/tests/ops.h"
#include "gradus/tests/quadrature.h"

namespace gradus::test {
namespace {

using namespace distributions;
using namespace flows;

// Of one vector: the inverse undoes it, and log_det is that of the Jacobian, by elimination.
double log_abs_det(const Tensor& jacobian) {
  const std::int64_t n = jacobian.size(0);
  std::vector<double> a = doubles(jacobian);
  const auto at = [&](std::int64_t i, std::int64_t j) -> double& {
    return a[static_cast<std::size_t>(i * n + j)];
  };
  double sum = 0;
  for (std::int64_t k = 0; k < n; ++k) {
    std::int64_t p = k;
    for (std::int64_t i = k; i < n; ++i)
      if (std::abs(at(i, k)) > std::abs(at(p, k))) p = i;
    for (std::int64_t j = 0; j < n; ++j) std::swap(at(p, j), at(k, j));
    sum += std::log(std::abs(at(k, k)));
    for (std::int64_t i = k + 1; i < n; ++i)
      for (std::int64_t j = n - 1; j >= k; --j) at(i, j) -= at(i, k) / at(k, k) * at(k, j);
  }
  return sum;
}
void expect_transform(const Transform& t, const Tensor& x) {
  const Tensor z = t.forward(x);
  EXPECT_TRUE(close(t.inverse(z), x, 1e-12)) << t.proof();
  const Tensor log_det = sum(t.log_det(x));
  const Tensor j = jacobian([&](const Tensor& y) { return t.forward(y); }, x);
  EXPECT_NEAR(log_det.item(), log_abs_det(j), 1e-12) << t.proof();
  EXPECT_FALSE(t.proof().empty());
  EXPECT_EQ(find_noninvertibility(t, x.size(0)).verdict, Finding::Verdict::certified);
  // A batch is its vectors, one by one.
  const Tensor both = stack({x, 0.5 * x}, 0);
  EXPECT_TRUE(close(t.forward(both)[1], t.forward(0.5 * x), 1e-15));
  EXPECT_TRUE(close(t.inverse(t.forward(both)), both, 1e-12));
  EXPECT_TRUE(close(t.log_det(both)[0], t.log_det(x), 1e-15));
  const CheckResult r = check_gradients(
      [&](const auto& v) {
        return concat({t.forward(v[0]), t.log_det(v[0]).reshape({-1})}, 0);
      },
      {x}, {.order = 2});
  EXPECT_TRUE(r.ok) << t.proof() << ": " << r.text;
}

struct FlowTest : testing::Test {
  const Tensor x = f64_of({0.7, -1.2, 0.4, 0.9});
  const Tensor w = linspace(-0.8, 0.9, 8, f64).reshape({2, 4}), v = w.reshape({4, 2});
  LULinear lu;
  FlowTest() {
    Generator generator(1);
    lu = LULinear(4, generator, f64);
    lu.lower.copy_(randn({4, 4}, generator, f64));
    lu.upper.copy_(randn({4, 4}, generator, f64));
    lu.log_diagonal.copy_(f64_of({0.3, -0.5, 0.1, 0.2}));
  }
  AdditiveCoupling additive() const {
    return {2, [w = w](const Tensor& a) { return tanh(matmul(a, w.slice(1, 0, 2))); }};
  }
  AffineCoupling affine() const {
    return {2, [w = w](const Tensor& a) { return tanh(matmul(a, w)); }};
  }
};

TEST_F(FlowTest, TransformsAreUndoneAndKnowTheirVolumeChange) {
  expect_transform(Affine{0.3, -2.0}, x);
  expect_transform(Affine{f64_of({1, 2, 3, 4}), f64_of({0.5, -1, 2, 3})}, x);
  expect_transform(Exp{}, x);
  expect_transform(Sigmoid{}, x);
  expect_transform(Power{0.7}, abs(x));
  expect_transform(Permutation({2, 0, 3, 1}), x);
  expect_transform(additive(), x);
  expect_transform(affine(), x);
  expect_transform(flows::Linear(matmul(v, w) + eye(4, -1, f64)), x);
  expect_transform(lu, x);
  expect_transform(Composition{{Affine{0.1, 2.0}, lu, affine(), Permutation({1, 3, 0, 2}),
                                additive(), Sigmoid{}}},
                   x);
  expect_transform(Composition{}, x);
}

TEST_F(FlowTest, LULinearIsItsProduct) {
  const Tensor l = tril(lu.lower.detach(), -1) + eye(4, -1, f64);
  const Tensor u = triu(lu.upper.detach(), 1) + eye(4, -1, f64) * exp(lu.log_diagonal.detach());
  const Tensor rows = matmul(matmul(l, u), x);
  EXPECT_TRUE(close(lu.forward(x).detach(), index_select(rows, 0, from_vector(lu.order)), 1e-14));
  EXPECT_EQ(nn::parameters(lu).size(), 3u);
}

TEST_F(FlowTest, WhatKeepsVolumeHasALogDetOfExactlyZero) {
  const Tensor rows = stack({x, 2.0 * x}, 0);
  EXPECT_TRUE(near(additive().log_det(rows), {0, 0}, 0));
  EXPECT_TRUE(near(Permutation({2, 0, 3, 1}).log_det(rows), {0, 0}, 0));
  EXPECT_TRUE(near(sum(Affine{0.7, 1.0}.log_det(rows), 1), {0, 0}, 0));
  // The density moves along: p2(z) = p1(f^-1(z)).
  const Flow<Normal> flow{{zeros({4}, f64), 1.0}, {additive()}};
  EXPECT_TRUE(close(flow.log_prob(rows), sum(flow.base.log_prob(additive().inverse(rows)), 1), 0));
}

// ---- log-normals --------------------------------------------------------------------------------

TEST(Flow, ExpMakesANormalLogNormal) {
  const Flow<Normal> flow{{0.0, 1.0}, {Exp{}}};
  const LogNormal wanted{0.0, 1.0};
  const Tensor z = f64_of({1e-300, 1e-3, 0.5, 2.0, 1e10});
  EXPECT_TRUE(close(flow.log_prob(z), wanted.log_prob(z), 1e-14));
  EXPECT_EQ(flow.support(), wanted.support());
  Generator generator(2);
  EXPECT_LT(kolmogorov_smirnov(wanted.cdf(flow.rsample(generator, {100000}))), 1.95);
  EXPECT_TRUE(throws("Exp.inverse", "z > 0, got -1", [&] { flow.log_prob(f64_of({-1.0})); }));
}

TEST(Flow, PowersMapLogNormalsToEachOther) {
  const Tensor z = f64_of({1e-3, 0.5, 2.0, 1e3});
  for (const double mu : {-1.0, 0.0, 0.7})
    for (const double sigma : {0.3, 1.0, 2.5}) {
      const Flow<LogNormal> flow{{0.0, 1.0}, {Power{sigma}, Affine{0.0, std::exp(mu)}}};
      const LogNormal wanted{mu, sigma};
      EXPECT_TRUE(close(flow.log_prob(z), wanted.log_prob(z), 1e-13)) << mu << ' ' << sigma;
      EXPECT_EQ(flow.support(), wanted.support());
      const Tensor a = f64_of({0.2, 1.0, 3.0});
      const Tensor image = Composition{flow.transforms}.forward(a);
      EXPECT_TRUE(close(wanted.cdf(image), LogNormal{0.0, 1.0}.cdf(a), 1e-14));
      Generator generator(3);
      EXPECT_LT(kolmogorov_smirnov(wanted.cdf(flow.rsample(generator, {20000}))), 1.95);
    }
  for (const double sigma : {0.0, -1.0})
    EXPECT_TRUE(
        throws("Power", "exponent must be positive", [&] { Power{sigma}.forward(f64_of({1.0})); }));
  EXPECT_TRUE(throws("Power.forward", "z > 0, got 0", [] { Power{2.0}.forward(f64_of({0.0})); }));
  EXPECT_TRUE(throws("Power.inverse", "z > 0", [] { Power{2.0}.inverse(f64_of({-1.0})); }));
}

TEST_F(FlowTest, DensitiesIntegrateToOne) {
  // On a grid of the plane.
  const std::int64_t n = 500;
  const Tensor t = linspace(-14, 14, n + 1, f64);
  const Tensor plane =
      stack({t.unsqueeze(1).expand({n + 1, n + 1}), t.unsqueeze(0).expand({n + 1, n + 1})}, -1);
  const AffineCoupling coupling{1, [](const Tensor& a) {
                                  return concat({sin(a), 0.5 * tanh(a)}, -1);
                                }};
  const Flow<Normal> flow{{zeros({2}, f64), 0.8}, {Affine{0.2, 1.3}, coupling}};
  const double h = 28.0 / static_cast<double>(n);
  EXPECT_NEAR(sum(exp(flow.log_prob(plane))).item() * h * h, 1, 1e-9);
  // What rsample draws has the density at its source.
  Generator generator(4), again(4);
  const Tensor source = flow.base.rsample(generator, {5}), drawn = flow.rsample(again, {5});
  EXPECT_TRUE(close(flow.log_prob(drawn), flow.log_prob_at_source(source), 1e-13));
}

TEST_F(FlowTest, GradientsReachParametersThroughTheDensity) {
  const Tensor z = stack({x, 0.5 * x}, 0);
  const auto log_prob = [&](const auto& p) {
    LULinear linear = lu;
    linear.lower = p[0], linear.upper = p[1], linear.log_diagonal = p[2];
    return Flow<Normal>{{zeros({4}, f64), 1.0}, {linear, Affine{p[3], 1.5}}}.log_prob(z);
  };
  const CheckResult r = check_gradients(log_prob,
                                        {0.3 * lu.lower.detach(), 0.3 * lu.upper.detach(),
                                         lu.log_diagonal.detach(), f64_of({0.1, 0.2, 0.3, 0.4})},
                                        {.order = 2});
  EXPECT_TRUE(r.ok) << r.text;
}

TEST_F(FlowTest, DevicesAgree) {
  const auto on = [&](Device d) {
    LULinear there = nn::clone(lu);
    nn::to(there, d);
    const Flow<Normal> flow{{zeros({4}, f64, d), 1.0},
                            {there, Permutation({2, 0, 3, 1}), Sigmoid{}, Affine{0.0, 2.0}}};
    Generator generator(5);
    const Tensor z = flow.sample(generator, {3});
    return concat({z, flow.log_prob(z).unsqueeze(1)}, 1).detach().to(Device::cpu);
  };
  for (const Device d : tested_devices()) EXPECT_TRUE(close(on(d), on(Device::cpu), 1e-12));
}

TEST(Flow, SupportsFollowTheTransforms) {
  const auto image = [](std::vector<Transform> parts, const Support& of) {
    return Composition{std::move(parts)}.image(of);
  };
  const Support real, positive{Support::Kind::positive};
  EXPECT_EQ(image({Exp{}}, real), positive);
  EXPECT_EQ(image({Sigmoid{}}, real), (Support{Support::Kind::interval, 0, 0, 1}));
  EXPECT_EQ(image({Sigmoid{}, Affine{1.0, -2.0}}, real),
            (Support{Support::Kind::interval, 0, -1, 1}));
  EXPECT_EQ(image({Exp{}, Affine{0.0, 3.0}, Power{2.0}}, real), positive);
  EXPECT_TRUE(throws("Power", "it takes x > 0", [&] { image({Power{2.0}}, real); }));
  // And so the divergence knows.
  const Flow<Normal> f{{full({}, 0, f64), 1.0}, {Exp{}}};
  Generator generator(6);
  const Estimate e = kl_monte_carlo(f, LogNormal{0.5, 1.2}, 50000, generator);
  const double exact = kl_divergence(LogNormal{full({}, 0, f64), 1.0}, LogNormal{0.5, 1.2}).item();
  EXPECT_LT(std::abs(e.value.item() - exact), 5 * e.standard_error.item());
}

// ---- singular and malformed ---------------------------------------------------------------------

TEST(Flow, ASingularMatrixIsRefusedWhateverItsScale) {
  for (int k = -20; k <= 20; k += 4) {
    const double s = std::pow(10.0, k);
    const Tensor a = from_vector<double>({0.3 * s, -0.7 * s}, Shape{1, 2});
    const Tensor product = matmul(a.t(), a);
    EXPECT_EQ(flows::rank(product), 1) << k;
    EXPECT_TRUE(throws("Linear", "singular Jacobian: rank 1 of 2, log |det J| = -inf", [&] {
      flows::Linear{product};
    })) << k;
    EXPECT_NO_THROW(flows::Linear{eye(2, -1, f64) * (s * s)});
  }
  EXPECT_TRUE(throws("Linear", "rank 0 of 2", [] { flows::Linear{zeros({2, 2})}; }));
  EXPECT_TRUE(throws("Linear", "square", [] { flows::Linear{zeros({2, 3})}; }));
  EXPECT_TRUE(throws("Linear", "rank 1 of 2", [] {
    flows::Linear{from_vector<float>({0.01f, 0.03f, 0.03f, 0.09f}, Shape{2, 2})};
  }));
}

TEST(Flow, AFunctionWithASingularJacobianIsRefused) {
  const Tensor row = f64_of({0.3, -0.7}).reshape({1, 2}), a = matmul(row.t(), row);
  const Function f{[a](const Tensor& x) { return sigmoid(matmul(a, x)); }};
  const Tensor x = f64_of({0.4, 0.2});
  EXPECT_TRUE(throws("Function", "singular Jacobian: rank 1 of 2", [&] { f.log_det(x); }));
  EXPECT_TRUE(throws("Function", "its inverse was not given", [&] { f.inverse(x); }));
  const Function cube{[](const Tensor& y) { return y * y * y + flip(y, 0); }};
  const Tensor z = f64_of({0.7, -1.2});
  EXPECT_NEAR(cube.log_det(z).item(), std::log(std::abs(9 * 0.49 * 1.44 - 1)), 1e-13);
  EXPECT_EQ(cube.log_det(stack({z, z, z}, 0)).shape(), (Shape{3}));
}

TEST_F(FlowTest, RefusesWhatIsNoTransform) {
  EXPECT_TRUE(throws("Affine", "must not be 0, the Jacobian is singular", [&] {
    Affine{0.0, 0.0}.forward(x);
  }));
  EXPECT_TRUE(throws("Affine", "must not be 0", [&] {
    Affine{0.0, f64_of({1, 0, 1, 1})}.log_det(x);
  }));
  EXPECT_TRUE(throws("Sigmoid.inverse", "must lie in (0, 1), got 1", [] {
    Sigmoid{}.inverse(f64_of({0.5, 1}));
  }));
  EXPECT_TRUE(throws("Permutation", "at 2 it names 0", [] { Permutation({1, 0, 0}); }));
  EXPECT_TRUE(throws("Permutation", "at 0 it names 3", [] { Permutation({3, 0, 1}); }));
  EXPECT_TRUE(throws("Permutation", "takes vectors (..., 2)", [&] {
    Permutation({1, 0}).forward(x);
  }));
  EXPECT_TRUE(throws("AdditiveCoupling", "split 4", [&] {
    AdditiveCoupling{4, [](const Tensor& a) { return a; }}.forward(x);
  }));
  EXPECT_TRUE(throws("AffineCoupling", "the network must give (4,), gave (2,)", [&] {
    AffineCoupling{2, [](const Tensor& a) { return a; }}.forward(x);
  }));
  EXPECT_TRUE(throws("LULinear", "takes vectors (..., 4)", [&] { lu.forward(zeros({3}, f64)); }));
}

}  // namespace
}  // namespace gradus::test
