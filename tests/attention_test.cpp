// Attention beyond its rows in the table: what it promises of masks, scale and keys to come.
#include "gradus/autograd/check.h"
#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

constexpr auto relu_weights = AttentionWeights::relu;
const auto both = {AttentionWeights::softmax, AttentionWeights::relu};

struct Operands {
  Tensor q, k, v;
};
Operands operands(const Shape& queries, const Shape& keys, DType dtype = f64,
                  std::uint64_t seed = 1) {
  Generator generator(seed);
  return {randn(queries, generator, dtype), randn(keys, generator, dtype),
          randn(keys, generator, dtype)};
}

bool all_zero(const Tensor& t) {
  for (double v : doubles(t))
    if (v != 0) return false;
  return true;
}

TEST(Attention, RowsOfTheWeightsSumToOne) {
  const auto [q, k, v] = operands({2, 3, 7, 5}, {2, 3, 7, 5});
  for (const AttentionWeights weights : both)
    for (const bool causal : {false, true}) {
      const Tensor p = attention_weights(q, k, {.causal = causal, .weights = weights});
      const Tensor total = sum(p, -1);
      for (double s : doubles(total))  // a query may have no positive product at all
        EXPECT_TRUE(std::abs(s - 1) < 1e-15 * 8 || (s == 0 && weights == relu_weights)) << s;
    }
}

TEST(Attention, ReluWeightsKeepTheirBitsUnderPowersOfTwo) {
  for (const DType dtype : {f32, f64}) {
    const auto [q, k, v] = operands({2, 3, 9, 5}, {2, 3, 9, 5}, dtype);
    const Tensor p = attention_weights(q, k, {.causal = true, .weights = relu_weights});
    for (const double a : {0.125, 4.0, 0x1p20})
      for (const double b : {0.5, 0x1p-12, 64.0})
        EXPECT_TRUE(same_bits(
            attention_weights(q * a, k * b, {.causal = true, .weights = relu_weights}), p));
    // Others change them by rounding alone; softmax changes.
    EXPECT_TRUE(close(attention_weights(q * 3.0, k, {.causal = true, .weights = relu_weights}), p,
                      dtype == f64 ? 1e-14 : 1e-6));
    EXPECT_FALSE(close(attention_weights(q * 3.0, k), attention_weights(q, k), 1e-3));
  }
}

// Homogeneous of degree 0 in each query and in all keys together: Euler's identity.
TEST(Attention, EulersIdentityHoldsForReluAlone) {
  auto [q, k, v] = operands({1, 2, 6, 4}, {1, 2, 6, 4});
  const Tensors x = leaves({q, k, v});
  const auto along = [&](AttentionWeights weights) {
    const Tensors g = grad(weighted_sum(attention(x[0], x[1], x[2], {.weights = weights})), x);
    return Tensors{sum(g[0] * x[0].detach(), -1), sum(g[1] * x[1].detach(), {2, 3})};
  };
  for (const Tensor& t : along(relu_weights))
    for (double d : doubles(t)) EXPECT_NEAR(d, 0, 1e-13);
  for (const Tensor& t : along(AttentionWeights::softmax)) EXPECT_GT(max(abs(t)).item(), 1e-3);
}

// Rows that attend to nothing: zeros, and zero gradients of first and second order, in both dtypes.
TEST(Attention, ARowThatAttendsToNothingIsZeroAndSoAreItsGradients) {
  for (const DType dtype : {f32, f64})
    for (const AttentionWeights weights : both) {
      const auto [q, k, v] = operands({2, 2, 3, 4}, {2, 2, 5, 4}, dtype);
      std::vector<bool> rows(2 * 1 * 3 * 1, true);
      rows[1] = rows[5] = false;  // query 1 of the first, query 2 of the second
      const Tensor mask = from_vector(rows, Shape{2, 1, 3, 1});
      const Tensors x = leaves({q, k, v}, dtype);
      const Tensor y = attention(x[0], x[1], x[2], {.mask = mask, .weights = weights});
      EXPECT_TRUE(all_zero(y[0].slice(1, 1, 2)));
      EXPECT_TRUE(all_zero(y[1].slice(1, 2, 3)));
      EXPECT_FALSE(all_zero(y[0].slice(1, 0, 1)));
      EXPECT_TRUE(all(isfinite(y)).item<bool>());
      const Tensors g = grad(weighted_sum(y), x, {.create_graph = true});
      EXPECT_TRUE(all_zero(g[0][0].slice(1, 1, 2)));
      EXPECT_TRUE(all_zero(g[0][1].slice(1, 2, 3)));
      Tensor total = zeros({}, dtype);
      for (const Tensor& d : g) {
        EXPECT_TRUE(all(isfinite(d)).item<bool>());
        total = total + weighted_sum(d);
      }
      for (const Tensor& d : grad(total, x)) EXPECT_TRUE(all(isfinite(d)).item<bool>());
      EXPECT_TRUE(all_zero(grad(total, x)[0][0].slice(1, 1, 2)));
    }
}

