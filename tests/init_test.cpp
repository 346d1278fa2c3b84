// Initial values: their spread, their limits, and orthogonality.
#include "gradus/nn/init.h"

#include "gradus/tests/support.h"

namespace gradus::test {
namespace {

TEST(Init, FanCountsInputsAndOutputs) {
  EXPECT_EQ(nn::fan({30, 20}).in, 20);
  EXPECT_EQ(nn::fan({30, 20}).out, 30);
  EXPECT_EQ(nn::fan({30, 20, 3, 5}).in, 300);
  EXPECT_EQ(nn::fan({30, 20, 3, 5}).out, 450);
  EXPECT_TRUE(throws("fan", "two axes", [] { nn::fan({30}); }));
}

TEST(Init, Gains) {
  EXPECT_EQ(nn::gain(nn::Activation::none), 1);
  EXPECT_DOUBLE_EQ(nn::gain(nn::Activation::relu), std::sqrt(2.0));
  EXPECT_DOUBLE_EQ(nn::gain(nn::Activation::leaky_relu, 1.0), 1);
  EXPECT_DOUBLE_EQ(nn::gain(nn::Activation::tanh), 5.0 / 3);
}

// Mean 0 and this standard deviation, within five standard errors; no element beyond the limit.
void expect_spread(const Tensor& t, double deviation, double limit) {
  const double n = static_cast<double>(t.numel());
  EXPECT_NEAR(mean(t).item(), 0, 5 * deviation / std::sqrt(n));
  EXPECT_NEAR(var(t).item(), deviation * deviation, 5 * deviation * deviation * std::sqrt(2 / n));
  EXPECT_LE(max(abs(t)).item(), limit * (1 + 1e-6));
}

TEST(Init, SpreadFollowsTheFan) {
  Generator generator(1);
  const Shape shape{200, 50, 2, 2};  // fans 200 and 800
  const double root3 = std::sqrt(3.0);
  for (const DType dtype : {f32, f64}) {
    double s = std::sqrt(2.0 / 200);
    expect_spread(nn::kaiming_normal(shape, generator, {.dtype = dtype}), s, inf);
    expect_spread(nn::kaiming_uniform(shape, generator, {.dtype = dtype}), s, root3 * s);
    s = 0.5 / std::sqrt(800.0);
    expect_spread(nn::kaiming_uniform(shape, generator,
                                      {.gain = 0.5, .mode = nn::FanMode::out, .dtype = dtype}),
                  s, root3 * s);
    s = std::sqrt(2.0 / 1000);
    expect_spread(nn::xavier_normal(shape, generator, {.dtype = dtype}), s, inf);
    expect_spread(nn::xavier_uniform(shape, generator, {.gain = 3, .dtype = dtype}), 3 * s,
                  3 * root3 * s);
  }
  const Tensor u = nn::uniform({10000}, 2, 4, generator, f64);
  EXPECT_GE(min(u).item(), 2);
  EXPECT_LT(max(u).item(), 4);
  expect_spread((u - 3.0), 1 / root3, 1);
  expect_spread(nn::normal({10000}, 5, 2, generator) - 5.0, 2, inf);
}

TEST(Init, OrthogonalRowsOrColumnsAreOrthonormal) {
  Generator generator(1);
  for (const Shape& shape : {Shape{5, 5}, Shape{7, 3}, Shape{3, 7}, Shape{1, 4}, Shape{4, 2, 3}}) {
    const Tensor q = nn::orthogonal(shape, generator, {.gain = 2, .dtype = f64});
    EXPECT_EQ(q.shape(), shape);
    const Tensor m = q.reshape({shape[0], -1});
    const Tensor product = m.size(0) <= m.size(1) ? matmul(m, m.t()) : matmul(m.t(), m);
    EXPECT_TRUE(close(product, 4.0 * eye(product.size(0), -1, f64), 1e-14)) << shape;
  }
}

// E[Q] = 0 and E[Q_ij^2] = 1 / n for the uniform distribution; a QR without the sign rule has a
// biased diagonal.
TEST(Init, OrthogonalIsUniform) {
  Generator generator(2);
  const int n = 3, draws = 4000;
  Tensor first = zeros({n, n}, f64), second = zeros({n, n}, f64);
  for (int i = 0; i < draws; ++i) {
    const Tensor q = nn::orthogonal({n, n}, generator, {.dtype = f64});
    first = first + q;
    second = second + square(q);
  }
  const double error = 5 / std::sqrt(1.0 * draws);
  EXPECT_LT(max(abs(first / draws)).item(), error / std::sqrt(3.0));
  EXPECT_LT(max(abs(second / draws - 1.0 / n)).item(), error / std::sqrt(3.0));
}

TEST(Init, RefusesWhatMakesNoSense) {
  Generator generator(1);
  EXPECT_TRUE(throws("uniform", "in order: 2 and 1", [&] { nn::uniform({2}, 2, 1, generator); }));
  EXPECT_TRUE(throws("uniform", "finite", [&] { nn::uniform({2}, 0, inf, generator); }));
  EXPECT_TRUE(throws("normal", "at least 0", [&] { nn::normal({2}, 0, -1, generator); }));
  EXPECT_TRUE(throws("fan", "two axes", [&] { nn::kaiming_normal({2}, generator); }));
  EXPECT_TRUE(throws("kaiming_uniform", "without inputs", [&] {
    nn::kaiming_uniform({2, 0}, generator);
  }));
  EXPECT_TRUE(throws("xavier_uniform", "without inputs", [&] {
    nn::xavier_uniform({0, 0}, generator);
  }));
  EXPECT_TRUE(throws("orthogonal", "two axes", [&] { nn::orthogonal({2}, generator); }));
}

}  // namespace
}  // namespace gradus::test
