// vjp, jvp, jacobian, hessian, hvp, checkpoint, and functions with a rule of their own.
#include "gradus/autograd/transforms.h"

#include "gradus/autograd/check.h"
#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

Tensor vec(std::vector<double> v) { return from_vector(v); }
Tensor mat(std::vector<double> v, const Shape& s) { return from_vector(v, s); }

// f(x) = (x0 x1, sin x0, x1^2) with its Jacobian in closed form.
Tensor sample_map(const Tensor& x) { return stack({x[0] * x[1], sin(x[0]), square(x[1])}, 0); }
const double x0 = 0.7, x1 = -1.2;
const std::vector<double> sample_jacobian = {x1, x0, std::cos(x0), 0, 0, 2 * x1};

TEST(Transforms, Vjp) {
  const auto [y, pullback] = vjp(sample_map, vec({x0, x1}));
  EXPECT_FALSE(y.requires_grad());
  EXPECT_TRUE(close(y, vec({x0 * x1, std::sin(x0), x1 * x1}), 1e-15));
  for (int repeat = 0; repeat < 2; ++repeat)
    EXPECT_TRUE(close(pullback(vec({1, 2, 3})), vec({x1 + 2 * std::cos(x0), x0 + 6 * x1}), 1e-15));
  EXPECT_TRUE(throws("vjp", "(3,)", [&, p = pullback] { p(vec({1, 2})); }));
}

TEST(Transforms, JvpIsTheTransposedPairing) {
  const Tensor v = vec({0.3, -0.8}), u = vec({1, 2, 3});
  const auto [y, tangent] = jvp(sample_map, vec({x0, x1}), v);
  EXPECT_FALSE(tangent.requires_grad());
  EXPECT_TRUE(close(tangent, vec({x1 * 0.3 - x0 * 0.8, std::cos(x0) * 0.3, -1.6 * x1}), 1e-15));
  // A witness of neither: differences of the forward.
  const double h = 1e-5;
  const Tensor ahead = sample_map(vec({x0 + h * 0.3, x1 - h * 0.8}));
  const Tensor behind = sample_map(vec({x0 - h * 0.3, x1 + h * 0.8}));
  EXPECT_TRUE(close(tangent, (ahead - behind) / (2 * h), 1e-9));
}

TEST(Transforms, JacobianHasOutputThenInputShape) {
  EXPECT_TRUE(close(jacobian(sample_map, vec({x0, x1})), mat(sample_jacobian, {3, 2}), 1e-15));
  const Tensor x = mat({1, 2, 3, 4, 5, 6}, {2, 3});
  const Tensor j = jacobian([](const Tensor& t) { return sum(t * t, 1); }, x);
  ASSERT_EQ(j.shape(), (Shape{2, 2, 3}));
  EXPECT_EQ(doubles(j), (std::vector<double>{2, 4, 6, 0, 0, 0, 0, 0, 0, 8, 10, 12}));
  EXPECT_EQ(jacobian([](const Tensor& t) { return sum(t); }, x).shape(), x.shape());
  const Tensor none = zeros({0, 2}, f64);
  EXPECT_EQ(jacobian([](const Tensor& t) { return t * 2.0; }, none).shape(), (Shape{0, 2, 0, 2}));
  const Tensors both = jacobian([](const Tensors& t) { return t[0] * t[1]; },
                                Tensors{vec({2, 3}), full({}, 5, f64)});
  EXPECT_EQ(doubles(both[0]), (std::vector<double>{5, 0, 0, 5}));
  EXPECT_EQ(doubles(both[1]), (std::vector<double>{2, 3}));
}

TEST(Transforms, HessianAndItsProducts) {
  const auto f = [](const Tensor& x) { return x[0] * x[0] * x[1] + exp(x[1]); };
  const Tensor x = vec({x0, x1}), v = vec({0.4, 0.9});
  const Tensor h = hessian(f, x);
  EXPECT_TRUE(close(h, mat({2 * x1, 2 * x0, 2 * x0, std::exp(x1)}, {2, 2}), 1e-15));
  EXPECT_TRUE(close(hvp(f, x, v), matmul(h, v), 1e-15));
  EXPECT_FALSE(hvp(f, x, v).requires_grad());
  const auto blocks = hessian([](const Tensors& t) { return sum(t[0] * t[0]) * t[1]; },
                              Tensors{vec({2, 3}), full({}, 5, f64)});
  EXPECT_EQ(doubles(blocks[0][0]), (std::vector<double>{10, 0, 0, 10}));
  EXPECT_EQ(doubles(blocks[0][1]), (std::vector<double>{4, 6}));
  EXPECT_EQ(doubles(blocks[1][0]), (std::vector<double>{4, 6}));
  EXPECT_EQ(doubles(blocks[1][1]), (std::vector<double>{0}));
  const Tensors products =
      hvp([](const Tensors& t) { return sum(t[0] * t[0]) * t[1]; },
          Tensors{vec({2, 3}), full({}, 5, f64)}, Tensors{vec({1, 0}), full({}, 2, f64)});
  EXPECT_EQ(doubles(products[0]), (std::vector<double>{18, 12}));
  EXPECT_EQ(doubles(products[1]), (std::vector<double>{4}));
}

