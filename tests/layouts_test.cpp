// The same values in other layouts give the same values and gradients.
#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

// Elementwise operations and moves of elements owe the same bits; sums may be cut differently.
testing::AssertionResult agree(const Row& row, const Tensor& a, const Tensor& b) {
  return row.elementwise() || row.any_dtype ? same_bits(a, b) : close(a, b, 2e-15);
}

TEST(Layouts, ValuesAndGradients) {
  for_rows([](const Row& row) {
    for_calls(row, [&](std::size_t call) {
      const Tensors x = sample(row, call);
      const Tensors plain = leaves(x);
      const Tensor y = row.f(plain);
      const Tensors expected =
          row.differentiable ? grad(weighted_sum(y), plain, {.allow_unused = true}) : Tensors();
      for (Layout layout : layouts)
        for (std::size_t which = 0; which <= x.size(); ++which) {
          if (which == x.size() && x.size() == 1) continue;  // all at once
          Tensors views = leaves(x);
          for (std::size_t i = 0; i < x.size(); ++i)
            if (i == which || which == x.size()) views[i] = leaf(in_layout(x[i], layout));
          const Tensor z = row.f(views);
          EXPECT_TRUE(agree(row, z, y)) << name(layout) << ", input " << which;
          if (!row.differentiable) continue;
          const Tensors d = grad(weighted_sum(z), views, {.allow_unused = true});
          for (std::size_t i = 0; i < x.size(); ++i) {
            EXPECT_TRUE(close(d[i], expected[i], 2e-15))
                << name(layout) << ", input " << which << ", gradient " << i;
          }
        }
    });
  });
}

// Strides of 0: an expanded input, and the sum of its gradient when the expansion is recorded.
TEST(Layouts, Expanded) {
  for_rows([](const Row& row) {
    for_calls(row, [&](std::size_t call) {
      const Tensors x = sample(row, call);
      for (std::size_t k = 0; k < x.size(); ++k) {
        if (x[k].dim() == 0 || x[k].numel() == 0) continue;
        if (row.domains[0].distinct) continue;  // equal elements are ties there
        const Tensor one = in_layout(x[k].slice(0, 0, 1), Layout::offset);
        Tensors dense = leaves(x), spread = leaves(x);
        dense[k] = leaf(expand(one, x[k].shape()).contiguous().clone());
        const Tensor base = leaf(one.clone());
        spread[k] = expand(base, x[k].shape());
        const Tensor y = row.f(dense), z = row.f(spread);
        EXPECT_TRUE(agree(row, z, y)) << "input " << k;
        if (!row.differentiable) continue;
        const Tensor full = grad(weighted_sum(y), {dense[k]}, {.allow_unused = true})[0];
        const Tensor d = grad(weighted_sum(z), {base}, {.allow_unused = true})[0];
        EXPECT_TRUE(close(d, sum(full, 0, true), 1e-14)) << "gradient of input " << k;
      }
    });
  });
}

// Tails of registers and one more than a register, for each operation of one shape.
TEST(Layouts, OddSizes) {
  for_rows([](const Row& row) {
    if (!row.scalar) return;
    for (std::int64_t n : {1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 129, 1023, 1025})
      for (DType dtype : {f32, f64}) {
        const Tensors x = sample_of(row, std::vector<Shape>(row.calls[0].size(), Shape{n}), 5);
        Tensors all, last;
        for (const Tensor& t : x) {
          all.push_back(t.to(dtype));
          last.push_back(all.back().slice(0, n - 1, n));
        }
        const NoGrad off;
        EXPECT_TRUE(same_bits(row.f(all).slice(0, n - 1, n), row.f(last))) << n << ' ' << dtype;
      }
  });
}

// Integers, bytes and booleans move like numbers.
TEST(Layouts, EveryDtypeMoves) {
  const NoGrad off;
  for_rows([](const Row& row) {
    if (!row.any_dtype || !row.differentiable) return;
    for (DType dtype : {DType::bf16, i32, i64, u8, boolean}) {
      Tensors x, converted;
      for (const Tensor& t : sample(row, 0)) {
        x.push_back((t > 0.0).to(f64));
        converted.push_back(x.back().to(dtype));
      }
      const Tensor y = row.f(converted);
      EXPECT_EQ(y.dtype(), dtype);
      EXPECT_TRUE(same_bits(y.to(f64), row.f(x))) << dtype;
    }
  });
}

}  // namespace
}  // namespace gradus::test
