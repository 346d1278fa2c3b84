// Distributions against SciPy's numbers, quadrature, statistics of their draws, and differences.
#include "gradus/nn/divergence.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "gradus/autograd/check.h"
#include "gradus/tests/quadrature.h"

namespace gradus::test {
namespace {

using namespace distributions;

CheckResult checked(const TensorsFunction& f, const std::vector<Tensor>& inputs) {
  return check_gradients(f, inputs, {.order = 2});
}

// ---- values -------------------------------------------------------------------------------------

TEST(Normal, AgreesWithSciPy) {
  const Normal n{0.3, 0.8};
  const Tensor x = f64_of({-3.2, -0.4, 0.0, 1.7, 40.0});
  EXPECT_TRUE(near(n.log_prob(x), {-10.266107481890462, -1.078607481890463, -0.766107481890463,
                                   -2.2270449818904625, -1232.0161074818905}));
  EXPECT_TRUE(near(n.cdf(x), {6.071623911330592e-06, 0.19078695285251063, 0.3538302333272762,
                              0.9599408431361829, 1.0}));
  const Normal in_f64{full({}, 0.3, f64), 0.8};
  EXPECT_NEAR(in_f64.entropy().item(), 1.195794981890463, 1e-15);
}

TEST(Normal, QuantilesHoldSixteenDigitsInBothTails) {
  const Normal n{0.0, 1.0};
  const Tensor u = f64_of({1e-300, 1e-17, 1e-5, 0.02, 0.075, 0.3, 0.5, 0.7, 0.925, 0.99, 0.9999});
  const std::vector<double> wanted = {-37.0470962993612,
                                      -8.493793224109599,
                                      -4.264890793922825,
                                      -2.053748910631823,
                                      -1.439531470938456,
                                      -0.5244005127080408,
                                      0.0,
                                      0.5244005127080408,
                                      1.439531470938456,
                                      2.326347874040841,
                                      3.7190164854556804};
  EXPECT_TRUE(near(n.icdf(u), wanted, 4e-15));
  const std::vector<double> ends = doubles(n.icdf(f64_of({0.0, 1.0})));
  EXPECT_EQ(ends[0], -inf);
  EXPECT_EQ(ends[1], inf);
}

TEST(LogNormal, AgreesWithSciPy) {
  const LogNormal d{0.3, 0.8};
  const Tensor z = f64_of({1e-300, 1e-3, 0.5, 1.0, 7.5, 1e10});
  EXPECT_TRUE(near(d.log_prob(z), {-372423.5025012982, -34.375333579232425, -0.7732269593415868,
                                   -0.7661074818904631, -5.008270166389745, -427.20938066954614}));
  EXPECT_TRUE(near(d.cdf(z), {0.0, 1.0331602246202814e-19, 0.10722273723483378, 0.35383023332727626,
                              0.9839686783943569, 1.0}));
  EXPECT_TRUE(near(d.icdf(f64_of({0.01, 0.5, 0.9})),
                   {0.20990960375821024, 1.3498588075760032, 3.763093100873834}));
  EXPECT_NEAR((LogNormal{full({}, 0.3, f64), 0.8}.entropy().item()), 1.495794981890463, 1e-15);
  EXPECT_TRUE(near(d.cdf(f64_of({-2.0, 0.0})), {0.0, 0.0}));
}

TEST(Bernoulli, AgreesWithItsFormulaInBothParameters) {
  const Tensor logits = f64_of({-2.0, 0.3, 1.1});
  const Bernoulli a{.logits = logits}, b{.probabilities = sigmoid(logits)};
  const Tensor grey = full({3}, 0.25, f64);
  const std::vector<double> log_prob = {-0.6269280110429725, -0.7793552444685272,
                                        -1.1123353251154309};
  const std::vector<double> entropy = {0.36533385508720767, 0.6820224894250294, 0.5620492089608013};
  for (const Bernoulli& d : {a, b}) {
    EXPECT_TRUE(near(d.log_prob(grey), log_prob));
    EXPECT_TRUE(near(d.entropy(), entropy));
    EXPECT_TRUE(close(d.cdf(full({}, 0.5, f64)), sigmoid(-logits), 1e-15));
    EXPECT_TRUE(near(d.cdf(full({3}, -1, f64)), {0, 0, 0}));
    EXPECT_TRUE(near(d.cdf(full({3}, 1, f64)), {1, 1, 1}));
    // The probabilities of 1 are 0.12, 0.57 and 0.75.
    EXPECT_TRUE(near(d.icdf(full({3}, 0.3, f64)), {0, 0, 1}));
  }
}

TEST(Bernoulli, IsExactForCertainOutcomes) {
  const Bernoulli d{.probabilities = f64_of({0.0, 1.0})};
  EXPECT_TRUE(near(d.log_prob(f64_of({0.0, 1.0})), {0, 0}));
  EXPECT_TRUE(near(d.log_prob(f64_of({1.0, 0.0})), {-inf, -inf}));
  EXPECT_TRUE(near(d.entropy(), {0, 0}));
  Generator generator(1);
  EXPECT_TRUE(near(d.sample(generator), {0, 1}));
  const Bernoulli far{.logits = f64_of({-700.0, 700.0})};
  EXPECT_TRUE(near(far.log_prob(f64_of({1.0, 0.0})), {-700, -700}));
}

TEST(Categorical, AgreesWithSciPy) {
  const Tensor logits = from_vector<double>({0.2, -1.0, 0.7, 2.0, 0.0, -3.0}, Shape{2, 3});
  const Categorical d{logits};
  EXPECT_EQ(d.support(), (Support{Support::Kind::classes, 3}));
  const Tensor classes = from_vector<std::int64_t>({0, 1, 2});
  // One row of values for each of the two distributions.
  const Tensor x = classes.unsqueeze(1).expand({3, 2});
  EXPECT_TRUE(
      near(d.log_prob(x).t(), {-1.0817765199793885, -2.2817765199793882, -0.5817765199793885,
                               -0.13284523372757556, -2.1328452337275756, -5.132845233727576}));
  EXPECT_TRUE(near(d.cdf(x).t(), {0.33899276297720876, 0.4410954210660691, 1.0, 0.8756005950630876,
                                  0.9941002495980972, 1.0}));
  EXPECT_TRUE(near(d.entropy(), {0.9248474202190555, 0.3993432948071087}));
  EXPECT_EQ(d.icdf(f64_of({0.34, 1.0})).to_vector<std::int64_t>(),
            (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(d.icdf(f64_of({0.0, 0.8})).to_vector<std::int64_t>(),
            (std::vector<std::int64_t>{0, 0}));
}

TEST(Categorical, ClassesOfProbabilityZero) {
  const Categorical d{f64_of({0.0, -inf, 0.0})};
  EXPECT_NEAR(d.entropy().item(), std::log(2.0), 1e-15);
  EXPECT_EQ(d.log_prob(from_vector<std::int64_t>({1}, Shape{})).item(), -inf);
  Generator generator(2);
  for (const std::int64_t c : d.sample(generator, {1000}).to_vector<std::int64_t>())
    EXPECT_NE(c, 1);
}

// ---- identities by quadrature -------------------------------------------------------------------

TEST(Distributions, DensitiesIntegrateToOneAndEntropiesAgree) {
  const double a = -12, b = 12;
  const Normal n{0.3, 0.8};
  const Tensor x = grid(a, b, 400);
  const Tensor p = exp(n.log_prob(x));
  EXPECT_NEAR(integral(p, a, b), 1, 1e-13);
  EXPECT_NEAR(integral(-p * n.log_prob(x), a, b), 1.195794981890463, 1e-12);
  // z = exp(x), dz = z dx.
  const LogNormal l{0.3, 0.8};
  const Tensor z = exp(x), q = exp(l.log_prob(z)) * z;
  EXPECT_NEAR(integral(q, a, b), 1, 1e-13);
  EXPECT_NEAR(integral(-q * l.log_prob(z), a, b), 1.495794981890463, 1e-12);
}

TEST(Distributions, CdfInvertsIcdf) {
  const Tensor u = linspace(1e-6, 1 - 1e-6, 1001, f64);
  const Tensor spread = linspace(-3, 3, 1001, f64);
  const Normal n{spread, exp(spread)};
  EXPECT_TRUE(close(n.cdf(n.icdf(u)), u, 1e-13));
  const LogNormal l{spread, exp(0.3 * spread)};
  EXPECT_TRUE(close(l.cdf(l.icdf(u)), u, 1e-13));
}

TEST(Distributions, F32IsF64Rounded) {
  const Tensor x = linspace(0.05, 8, 101, f64);
  const auto f32_of = [](const Tensor& t) { return t.to(f32); };
  const Normal n{0.25, 0.75};
  const LogNormal l{0.25, 0.75};
  EXPECT_TRUE(close(n.log_prob(f32_of(x)).to(f64), n.log_prob(x), 1e-6));
  EXPECT_TRUE(close(n.cdf(f32_of(x)).to(f64), n.cdf(x), 1e-6));
  EXPECT_TRUE(close(l.log_prob(f32_of(x)).to(f64), l.log_prob(x), 1e-6));
  const Tensor u = linspace(0.01, 0.99, 99, f64);
  EXPECT_TRUE(close(n.icdf(f32_of(u)).to(f64), n.icdf(u), 1e-6));
}

// ---- draws --------------------------------------------------------------------------------------

TEST(Distributions, DrawsFollowTheirCdf) {
  Generator generator(7);
  const Normal n{full({}, 0.3, f64), 0.8};
  const LogNormal l{full({}, 0.3, f64), 0.8};
  const Tensor x = n.rsample(generator, {100000}), z = l.rsample(generator, {100000});
  EXPECT_LT(kolmogorov_smirnov(n.cdf(x)), 1.95);
  EXPECT_LT(kolmogorov_smirnov(l.cdf(z)), 1.95);
  const double root = std::sqrt(1e5);
  EXPECT_NEAR(mean(x).item(), 0.3, 5 * 0.8 / root);
  EXPECT_NEAR(var(x).item(), 0.64, 5 * 0.64 * std::sqrt(2.0) / root);
  const double expected = std::exp(0.3 + 0.32);
  EXPECT_NEAR(mean(z).item(), expected, 5 * expected * std::sqrt(std::expm1(0.64)) / root);
}

TEST(Distributions, FrequenciesFollowProbabilities) {
  Generator generator(11);
  const Tensor logits = f64_of({-2.0, 0.3, 1.1});
  const double n = 100000;
  const std::vector<double> p = doubles(sigmoid(logits));
  const std::vector<double> ones =
      doubles(mean(Bernoulli{.logits = logits}.sample(generator, {100000}), 0));
  for (std::size_t i = 0; i < p.size(); ++i)
    EXPECT_NEAR(ones[i], p[i], 5 * std::sqrt(p[i] * (1 - p[i]) / n));
  const std::vector<double> q = doubles(softmax(logits, -1));
  std::vector<double> counts(3);
  for (const std::int64_t c :
       Categorical{logits}.sample(generator, {100000}).to_vector<std::int64_t>())
    ++counts[static_cast<std::size_t>(c)];
  for (std::size_t i = 0; i < q.size(); ++i)
    EXPECT_NEAR(counts[i] / n, q[i], 5 * std::sqrt(q[i] * (1 - q[i]) / n));
}

TEST(Distributions, DrawsHaveTheShapeAskedForThenTheParameters) {
  Generator generator(3);
  const Tensor mean = zeros({4, 1}), deviation = ones({3});
  EXPECT_EQ((Normal{mean, deviation}.rsample(generator, {2, 5}).shape()), (Shape{2, 5, 4, 3}));
  EXPECT_EQ((Normal{0.0, 1.0}.rsample(generator, {6}).shape()), (Shape{6}));
  EXPECT_EQ((Normal{0.0, 1.0}.rsample(generator).dtype()), f32);
  EXPECT_EQ((Bernoulli{.probabilities = 0.5}.sample(generator, {6}).shape()), (Shape{6}));
  EXPECT_EQ((Categorical{zeros({4, 3})}.sample(generator, {2}).shape()), (Shape{2, 4}));
  EXPECT_EQ((Normal{mean, deviation}.entropy().shape()), (Shape{4, 3}));
  const Generator before = generator;
  Generator again = before;
  EXPECT_TRUE(same_bits(Normal{mean, deviation}.rsample(generator),
                        Normal{mean, deviation}.rsample(again)));
}

// ---- gradients ----------------------------------------------------------------------------------

// Points of moderate fourth derivatives, which the differences' own error grows with.
struct DistributionGradients : testing::Test {
  Tensor mean = f64_of({-0.7, 0.2, 1.3}), deviation = f64_of({0.9, 1.2, 0.8});
  Tensor x = f64_of({0.6, 1.7, 0.9}), u = f64_of({0.3, 0.4, 0.6});
  Tensor logits = from_vector<double>({0.2, -1.0, 0.7, 2.0, 0.0, -3.0}, Shape{2, 3});

  void expect(const TensorsFunction& f, const std::vector<Tensor>& inputs) {
    const CheckResult r = checked(f, inputs);
    EXPECT_TRUE(r.ok) << r.text;
  }
};

TEST_F(DistributionGradients, Normal) {
  expect([](const auto& v) { return Normal{v[0], v[1]}.log_prob(v[2]); }, {mean, deviation, x});
  expect([](const auto& v) { return Normal{v[0], v[1]}.cdf(v[2]); }, {mean, deviation, x});
  expect([](const auto& v) { return Normal{v[0], v[1]}.icdf(v[2]); }, {mean, deviation, u});
  expect([](const auto& v) { return Normal{0.0, v[0]}.entropy(); }, {deviation});
  const auto draw = [](const auto& v) {
    Generator generator(5);
    return Normal{v[0], v[1]}.rsample(generator, {2});
  };
  expect(draw, {mean, deviation});
}

TEST_F(DistributionGradients, LogNormal) {
  expect([](const auto& v) { return LogNormal{v[0], v[1]}.log_prob(v[2]); }, {mean, deviation, x});
  expect([](const auto& v) { return LogNormal{v[0], v[1]}.cdf(v[2]); }, {mean, deviation, x});
  expect([](const auto& v) { return LogNormal{v[0], v[1]}.icdf(v[2]); }, {mean, deviation, u});
  expect([](const auto& v) { return LogNormal{v[0], v[1]}.entropy(); }, {mean, deviation});
  const auto draw = [](const auto& v) {
    Generator generator(5);
    return LogNormal{v[0], v[1]}.rsample(generator);
  };
  expect(draw, {mean, deviation});
}

TEST_F(DistributionGradients, Discrete) {
  const Tensor grey = f64_of({0.2, 0.5, 0.9}), p = f64_of({0.4, 0.5, 0.6});
  expect([](const auto& v) { return Bernoulli{.logits = v[0]}.log_prob(v[1]); }, {mean, grey});
  expect([](const auto& v) { return Bernoulli{.probabilities = v[0]}.log_prob(v[1]); }, {p, grey});
  expect([](const auto& v) { return Bernoulli{.logits = v[0]}.entropy(); }, {mean});
  expect([](const auto& v) { return Bernoulli{.probabilities = v[0]}.entropy(); }, {p});
  const Tensor classes = from_vector<std::int64_t>({1, 0});
  expect([&](const auto& v) { return Categorical{v[0]}.log_prob(classes); }, {logits});
  expect([&](const auto& v) { return Categorical{v[0]}.cdf(classes); }, {logits});
  expect([](const auto& v) { return Categorical{v[0]}.entropy(); }, {logits});
}

TEST_F(DistributionGradients, Divergences) {
  const Tensor m = f64_of({0.4, -0.3, 0.1}), s = f64_of({0.9, 0.6, 1.4});
  const std::vector<Tensor> pair{mean, deviation, m, s};
  expect([](const auto& v) { return kl_divergence(Normal{v[0], v[1]}, Normal{v[2], v[3]}); }, pair);
  expect(
      [](const auto& v) {
        return kl_divergence(LogNormal{v[0], v[1]}, LogNormal{v[2], v[3]});
      },
      pair);
  expect(
      [](const auto& v) {
        return kl_divergence(LogNormal{v[0], v[1]}, Normal{v[2], v[3]});
      },
      pair);
  expect(
      [](const auto& v) {
        return kl_divergence(Bernoulli{.logits = v[0]}, Bernoulli{.logits = v[1]});
      },
      {mean, m});
  const Tensor p = f64_of({0.35, 0.5, 0.6}), q = f64_of({0.3, 0.4, 0.7});
  expect(
      [](const auto& v) {
        return kl_divergence(Bernoulli{.probabilities = v[0]}, Bernoulli{.probabilities = v[1]});
      },
      {p, q});
  expect([](const auto& v) { return kl_divergence(Categorical{v[0]}, Categorical{v[1]}); },
         {logits, flip(logits, 0)});
}

TEST(LogNormal, PathwiseGradientsAreTheClosedForms) {
  const Tensor mu = leaf(full({}, 0.3, f64)), sigma = leaf(full({}, 0.8, f64));
  Generator generator(9), again(9);
  const Tensor z = LogNormal{mu, sigma}.rsample(generator, {50});
  const Tensor noise = randn({50}, again, f64);
  const std::vector<Tensor> d = grad(sum(z), {mu, sigma});
  EXPECT_TRUE(close(d[0], sum(z).detach(), 1e-13));
  EXPECT_TRUE(close(d[1], sum(noise * z).detach(), 1e-13));
}

// ---- bad input ----------------------------------------------------------------------------------

TEST(Distributions, RefuseParametersOutsideOfTheirDomain) {
  Generator generator(1);
  const Tensor x = zeros({2});
  EXPECT_TRUE(throws("Normal", "standard_deviation must be positive and finite, got 0", [&] {
    Normal{0.0, 0.0}.log_prob(x);
  }));
  EXPECT_TRUE(throws("Normal", "got -1", [&] {
    Normal{0.0, from_vector<float>({1, -1})}.rsample(generator);
  }));
  EXPECT_TRUE(throws("LogNormal", "sigma must be positive", [&] {
    LogNormal{0.0, -2.0}.entropy();
  }));
  EXPECT_TRUE(throws("Normal", "mean is missing", [&] { Normal{Parameter(), 1.0}.log_prob(x); }));
  EXPECT_TRUE(throws("Bernoulli", "neither", [&] { Bernoulli{}.log_prob(x); }));
  EXPECT_TRUE(throws("Bernoulli", "both",
                     [&] { Bernoulli{.logits = 0.0, .probabilities = 0.5}.log_prob(x); }));
  EXPECT_TRUE(throws("Bernoulli", "[0, 1], got 1.5",
                     [&] { Bernoulli{.probabilities = 1.5}.sample(generator); }));
  EXPECT_TRUE(throws("Categorical", "must be a tensor", [&] { Categorical{0.0}.entropy(); }));
  EXPECT_TRUE(throws("Categorical", "no classes", [&] { Categorical{zeros({2, 0})}.entropy(); }));
}

TEST(Distributions, CallWhatTrainingBlewUpANumericError) {
  EXPECT_THROW((Normal{0.0, full({2}, nan)}.entropy()), NumericError);
  EXPECT_THROW((Normal{0.0, full({2}, inf)}.entropy()), NumericError);
  EXPECT_THROW((Bernoulli{.logits = full({2}, nan)}.entropy()), NumericError);
  EXPECT_THROW((Categorical{full({2}, nan)}.entropy()), NumericError);
  EXPECT_THROW((Categorical{full({2}, -inf)}.entropy()), NumericError);
}

TEST(Distributions, RefuseValuesOutsideOfTheirSupport) {
  EXPECT_TRUE(throws("LogNormal.log_prob", "support z > 0, got 0", [] {
    LogNormal{0.0, 1.0}.log_prob(from_vector<float>({1, 0}));
  }));
  EXPECT_TRUE(throws("LogNormal.log_prob", "z > 0, got nan", [] {
    LogNormal{0.0, 1.0}.log_prob(full({}, nan));
  }));
  EXPECT_TRUE(throws("Bernoulli.log_prob", "{0, 1}, got 1.5",
                     [] { Bernoulli{.logits = 0.0}.log_prob(full({}, 1.5)); }));
  EXPECT_TRUE(throws("Bernoulli.cdf", "NaN", [] { Bernoulli{.logits = 0.0}.cdf(full({}, nan)); }));
  const Categorical three{zeros({3})};
  EXPECT_TRUE(throws("Categorical.log_prob", "the classes, got 3", [&] {
    three.log_prob(from_vector<std::int64_t>({0, 3}));
  }));
  EXPECT_TRUE(throws("Categorical.log_prob", "i64", [&] { three.log_prob(zeros({2})); }));
  EXPECT_TRUE(throws("Normal.icdf", "[0, 1], got 1.25", [] {
    Normal{0.0, 1.0}.icdf(full({}, 1.25));
  }));
  EXPECT_TRUE(throws("Categorical.icdf", "[0, 1]", [&] { three.icdf(full({}, nan)); }));
}

TEST(Distributions, TakeEmptyTensors) {
  Generator generator(1);
  EXPECT_EQ((Normal{zeros({0, 2}), ones({2})}.rsample(generator).shape()), (Shape{0, 2}));
  EXPECT_EQ((LogNormal{0.0, 1.0}.log_prob(zeros({0})).shape()), (Shape{0}));
  EXPECT_EQ((Bernoulli{.logits = zeros({0})}.log_prob(zeros({0})).shape()), (Shape{0}));
}

}  // namespace
}  // namespace gradus::test