TEST(Transforms, OfFunctionsWithoutDependenceAreZeros) {
  const Tensor x = vec({1, 2});
  const auto constant = [](const Tensor&) { return ones({3}, f64); };
  EXPECT_TRUE(same_bits(jacobian(constant, x), zeros({3, 2}, f64)));
  EXPECT_TRUE(same_bits(jvp(constant, x, x).tangent, zeros({3}, f64)));
  EXPECT_TRUE(same_bits(vjp(constant, x).pullback(ones({3}, f64)), zeros({2}, f64)));
  const auto linear = [](const Tensor& t) { return sum(t * 3.0); };
  EXPECT_TRUE(same_bits(hessian(linear, x), zeros({2, 2}, f64)));
  EXPECT_TRUE(same_bits(hvp(linear, x, x), zeros({2}, f64)));
  const Tensor stepwise = jvp([](const Tensor& t) { return floor(t); }, x, x).tangent;
  EXPECT_TRUE(same_bits(abs(stepwise), zeros({2}, f64)));
}

// What a function closes over is constant, even where it was made from the argument.
TEST(Transforms, ArgumentsAreNodesOfTheirOwn) {
  const Tensor x = leaf(vec({2, 3})), square_of_x = x * x;
  const Tensor j = jacobian([&](const Tensor& t) { return t * square_of_x; }, x);
  EXPECT_TRUE(close(j, mat({4, 0, 0, 9}, {2, 2}), 1e-15));
}

// Results are recorded when something outside is part of a graph, and only then.
TEST(Transforms, RecordWhatDependsOnAGraph) {
  const auto f = [](const Tensor& t) { return sum(t * t * t); };
  const Tensor plain = vec({2, 3}), x = leaf(vec({2, 3})), v = vec({1, 1});
  EXPECT_FALSE(hvp(f, plain, v).requires_grad());
  const Tensor product = hvp(f, x, v);  // 6 x v
  EXPECT_EQ(doubles(grad(sum(product), {x})[0]), (std::vector<double>{6, 6}));
  const Tensor w = leaf(full({}, 5, f64));
  const auto weighted = [&](const Tensor& t) { return w * sum(t * t); };
  EXPECT_EQ(grad(sum(hvp(weighted, plain, v)), {w})[0].item(), 4);
  EXPECT_EQ(grad(sum(jacobian(weighted, plain)), {w})[0].item(), 10);
  const Tensor u = leaf(vec({1, 1}));
  EXPECT_EQ(doubles(grad(sum(hvp(f, plain, u)), {u})[0]), (std::vector<double>{12, 18}));
  EXPECT_EQ(
      doubles(grad(sum(jvp([](const Tensor& t) { return t * t; }, plain, u).tangent), {u})[0]),
      (std::vector<double>{4, 6}));
  const NoGrad off;
  EXPECT_EQ(doubles(hvp(f, x, v)), (std::vector<double>{12, 18}));
  EXPECT_FALSE(hvp(f, x, v).requires_grad());
  EXPECT_FALSE(jacobian(weighted, plain).requires_grad());
  EXPECT_FALSE(vjp(weighted, plain).y.requires_grad());
}

TEST(Transforms, Nest) {
  // The third derivative of x^5 three ways.
  const TensorFunction f = [](const Tensor& t) { return pow(t, 5); };
  const auto derivative = [](TensorFunction g) -> TensorFunction {
    return [g](const Tensor& t) { return vjp(g, t).pullback(ones(t.shape(), f64)); };
  };
  const auto forward = [](TensorFunction g) -> TensorFunction {
    return [g](const Tensor& t) { return jvp(g, t, ones(t.shape(), f64)).tangent; };
  };
  const Tensor x = full({}, 2, f64);
  EXPECT_NEAR(derivative(derivative(derivative(f)))(x).item(), 240, 1e-11);
  EXPECT_NEAR(forward(derivative(forward(f)))(x).item(), 240, 1e-11);
  EXPECT_NEAR(derivative(forward(forward(f)))(x).item(), 240, 1e-11);
  const Tensor third = jacobian(
      [&](const Tensor& t) { return hessian([](const Tensor& s) { return sum(pow(s, 5)); }, t); },
      vec({1, 2}));
  ASSERT_EQ(third.shape(), (Shape{2, 2, 2}));
  EXPECT_TRUE(close(third, mat({60, 0, 0, 0, 0, 0, 0, 240}, {2, 2, 2}), 1e-12));
}

