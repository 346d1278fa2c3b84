// Kullback-Leibler divergences: closed forms against reference numbers and quadrature.
#include "gradus/nn/divergence.h"
#include "gradus/tests/quadrature.h"

namespace gradus::test {
namespace {

using namespace distributions;

TEST(KlDivergence, ClosedFormsAgreeWithReferenceNumbers) {
  const Tensor mu = full({}, 0.3, f64);
  EXPECT_NEAR((kl_divergence(LogNormal{mu, 0.8}, LogNormal{0.0, 1.0}).item()), 0.08814355131420976,
              1e-16);
  EXPECT_NEAR((kl_divergence(LogNormal{mu, 0.8}, Normal{0.0, 1.0}).item()), 2.69989598240978,
              1e-14);
  EXPECT_NEAR((kl_divergence(LogNormal{mu, 0.8}, Normal{0.5, 1.7}).item()), 0.8092349200830942,
              1e-12);
  EXPECT_NEAR((kl_divergence(Normal{mu, 0.8}, Normal{-1.2, 1.5}).item()), 0.7708308816445963,
              1e-15);
  const Tensor l = f64_of({-2.0, 0.3, 1.1}), r = f64_of({0.5, 0.3, -1.0});
  const std::vector<double> wanted = {0.5491416680818404, 0.0, 0.5014725841525393};
  EXPECT_TRUE(near(kl_divergence(Bernoulli{.logits = l}, Bernoulli{.logits = r}), wanted));
  EXPECT_TRUE(
      near(kl_divergence(Bernoulli{.probabilities = sigmoid(l)}, Bernoulli{.logits = r}), wanted));
  const Tensor a = from_vector<double>({0.2, -1.0, 0.7, 2.0, 0.0, -3.0}, Shape{2, 3});
  const Tensor b = from_vector<double>({0.0, 0.5, 1.0, 1.0, 1.0, 1.0}, Shape{2, 3});
  EXPECT_TRUE(near(kl_divergence(Categorical{a}, Categorical{b}),
                   {0.1454663424443181, 0.6992689938610012}));
}

TEST(KlDivergence, AgreesWithQuadrature) {
  const double a = -14, b = 14;
  const Tensor x = grid(a, b, 600), z = exp(0.3 + 0.8 * x);
  const Tensor weight = exp(Normal{0.0, 1.0}.log_prob(x));
  const auto expectation = [&](const Tensor& values) { return integral(weight * values, a, b); };
  const LogNormal p{0.3, 0.8};
  const Tensor y = 0.3 + 0.8 * x;
  const Normal n{0.3, 0.8}, q{-0.2, 1.1};
  const Tensor zero = full({}, 0, f64);
  const auto of = [&](const auto& left, const auto& right) {
    return kl_divergence(left, right).item();
  };
  EXPECT_NEAR(expectation(n.log_prob(y) - q.log_prob(y)), of(Normal{zero + 0.3, 0.8}, q), 1e-12);
  EXPECT_NEAR(expectation(p.log_prob(z) - q.log_prob(z)), of(LogNormal{zero + 0.3, 0.8}, q), 1e-9);
}

TEST(KlDivergence, IsZeroForEqualsAndItsGradientToo) {
  const Tensor mean = leaf(f64_of({-0.7, 0.2})), deviation = leaf(f64_of({0.5, 1.2}));
  const Tensor kl =
      kl_divergence(Normal{mean, deviation}, Normal{mean.detach(), deviation.detach()});
  EXPECT_TRUE(near(kl, {0, 0}, 0));
  for (const Tensor& d : grad(sum(kl), {mean, deviation})) EXPECT_TRUE(near(d, {0, 0}, 1e-15));
}

TEST(KlDivergence, ANormalFromALogNormalIsInfiniteAndNoLoss) {
  const Normal q{leaf(f64_of({0.3, 2.0})), 0.8};
  const LogNormal prior{0.0, 1.0};
  const Divergence d = kl(q, prior);
  EXPECT_TRUE(near(d.value, {inf, inf}));
  EXPECT_NE(d.reason.find("LogNormal has its support on z > 0"), std::string::npos) << d.reason;
  EXPECT_NE(d.reason.find("0.35383"), std::string::npos) << d.reason;  // Phi(-0.3 / 0.8)
  EXPECT_TRUE(throws("kl_divergence", "LogNormal", [&] { kl_divergence(q, prior); }));
  EXPECT_TRUE(kl(LogNormal{0.0, 1.0}, Normal{0.0, 1.0}).reason.empty());
}

TEST(KlDivergence, DiscretePairsThatAreInfiniteSaySo) {
  const Bernoulli half{.probabilities = 0.5}, never{.probabilities = 0.0};
  EXPECT_EQ(kl(half, never).value.item(), inf);
  EXPECT_TRUE(throws("kl_divergence", "probability 0", [&] { kl_divergence(half, never); }));
  EXPECT_NEAR(kl_divergence(never, half).item(), std::log(2.0), 1e-7);
  const Categorical two{f64_of({0, 0, -inf})}, three{f64_of({0, 0, 0})};
  EXPECT_NEAR(kl_divergence(two, three).item(), std::log(1.5), 1e-15);
  EXPECT_TRUE(throws("kl_divergence", "Categorical", [&] { kl_divergence(three, two); }));
  const Categorical pair{f64_of({0, 0})};
  EXPECT_TRUE(throws("kl_divergence", "{0, ..., 2}", [&] { kl_divergence(three, pair); }));
}

}  // namespace
}  // namespace gradus::test
