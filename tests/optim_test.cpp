// Optimisers against their textbook formulas in plain double, element by element.
#include "gradus/nn/optim.h"

#include "gradus/nn/module.h"
#include "gradus/tests/support.h"

namespace gradus::test {
namespace {

using namespace optim;

// The gradient at step t of element i at value p: anything that depends on all three.
double made_up(int t, std::size_t i, double p) {
  return std::sin(0.7 * t + static_cast<double>(i)) + 0.3 * p;
}

// Twenty steps of an optimiser over two parameters, and of `element`, which is given a fresh set of
// registers for each element: (t, p, g, registers) -> p.
struct Registers {
  double m = 0, v = 0;
};
template <class Element>
void expect_steps(Optimizer& optimizer, double tolerance, const Element& element) {
  std::vector<double> p;
  for (const Tensor& t : optimizer.parameters())
    for (const double x : doubles(t)) p.push_back(x);
  std::vector<Registers> registers(p.size());
  for (int t = 1; t <= 20; ++t) {
    Tensors gradients;
    std::size_t i = 0;
    for (const Tensor& x : optimizer.parameters()) {
      std::vector<double> g;
      for (const double value : doubles(x)) {
        g.push_back(made_up(t, i, value));
        p[i] = element(t, p[i], made_up(t, i, p[i]), registers[i]);
        ++i;
      }
      gradients.push_back(from_vector(g, x.shape()).to(x.dtype()));
    }
    optimizer.step(gradients);
    i = 0;
    for (const Tensor& x : optimizer.parameters())
      for (const double value : doubles(x)) {
        ASSERT_NEAR(value, p[i], tolerance * (1 + std::abs(p[i])))
            << "step " << t << ", element " << i;
        ++i;
      }
  }
  EXPECT_EQ(optimizer.steps(), 20);
}

Tensors two(DType dtype) {
  return {leaf(linspace(-1, 1, 37, dtype)), leaf(linspace(0.5, 2, 6, dtype).reshape({2, 3}))};
}

struct Precision {
  DType dtype;
  double tolerance;
};
void PrintTo(const Precision& p, std::ostream* out) { *out << p.dtype; }
class Optimizers : public testing::TestWithParam<Precision> {
 protected:
  Tensors parameters = two(GetParam().dtype);
  double tolerance = GetParam().tolerance;
};
INSTANTIATE_TEST_SUITE_P(All, Optimizers,
                         testing::Values(Precision{f64, 1e-13}, Precision{f32, 2e-5}),
                         [](const auto& info) { return std::string(name(info.param.dtype)); });

TEST_P(Optimizers, PlainSgd) {
  SGD sgd{parameters, {.learning_rate = 0.1, .weight_decay = 0.01}};
  expect_steps(sgd, tolerance,
               [](int, double p, double g, Registers&) { return p - 0.1 * (g + 0.01 * p); });
}

TEST_P(Optimizers, SgdWithMomentum) {
  for (const bool nesterov : {false, true}) {
    SGD sgd{two(GetParam().dtype),
            {.learning_rate = 0.05, .momentum = 0.9, .weight_decay = 0.01, .nesterov = nesterov}};
    expect_steps(sgd, tolerance, [&](int, double p, double g, Registers& r) {
      const double d = g + 0.01 * p;
      r.m = 0.9 * r.m + d;
      return p - 0.05 * (nesterov ? d + 0.9 * r.m : r.m);
    });
  }
}

double adam_element(int t, double p, double d, Registers& r) {
  r.m = 0.8 * r.m + 0.2 * d;
  r.v = 0.95 * r.v + 0.05 * d * d;
  const double m = r.m / (1 - std::pow(0.8, t)), v = r.v / (1 - std::pow(0.95, t));
  return p - 0.02 * m / (std::sqrt(v) + 1e-6);
}

TEST_P(Optimizers, Adam) {
  Adam adam{parameters,
            {.learning_rate = 0.02, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6, .weight_decay = 0.1}};
  expect_steps(adam, tolerance, [](int t, double p, double g, Registers& r) {
    return adam_element(t, p, g + 0.1 * p, r);
  });
}

TEST_P(Optimizers, AdamW) {
  AdamW adamw{
      parameters,
      {.learning_rate = 0.02, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6, .weight_decay = 0.1}};
  expect_steps(adamw, tolerance, [](int t, double p, double g, Registers& r) {
    return adam_element(t, p * (1 - 0.02 * 0.1), g, r);
  });
}

TEST_P(Optimizers, MovingAverage) {
  EMA ema{parameters, 0.9};
  std::vector<double> wanted = doubles(parameters[0]);
  for (int t = 0; t < 5; ++t) {
    parameters[0].fill_(t);
    ema.update();
    for (double& w : wanted) w = 0.9 * w + 0.1 * t;
  }
  EXPECT_TRUE(close(ema.averages()[0].to(f64), from_vector(wanted), tolerance));
  const Tensors target = two(GetParam().dtype);
  ema.copy_to(target);
  EXPECT_TRUE(same_bits(target[0].detach(), ema.averages()[0]));
  EXPECT_TRUE(target[0].requires_grad());
}

TEST_P(Optimizers, GlobalNorm) {
  const Tensors gradients{full({10}, 3, GetParam().dtype), full({2, 5}, -4, GetParam().dtype)};
  const double norm = std::sqrt(250.0);
  EXPECT_DOUBLE_EQ(global_norm(gradients), norm);
  const Clipped clipped = clip_global_norm(gradients, 5.0);
  EXPECT_DOUBLE_EQ(clipped.norm.item(), norm);
  EXPECT_NEAR(global_norm(clipped.gradients), 5, tolerance);
  EXPECT_TRUE(close(clipped.gradients[1], full({2, 5}, -20 / norm, GetParam().dtype), tolerance));
  const Clipped same = clip_global_norm(gradients, 20.0);
  EXPECT_EQ(same.gradients[0].handle(), gradients[0].handle());
}

TEST(Optim, NormsOfLargeAndOfInfiniteGradients) {
  EXPECT_NEAR(global_norm({full({4}, 1e25)}), 2e25, 1e19);  // its square is no f32
  EXPECT_THROW(clip_global_norm({full({4}, inf)}, 1.0), NumericError);
  EXPECT_THROW(clip_global_norm({ones({4}), full({1}, nan)}, 1.0), NumericError);
  EXPECT_EQ(global_norm({}), 0);
}

TEST(Optim, GroupsCarryTheirOwnRateAndDecay) {
  const Tensor a = leaf(ones({2})), b = leaf(ones({2})), c = leaf(ones({2}));
  SGD sgd{{{.parameters = {a}},
           {.parameters = {b}, .learning_rate = 0.5},
           {.parameters = {c}, .weight_decay = 0}},
          {.learning_rate = 0.25, .weight_decay = 1}};
  const Tensors g{ones({2}), ones({2}), ones({2})};
  sgd.step(g);
  EXPECT_EQ(doubles(a)[0], 1 - 0.25 * 2);
  EXPECT_EQ(doubles(b)[0], 1 - 0.5 * 2);
  EXPECT_EQ(doubles(c)[0], 1 - 0.25);
  sgd.set_learning_rate(0.0);  // of the groups without a rate of their own
  sgd.step(g);
  EXPECT_EQ(doubles(a)[0], 0.5);
  EXPECT_EQ(doubles(b)[0], -0.5);
  sgd.set_learning_rate(1, 0.25);
  EXPECT_EQ(sgd.learning_rate(0), 0);
  EXPECT_EQ(sgd.learning_rate(1), 0.25);
  EXPECT_TRUE(throws("SGD", "no group 3", [&] { sgd.set_learning_rate(3, 0.1); }));
}

TEST(Optim, TakesAListOfTensors) {
  const Tensor a = leaf(ones({2})), b = leaf(ones({3}));
  Adam one{{a}, {.learning_rate = 0.1}};
  Adam two{{a, b}, {.learning_rate = 0.1}};
  EXPECT_EQ(one.parameters().size(), 1u);
  EXPECT_EQ(two.parameters().size(), 2u);
}

TEST(Optim, ResumesBitForBitFromItsState) {
  for (const DType dtype : {f32, f64}) {
    const Tensors p = two(dtype), q = two(dtype);
    const auto gradients = [](const Tensors& list, int t) {
      Tensors g;
      for (const Tensor& x : list) g.push_back(cos(x.detach() * (1.0 + t)));
      return g;
    };
    Adam whole{p, {}};
    for (int t = 0; t < 7; ++t) whole.step(gradients(p, t));

    NamedTensors kept, values;
    {
      Adam first{q, {}};
      for (int t = 0; t < 3; ++t) first.step(gradients(q, t));
      for (const auto& [name, t] : first.state()) kept.emplace_back(name, t.clone());
    }
    Adam second{q, {}};
    second.load_state(kept);
    EXPECT_EQ(second.steps(), 3);
    for (int t = 3; t < 7; ++t) second.step(gradients(q, t));
    for (std::size_t i = 0; i < p.size(); ++i) EXPECT_TRUE(same_bits(p[i].detach(), q[i].detach()));
    const NamedTensors a = whole.state(), b = second.state();
    ASSERT_EQ(a.size(), 5u);
    const char* names[] = {"step", "m.0", "m.1", "v.0", "v.1"};
    for (std::size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].first, names[i]);
      EXPECT_TRUE(same_bits(a[i].second, b[i].second)) << a[i].first;
    }
  }
}

