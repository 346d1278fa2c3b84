// Values and derivatives where formulas break: zeros of both signs, infinities, NaN, kinks, limits.
#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

bool agrees(double value, double expected, double tolerance) {
  if (std::isnan(expected)) return std::isnan(value);
  if (std::isinf(expected)) return value == expected;
  return std::abs(value - expected) <= tolerance * std::abs(expected) + 1e-300;
}

// In f32: neither the point nor a value underflows or is lost beside 1.
bool representable(const Edge& edge) {
  const auto far_out = [](double v, double low, double high) {
    return std::isfinite(v) && v != 0 && (std::abs(v) < low || std::abs(v) > high);
  };
  return !far_out(edge.x, 1e-3, 80) &&
         std::none_of(edge.orders.begin(), edge.orders.end(),
                      [&](double v) { return far_out(v, 1e-30, 1e30); });
}

TEST(Edges, ClosedValuesOfOrdersZeroToThree) {
  int points = 0;
  for_rows([&](const Row& row) {
    for (const Edge& edge : row.edges) {
      ++points;
      for (double v : edge.orders) {
        EXPECT_TRUE(!std::isnan(v) || *edge.why) << "a NaN needs its reason";
      }
      for (DType dtype : {f64, f32}) {
        if (dtype == f32 && !representable(edge)) continue;
        // Registers full, and a single element.
        for (std::int64_t n : {1, 33}) {
          const Tensor x = leaf(full({n}, edge.x, dtype));
          Tensor y = row.f({x});
          for (std::size_t order = 0; order < edge.orders.size(); ++order) {
            if (order > 0) {
              y = y.requires_grad() ? grad(y, {x},
                                           {.grad_output = ones({n}, dtype),
                                            .create_graph = true,
                                            .allow_unused = true})[0]
                                    : zeros({n}, dtype);
            }
            const double tolerance = dtype == f64 ? 1e-14 : 1e-6;
            for (double v : doubles(y)) {
              EXPECT_TRUE(agrees(v, edge.orders[order], tolerance))
                  << dtype << ", x = " << edge.x << ", order " << order << ": " << v
                  << ", expected " << edge.orders[order];
              if (!agrees(v, edge.orders[order], tolerance)) break;
            }
          }
        }
      }
    }
  });
  EXPECT_GT(points, 200);
}

// One NaN among numbers reaches its own result, at any position of a register, and no other.
TEST(Edges, NanStaysWhereItIs) {
  const NoGrad off;
  for_rows([](const Row& row) {
    if (!row.scalar || !row.differentiable || row.calls[0].size() != 1) return;
    if (row.detail == "constant 0" || row.name == "where") return;
    for (std::int64_t at : {0, 3, 15, 16, 32}) {
      Tensor x = sample_of(row, {{33}}, 2)[0];
      x.mutable_data<double>()[at] = nan;
      const std::vector<double> y = doubles(row.f({x}));
      for (std::int64_t i = 0; i < 33; ++i)
        EXPECT_EQ(std::isnan(y[static_cast<std::size_t>(i)]), i == at) << i;
    }
  });
}

double first(const TensorsFunction& f, std::vector<double> at, std::size_t k) {
  Tensors x;
  for (double v : at) x.push_back(leaf(full({}, v, f64)));
  return grad(f(x), {x[k]}, {.allow_unused = true})[0].item();
}
double value(const TensorsFunction& f, std::vector<double> at) {
  const NoGrad off;
  Tensors x;
  for (double v : at) x.push_back(full({}, v, f64));
  return f(x).item();
}

TEST(Edges, TiesOfMaximumAndMinimumGoToTheFirst) {
  const TensorsFunction largest = [](const Tensors& x) { return maximum(x[0], x[1]); };
  const TensorsFunction smallest = [](const Tensors& x) { return minimum(x[0], x[1]); };
  for (const TensorsFunction& f : {largest, smallest})
    for (double x : {0.0, 1.0, -3.0, inf}) {
      EXPECT_EQ(first(f, {x, x}, 0), 1) << x;
      EXPECT_EQ(first(f, {x, x}, 1), 0) << x;
    }
  for (double x : {0.0, inf, -inf}) {
    EXPECT_TRUE(std::isnan(value(largest, {nan, x})));
    EXPECT_TRUE(std::isnan(value(largest, {x, nan})));
    EXPECT_TRUE(std::isnan(value(smallest, {nan, x})));
    EXPECT_TRUE(std::isnan(value(smallest, {x, nan})));
  }
  EXPECT_EQ(value(largest, {-inf, inf}), inf);
  EXPECT_EQ(first(largest, {-inf, inf}, 0), 0);
  EXPECT_EQ(first(largest, {-inf, inf}, 1), 1);
}

