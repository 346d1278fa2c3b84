// Noise schedules and the process they drive: verdicts, closed forms, Bayes' rule, draws.
#include "gradus/nn/diffusion.h"

#include <numbers>

#include "gradus/nn/divergence.h"
#include "gradus/tests/ops.h"
#include "gradus/tests/quadrature.h"

namespace gradus::test {
namespace {

using diffusion::Gaussian;
using diffusion::Predicts;
using diffusion::Schedule;
using diffusion::validate;
using diffusion::Verdict;
using Kind = Verdict::Kind;

double parts(std::int64_t n, std::int64_t N) {
  return static_cast<double>(n) / static_cast<double>(N);
}
double sine(std::int64_t n, std::int64_t N) { return std::sin(parts(n, N)); }
double logarithm(std::int64_t n, std::int64_t N) { return std::log(1 + parts(n, N)); }

std::vector<double> betas_of(double (*f)(std::int64_t, std::int64_t), std::int64_t N) {
  std::vector<double> betas;
  for (std::int64_t n = 1; n <= N; ++n) betas.push_back(f(n, N));
  return betas;
}
bool says(const Verdict& v, const char* text) { return v.reason.find(text) != std::string::npos; }

// ---- schedules ----------------------------------------------------------------------------------

TEST(NoiseSchedule, LogAlphaBarIsThatOfTheReference) {
  const auto end = [](const Schedule& s) { return s.log_alpha_bar(s.steps()); };
  EXPECT_NEAR(end(Schedule::from_function(sine, 10)), -8.32289279513089, 1e-13);
  EXPECT_NEAR(end(Schedule::from_function(sine, 1000)), -739.115475723778, 1e-11);
  EXPECT_NEAR(end(Schedule::from_function(logarithm, 10)), -6.021575731701896, 1e-14);
  EXPECT_NEAR(end(Schedule::from_function(logarithm, 1000)), -543.1550470423318, 1e-11);
  EXPECT_NEAR(Schedule::linear(1000).alpha_bar(1000) / 4.035829765375687e-05, 1, 1e-13);
}

TEST(NoiseSchedule, CosineFollowsItsSquaredCosineUntilTheLargestBeta) {
  const Schedule s = Schedule::cosine(50);
  const auto f = [](double n) {
    const double c = std::cos((n / 50 + 0.008) / 1.008 * std::numbers::pi / 2);
    return c * c;
  };
  for (int n = 0; n < 50; ++n) EXPECT_NEAR(s.alpha_bar(n), f(n) / f(0), 1e-14) << n;
  EXPECT_EQ(s.beta(50), 0.999);
}

TEST(NoiseSchedule, TheTwoValidOnesAreValidForAllSizesAndSayWhenF32CannotHoldThem) {
  for (std::int64_t N = 1; N <= 1000; ++N) {
    const Verdict s = validate(betas_of(sine, N)), l = validate(betas_of(logarithm, N));
    EXPECT_EQ(s.kind, N >= 140 ? Kind::unrepresentable : Kind::valid) << N;
    EXPECT_EQ(l.kind, N >= 191 ? Kind::unrepresentable : Kind::valid) << N;
    EXPECT_TRUE(validate(betas_of(sine, N), {.dtype = f64}).reason == "valid") << N;
  }
  const Verdict s = validate(betas_of(sine, 140));
  EXPECT_TRUE(s.valid());
  EXPECT_EQ(s.n, 140);
  EXPECT_TRUE(says(s, "valid, not representable in f32: alphabar_140")) << s.reason;
}

TEST(NoiseSchedule, TheTwoInvalidOnesAreRefusedForTheirReason) {
  const auto inverse = [](std::int64_t n, std::int64_t) { return 1 - 1 / static_cast<double>(n); };
  const auto cosine = [](std::int64_t n, std::int64_t N) {
    return -std::cos(std::numbers::pi * parts(n, N));
  };
  for (std::int64_t N = 1; N <= 1000; ++N) {
    const Verdict a = validate(betas_of(inverse, N)), b = validate(betas_of(cosine, N));
    EXPECT_TRUE(a.kind == Kind::invalid && a.n == 1 && a.beta == 0) << N;
    EXPECT_TRUE(says(a, "beta_1 = 0 is 0: step 1 adds no noise")) << a.reason;
    EXPECT_TRUE(b.kind == Kind::invalid && b.n == 1) << N;
    EXPECT_TRUE(N == 1 ? says(b, "is 1") : says(b, "is below 0")) << b.reason;
  }
  const Verdict two = validate(betas_of(cosine, 2));
  EXPECT_LT(two.beta, 0);
  EXPECT_GT(two.beta, -1e-16);  // no epsilon
}

TEST(NoiseSchedule, BetasOfOneAndAboveAreRefusedWithTheQuantityThatBreaks) {
  const auto refused = [](const std::vector<double>& betas, const char* text,
                          diffusion::ScheduleOptions options = {}) {
    return throws("diffusion", text, [&] { Schedule::from_betas(betas, options); });
  };
  EXPECT_TRUE(refused({0.1, 1.2, 0.1}, "beta_2 = 1.2 is above 1: alpha_n = -0.2 makes alphabar_2"));
  EXPECT_TRUE(refused({1.5, 1.5}, "beta_1 = 1.5"));  // alphabar_2 is positive again
  EXPECT_TRUE(refused({0.1, 1, 0.1}, "beta_2 = 1 is 1 before the last step 3: alphabar_n = 0"));
  EXPECT_TRUE(refused({0.1, 1}, "divides by 0"));
  EXPECT_TRUE(refused({0.1, nan}, "beta_2 = nan is not a number"));
  EXPECT_TRUE(refused({0.1, 0, 0.1}, "the posterior variance"));
  EXPECT_TRUE(refused({}, "at least one step"));
  EXPECT_TRUE(throws("diffusion", "at least one step", [] { Schedule::linear(0); }));
  // At the end, where the network does not predict the noise, and asked for by name.
  EXPECT_TRUE(refused({0.1, 1}, "divides by 0", {.ends_in_pure_noise = true}));
  for (const Predicts p : {Predicts::data, Predicts::velocity}) {
    EXPECT_TRUE(refused({0.1, 1}, "ends_in_pure_noise", {.predicts = p}));
    EXPECT_TRUE(refused({1, 0.1}, "before the last step", {p, f32, true}));
    const Schedule s = Schedule::from_betas({0.1, 1}, {p, f32, true});
    EXPECT_EQ(s.alpha_bar(2), 0);
    EXPECT_EQ(s.verdict().kind, Kind::valid);
  }
}

TEST(NoiseSchedule, StepsOutsideOfItAreRefused) {
  const Schedule s = Schedule::linear(10);
  const Tensor x = zeros({3, 2});
  EXPECT_EQ(s.alpha_bar(0), 1);
  EXPECT_TRUE(throws("diffusion", "n = 0 lies outside of [1, 10]", [&] { s.beta(0); }));
  EXPECT_TRUE(throws("diffusion", "n = 11", [&] { s.alpha_bar(11); }));
  EXPECT_TRUE(throws("diffusion.marginal", "n = 11", [&] { s.marginal(x, 11); }));
  EXPECT_TRUE(throws("diffusion.marginal", "n = 0", [&] {
    s.marginal(x, from_vector<std::int64_t>({1, 0, 2}));
  }));
  EXPECT_TRUE(throws("diffusion.marginal", "one for each of 3 samples", [&] {
    s.marginal(x, from_vector<std::int64_t>({1, 2}));
  }));
  EXPECT_TRUE(throws("diffusion.diffuse", "shapes differ", [&] { s.diffuse(x, 1, zeros({3})); }));
  EXPECT_TRUE(throws("diffusion.diffuse", "batch", [&] { s.diffuse(zeros({}), 1, zeros({})); }));
}

// ---- the process --------------------------------------------------------------------------------

// The mean and variance of a normal law over x0 alone, pushed through one step at a time.
TEST(Diffusion, SingleStepsComposeToTheMarginal) {
  const Schedule s = Schedule::from_function(sine, 12);
  const Tensor x0 = f64_of({-1.3, 0.4, 2.0});
  Tensor mean = x0;
  double variance = 0;
  for (int n = 1; n <= 12; ++n) {
    const auto q = s.transition(mean, n);
    mean = q.mean.tensor();
    variance = s.alpha(n) * variance + square(q.standard_deviation.tensor()).item();
    const auto whole = s.marginal(x0, n);
    EXPECT_TRUE(close(mean, whole.mean.tensor(), 1e-15)) << n;
    EXPECT_NEAR(variance, square(whole.standard_deviation.tensor()).item(), 1e-15) << n;
  }
}

// Bayes' rule in precisions: of q(z_{n-1} | x0), and of z_n seen through one step.
TEST(Diffusion, ThePosteriorIsBayesRule) {
  const Schedule s = Schedule::linear(20, {.first = 0.05, .last = 0.4});
  const Tensor x0 = f64_of({-1.3, 0.4}), z = f64_of({0.7, -2.0});
  for (int n = 2; n <= 20; ++n) {
    const auto prior = s.marginal(x0, n - 1);
    const double own = 1 / s.noise_variance(n - 1), seen = s.alpha(n) / s.beta(n);
    const Tensor mean =
        (own * prior.mean.tensor() + std::sqrt(s.alpha(n)) / s.beta(n) * z) / (own + seen);
    const Gaussian p = s.posterior(z, n, x0);
    EXPECT_TRUE(close(p.mean, mean, 1e-14)) << n;
    EXPECT_NEAR(p.variance.item(), 1 / (own + seen), 1e-15) << n;
    EXPECT_NEAR(s.posterior_variance(n), 1 / (own + seen), 1e-15) << n;
  }
  const Gaussian first = s.posterior(z, 1, x0);
  EXPECT_TRUE(close(first.mean, x0, 0));
  EXPECT_EQ(first.variance.item(), 0);
}

TEST(Diffusion, DataNoiseAndVelocityAreOneAnother) {
  Generator generator(1);
  const Schedule s = Schedule::cosine(30);
  const Tensor x0 = randn({4, 3}, generator, f64), eps = randn({4, 3}, generator, f64);
  const Tensor each = from_vector<std::int64_t>({1, 7, 20, 29});
  for (const diffusion::Steps& n : {diffusion::Steps(15), diffusion::Steps(each)}) {
    const Tensor z = s.diffuse(x0, n, eps);
    const Tensor v = s.velocity(z, n, eps, Predicts::noise);
    EXPECT_TRUE(close(s.data(z, n, eps, Predicts::noise), x0, 1e-13));
    EXPECT_TRUE(close(s.noise(z, n, x0, Predicts::data), eps, 1e-13));
    EXPECT_TRUE(close(s.velocity(z, n, x0, Predicts::data), v, 1e-13));
    EXPECT_TRUE(close(s.data(z, n, v, Predicts::velocity), x0, 1e-13));
    EXPECT_TRUE(close(s.noise(z, n, v, Predicts::velocity), eps, 1e-13));
    const Gaussian p = s.reverse(z, n, eps, Predicts::noise);
    for (const auto& [output, kind] : {std::pair{x0, Predicts::data}, {v, Predicts::velocity}}) {
      EXPECT_TRUE(close(s.reverse(z, n, output, kind).mean, p.mean, 1e-13));
      EXPECT_TRUE(close(s.reverse(z, n, output, kind).variance, p.variance, 0));
    }
  }
  // One number for each sample.
  const Tensor third = s.diffuse(x0, each, eps)[2];
  EXPECT_TRUE(close(third, s.diffuse(x0, 20, eps)[2], 0));
}

TEST(Diffusion, WhatF32CannotHoldIsAnErrorAndTheRestGoesOn) {
  const Schedule s = Schedule::from_function(sine, 1000);
  const Tensor z = ones({2, 3});
  EXPECT_TRUE(throws("diffusion.data", "at n = 1000 it divides by sqrt(alphabar_n)",
                     [&] { s.data(z, 1000, z, Predicts::noise); }));
  EXPECT_TRUE(all(isfinite(s.data(z, 300, z, Predicts::noise))).item<bool>());
  EXPECT_TRUE(all(isfinite(s.reverse(z, 1000, z, Predicts::noise).mean)).item<bool>());
  EXPECT_TRUE(all(isfinite(s.data(z, 1000, z, Predicts::velocity))).item<bool>());
  const Schedule end = Schedule::from_betas({0.2, 1}, {Predicts::data, f32, true});
  EXPECT_TRUE(throws("diffusion.data", "divides", [&] { end.data(z, 2, z, Predicts::noise); }));
  EXPECT_TRUE(
      throws("diffusion.reverse", "divides", [&] { end.reverse(z, 2, z, Predicts::noise); }));
  EXPECT_TRUE(close(end.reverse(z, 2, 0.5 * z, Predicts::data).mean,
                    full({2, 3}, std::sqrt(0.8) * 0.5), 1e-6));
}

TEST(Diffusion, TheDivergenceOfAReverseStepIsThatOfTwoNormals) {
  Generator generator(2);
  const Schedule s = Schedule::linear(10, {.first = 0.02, .last = 0.5});
  const Tensor x0 = randn({3, 2}, generator, f64), eps = randn({3, 2}, generator, f64);
  const Tensor guess = randn({3, 2}, generator, f64);
  for (const int n : {2, 5, 10}) {
    const Tensor z = s.diffuse(x0, n, eps);
    const Gaussian p = s.posterior(z, n, x0), q = s.reverse(z, n, guess, Predicts::noise);
    const Tensor deviation = sqrt(p.variance);
    const Tensor wanted =
        sum(distributions::kl_divergence(distributions::Normal{p.mean, deviation},
                                         distributions::Normal{q.mean, deviation}),
            1);
    EXPECT_TRUE(close(s.reverse_kl(eps, guess, n), wanted, 1e-13)) << n;
  }
  EXPECT_TRUE(throws("reverse_kl", "the decoder's term", [&] {
    s.reverse_kl(eps, guess, from_vector<std::int64_t>({2, 1, 3}));
  }));
}

// Data N(m, s^2): the posterior mean of the noise is known, so the reverse chain must end in the
// data's law.
TEST(Diffusion, AncestralSamplingWithTheTrueNoiseGivesTheDataBack) {
  const double m = 1.5, deviation = 0.4;
  for (const Predicts kind : {Predicts::noise, Predicts::data, Predicts::velocity}) {
    const Schedule s = Schedule::cosine(400, {}, {.predicts = kind, .dtype = f64});
    const auto network = [&](const Tensor& z, std::int64_t n) {
      const double a = std::sqrt(s.alpha_bar(n));
      const double variance = a * a * deviation * deviation + s.noise_variance(n);
      const Tensor eps = std::sqrt(s.noise_variance(n)) / variance * (z - a * m);
      const Tensor x0 = s.data(z, n, eps, Predicts::noise);
      return kind == Predicts::noise  ? eps
             : kind == Predicts::data ? x0
                                      : s.velocity(z, n, x0, Predicts::data);
    };
    Generator generator(3);
    const Tensor x = s.sample(network, {20000}, generator);
    const double root = std::sqrt(2e4);
    EXPECT_NEAR(mean(x).item(), m, 5 * deviation / root);
    // The reverse steps take the variance for a known x0: theirs is a little less than the data's.
    EXPECT_NEAR(std::sqrt(var(x).item()), deviation, 5 * deviation / root + 0.01);
  }
}

TEST(Diffusion, DevicesAgree) {
  const Schedule s = Schedule::cosine(8);
  const Tensor n = from_vector<std::int64_t>({1, 8});
  const Tensor x0 = f64_of({0.3, -1.2, 0.8, 2.0}).to(f32).reshape({2, 2});
  const Tensor eps = flip(x0, 1);
  for (const Device d : tested_devices()) {
    const Tensor z = s.diffuse(x0.to(d), n.to(d), eps.to(d));
    EXPECT_EQ(z.device(), d);
    EXPECT_TRUE(close(z.to(Device::cpu), s.diffuse(x0, n, eps), 1e-6));
    Generator here(4), there(4);
    const Tensor back = s.step(z, n.to(d), eps.to(d), Predicts::noise, there);
    EXPECT_TRUE(close(back.to(Device::cpu),
                      s.step(z.to(Device::cpu), n, eps, Predicts::noise, here), 1e-5));
  }
}

}  // namespace
}  // namespace gradus::test