TEST(Optim, RefusesAStateThatDoesNotFit) {
  const Tensors p = two(f32);
  Adam adam{p, {}};
  Tensors g;
  for (const Tensor& x : p) g.push_back(ones(x.shape()));
  adam.step(g);
  NamedTensors before;
  for (const auto& [name, t] : adam.state()) before.emplace_back(name, t.clone());
  NamedTensors bad{{"step", from_vector<std::int64_t>({9}, Shape{})},
                   {"m.0", ones({37})},
                   {"m.1", ones({3, 2})},
                   {"v.0", ones({37}, f64)},
                   {"v.2", ones({1})}};
  EXPECT_TRUE(throws("Adam", "missing: v.1", [&] { adam.load_state(bad); }));
  EXPECT_TRUE(throws("Adam", "m.1 (3, 2) instead of (2, 3)", [&] { adam.load_state(bad); }));
  EXPECT_TRUE(throws("Adam", "v.0 f64 instead of f32", [&] { adam.load_state(bad); }));
  EXPECT_TRUE(throws("Adam", "unexpected: v.2", [&] { adam.load_state(bad); }));
  NamedTensors negative = before;
  negative[0].second = from_vector<std::int64_t>({-1}, Shape{});
  EXPECT_TRUE(throws("Adam", "negative: -1", [&] { adam.load_state(negative); }));
  const NamedTensors after = adam.state();
  for (std::size_t i = 0; i < after.size(); ++i)
    EXPECT_TRUE(same_bits(before[i].second, after[i].second)) << after[i].first;
}

