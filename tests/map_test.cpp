// map(): the user's formulas, fused, broadcasting and differentiable.
#include "gradus/autograd/map.h"

#include "gradus/autograd/check.h"
#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

Tensor points(std::uint64_t seed, const Shape& shape) { return sample_of({}, {shape}, seed)[0]; }

const auto coupling = [](const auto& x, const auto& s, const auto& t) {
  return x * exp(tanh(s)) + t;
};
Tensor coupling_by_operations(const Tensor& x, const Tensor& s, const Tensor& t) {
  return x * exp(tanh(s)) + t;
}

TEST(Map, IsItsDefinitionInOperations) {
  for (const auto& shapes : {std::vector<Shape>{{3, 5}, {3, 5}, {3, 5}},
                             {{3, 5}, {5}, {3, 1}},
                             {{}, {4}, {1}},
                             {{0, 2}, {2}, {1}},
                             {{7}, {7}, {}}}) {
    const Tensors x = leaves(sample_of({}, shapes, 3));
    const Tensor y = map(coupling, x[0], x[1], x[2]);
    const Tensor z = coupling_by_operations(x[0], x[1], x[2]);
    EXPECT_TRUE(close(y, z, 1e-15));
    const Tensors d = grad(weighted_sum(y), x), e = grad(weighted_sum(z), x);
    for (std::size_t i = 0; i < x.size(); ++i) EXPECT_TRUE(close(d[i], e[i], 1e-14)) << i;
  }
}

TEST(Map, GradientsOfTwoOrders) {
  const CheckResult r =
      check_gradients([](const Tensors& x) { return map(coupling, x[0], x[1], x[2]); },
                      sample_of({}, {{3, 4}, {4}, {3, 1}}, 5), {.order = 2});
  EXPECT_TRUE(r.ok) << r.text;
  EXPECT_TRUE((check_formula<3>(coupling, {{0.5, -0.3, 2}, {-1, 1.5, 0.1}}).ok));
}

TEST(Map, ThirdDerivative) {
  const Tensor x = leaf(full({3}, 0.4, f64));
  Tensor y = map([](const auto& v) { return v * v * v * v; }, x);
  for (int order = 0; order < 3; ++order)
    y = grad(y, {x}, {.grad_output = ones({3}, f64), .create_graph = true})[0];
  EXPECT_TRUE(close(y.detach(), full({3}, 24 * 0.4, f64), 1e-15));
}

TEST(Map, CapturesPlainNumbers) {
  const double slope = 0.25;
  const auto leaky = [slope](const auto& x) { return select(x > 0.0, x, slope * x); };
  const Tensor x = leaf(from_vector(std::vector<double>{-2, 3}));
  const Tensor y = map(leaky, x);
  EXPECT_EQ(doubles(y), (std::vector<double>{-0.5, 3}));
  EXPECT_EQ(doubles(grad(sum(y), {x})[0]), (std::vector<double>{0.25, 1}));
}

TEST(Map, ComparisonsGiveBooleans) {
  const Tensor y = map([](const auto& a, const auto& b) { return a < b; },
                       from_vector(std::vector<double>{1, 2, 3}), full({}, 2, f64));
  EXPECT_EQ(y.dtype(), boolean);
  EXPECT_EQ(y.to_vector<bool>(), (std::vector<bool>{true, false, false}));
}

struct Masked {
  static constexpr const char* name = "masked";
  static constexpr unsigned boolean_inputs = 1;
  auto operator()(const auto& m, const auto& x) const { return select(m != 0.0, x * x, 0.0); }
};

TEST(Map, BooleanInputs) {
  const Tensor m = from_vector(std::vector<bool>{true, false, true});
  const Tensor x = leaf(from_vector(std::vector<double>{1, 2, 3}));
  const Tensor y = map(Masked{}, m, x);
  EXPECT_EQ(doubles(y), (std::vector<double>{1, 0, 9}));
  EXPECT_EQ(doubles(grad(sum(y), {x})[0]), (std::vector<double>{2, 0, 6}));
  EXPECT_TRUE(throws("masked", "bool", [&] { map(Masked{}, x, x); }));
}

TEST(Map, EightInputs) {
  const auto f = [](const auto& a, const auto& b, const auto& c, const auto& d, const auto& e,
                    const auto& g, const auto& h,
                    const auto& i) { return a * b + c * d + e * g + h * i; };
  const Tensors v = sample_of({}, std::vector<Shape>(8, Shape{3}), 2);
  const CheckResult r = check_gradients(
      [&](const Tensors& x) { return map(f, x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]); }, v,
      {.order = 2});
  EXPECT_TRUE(r.ok) << r.text;
}

TEST(Map, OneGradientAtATime) {
  const Tensors v = sample_of({}, {{3, 4}, {4}, {3, 1}}, 5);
  const Tensors all = leaves(v);
  const Tensors expected = grad(weighted_sum(map(coupling, all[0], all[1], all[2])), all);
  for (std::size_t k = 0; k < 3; ++k) {
    Tensors x = v;
    x[k] = leaf(v[k].clone());
    const Tensor y = map(coupling, x[0], x[1], x[2]);
    EXPECT_TRUE(close(grad(weighted_sum(y), {x[k]})[0], expected[k], 1e-15)) << k;
  }
}

// Only what some gradient reads is kept.
TEST(Map, KeepsWhatItsGradientsRead) {
  const Tensor a = leaf(points(1, {10})), b = leaf(points(2, {10}));
  EXPECT_EQ(saved_bytes(map([](const auto& x, const auto& y) { return x + 2.0 * y; }, a, b)), 0);
  EXPECT_EQ(saved_bytes(map([](const auto& x, const auto& y) { return x * y; }, a, b)), 160);
  EXPECT_EQ(saved_bytes(map([](const auto& x, const auto& y) { return x * y; }, a, b.detach())),
            80);
  EXPECT_EQ(saved_bytes(map([](const auto& x, const auto& y) { return x + exp(y); }, a, b)), 80);
}

TEST(Map, LargeAndStrided) {
  const Tensor x = points(3, {301, 517}), y = in_layout(points(4, {301, 517}), Layout::transposed);
  const auto f = [](const auto& a, const auto& b) { return a * b + a; };
  EXPECT_TRUE(same_bits(map(f, x, y), map(f, x, y.contiguous())));
  EXPECT_TRUE(same_bits(map(f, x, y), add(mul(x, y), x)));
}

TEST(Map, Errors) {
  const auto f = [](const auto& a, const auto& b) { return a + b; };
  EXPECT_TRUE(throws("map", "(3,)", [&] { map(f, zeros({2}), zeros({3})); }));
  EXPECT_TRUE(throws("map", "f64", [&] { map(f, zeros({2}), zeros({2}, f64)); }));
  EXPECT_TRUE(throws("map", "i64", [&] { map(f, zeros({2}, i64), zeros({2}, i64)); }));
  EXPECT_TRUE(throws("map", "undefined", [&] { map(f, Tensor(), zeros({2})); }));
  EXPECT_TRUE(throws("map", "undefined", [&] { map(f, zeros({2}), Tensor()); }));
}

}  // namespace
}  // namespace gradus::test