TEST(Attention, WhereNothingIsAttendedToEverythingIsZero) {
  for (const AttentionWeights weights : both) {
    const auto [q, k, v] = operands({1, 1, 2, 3}, {1, 1, 2, 3});
    const Tensors x = leaves({q, k, v});
    const AttentionOptions nothing{.mask = zeros({1, 1}, boolean), .weights = weights};
    const Tensor y = attention(x[0], x[1], x[2], nothing);
    EXPECT_TRUE(all_zero(y));
    for (const Tensor& d : grad(weighted_sum(y), x)) EXPECT_TRUE(all_zero(d));
    const Tensor none = zeros({1, 1, 0, 3}, f64);  // no keys at all
    EXPECT_TRUE(all_zero(attention(q, none, none, {.weights = weights})));
  }
}

TEST(Attention, ReluOfProductsThatAreNotPositiveIsZeroNotNan) {
  for (const DType dtype : {f32, f64}) {
    const Tensors x = leaves(
        {ones({1, 1, 2, 3}, f64), full({1, 1, 4, 3}, -1.0, f64), ones({1, 1, 4, 2}, f64)}, dtype);
    const Tensor y = attention(x[0], x[1], x[2], {.weights = relu_weights});
    EXPECT_TRUE(all_zero(y));
    Tensor total = zeros({}, dtype);
    for (const Tensor& d : grad(weighted_sum(y), x, {.create_graph = true})) {
      EXPECT_TRUE(all_zero(d));
      total = total + sum(d);
    }
    for (const Tensor& d : grad(total, x, {.allow_unused = true})) EXPECT_TRUE(all_zero(d));
  }
}

// Gradients where masked rows stand among others, by differences.
TEST(Attention, GradientsAroundMaskedRowsAgreeWithDifferences) {
  const auto [q, k, v] = operands({1, 2, 3, 2}, {1, 2, 4, 2});
  const Tensor mask =
      from_vector(std::vector<bool>{1, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0}, Shape{1, 1, 3, 4});
  const CheckResult r = check_gradients(
      [&](const Tensors& x) {
        return attention(x[0], x[1], x[2], {.causal = true, .mask = mask, .scale = 0.3});
      },
      {q, k, v}, {.order = 2});
  EXPECT_TRUE(r.ok) << r.text;
}

// A NaN in what is computed shows; it is not taken for a row without positive products.
TEST(Attention, NanIsNotHidden) {
  auto [q, k, v] = operands({1, 1, 2, 2}, {1, 1, 2, 2});
  q.mutable_data<double>()[0] = nan;
  for (const AttentionWeights weights : both) {
    const Tensor y = attention(q, k, v, {.weights = weights});
    EXPECT_TRUE(isnan(y[0][0][0][0]).item<bool>());
    EXPECT_FALSE(isnan(y[0][0][1][0]).item<bool>());
  }
}

TEST(Attention, AnomalyModeTakesMasksForWhatTheyAre) {
  const AnomalyMode on;
  const auto [q, k, v] = operands({1, 1, 3, 2}, {1, 1, 3, 2}, f32);
  for (const AttentionWeights weights : both)
    EXPECT_NO_THROW(attention(
        q, k, v,
        {.causal = true, .mask = from_vector(std::vector<bool>{0, 1, 1}), .weights = weights}));
}