TEST(Edges, DivisionByZeroAndInfinity) {
  const TensorsFunction f = [](const Tensors& x) { return div(x[0], x[1]); };
  EXPECT_EQ(value(f, {1, 0}), inf);
  EXPECT_EQ(value(f, {1, -0.0}), -inf);
  EXPECT_TRUE(std::isnan(value(f, {0, 0})));
  EXPECT_EQ(value(f, {1, inf}), 0);
  EXPECT_EQ(first(f, {1, 0}, 0), inf);
  EXPECT_EQ(first(f, {1, 0}, 1), -inf);
  EXPECT_EQ(first(f, {0, 2}, 0), 0.5);
  EXPECT_EQ(first(f, {0, 2}, 1), 0);
  EXPECT_EQ(first(f, {1, inf}, 1), 0);
}

// x^p: one where p = 0; by p, nothing at x = 0 with p > 0 (the limit of x^p log x).
TEST(Edges, Powers) {
  const TensorsFunction f = [](const Tensors& x) { return pow(x[0], x[1]); };
  for (double x : {0.0, 1.0, -2.0, inf}) EXPECT_EQ(value(f, {x, 0}), 1) << x;
  EXPECT_EQ(value(f, {0, 2}), 0);
  EXPECT_EQ(value(f, {0, -1}), inf);
  EXPECT_EQ(value(f, {-2, 3}), -8);
  EXPECT_TRUE(std::isnan(value(f, {-2, 0.5})));
  EXPECT_EQ(first(f, {0, 2}, 0), 0);
  EXPECT_EQ(first(f, {0, 2}, 1), 0);
  EXPECT_EQ(first(f, {0, 1}, 0), 1);
  EXPECT_EQ(first(f, {3, 0}, 0), 0);
  EXPECT_EQ(first(f, {0, 0}, 0), 0);
  EXPECT_EQ(first(f, {-2, 3}, 0), 12);
  EXPECT_NEAR(first(f, {3, 2}, 1), 9 * std::log(3), 1e-13);
}

TEST(Edges, WhereShieldsWhatIsGuardedFirst) {
  const Tensor x = leaf(from_vector(std::vector<double>{-1, 0, 2}));
  const Tensor y = where(x > 0.0, log(where(x > 0.0, x, 1.0)), 0.0);
  EXPECT_EQ(doubles(y), (std::vector<double>{0, 0, std::log(2.0)}));
  EXPECT_EQ(doubles(grad(sum(y), {x})[0]), (std::vector<double>{0, 0, 0.5}));
}

TEST(Edges, TiesOfReductionsShare) {
  const Tensor x = leaf(from_vector(std::vector<double>{1, 3, 3, -1, 3, 0}, Shape{2, 3}));
  EXPECT_EQ(doubles(grad(sum(max(x, 1)), {x})[0]), (std::vector<double>{0, 0.5, 0.5, 0, 1, 0}));
  EXPECT_EQ(doubles(grad(max(x), {x})[0]), (std::vector<double>{0, 1 / 3., 1 / 3., 0, 1 / 3., 0}));
  const Tensor y = leaf(from_vector(std::vector<double>{2, 2, 5}));
  EXPECT_EQ(doubles(grad(min(y), {y})[0]), (std::vector<double>{0.5, 0.5, 0}));
}

TEST(Edges, ReductionsOfNanAndInfinity) {
  const NoGrad off;
  const Tensor with_nan = from_vector(std::vector<double>{1, nan, 3});
  for (auto f : {sum, mean, max, min, prod, logsumexp})
    EXPECT_TRUE(std::isnan(f(with_nan, {}, false).item()));
  const Tensor infinite = from_vector(std::vector<double>{1, inf, 3});
  for (auto f : {sum, mean, max, prod, logsumexp}) EXPECT_EQ(f(infinite, {}, false).item(), inf);
  EXPECT_EQ(min(infinite).item(), 1);
  EXPECT_TRUE(std::isnan(sum(from_vector(std::vector<double>{inf, -inf})).item()));
  EXPECT_EQ(argmax(with_nan).item<std::int64_t>(), 1);
}

