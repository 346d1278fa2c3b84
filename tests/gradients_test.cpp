// First derivatives of every row against witnesses that know nothing of the rules.
#include "gradus/autograd/check.h"
#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

bool empty_call(const std::vector<Shape>& shapes) {
  for (const Shape& s : shapes)
    if (s.numel() > 0) return false;
  return true;
}

TEST(Gradients, EveryRowByEveryChecker) {
  for_rows([](const Row& row) {
    if (!row.differentiable) return;
    for_calls(row, [&](std::size_t call) {
      if (empty_call(row.calls[call])) return;
      const Tensors x = sample(row, call);
      if (row.f(x).numel() == 0) return;
      const CheckResult r = check_gradients(row.f, x);
      EXPECT_TRUE(r.ok) << r.text;
    });
  });
}

// The output's gradient comes in every layout, and adds up over several uses.
TEST(Gradients, OfGradientsInOtherLayouts) {
  for_rows([](const Row& row) {
    if (!row.differentiable) return;
    const Tensors x = leaves(sample(row, 0));
    const Tensor y = row.f(x);
    const Tensor g = sample_of({}, {y.shape()}, 3)[0];
    const Tensors expected = grad(y, x, {.grad_output = g});
    for (Layout layout : layouts) {
      const Tensors d = grad(y, x, {.grad_output = in_layout(g, layout)});
      for (std::size_t i = 0; i < x.size(); ++i)
        EXPECT_TRUE(close(d[i], expected[i], 1e-14)) << name(layout) << ", input " << i;
    }
    const Tensor one =
        full(Shape{}, 0.5, f64)
            .alias(y.shape(), Shape(std::vector<std::int64_t>(y.shape().size(), 0)), 0);
    const Tensors spread = grad(y, x, {.grad_output = one});
    const Tensors dense = grad(y, x, {.grad_output = full(y.shape(), 0.5, f64)});
    for (std::size_t i = 0; i < x.size(); ++i)
      EXPECT_TRUE(close(spread[i], dense[i], 1e-14)) << "expanded, input " << i;
  });
}

TEST(Gradients, OneInputAtATimeIsTheSame) {
  for_rows([](const Row& row) {
    if (!row.differentiable || row.calls[0].size() < 2) return;
    const Tensors values = sample(row, 0);
    const Tensors all = leaves(values);
    const Tensors expected = grad(weighted_sum(row.f(all)), all);
    for (std::size_t k = 0; k < values.size(); ++k) {
      Tensors x = values;
      x[k] = leaves({values[k]})[0];
      const Tensors d = grad(weighted_sum(row.f(x)), {x[k]});
      EXPECT_TRUE(close(d[0], expected[k], 1e-14)) << "input " << k;
    }
  });
}

TEST(Gradients, WithEmptyTensorsAreEmpty) {
  for_rows([](const Row& row) {
    if (!row.differentiable) return;
    for_calls(row, [&](std::size_t call) {
      bool any = false;
      for (const Shape& s : row.calls[call]) any |= s.numel() == 0;
      if (!any) return;
      const Tensors x = leaves(sample(row, call));
      const Tensor y = row.f(x);
      const Tensors d = grad(y, x, {.grad_output = ones(y.shape(), f64)});
      for (std::size_t i = 0; i < x.size(); ++i) {
        EXPECT_EQ(d[i].shape(), x[i].shape());
        // What only empty outputs depend on has gradient zero.
        if (y.numel() == 0) {
          for (double v : doubles(d[i])) EXPECT_EQ(v, 0);
        }
      }
    });
  });
}

}  // namespace
}  // namespace gradus::test