TEST(Optim, StepsNothingUnlessAllGradientsFit) {
  const Tensors p = two(f32);
  const Tensor before = p[0].detach().clone();
  Adam adam{p, {}};
  const Tensor good = ones({37});
  EXPECT_TRUE(throws("Adam", "got 1 gradients for 2", [&] { adam.step({good}); }));
  EXPECT_TRUE(throws("Adam", "gradient 1 is of shape (3, 2), its parameter (2, 3)", [&] {
    adam.step({good, ones({3, 2})});
  }));
  EXPECT_TRUE(throws("Adam", "gradient 1 is f64, its parameter f32", [&] {
    adam.step({good, ones({2, 3}, f64)});
  }));
  EXPECT_TRUE(throws("Adam", "gradient 1 has no value", [&] { adam.step({good, Tensor()}); }));
  EXPECT_TRUE(same_bits(p[0].detach(), before));
  EXPECT_EQ(adam.steps(), 0);
}

TEST(Optim, RefusesOptionsAndParametersThatMakeNoSense) {
  const Tensors p = two(f32);
  EXPECT_TRUE(throws("Adam", "learning_rate", [&] { Adam{p, {.learning_rate = -1}}; }));
  EXPECT_TRUE(throws("Adam", "beta1", [&] { Adam{p, {.beta1 = 1}}; }));
  EXPECT_TRUE(throws("Adam", "beta2", [&] { Adam{p, {.beta2 = nan}}; }));
  EXPECT_TRUE(throws("Adam", "eps", [&] { Adam{p, {.eps = 0}}; }));
  EXPECT_TRUE(throws("AdamW", "weight_decay", [&] { AdamW{p, {.weight_decay = inf}}; }));
  EXPECT_TRUE(throws("SGD", "momentum", [&] { SGD{p, {.momentum = 1}}; }));
  EXPECT_TRUE(throws("SGD", "nesterov", [&] { SGD{p, {.nesterov = true}}; }));
  EXPECT_TRUE(throws("SGD", "weight_decay of a group",
                     [&] { SGD{std::vector<Group>{{.parameters = p, .weight_decay = -1}}}; }));
  EXPECT_TRUE(throws("SGD", "at least one parameter", [] { SGD{Tensors{}}; }));
  EXPECT_TRUE(throws("SGD", "parameter 1 is given twice", [&] { SGD{Tensors{p[0], p[0]}}; }));
  EXPECT_TRUE(throws("SGD", "parameter 0 has no value", [] { SGD{Tensors{Tensor()}}; }));
  EXPECT_TRUE(throws("SGD", "row-major", [] { SGD{Tensors{ones({3, 2}).t()}}; }));
  EXPECT_TRUE(throws("SGD", "i64", [] { SGD{Tensors{zeros({3}, i64)}}; }));
  EXPECT_TRUE(throws("EMA", "decay", [&] { EMA{p, 1.5}; }));
  EXPECT_TRUE(throws("EMA", "got 1 parameters for 2", [&] { EMA{p}.copy_to({p[0]}); }));
  EXPECT_TRUE(throws("clip_global_norm", "above 0", [] { clip_global_norm({}, 0); }));
}