TEST(Transforms, Errors) {
  const TensorFunction f = [](const Tensor& t) { return t * 2.0; };
  const Tensor x = vec({1, 2});
  EXPECT_TRUE(throws("vjp", "undefined", [&] { vjp(f, Tensor()); }));
  EXPECT_TRUE(throws("vjp", "undefined", [&] { vjp([](const Tensor&) { return Tensor(); }, x); }));
  EXPECT_TRUE(throws("jvp", "i64", [&] { jvp(f, zeros({2}, i64), zeros({2}, i64)); }));
  EXPECT_TRUE(throws("jvp", "(3,)", [&] { jvp(f, x, vec({1, 2, 3})); }));
  EXPECT_TRUE(throws("jvp", "f32", [&] { jvp(f, x, ones({2})); }));
  EXPECT_TRUE(throws("jvp", "vectors", [&] {
    jvp([](const Tensors& t) { return t[0]; }, Tensors{x, x}, Tensors{x});
  }));
  EXPECT_TRUE(throws("hessian", "one element", [&] { hessian(f, x); }));
  EXPECT_TRUE(throws("hvp", "one element", [&] { hvp(f, x, x); }));
  EXPECT_TRUE(throws("hessian", "undefined", [&] { hessian(f, Tensor()); }));
  EXPECT_TRUE(throws("jacobian", "undefined", [&] { jacobian(f, Tensor()); }));
}

TEST(Transforms, InSinglePrecision) {
  const Tensor x = vec({x0, x1}).to(f32);
  EXPECT_TRUE(close(jacobian(sample_map, x), mat(sample_jacobian, {3, 2}).to(f32), 1e-6));
  EXPECT_EQ(hvp([](const Tensor& t) { return sum(t * t); }, x, x).dtype(), f32);
}

// ---- checkpoint ---------------------------------------------------------------------------------

Tensor network(const Tensors& x) { return tanh(matmul(sigmoid(matmul(x[0], x[1])), x[1])); }

TEST(Checkpoint, SameValuesAndGradientsOfTwoOrders) {
  const Tensors values = {mat({0.1, 0.2, -0.3, 0.4}, {2, 2}), mat({1, -0.5, 0.3, 0.8}, {2, 2})};
  const Tensors x = leaves(values);
  const Tensor y = network(x), z = checkpoint(network, x);
  EXPECT_TRUE(same_bits(y, z));
  EXPECT_EQ(saved_bytes(z), values[0].bytes() + values[1].bytes());
  const Tensors expected = grad(weighted_sum(y), x), d = grad(weighted_sum(z), x);
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_TRUE(same_bits(d[i], expected[i]));
  const CheckResult r = check_gradients([](const Tensors& t) { return checkpoint(network, t); },
                                        values, {.order = 2});
  EXPECT_TRUE(r.ok) << r.text;
}

TEST(Checkpoint, KeepsOnlyItsInputs) {
  const auto deep = [](const Tensors& x) {
    Tensor y = x[0];
    for (int i = 0; i < 50; ++i) y = tanh(y * 1.1);
    return y;
  };
  const auto peak = [&](bool save) {
    const Tensor x = leaf(ones({10000}, f64));
    reset_peak_memory();
    const std::int64_t before = memory_statistics().live;
    const Tensor y = save ? checkpoint(deep, {x}) : deep({x});
    return memory_statistics().live - before;
  };
  EXPECT_LT(10 * peak(true), peak(false));
}

TEST(Checkpoint, DrawsTheSameNumbersAgain) {
  Generator generator(3);
  const auto noisy = [&](const Tensors& x) {
    return x[0] * rand(x[0].shape(), generator, f64) * randn(x[0].shape(), generator, f64);
  };
  const Tensor x = leaf(ones({100}, f64));
  const Tensor y = checkpoint(noisy, {x}, {&generator});
  const std::uint64_t offset = generator.offset();
  randn({7}, generator);
  const std::uint64_t later = generator.offset();
  const Tensor d = grad(sum(y), {x})[0];
  EXPECT_TRUE(same_bits(d, y.detach()));  // x is one
  EXPECT_EQ(generator.offset(), later);
  EXPECT_NE(offset, later);
}