TEST(Edges, LogsumexpAndSoftmaxOfLargeAndInfinite) {
  const auto of = [](std::vector<double> v) { return leaf(from_vector(v)); };
  EXPECT_EQ(logsumexp(of({1e4, 1e4})).item(), 1e4 + std::log(2.0));
  EXPECT_EQ(logsumexp(of({-inf, -inf})).item(), -inf);
  EXPECT_EQ(logsumexp(of({-inf, 3})).item(), 3);
  EXPECT_EQ(logsumexp(of({inf, 3})).item(), inf);
  Tensor x = of({-inf, 3});
  EXPECT_EQ(doubles(grad(logsumexp(x), {x})[0]), (std::vector<double>{0, 1}));
  EXPECT_EQ(doubles(softmax(x, 0)), (std::vector<double>{0, 1}));
  EXPECT_EQ(doubles(log_softmax(x, 0)), (std::vector<double>{-inf, 0}));
  x = of({-1e300, 1e300, 0});
  EXPECT_EQ(doubles(softmax(x, 0)), (std::vector<double>{0, 1, 0}));
  EXPECT_EQ(doubles(grad(sum(softmax(x, 0) * 3.0), {x})[0]), (std::vector<double>{0, 0, 0}));
  x = of({1000, 1000});
  EXPECT_EQ(doubles(softmax(x, 0)), (std::vector<double>{0.5, 0.5}));
}

TEST(Edges, EmptyReductions) {
  const NoGrad off;
  const Tensor none = zeros({0, 3}, f64);
  EXPECT_EQ(sum(none).item(), 0);
  EXPECT_EQ(prod(none).item(), 1);
  EXPECT_EQ(doubles(sum(none, 0)), (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(doubles(prod(none, 0)), (std::vector<double>{1, 1, 1}));
  EXPECT_EQ(sum(none, 1).shape(), Shape{0});
  EXPECT_FALSE(any(none > 0.0).item<std::int64_t>());
  EXPECT_TRUE(all(none > 0.0).item<std::int64_t>());
  EXPECT_EQ(max(none, 1).shape(), Shape{0});
}

TEST(Edges, LossesFarOut) {
  const Tensor logits = leaf(from_vector(std::vector<double>{1e4, -1e4, 1e4, -1e4}));
  const Tensor target = from_vector(std::vector<double>{1, 0, 0, 1});
  const Tensor y = binary_cross_entropy_with_logits(logits, target, {Reduction::none});
  EXPECT_EQ(doubles(y), (std::vector<double>{0, 0, 1e4, 1e4}));
  EXPECT_EQ(doubles(grad(sum(y), {logits})[0]), (std::vector<double>{0, 0, 1, -1}));
  const Tensor rows = leaf(from_vector(std::vector<double>{1e4, 0, -1e4, 0}, Shape{2, 2}));
  const Tensor z =
      cross_entropy(rows, from_vector(std::vector<std::int64_t>{0, 0}), {Reduction::none});
  EXPECT_EQ(doubles(z), (std::vector<double>{0, 1e4}));
  EXPECT_EQ(doubles(grad(sum(z), {rows})[0]), (std::vector<double>{0, 0, -1, 1}));
}

// prod's gradient is the product of the others, zeros among them or not.
TEST(Edges, ProductsWithZeros) {
  const auto of = [](std::vector<double> v) { return leaf(from_vector(v)); };
  Tensor x = of({2, 0, 3});
  EXPECT_EQ(doubles(grad(prod(x), {x})[0]), (std::vector<double>{0, 6, 0}));
  x = of({2, 0, 0});
  EXPECT_EQ(doubles(grad(prod(x), {x})[0]), (std::vector<double>{0, 0, 0}));
  // And so are the second ones: d2/dx0dx1 of x0 x1 x2 is x2.
  x = of({2, 0, 3});
  const Tensor h = hessian([](const Tensor& t) { return prod(t); }, x.detach());
  EXPECT_EQ(doubles(h), (std::vector<double>{0, 3, 0, 3, 0, 2, 0, 2, 0}));
}

TEST(Edges, LossesAtZeroDifference) {
  const Tensor x = leaf(full({3}, 0.5, f64)), t = full({3}, 0.5, f64);
  for (const Tensor& loss : {mse_loss(x, t), l1_loss(x, t), huber_loss(x, t)}) {
    EXPECT_EQ(loss.item(), 0);
    EXPECT_EQ(doubles(grad(loss, {x})[0]), (std::vector<double>{0, 0, 0}));
  }
}

}  // namespace
}  // namespace gradus::test