TEST(Optim, AStepIsAChangeThatASavedTensorNotices) {
  const Tensor w = leaf(ones({3}));
  const Tensor loss = sum(square(w));
  SGD sgd{Tensors{w}};
  sgd.step(grad(loss, {w}));
  EXPECT_TRUE(throws("grad", "optim_test.cpp", [&] { grad(loss, {w}); }));
}

TEST(Optim, AGradientMayShareMemoryWithAParameter) {
  const Tensor x = leaf(full({3}, 2)), y = leaf(full({3}, 5));
  SGD sgd{{x, y}, {.learning_rate = 1}};
  sgd.step({y.detach(), x.detach()});  // d(x y)
  EXPECT_EQ(doubles(x)[0], -3);
  EXPECT_EQ(doubles(y)[0], 3);
}

TEST(Optim, ViewsAreGradientsToo) {
  const Tensor w = leaf(zeros({2, 3}));
  SGD sgd{Tensors{w}, {.learning_rate = 1}};
  sgd.step({linspace(1, 6, 6).reshape({3, 2}).t()});
  EXPECT_EQ(doubles(w), (std::vector<double>{-1, -3, -5, -2, -4, -6}));
  sgd.step({ones({}).expand({2, 3})});
  EXPECT_EQ(doubles(w)[0], -2);
}

struct Model {
  Tensor w;
  static void each(auto& self, auto&& f) { f("w", self.w); }
};

TEST(Optim, GoesOnAfterTheModelChangedItsDtype) {
  Model model{leaf(ones({3}))};
  Adam adam{nn::parameters(model), {}};
  adam.step({ones({3})});
  nn::to(model, f64);
  adam.step(grad(sum(square(model.w)), adam.parameters()));
  EXPECT_EQ(model.w.dtype(), f64);
  EXPECT_EQ(adam.state()[1].second.dtype(), f64);
  EXPECT_NEAR(doubles(model.w)[0], 0.998, 1e-4);
  nn::to(model, DType::bf16);
  EXPECT_TRUE(throws("Adam", "must be f32 or f64, got bf16",
                     [&] { adam.step({ones({3}).to(DType::bf16)}); }));
}

TEST(Optim, FindsTheMinimumOfAQuadratic) {
  const Tensor w = leaf(from_vector<double>({3, -2}));
  const Tensor target = from_vector<double>({0.5, 1.5}), scale = from_vector<double>({1, 10});
  Adam adam{Tensors{w}, {.learning_rate = 0.1}};
  for (int t = 0; t < 2000; ++t) {
    adam.set_learning_rate(0.1 * std::pow(0.995, t));
    adam.step(grad(sum(scale * square(w - target)), {w}));
  }
  EXPECT_TRUE(close(w.detach(), target, 1e-4));
}

}  // namespace
}  // namespace gradus::test
