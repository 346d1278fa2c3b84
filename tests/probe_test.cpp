// Probes: supports, receptive fields and causality of functions whose dependence is known.
#include "gradus/autograd/probe.h"

#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

Tensor image(std::int64_t n) { return zeros({1, 1, n, n}, f64); }

Tensor pooled(const Tensor& x) { return avg_pool2d(x, 2); }
Tensor convolved(const Tensor& x) {
  return conv2d(x, ones({1, 1, 3, 3}, x.dtype(), x.device()), {}, {.padding = 1});
}

TEST(Probe, PoolingGrowsTheReceptiveFieldFromThreeToFour) {
  for (const Device device : tested_devices()) {
    const Tensor x = image(8).to(device);
    const ReceptiveField before = receptive_field(convolved, x, {0, 0, 3, 4});
    EXPECT_EQ(before.first, (Shape{0, 0, 2, 3}));
    EXPECT_EQ(before.size, (Shape{1, 1, 3, 3}));
    const ReceptiveField after =
        receptive_field([](const Tensor& t) { return pooled(convolved(t)); }, x, {0, 0, 1, 2});
    EXPECT_EQ(after.first, (Shape{0, 0, 1, 3}));
    EXPECT_EQ(after.size, (Shape{1, 1, 4, 4}));
  }
}

// The corner case: a field that is the whole image cannot grow.
TEST(Probe, PoolingDoesNotGrowAFieldThatIsTheWholeImage) {
  const auto up = [](const Tensor& t) { return upsample(t, 2); };
  const ReceptiveField before = receptive_field(up, image(1), {0, 0, 1, 1});
  const ReceptiveField after =
      receptive_field([&](const Tensor& t) { return pooled(up(t)); }, image(1), {0, 0, 0, 0});
  EXPECT_EQ(before.size, (Shape{1, 1, 1, 1}));
  EXPECT_EQ(after.size, (Shape{1, 1, 1, 1}));
}

TEST(Probe, SupportsHaveHoles) {
  const auto f = [](const Tensor& t) {
    return conv2d(t, ones({1, 1, 1, 3}, f64), {}, {.dilation = 2});
  };
  const Tensor found = support(f, zeros({1, 1, 1, 6}, f64), {0, 0, 0, 1});
  EXPECT_EQ(doubles(found), (std::vector<double>{0, 1, 0, 1, 0, 1}));
  const ReceptiveField field = receptive_field(f, zeros({1, 1, 1, 6}, f64), {0, 0, 0, 1});
  EXPECT_EQ(field.first, (Shape{0, 0, 0, 1}));
  EXPECT_EQ(field.size, (Shape{1, 1, 1, 5}));
}

// Each unit is off at some of the points; softmax's outputs sum to a constant.
TEST(Probe, RandomPointsAndWeightsFindWhatOneWouldMiss) {
  const auto hinge = [](const Tensor& t) { return relu(t); };
  const Tensor x = full({3}, -0.5, f64);
  EXPECT_EQ(doubles(support(hinge, x, {1}, {.probes = 1})), (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(doubles(support(hinge, x, {1}, {.probes = 8})), (std::vector<double>{0, 1, 0}));
  const auto rows = [](const Tensor& t) { return softmax(t, -1); };
  EXPECT_EQ(doubles(dependence(rows, zeros({2, 3}, f64), 0, 0)), (std::vector<double>{1, 0, 0, 1}));
}

TEST(Probe, WhatDependsOnNothingHasAnEmptyField) {
  const auto constant = [](const Tensor& t) { return floor(t) * 0.0; };
  const ReceptiveField field = receptive_field(constant, zeros({4}, f64), {2});
  EXPECT_EQ(field.size, Shape{0});
}

TEST(Probe, CausalityNamesTheFirstThatSeesLater) {
  const Tensor x = zeros({5, 2}, f64);
  EXPECT_TRUE(causality([](const Tensor& t) { return cumsum(t, 0); }, x, 0).causal);
  EXPECT_TRUE(causality([](const Tensor& t) { return exp(t); }, x, 0).causal);
  const Causality c = causality(
      [](const Tensor& t) {
        return concat({cumsum(t.slice(0, 0, 2), 0), t.slice(0, 2, 4) + t.slice(0, 3, 5)}, 0);
      },
      x, 0);
  EXPECT_FALSE(c.causal);
  EXPECT_EQ(c.output, 2);
  EXPECT_EQ(c.input, 3);
}

// A NaN is not 0 and would pass for a dependence.
TEST(Probe, DerivativesThatAreNotFiniteAreErrors) {
  const auto f = [](const Tensor& t) { return sqrt(t); };
  EXPECT_THROW(support(f, zeros({2}, f64), {0}), NumericError);
  EXPECT_TRUE(
      throws("support", "not finite at probe 0", [&] { support(f, zeros({2}, f64), {0}); }));
  EXPECT_EQ(doubles(support(f, full({2}, 2.0, f64), {0}, {.spread = 0.1})),
            (std::vector<double>{1, 0}));
}

// A product of two factors and a square of one of them.
TEST(Probe, TheHessianMatrixJoinsItsBlocks) {
  const Tensor w = from_vector(std::vector<double>{1, 2}, Shape{2, 1});
  const Tensor z = from_vector(std::vector<double>{-0.5, 3});
  const Tensor h = hessian_matrix(
      [](const Tensors& x) { return sum(x[0].reshape({2}) * x[1]) + square(x[1][0]); }, {w, z});
  EXPECT_EQ(doubles(h), (std::vector<double>{0, 0, 1, 0,  //
                                             0, 0, 0, 1,  //
                                             1, 0, 2, 0,  //
                                             0, 1, 0, 0}));
  EXPECT_TRUE(throws("hessian_matrix", "no inputs",
                     [] { hessian_matrix([](const Tensors& x) { return x[0]; }, {}); }));
}

TEST(Probe, RefuseBadInput) {
  const auto f = [](const Tensor& t) { return exp(t); };
  const Tensor x = zeros({2, 3}, f64);
  EXPECT_TRUE(throws("support", "(0, 3) lies outside", [&] { support(f, x, {0, 3}); }));
  EXPECT_TRUE(throws("support", "(0,) for an output of shape (2, 3)", [&] { support(f, x, {0}); }));
  EXPECT_TRUE(throws("support", "at least one probe", [&] {
    support(f, x, {0, 0}, {.probes = 0});
  }));
  EXPECT_TRUE(throws("support", "spread", [&] { support(f, x, {0, 0}, {.spread = -1}); }));
  EXPECT_TRUE(throws("support", "f32 or f64", [&] { support(f, zeros({2}, i64), {0}); }));
  EXPECT_TRUE(throws("dependence", "axis", [&] { dependence(f, x, 0, 2); }));
  EXPECT_TRUE(throws("dependence", "axis", [&] { dependence(f, x, 2, 0); }));
}

}  // namespace
}  // namespace gradus::test