// Fewer queries than keys: they are the last ones.
TEST(Attention, TheLastQueriesSeeWhatTheySawAmongAll) {
  const auto [q, k, v] = operands({2, 4, 6, 3}, {2, 2, 6, 3});
  for (const AttentionWeights weights : both) {
    const Tensor whole = attention(q, k, v, {.causal = true, .weights = weights});
    for (const std::int64_t from : {0, 3, 5})
      EXPECT_TRUE(close(attention(q.slice(2, from, 6), k, v, {.causal = true, .weights = weights}),
                        whole.slice(2, from, 6).contiguous(), 1e-14));
    // And later keys change nothing, not by a bit.
    const Tensor others = concat({k.slice(2, 0, 4), k.slice(2, 4, 6) * -7.0}, 2);
    EXPECT_TRUE(
        same_bits(attention(q, others, v, {.causal = true, .weights = weights}).slice(2, 0, 4),
                  whole.slice(2, 0, 4)));
  }
}

TEST(Attention, GroupsShareKeyHeads) {
  const auto [q, k, v] = operands({2, 6, 4, 3}, {2, 2, 4, 3});
  const auto repeated = [](const Tensor& t) {
    return t.unsqueeze(2).expand({2, 2, 3, 4, 3}).reshape({2, 6, 4, 3});
  };
  EXPECT_TRUE(close(attention(q, k, v, {.causal = true}),
                    attention(q, repeated(k), repeated(v), {.causal = true}), 1e-14));
}

// ---- gelu's sigmoid form, z sigmoid(1.702 z)

double exact_gelu(double z) {
  return z < 0 ? z * std::exp(1.702 * z) / (1 + std::exp(1.702 * z))
               : z / (1 + std::exp(-1.702 * z));
}

TEST(Gelu, SigmoidFormInSinglePrecisionOverTenThousand) {
  std::vector<float> z;
  for (int i = -20000; i <= 20000; ++i) {
    const double u = i / 20000.0;
    z.push_back(static_cast<float>(1e4 * u));
    z.push_back(static_cast<float>(30 * u));
    z.push_back(static_cast<float>(std::copysign(std::exp(25 * std::abs(u) - 20), u)));
  }
  const Tensor x = leaf(from_vector(z)), y = gelu(x, Gelu::sigmoid);
  const Tensor d = grad(y, {x}, {.grad_output = ones(y.shape()), .create_graph = true})[0];
  const Tensor d2 = grad(d, {x}, {.grad_output = ones(y.shape())})[0];
  const std::vector<float> value = y.detach().to_vector<float>(),
                           slope = d.detach().to_vector<float>(), bend = d2.to_vector<float>();
  for (std::size_t i = 0; i < z.size(); ++i) {
    const double at = z[i], exact = exact_gelu(at), c = 1.702;
    ASSERT_TRUE(std::isfinite(value[i]) && std::isfinite(slope[i]) && std::isfinite(bend[i])) << at;
    const double s = 1 / (1 + std::exp(-c * at));
    if (std::abs(exact) > 1e-37) {
      const double ulp = std::ldexp(1.0, std::ilogb(exact) - 23);
      EXPECT_LE(std::abs(value[i] - exact), (4 + 2 * std::abs(c * at)) * ulp) << at;
    }
    EXPECT_NEAR(slope[i], s * (1 + c * at * (1 - s)), 1e-6) << at;
    if (std::abs(at) > 100) {
      EXPECT_EQ(slope[i], at > 0) << at;
    }
  }
}

TEST(Gelu, SigmoidFormsSlopeIsExactAtTheEnds) {
  for (const DType dtype : {f32, f64}) {
    const Tensor x = leaf(from_vector(std::vector<double>{-inf, inf, -1e4, 1e4, 0}).to(dtype));
    const Tensor y = gelu(x, Gelu::sigmoid);
    EXPECT_EQ(doubles(y.detach()), (std::vector<double>{0, inf, 0, 1e4, 0}));
    const Tensor d = grad(y, {x}, {.grad_output = ones(y.shape(), dtype), .create_graph = true})[0];
    EXPECT_EQ(doubles(d.detach()), (std::vector<double>{0, 1, 0, 1, 0.5}));
    const Tensor d2 = grad(d, {x}, {.grad_output = ones(y.shape(), dtype)})[0];
    EXPECT_TRUE(all(isfinite(d2)).item<bool>());
    EXPECT_EQ(d2[0].item(), 0);
    EXPECT_EQ(d2[1].item(), 0);
  }
}

}  // namespace
}  // namespace gradus::test
