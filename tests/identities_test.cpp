// Statements that hold exactly, or to rounding, whatever the implementation.
#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

Tensor points(std::uint64_t seed, const Shape& shape) { return sample_of({}, {shape}, seed)[0]; }
double dot(const Tensor& a, const Tensor& b) { return sum(mul(a.detach(), b.detach())).item(); }
Tensor derivative(const Tensor& y, const Tensor& x) {
  return grad(y, {x}, {.grad_output = ones(y.shape(), y.dtype()), .create_graph = true})[0];
}

// phi(z) - phi(-z) = z and phi'(z) + phi'(-z) = 1, for every form: z times a symmetric gate.
TEST(Identities, Gelu) {
  std::vector<double> grid;
  for (int i = -400; i <= 400; ++i) grid.push_back(0.025 * i);
  for (double far : {30., 1e2, 1e4, 1e300}) grid.push_back(far);
  const Tensor z = leaf(from_vector(grid)), minus_z = leaf(neg(z).detach());
  for (const auto& [form, name] :
       {std::pair{Gelu::exact, "exact"}, {Gelu::tanh, "tanh"}, {Gelu::sigmoid, "sigmoid"}}) {
    const Tensor a = gelu(z, form), b = gelu(minus_z, form);
    const std::vector<double> p = doubles(a), m = doubles(b), dp = doubles(derivative(a, z)),
                              dm = doubles(derivative(b, minus_z));
    for (std::size_t i = 0; i < grid.size(); ++i) {
      EXPECT_LE(std::abs(p[i] - m[i] - grid[i]), 4e-16 * std::abs(grid[i]))
          << name << ' ' << grid[i];
      EXPECT_LE(std::abs(dp[i] + dm[i] - 1), 8e-16) << name << ' ' << grid[i];
    }
  }
}

TEST(Identities, ExtremaOfTheSigmoidGelu) {
  const Tensor z = leaf(full({}, 1.4097281319127304, f64));
  const Tensor d = derivative(gelu(z, Gelu::sigmoid), z);
  EXPECT_NEAR(d.item(), 1.0998393201288668, 2e-15);
  EXPECT_NEAR(derivative(d, z).item(), 0, 1e-14);
}

TEST(Identities, FunctionsOfEachOther) {
  const NoGrad off;
  const Tensor x = linspace(-6, 6, 241, f64), p = linspace(0.05, 6, 120, f64);
  const auto same = [](const Tensor& a, const Tensor& b, const char* what) {
    EXPECT_TRUE(close(a, b, 4e-16)) << what;
  };
  same(square(sin(x)) + square(cos(x)), ones(x.shape(), f64), "sin^2 + cos^2");
  same(sigmoid(x) + sigmoid(neg(x)), ones(x.shape(), f64), "sigmoid");
  same(softplus(x) - softplus(neg(x)), x, "softplus");
  same(erf(x) + erfc(x), ones(x.shape(), f64), "erf + erfc");
  same(expm1(x) + 1.0, exp(x), "expm1");
  same(log1p(expm1(p)), p, "log1p");
  same(tanh(x), 2.0 * sigmoid(2.0 * x) - 1.0, "tanh");
  same(relu(x) - relu(neg(x)), x, "relu");
  same(maximum(x, 0.0), relu(x), "maximum");
  same(maximum(x, neg(x)), abs(x), "abs");
  same(sqrt(p) * rsqrt(p), ones(p.shape(), f64), "rsqrt");
  same(silu(x), x * sigmoid(x), "silu");
  for (const Tensor& odd : {tanh(x) + tanh(neg(x)), sin(x) + sin(neg(x)), erf(x) + erf(neg(x))})
    EXPECT_TRUE(same_bits(abs(odd), zeros(x.shape(), f64)));
}