TEST(Checkpoint, OnlySomeInputsInAGraph) {
  const Tensors values = {mat({0.1, 0.2, -0.3, 0.4}, {2, 2}), mat({1, -0.5, 0.3, 0.8}, {2, 2})};
  const Tensor w = leaf(values[1].clone());
  const Tensor z = checkpoint(network, {values[0], w});
  EXPECT_TRUE(same_bits(grad(weighted_sum(z), {w})[0],
                        grad(weighted_sum(network({values[0], w})), {w})[0]));
  EXPECT_FALSE(checkpoint(network, values).requires_grad());
}

TEST(Checkpoint, RefusesToLoseAGradient) {
  const Tensor x = leaf(ones({2}, f64)), w = leaf(full({2}, 3, f64));
  const Tensor y = checkpoint([&](const Tensors& t) { return t[0] * w; }, {x});
  EXPECT_TRUE(throws("checkpoint", "not among its inputs", [&] { grad(sum(y), {x}); }));
  EXPECT_TRUE(throws("checkpoint", "undefined", [&] { checkpoint(network, {Tensor()}); }));
  EXPECT_TRUE(throws("checkpoint", "null", [&] { checkpoint(network, {x, x}, {nullptr}); }));
}

TEST(Checkpoint, FindsChangedInputs) {
  const Tensor x = leaf(ones({2}, f64));
  const Tensor y = checkpoint([](const Tensors& t) { return t[0] * t[0]; }, {x});
  x.mutable_data<double>()[0] = 2;
  EXPECT_TRUE(throws("grad", "changed at", [&] { grad(sum(y), {x}); }));
}

// ---- custom -------------------------------------------------------------------------------------

Tensor softsign(const Tensor& x) {
  return custom(
      "softsign", {x}, [](const Tensors& v) { return v[0] / (1.0 + abs(v[0])); },
      [](const Tensors& v, const Tensor&, const Tensor& g) {
        return Tensors{g / square(1.0 + abs(v[0]))};
      });
}

TEST(Custom, RulesOfTheUser) {
  const CheckResult r = check_gradients([](const Tensors& x) { return softsign(x[0]); },
                                        {vec({0.5, -1.5, 2})}, {.order = 2});
  EXPECT_TRUE(r.ok) << r.text;
}

TEST(Custom, RulesMayUseTheOutput) {
  const auto f = [](const Tensors& x) {
    return custom(
        "my_exp", x, [](const Tensors& v) { return exp(v[0]); },
        [](const Tensors&, const Tensor& y, const Tensor& g) { return Tensors{g * y}; });
  };
  EXPECT_TRUE(check_gradients(f, {vec({0.5, -1.5, 2})}, {.order = 2}).ok);
}

TEST(Custom, RulesAreHeldToTheirContract) {
  const Tensor x = leaf(vec({1, 2}));
  const auto with = [&](const CustomRule& rule) {
    return sum(custom(
        "mine", {x}, [](const Tensors& v) { return v[0] * 2.0; }, rule));
  };
  EXPECT_TRUE(throws("mine", "0 gradients for 1", [&] {
    grad(with([](const Tensors&, const Tensor&, const Tensor&) { return Tensors{}; }), {x});
  }));
  EXPECT_TRUE(throws("mine", "(3,)", [&] {
    grad(with([](const Tensors&, const Tensor&, const Tensor&) {
           return Tensors{vec({1, 2, 3})};
         }),
         {x});
  }));
  EXPECT_TRUE(throws("mine", "undefined", [&] {
    grad(with([](const Tensors&, const Tensor&, const Tensor&) { return Tensors{Tensor()}; }), {x});
  }));
  EXPECT_TRUE(throws("mine", "f32", [&] {
    grad(with([](const Tensors&, const Tensor&, const Tensor&) { return Tensors{ones({2})}; }),
         {x});
  }));
}

TEST(Custom, AFunctionThatReturnsItsArgument) {
  const Tensor x = leaf(vec({1, 2}));
  const Tensor y = custom(
      "twice the gradient", {x}, [](const Tensors& v) { return v[0]; },
      [](const Tensors&, const Tensor&, const Tensor& g) { return Tensors{g * 2.0}; });
  EXPECT_EQ(doubles(grad(sum(y), {x})[0]), (std::vector<double>{2, 2}));
  EXPECT_EQ(doubles(grad(sum(x * 1.0), {x})[0]), (std::vector<double>{1, 1}));  // x is untouched
}

TEST(Custom, UnwantedGradientsMayBeMissing) {
  const Tensor x = leaf(vec({1, 2})), c = vec({3, 4});
  const Tensor y = custom(
      "scaled", {x, c}, [](const Tensors& v) { return v[0] * v[1]; },
      [](const Tensors& v, const Tensor&, const Tensor& g) {
        return Tensors{g * v[1], Tensor()};
      });
  EXPECT_EQ(doubles(grad(sum(y), {x})[0]), (std::vector<double>{3, 4}));
}

}  // namespace
}  // namespace gradus::test
