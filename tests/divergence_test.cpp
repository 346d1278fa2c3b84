// Divergences of more pairs, those by supports, estimates by name, and Jensen-Shannon.
#include "gradus/nn/divergence.h"

#include "gradus/autograd/check.h"
#include "gradus/nn/mixture.h"
#include "gradus/tests/ops.h"
#include "gradus/tests/quadrature.h"

namespace gradus::test {
namespace {

using namespace distributions;

Tensor number(double x) { return full({}, x, f64); }

void expect_gradients(const TensorsFunction& f, const Tensors& inputs) {
  const CheckResult r = check_gradients(f, inputs, {.order = 2});
  EXPECT_TRUE(r.ok) << r.text;
}

// E_p[log p - log q] by the trapezoidal rule, on either side of a kink of p.
double by_quadrature(const auto& p, const auto& q, double kink) {
  const auto part = [&](double a, double b) {
    // Simpson's rule: p has a kink at an end.
    const std::int64_t n = 20000;
    const Tensor x = grid(a, b, n), f = exp(p.log_prob(x)) * (p.log_prob(x) - q.log_prob(x));
    const double odd = sum(f.slice(0, 1, n, 2)).item(), even = sum(f.slice(0, 0, n + 1, 2)).item();
    return (4 * odd + 2 * even - f[0].item() - f[-1].item()) * (b - a) /
           (3 * static_cast<double>(n));
  };
  return part(kink - 40, kink) + part(kink, kink + 40);
}

TEST(KlDivergence, LaplaceAndNormalPairsAgreeWithQuadrature) {
  const Laplace l{number(0.4), 0.7}, r{number(-0.3), 1.3};
  const Normal n{number(1.1), 0.9};
  EXPECT_NEAR(kl_divergence(l, r).item(), by_quadrature(l, r, 0.4), 2e-4);
  EXPECT_NEAR(kl_divergence(l, n).item(), by_quadrature(l, n, 0.4), 1e-11);
  // log q has the kink.
  EXPECT_NEAR(kl_divergence(n, r).item(), by_quadrature(n, r, -0.3), 1e-11);
  EXPECT_EQ(kl_divergence(l, l).item(), 0);
}

TEST(KlDivergence, UniformPairs) {
  const Uniform p{f64_of({0, 1}), 2.0}, q{-1.0, 3.0};
  EXPECT_TRUE(near(kl_divergence(p, q), {std::log(2.0), std::log(4.0)}));
  const Divergence d = kl(q, p);
  EXPECT_TRUE(near(d.value, {inf, inf}));
  EXPECT_TRUE(near(kl(p, Uniform{number(0.5), 2.5}).value, {inf, std::log(2.0)}));
  EXPECT_TRUE(throws("kl_divergence", "the second has its support on [0, 2]",
                     [&] { kl_divergence(q, p); }));
  const double m = 0.3, s = 0.8;  // E (x - m)^2 over [0, 2]
  const double square_distance = (std::pow(2 - m, 3) + std::pow(m, 3)) / 6;
  EXPECT_NEAR(kl_divergence(Uniform{number(0), 2.0}, Normal{m, s}).item(),
              -std::log(2.0) + std::log(s) + 0.91893853320467274 + square_distance / (2 * s * s),
              1e-14);
}

TEST(KlDivergence, GradientsOfTheNewPairs) {
  const Tensor a = f64_of({-0.7, 0.2, 1.3}), b = f64_of({0.9, 1.2, 0.8});
  const Tensor c = f64_of({0.4, -0.3, 0.1}), d = f64_of({0.9, 0.6, 1.4});
  const auto pair = [&](auto make_p, auto make_q, const Tensors& x) {
    expect_gradients(
        [&](const auto& v) { return kl_divergence(make_p(v[0], v[1]), make_q(v[2], v[3])); }, x);
  };
  const auto normal = [](const Tensor& x, const Tensor& y) { return Normal{x, y}; };
  const auto laplace = [](const Tensor& x, const Tensor& y) { return Laplace{x, y}; };
  const auto uniform = [](const Tensor& x, const Tensor& y) { return Uniform{x, x + y}; };
  pair(laplace, laplace, {a, b, c, d});
  pair(laplace, normal, {a, b, c, d});
  pair(normal, laplace, {a, b, c, d});
  pair(uniform, normal, {a, b, c, d});
  pair(uniform, uniform, {a, b, a - 1.0, b + 2.0});
  // Equal means: the kink of |d| cancels.
  const Tensor m = leaf(number(0.4));
  const Tensor slope =
      grad(kl_divergence(Laplace{m, 0.7}, Laplace{0.4, 1.3}), {m}, {.create_graph = true})[0];
  EXPECT_EQ(slope.item(), 0);
  EXPECT_NEAR(grad(slope, {m})[0].item(), 1 / (0.7 * 1.3), 1e-14);
}

TEST(KlDivergence, SupportsTellWhatIsInfinite) {
  const LogNormal positive{0.0, 1.0};
  const Uniform interval{number(-1), 1.0};
  const Mixture<Normal> mixture{f64_of({0, 0}), {f64_of({-1, 1}), 1.0}};
  const Laplace laplace{number(0), 1.0};
  const auto reason = [](const auto& p, const auto& q) {
    const Divergence d = kl(p, q);
    EXPECT_EQ(d.value.item(), inf);
    return d.reason;
  };
  EXPECT_EQ(reason(laplace, positive),
            "KL(Laplace || LogNormal): the LogNormal has its support on z > 0, and the Laplace has "
            "mass 0.5 outside of it");
  EXPECT_NE(reason(Normal{number(0), 1.0}, interval).find("[-1, 1]"), std::string::npos);
  EXPECT_NE(reason(positive, interval).find("mass 0.5 outside"), std::string::npos);
  EXPECT_NE(reason(interval, positive).find("mass 0.5 outside"), std::string::npos);
  EXPECT_NE(reason(mixture, positive).find("Mixture"), std::string::npos);
  // Its mass there underflows, and yet.
  EXPECT_NE(reason(Normal{number(1000), 1.0}, positive).find("mass 0 outside"), std::string::npos);
}

TEST(KlDivergence, APairWithoutAClosedFormNamesTheEstimate) {
  const Mixture<Normal> mixture{f64_of({0, 0}), {f64_of({-1, 1}), 1.0}};
  const Normal normal{number(0), 1.0};
  EXPECT_TRUE(throws("kl_divergence",
                     "no closed form for KL(Mixture || Normal); kl_monte_carlo(p, q, samples, "
                     "generator) estimates it",
                     [&] { kl_divergence(mixture, normal); }));
  EXPECT_TRUE(throws("kl_divergence", "no closed form for KL(Uniform || LogNormal)", [&] {
    kl_divergence(Uniform{1.0, 2.0}, LogNormal{0.0, 1.0});
  }));
  // Of these two one lies within, and one does not.
  EXPECT_TRUE(throws("kl_divergence", "no closed form", [&] {
    kl_divergence(Uniform{f64_of({-1, 1}), 2.0}, LogNormal{0.0, 1.0});
  }));
  EXPECT_TRUE(throws("kl_divergence", "supports differ: {0, 1} and the real numbers", [&] {
    kl_divergence(Bernoulli{.logits = 0.0}, Normal{0.0, 1.0});
  }));
}

TEST(KlMonteCarlo, IsWithinItsStandardError) {
  Generator generator(8);
  const Normal p{f64_of({0.3, -1}), 0.8}, q{-0.2, 1.1};
  const Estimate e = kl_monte_carlo(p, q, 100000, generator);
  const std::vector<double> error = doubles(e.value - kl_divergence(p, q));
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_LT(std::abs(error[i]), 5 * doubles(e.standard_error)[i]);
    EXPECT_LT(doubles(e.standard_error)[i], 0.01);
  }
  const Categorical a{f64_of({0.2, -1.0, 0.7})}, b{f64_of({0, 0, 0})};
  const Estimate c = kl_monte_carlo(a, b, 100000, generator);
  EXPECT_LT(std::abs(c.value.item() - kl_divergence(a, b).item()), 5 * c.standard_error.item());
}

// A mixture of one component is that component, but its draws are not differentiable.
TEST(KlMonteCarlo, ItsGradientIsRightWithAndWithoutReparameterisation) {
  const Tensor m = leaf(f64_of({0.3})), s = leaf(f64_of({0.8}));
  const Normal q{-0.2, 1.1};
  const Tensors wanted = grad(sum(kl_divergence(Normal{m, s}, q)), {m, s});
  Generator generator(9);
  const Tensor pathwise = kl_monte_carlo(Normal{m, s}, q, 200000, generator).value;
  const Tensor by_score =
      kl_monte_carlo(Mixture<Normal>{zeros({1}, f64), {m, s}}, q, 200000, generator).value;
  for (const Tensor& value : {sum(pathwise), by_score}) {
    const Tensors d = grad(value, {m, s});
    EXPECT_NEAR(d[0].item(), wanted[0].item(), 0.02);  // about 5 standard errors of the score's
    EXPECT_NEAR(d[1].item(), wanted[1].item(), 0.03);
  }
}

TEST(KlMonteCarlo, RefusesTooFewSamplesAndInfinity) {
  Generator generator(10);
  const Normal p{0.0, 1.0};
  EXPECT_TRUE(
      throws("kl_monte_carlo", "at least 2 samples", [&] { kl_monte_carlo(p, p, 1, generator); }));
  EXPECT_TRUE(throws("kl_monte_carlo", "infinite: KL(Normal || LogNormal)", [&] {
    kl_monte_carlo(p, LogNormal{0.0, 1.0}, 10, generator);
  }));
}

// ---- Jensen-Shannon -----------------------------------------------------------------------------

Categorical of(const std::vector<double>& p) { return {log(f64_of(p))}; }

TEST(JensenShannon, AgreesWithTheReference) {
  EXPECT_NEAR(jensen_shannon(of({.1, .2, .7}), of({.5, .3, .2})).item(), 0.15135811157180, 1e-14);
  EXPECT_EQ(jensen_shannon(of({.1, .2, .7}), of({.1, .2, .7})).item(), 0);
  EXPECT_NEAR(jensen_shannon(of({1, 0, 0}), of({0, .4, .6})).item(), std::log(2.0), 2e-16);
  // What has probability 0 adds nothing.
  EXPECT_NEAR(jensen_shannon(of({0, .25, .75}), of({0, .5, .5})).item(),
              jensen_shannon(of({.25, .75}), of({.5, .5})).item(), 1e-16);
  const Bernoulli p{.probabilities = number(0.25)}, q{.logits = number(0)};
  EXPECT_NEAR(jensen_shannon(p, q).item(), jensen_shannon(of({.25, .75}), of({.5, .5})).item(),
              1e-16);
  EXPECT_NEAR(
      jensen_shannon(Bernoulli{.probabilities = number(0)}, Bernoulli{.probabilities = number(1)})
          .item(),
      std::log(2.0), 2e-16);
}

TEST(JensenShannon, ItsGradientIsTheClosedForm) {
  const Tensor theta = leaf(f64_of({0.2, -1.0, 0.7})), q = f64_of({.5, .3, .2});
  const Tensor value = jensen_shannon(Categorical{theta}, Categorical{log(q)});
  const Tensor p = softmax(theta.detach(), -1), g = 0.5 * log(p / (0.5 * (p + q)));
  EXPECT_TRUE(close(grad(value, {theta})[0], p * (g - sum(p * g)), 1e-15));
  expect_gradients(
      [](const auto& v) { return jensen_shannon(Categorical{v[0]}, Categorical{v[1]}); },
      {theta.detach(), log(q)});
  // Classes without mass get no gradient, and no NaN.
  const Tensor some = leaf(f64_of({0.2, -1.0, 0.7}));
  const Tensor d = grad(jensen_shannon(Categorical{some}, of({.5, .5, 0})), {some})[0];
  EXPECT_TRUE(all(isfinite(d)).item<bool>());
}

TEST(JensenShannon, ContinuousPairsByName) {
  const Normal p{number(0.3), 0.8}, q{number(-1.0), 1.4};
  const double exact = jensen_shannon_quadrature(p, q, grid(-14, 14, 1000)).item();
  EXPECT_NEAR(exact, jensen_shannon_quadrature(p, q, grid(-14, 14, 2000)).item(), 1e-13);
  Generator generator(11);
  const Estimate e = jensen_shannon_monte_carlo(p, q, 100000, generator);
  EXPECT_LT(std::abs(e.value.item() - exact), 5 * e.standard_error.item());
  // Far apart, and on supports that do not meet.
  EXPECT_NEAR(jensen_shannon_quadrature(Normal{number(-20), 1.0}, Normal{number(20), 1.0},
                                        grid(-40, 40, 4000))
                  .item(),
              std::log(2.0), 1e-13);
  const LogNormal l{number(0.0), 0.5};
  const double mixed = jensen_shannon_quadrature(p, l, grid(-10, 30, 80000)).item();
  EXPECT_GT(mixed, 0);
  EXPECT_LT(mixed, std::log(2.0));
  const Estimate m = jensen_shannon_monte_carlo(p, l, 100000, generator);
  EXPECT_LT(std::abs(m.value.item() - mixed), 5 * m.standard_error.item());
}

TEST(JensenShannon, RefusesGridsThatAreNone) {
  const Normal p{number(0.3), 0.8}, pair{f64_of({0, 1}), 0.8};
  EXPECT_TRUE(throws("jensen_shannon_quadrature", "must rise", [&] {
    jensen_shannon_quadrature(p, p, f64_of({0, 1, 1}));
  }));
  EXPECT_TRUE(throws("jensen_shannon_quadrature", "(n), n >= 2",
                     [&] { jensen_shannon_quadrature(p, p, f64_of({0})); }));
  EXPECT_TRUE(throws("jensen_shannon_quadrature", "batches", [&] {
    jensen_shannon_quadrature(Normal{zeros({3, 1}, f64), 1.0}, p, grid(0, 1, 4));
  }));
  EXPECT_TRUE(throws("jensen_shannon", "supports differ: {0, ..., 1} and {0, ..., 2}", [&] {
    jensen_shannon(of({.5, .5}), of({.2, .3, .5}));
  }));
}

TEST(JensenShannon, DevicesAgree) {
  const Tensor p = f64_of({.1, .2, .7}), q = f64_of({.5, 0, .5});
  for (const Device d : tested_devices()) {
    const Tensor there = jensen_shannon({log(p.to(d))}, Categorical{log(q.to(d))});
    EXPECT_TRUE(close(there.to(Device::cpu), jensen_shannon({log(p)}, Categorical{log(q)}), 1e-14));
    const Divergence infinite = kl(Normal{full({}, 0.3, f64, d), 0.8}, LogNormal{0.0, 1.0});
    EXPECT_EQ(infinite.value.device(), d);
  }
}

}  // namespace
}  // namespace gradus::test