// A probability loses nothing and gains nothing: rows of the gradient sum to 0.
TEST(Identities, SoftmaxGradientsSumToZero) {
  const Tensor x = leaf(points(1, {5, 9}));
  const Tensor g = grad(softmax(x, 1), {x}, {.grad_output = points(2, {5, 9})})[0];
  for (double s : doubles(sum(g, 1))) EXPECT_LE(std::abs(s), 1e-15);
  const Tensor p = softmax(x, 1);
  for (double s : doubles(sum(p, 1))) EXPECT_LE(std::abs(s - 1), 4e-16);
  EXPECT_TRUE(close(softmax(x + 100.0, 1), p, 1e-13));  // invariant under a shift
  EXPECT_TRUE(close(log(p), log_softmax(x, 1), 1e-15));
  const Tensor target = from_vector(std::vector<std::int64_t>{0, 8, 3, 3, 1});
  for (double s : doubles(sum(grad(cross_entropy(x, target), {x})[0], 1)))
    EXPECT_LE(std::abs(s), 1e-16);
  // logsumexp's gradient is softmax.
  EXPECT_TRUE(close(grad(sum(logsumexp(x, 1)), {x})[0], p.detach(), 1e-15));
  // cross_entropy's is (p - one_hot) / n.
  EXPECT_TRUE(close(grad(cross_entropy(x, target), {x})[0],
                    ((p - one_hot(target, 9, f64)) / 5.0).detach(), 1e-15));
}

// <x, f'(x)> = degree f(x) for homogeneous f.
TEST(Identities, Euler) {
  const auto check = [](const char* what, const TensorFunction& f, double degree) {
    const Tensor x = leaf(points(3, {4, 4}) + 3.0), y = sum(f(x));
    EXPECT_NEAR(dot(grad(y, {x})[0], x), degree * y.item(), 1e-13 * std::abs(y.item())) << what;
  };
  check(
      "sum", [](const Tensor& x) { return sum(x); }, 1);
  check(
      "mean", [](const Tensor& x) { return mean(x, 1); }, 1);
  check(
      "abs", [](const Tensor& x) { return abs(x); }, 1);
  check(
      "relu", [](const Tensor& x) { return relu(x - 3.0 + 3.0); }, 1);
  check(
      "max", [](const Tensor& x) { return max(x, 0); }, 1);
  check(
      "sqrt", [](const Tensor& x) { return sqrt(x); }, 0.5);
  check(
      "square", [](const Tensor& x) { return square(x); }, 2);
  check(
      "pow", [](const Tensor& x) { return pow(x, 2.5); }, 2.5);
  check(
      "reciprocal", [](const Tensor& x) { return reciprocal(x); }, -1);
  check(
      "rsqrt", [](const Tensor& x) { return rsqrt(x); }, -0.5);
  check(
      "var", [](const Tensor& x) { return var(x, 1); }, 2);
  check(
      "prod", [](const Tensor& x) { return prod(x, 1); }, 4);
  check(
      "matmul", [](const Tensor& x) { return matmul(x, x); }, 2);
  check(
      "mse_loss", [](const Tensor& x) { return mse_loss(x, x * 0.5); }, 2);
  check(
      "div", [](const Tensor& x) { return x / x[0]; }, 0);
}

// Linear maps and their adjoints: <A x, y> = <x, A^T y>, the adjoint by its own name.
TEST(Identities, Adjoints) {
  const Tensor x = points(4, {3, 1}), y = points(5, {2, 3, 4});
  EXPECT_NEAR(dot(expand(x, {2, 3, 4}), y), dot(x, sum_to(y, {3, 1})), 1e-14);
  const Tensor index = from_vector(std::vector<std::int64_t>{2, 0, 2, 1, 1, 1}, Shape{2, 3});
  const Tensor a = points(6, {3, 3}), b = points(7, {2, 3});
  EXPECT_NEAR(dot(gather(a, 0, index), b), dot(a, scatter_add(zeros({3, 3}, f64), 0, index, b)),
              1e-14);
  const Tensor c = points(8, {4, 6});
  EXPECT_NEAR(dot(flip(c, 1), c * 2.0), dot(c, flip(c * 2.0, 1)), 1e-14);
  EXPECT_NEAR(dot(tril(c), c), dot(c, tril(c)), 1e-14);
  const Tensor m = points(9, {6, 4}), v = points(10, {4}), w = points(11, {6});
  EXPECT_NEAR(dot(matmul(m, v), w), dot(v, matmul(m.t(), w)), 1e-14);
  const Tensor padded = pad(c, {{1, 0}, {2, 3}});
  const Tensor d = points(12, padded.shape());
  EXPECT_NEAR(dot(padded, d), dot(c, d.slice(0, 1, 5).slice(1, 2, 8)), 1e-14);
  EXPECT_NEAR(dot(cumsum(c, 1), m.t()), dot(c, flip(cumsum(flip(m.t(), 1), 1), 1)), 1e-13);
}

