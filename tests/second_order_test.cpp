// Second derivatives of every row, and fused operations against their definitions.
#include "gradus/autograd/check.h"
#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

TEST(SecondOrder, EveryRow) {
  for_rows([](const Row& row) {
    if (!row.differentiable) return;
    for (std::size_t call = 0; call < std::min<std::size_t>(row.calls.size(), 3); ++call) {
      const Tensors x = sample(row, call);
      if (row.f(x).numel() == 0) continue;
      const CheckResult r = check_gradients(row.f, x, {.order = 2, .directions = 2});
      EXPECT_TRUE(r.ok) << row.label() << ", call " << call << ": " << r.text;
    }
  });
}

Tensors first(const TensorsFunction& f, const Tensors& x) {
  return grad(weighted_sum(f(x)), x, {.create_graph = true, .allow_unused = true});
}
Tensors second(const TensorsFunction& f, const Tensors& x) {
  Tensor total = zeros({}, f64);
  for (const Tensor& g : first(f, x)) total = total + weighted_sum(g);
  if (!total.requires_grad()) return {};
  return grad(total, x, {.create_graph = true, .allow_unused = true});
}
Tensors third(const TensorsFunction& f, const Tensors& x) {
  Tensor total = zeros({}, f64);
  for (const Tensor& g : second(f, x)) total = total + weighted_sum(g);
  if (!total.requires_grad()) return {};
  return grad(total, x, {.allow_unused = true});
}

void expect_equal(const Tensors& a, const Tensors& b, double tolerance, const char* what) {
  if (a.empty() || b.empty()) {  // one of them knows that there is no dependence
    for (const Tensor& t : a.empty() ? b : a)
      EXPECT_TRUE(close(t, zeros(t.shape(), f64), 1e-12)) << what;
    return;
  }
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_TRUE(close(a[i], b[i], tolerance)) << what << ", input " << i;
}

TEST(Definitions, ValuesAndThreeDerivatives) {
  int compared = 0;
  for_rows([&](const Row& row) {
    if (!row.definition) return;
    ++compared;
    for_calls(row, [&](std::size_t call) {
      const Tensors x = leaves(sample(row, call));
      if (x[0].numel() == 0) return;
      EXPECT_TRUE(close(row.f(x), row.definition(x), 1e-13));
      expect_equal(first(row.f, x), first(row.definition, x), 1e-13, "gradient");
      expect_equal(second(row.f, x), second(row.definition, x), 1e-12, "second");
      expect_equal(third(row.f, x), third(row.definition, x), 1e-11, "third");
    });
  });
  EXPECT_GE(compared, 20);
}

// A definition in primitives differentiates like the fused kernel when the walk records nothing.
TEST(Definitions, FirstDerivativeWithAndWithoutAGraph) {
  for_rows([](const Row& row) {
    if (!row.differentiable) return;
    const Tensors x = leaves(sample(row, 0));
    const Tensor y = weighted_sum(row.f(x));
    expect_equal(grad(y, x), grad(y, x, {.create_graph = true}), 1e-13, row.label().c_str());
  });
}

}  // namespace
}  // namespace gradus::test
