// GAN losses against closed forms, in units of the last place where logits are large.
#include "gradus/nn/gan.h"

#include "gradus/autograd/check.h"
#include "gradus/nn/divergence.h"
#include "gradus/tests/ops.h"
#include "gradus/tests/quadrature.h"

namespace gradus::test {
namespace {

using gan::Loss;

constexpr Loss losses[] = {Loss::minimax, Loss::non_saturating, Loss::least_squares, Loss::hinge,
                           Loss::wasserstein};

// Distance in units of the last place of `want`, in f32 or f64.
double ulps(double got, long double want, DType t) {
  if (static_cast<long double>(got) == want) return 0;
  const double w = static_cast<double>(want);
  const double unit = t == f32 ? std::nextafter(std::abs(static_cast<float>(w)), INFINITY) -
                                     std::abs(static_cast<float>(w))
                               : std::nextafter(std::abs(w), INFINITY) - std::abs(w);
  return static_cast<double>(std::abs(static_cast<long double>(got) - want)) / unit;
}

long double sigmoid_of(long double l) {
  return l > 0 ? 1 / (1 + std::exp(-l)) : std::exp(l) / (1 + std::exp(l));
}

TEST(Gan, GradientsOfLogitsHoldTwoUlpEverywhere) {
  for (const DType t : {f32, f64})
    for (const double size : {0., 10., 18., 25., 30., 88., 800.})
      for (const double l : {size, -size}) {
        const Tensor x = leaf(full({1}, l, t)), other = zeros({1}, t);
        const auto slope = [&](const Tensor& loss) { return grad(loss, {x})[0].item(); };
        const long double up = sigmoid_of(l), down = sigmoid_of(-l);
        // d/dl of -log D and of -log(1 - D), times 1/2.
        EXPECT_LE(ulps(slope(gan::discriminator_loss(x, other, Loss::minimax)), -down / 2, t), 2)
            << l << ' ' << t;
        EXPECT_LE(ulps(slope(gan::discriminator_loss(other, x, Loss::minimax)), up / 2, t), 2)
            << l << ' ' << t;
        EXPECT_LE(ulps(slope(gan::generator_loss(x, Loss::minimax)), -up / 2, t), 2)
            << l << ' ' << t;
        EXPECT_LE(ulps(slope(gan::generator_loss(x, Loss::non_saturating)), -down / 2, t), 2)
            << l << ' ' << t;
        for (const Loss loss : losses) {
          EXPECT_TRUE(std::isfinite(gan::discriminator_loss(x, x, loss).item()));
          EXPECT_TRUE(std::isfinite(gan::generator_loss(x, loss).item()));
        }
      }
}

TEST(Gan, TheSaddleLossVanishesWhereTheNonSaturatingOneDoesNot) {
  const Tensor rejected = leaf(full({1}, -30, f64));  // D near 0
  const double saddle = grad(gan::generator_loss(rejected, Loss::minimax), {rejected})[0].item();
  const double kept =
      grad(gan::generator_loss(rejected, Loss::non_saturating), {rejected})[0].item();
  EXPECT_NEAR(saddle / (-0.5 * std::exp(-30)), 1, 1e-12);
  EXPECT_NEAR(kept, -0.5, 1e-12);
}

TEST(Gan, LossesAreTheirDefinitions) {
  const Tensor r = f64_of({-1.3, 0.2, 2.1}), f = f64_of({0.7, -0.4});
  const Tensor d_r = sigmoid(r), d_f = sigmoid(f);
  const Tensor v = 0.5 * mean(log(d_r)) + 0.5 * mean(log(1.0 - d_f));
  EXPECT_TRUE(close(gan::value(r, f), v, 1e-15));
  EXPECT_TRUE(close(gan::discriminator_loss(r, f, Loss::minimax), -v, 1e-15));
  EXPECT_TRUE(close(gan::generator_loss(f, Loss::minimax), 0.5 * mean(log(1.0 - d_f)), 1e-15));
  EXPECT_TRUE(close(gan::generator_loss(f, Loss::non_saturating), -0.5 * mean(log(d_f)), 1e-15));
  EXPECT_NEAR(gan::discriminator_loss(r, f, Loss::least_squares).item(),
              0.5 * (2.3 * 2.3 + 0.8 * 0.8 + 1.1 * 1.1) / 3 + 0.5 * (0.49 + 0.16) / 2, 1e-15);
  EXPECT_NEAR(gan::generator_loss(f, Loss::least_squares).item(), 0.5 * (0.09 + 1.96) / 2, 1e-15);
  EXPECT_NEAR(gan::discriminator_loss(r, f, Loss::hinge).item(),
              (2.3 + 0.8 + 0) / 3 + (1.7 + 0.6) / 2, 1e-15);
  EXPECT_NEAR(gan::generator_loss(f, Loss::hinge).item(), -0.15, 1e-15);
  EXPECT_NEAR(gan::discriminator_loss(r, f, Loss::wasserstein).item(), 0.15 - 1.0 / 3, 1e-15);
}

TEST(Gan, TheOptimalDiscriminatorReachesTheJensenShannonDivergence) {
  const Tensor p = f64_of({0.1, 0.2, 0.7}), q = f64_of({0.5, 0.3, 0.2});
  const Tensor l = gan::optimal_logits(log(p), log(q));
  EXPECT_TRUE(close(sigmoid(l), gan::optimal_discriminator(p, q), 1e-15));
  const Tensor v = 0.5 * sum(p * log(sigmoid(l))) + 0.5 * sum(q * log(sigmoid(-l)));
  EXPECT_NEAR(v.item(), -0.54178906898815, 1e-14);
  EXPECT_TRUE(near(gan::optimal_discriminator(p, p), {0.5, 0.5, 0.5}));
  EXPECT_TRUE(
      near(gan::optimal_discriminator(f64_of({1, 0, 0}), f64_of({0, 0, 1})), {1, 0.5, 0}, 0));
  // Logits of draws in proportion to p and q: the bound is the divergence itself.
  const Tensor real =
      concat({l.slice(0, 0, 1), l.slice(0, 1, 2).expand({2}), l.slice(0, 2, 3).expand({7})}, 0);
  const Tensor fake = concat(
      {l.slice(0, 0, 1).expand({5}), l.slice(0, 1, 2).expand({3}), l.slice(0, 2, 3).expand({2})},
      0);
  EXPECT_NEAR(gan::jensen_shannon_bound(real, fake).item(), 0.15135811157180, 1e-14);
  EXPECT_LT(gan::jensen_shannon_bound(0.5 * real, 0.5 * fake).item(), 0.151358);
}

TEST(Gan, GradientPenaltyOfALinearCriticIsItsClosedForm) {
  Generator generator(3);
  const Tensor w = leaf(f64_of({0.6, -1.2, 0.4}));
  const auto critic = [&](const Tensor& x) { return sum(x * w, 1); };
  const Tensor real = randn({5, 3}, generator, f64), fake = randn({5, 3}, generator, f64);
  const Tensor penalty = gan::gradient_penalty(critic, real, fake, generator);
  const double size = std::sqrt(0.36 + 1.44 + 0.16);  // |w|
  EXPECT_NEAR(penalty.item(), (size - 1) * (size - 1), 1e-15);
  const Tensor wanted = 2 * (size - 1) / size * w.detach();
  EXPECT_TRUE(close(grad(penalty, {w})[0], wanted, 1e-15));
}

TEST(Gan, GradientPenaltyIsDifferentiatedThroughTheSecondDerivative) {
  Generator draws(4);
  const Tensor real = randn({4, 2}, draws, f64), fake = randn({4, 2}, draws, f64);
  const Tensor w = randn({3, 2}, draws, f64), v = randn({3}, draws, f64);
  const auto penalty = [&](const Tensors& p) {
    Generator generator(5);
    const auto critic = [&](const Tensor& x) { return matmul(tanh(linear(x, p[0])), p[1]); };
    return gan::gradient_penalty(critic, real, fake, generator, {.target = 0.3});
  };
  const CheckResult r = check_gradients(penalty, {w, v}, {.order = 2});
  EXPECT_TRUE(r.ok) << r.text;
}

TEST(Gan, AFlatCriticHasThePenaltyOneAndNoNaN) {
  Generator generator(6);
  const Tensor w = leaf(zeros({2}, f64)), x = randn({3, 2}, generator, f64);
  const Tensor penalty =
      gan::gradient_penalty([&](const Tensor& y) { return sum(y * w, 1); }, x, x, generator);
  EXPECT_EQ(penalty.item(), 1);
  EXPECT_TRUE(near(grad(penalty, {w})[0], {0, 0}, 0));
}

TEST(Gan, RefusesWhatHasNoMeaning) {
  Generator generator(7);
  const Tensor x = zeros({2, 3}), none = zeros({0});
  EXPECT_TRUE(throws("gan::value", "empty", [&] { gan::value(x, none); }));
  EXPECT_TRUE(throws("generator_loss", "empty", [&] { gan::generator_loss(none, Loss::hinge); }));
  const auto rows = [](const Tensor& y) { return sum(y, 1); };
  const auto all = [](const Tensor& y) { return sum(y); };
  EXPECT_TRUE(throws("gradient_penalty", "differ in shape: (2, 3) and (2, 1)", [&] {
    gan::gradient_penalty(rows, x, zeros({2, 1}), generator);
  }));
  EXPECT_TRUE(throws("gradient_penalty", "one number a sample",
                     [&] { gan::gradient_penalty(all, x, x, generator); }));
}

TEST(Gan, DevicesAgree) {
  const Tensor r = f64_of({-1.3, 0.2, 2.1}).to(f32), f = f64_of({0.7, -0.4}).to(f32);
  for (const Device d : tested_devices())
    for (const Loss loss : losses) {
      const Tensor x = leaf(f.to(d).detach());
      const Tensor there = gan::discriminator_loss(r.to(d), x, loss);
      EXPECT_TRUE(close(there.to(Device::cpu), gan::discriminator_loss(r, f, loss), 1e-6));
      EXPECT_EQ(grad(there, {x})[0].device(), d);
    }
}

}  // namespace
}  // namespace gradus::test