TEST(Identities, OneHot) {
  const Tensor ids = from_vector(std::vector<std::int64_t>{3, 0, 1, 3}, Shape{2, 2});
  const Tensor h = one_hot(ids, 4, f64);
  EXPECT_TRUE(same_bits(sum(h, -1), ones({2, 2}, f64)));
  EXPECT_TRUE(same_bits(argmax(h, -1), ids));
  const Tensor weight = points(13, {4, 5});
  EXPECT_TRUE(same_bits(embedding(weight, ids), matmul(h, weight)));
}

TEST(Identities, ViewsUndoEachOther) {
  const Tensor x = points(14, {2, 3, 4});
  EXPECT_TRUE(same_bits(x.transpose(0, 2).transpose(0, 2), x));
  EXPECT_TRUE(same_bits(x.permute({2, 0, 1}).permute({1, 2, 0}), x));
  EXPECT_TRUE(same_bits(x.reshape({6, -1}).reshape({2, 3, 4}), x));
  EXPECT_TRUE(same_bits(flip(flip(x, 1), 1), x));
  EXPECT_TRUE(same_bits(concat(split(x, 2, 2), 2), x));
  EXPECT_TRUE(same_bits(concat(split(x, Shape{1, 2}, 1), 1), x));
  EXPECT_TRUE(same_bits(stack({x[0], x[1]}, 0), x));
  EXPECT_TRUE(same_bits(x.unsqueeze(1).squeeze(1), x));
  EXPECT_TRUE(same_bits(x.flatten().reshape({2, 3, 4}), x));
  EXPECT_TRUE(same_bits(pad(x, {{1, 2}, {0, 0}, {3, 0}}).slice(0, 1, 3).slice(2, 3, 7), x));
  const Tensor m = points(15, {4, 5});
  EXPECT_TRUE(same_bits(tril(m) + triu(m, 1), m));
  EXPECT_TRUE(same_bits(m.t().t(), m));
}

// A sum does not depend on how it is cut, up to rounding; a maximum not at all.
TEST(Identities, ReductionsInSteps) {
  const Tensor x = points(16, {4, 5, 6});
  EXPECT_TRUE(close(sum(x), sum(sum(sum(x, 0), 0), 0), 1e-15));
  EXPECT_TRUE(close(mean(x), mean(mean(x, {0, 2})), 1e-15));
  EXPECT_TRUE(same_bits(max(x), max(max(x, 1), {0, 1})));
  EXPECT_TRUE(close(logsumexp(x), logsumexp(logsumexp(x, 1)), 1e-15));
  EXPECT_TRUE(close(prod(x), prod(prod(x, {0, 1})), 1e-15));
  EXPECT_TRUE(close(var(x + 1e6), var(x), 1e-9));  // centred, not the difference of two squares
  EXPECT_TRUE(close(cumsum(x, 1).slice(1, 4, 5).squeeze(1), sum(x, 1), 1e-15));
}

TEST(Identities, LossesAndTheirPieces) {
  const Tensor x = points(17, {6, 3}), t = points(18, {6, 3});
  EXPECT_TRUE(close(mse_loss(x, t), mean(square(x - t)), 1e-15));
  EXPECT_TRUE(close(huber_loss(x, t, 1e9), mse_loss(x, t) * 0.5, 1e-15));
  const Tensor ids = from_vector(std::vector<std::int64_t>{0, 1, 2, 2, 1, 0});
  EXPECT_TRUE(close(cross_entropy(x, ids), nll_loss(log_softmax(x, 1), ids), 1e-15));
  // Two classes are one logit.
  const Tensor logit = x.slice(1, 0, 1).squeeze(1), other = x.slice(1, 1, 2).squeeze(1);
  const Tensor label = from_vector(std::vector<std::int64_t>{0, 1, 1, 0, 1, 0});
  EXPECT_TRUE(close(cross_entropy(stack({logit, other}, 1), label),
                    binary_cross_entropy_with_logits(other - logit, label.to(f64)), 1e-15));
  EXPECT_TRUE(
      close(mse_loss(x, t, {Reduction::sum}), sum(mse_loss(x, t, {Reduction::none})), 1e-15));
}

}  // namespace
}  // namespace gradus::test
