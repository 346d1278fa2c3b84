// Linear algebra where it is hard: singular, ill-conditioned and coinciding; identities; errors.
#include "gradus/autograd/linalg.h"

#include "gradus/autograd/check.h"
#include "gradus/kernels/cpu/pool.h"
#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

using namespace linalg;

Tensor points(std::uint64_t seed, const Shape& shape, DType dtype = f64) {
  Generator generator{seed};
  return randn(shape, generator, dtype);
}
Tensor matrix(std::vector<double> values, std::int64_t rows, std::int64_t columns) {
  return from_vector(values, Shape{rows, columns});
}
Tensor transposed(const Tensor& a) { return a.transpose(-2, -1); }
Tensor identity(std::int64_t n, DType dtype = f64) { return eye(n, -1, dtype); }
double largest(const Tensor& x) { return max(abs(x.to(Device::cpu))).item(); }

// Hilbert's matrix: condition number 1.5e4 for n = 4, 1.6e13 for 10.
Tensor hilbert(std::int64_t n) {
  return build({n, n}, [](const Shape& i) { return 1.0 / static_cast<double>(i[0] + i[1] + 1); });
}

template <class Body>
void for_devices_and_dtypes(const Body& body) {
  for (const Device device : tested_devices())
    for (const DType dtype : {f32, f64}) {
      std::ostringstream text;
      text << device << ' ' << dtype;
      SCOPED_TRACE(text.str());
      body(device, dtype, dtype == f32 ? 6e-8 : 1.1e-16);
    }
}

TEST(Linalg, FactorsMultiplyToTheMatrix) {
  for_devices_and_dtypes([](Device device, DType dtype, double unit) {
    for (const Shape& shape : {Shape{3, 5, 5}, Shape{2, 17, 17}, Shape{1, 1}, Shape{33, 33}}) {
      const std::int64_t n = shape.back();
      const double bound = 20 * static_cast<double>(n) * unit;
      const Tensor a = points(1, shape, dtype).to(device), one = identity(n, dtype).to(device);
      const Tensor regular = a + one * (2 * std::sqrt(static_cast<double>(n)));
      EXPECT_LT(largest(matmul(regular, inv(regular)) - one), bound);
      const Tensor b = points(2, {n, 3}, dtype).to(device);
      EXPECT_LT(largest(matmul(regular, solve(regular, b)) - b), 4 * bound);
      const Tensor spd = matmul(a, transposed(a)) + one;
      const Tensor l = cholesky(spd);
      EXPECT_LT(largest(matmul(l, transposed(l)) - spd), bound * largest(spd));
      EXPECT_EQ(largest(triu(l, 1)), 0);
      const Eigh e = eigh(a + transposed(a));
      const Tensor v = e.vectors;
      EXPECT_LT(largest(matmul(v * e.values.unsqueeze(-2), transposed(v)) - a - transposed(a)),
                bound * largest(e.values));
      EXPECT_LT(largest(matmul(transposed(v), v) - one), bound);
      EXPECT_TRUE(all(e.values.slice(-1, 1, n) >= e.values.slice(-1, 0, n - 1)).item<bool>() ||
                  n == 1);
    }
    for (const Shape& shape : {Shape{2, 7, 4}, Shape{3, 4, 7}, Shape{20, 20}, Shape{40, 3}}) {
      const Tensor a = points(3, shape, dtype).to(device);
      const Svd f = svd(a);
      const std::int64_t k = f.s.size(-1);
      const double bound = 100 * static_cast<double>(k) * unit;
      EXPECT_LT(largest(matmul(f.u * f.s.unsqueeze(-2), f.vh) - a), bound);
      EXPECT_LT(largest(matmul(transposed(f.u), f.u) - identity(k, dtype).to(device)), bound);
      EXPECT_LT(largest(matmul(f.vh, transposed(f.vh)) - identity(k, dtype).to(device)), bound);
      EXPECT_GE(min(f.s.slice(-1, 0, k - 1) - f.s.slice(-1, 1, k)).item(), 0);
    }
  });
}

TEST(Linalg, DevicesAgreeOnVectors) {
  const Tensor a = points(4, {3, 6, 6}), b = points(5, {2, 6, 4});
  const Tensor tie = matrix({2, 1, 1, 2}, 2, 2);  // vectors (1, -1) and (1, 1)
  for (const Device device : tested_devices()) {
    const Eigh e = eigh((a + transposed(a)).to(device)), f = eigh(a + transposed(a));
    EXPECT_TRUE(close(e.values.to(Device::cpu), f.values, 1e-14));
    EXPECT_TRUE(close(e.vectors.to(Device::cpu), f.vectors, 1e-13));
    const Svd s = svd(b.to(device)), t = svd(b);
    EXPECT_TRUE(close(s.s.to(Device::cpu), t.s, 1e-14));
    EXPECT_TRUE(close(s.u.to(Device::cpu), t.u, 1e-13));
    EXPECT_TRUE(close(s.vh.to(Device::cpu), t.vh, 1e-13));
    const double h = std::sqrt(0.5);
    EXPECT_TRUE(
        close(eigh(tie.to(device)).vectors.to(Device::cpu), matrix({h, h, -h, h}, 2, 2), 1e-15));
  }
}

TEST(Linalg, EmptyMatrices) {
  for_devices_and_dtypes([](Device device, DType dtype, double) {
    const Tensor none = zeros({0, 0}, dtype, device);
    EXPECT_EQ(det(none).item(), 1);
    EXPECT_EQ(slogdet(none).sign.item(), 1);
    EXPECT_EQ(slogdet(none).logabsdet.item(), 0);
    EXPECT_EQ(inv(none).shape(), (Shape{0, 0}));
    EXPECT_EQ(cholesky(none).shape(), (Shape{0, 0}));
    EXPECT_EQ(eigh(none).values.shape(), (Shape{0}));
    EXPECT_EQ(svd(zeros({3, 0}, dtype, device)).u.shape(), (Shape{3, 0}));
    EXPECT_EQ(lstsq(zeros({3, 0}, dtype, device), ones({3, 2}, dtype, device)).shape(),
              (Shape{0, 2}));
    EXPECT_EQ(det(zeros({2, 0, 0}, dtype, device)).shape(), (Shape{2}));
  });
}

// A = 4 I - (10/3) n n^T with n = (1, -1, 1): eigenvectors (1, 2, 1) and (1, 1, 0) for 4, trace 2.
TEST(Linalg, EigenvaluesFourFourMinusSix) {
  const Tensor n = matrix({1, -1, 1}, 3, 1);
  const Tensor exact = 4.0 * identity(3) - 10.0 / 3 * matmul(n, n.t());
  for (const Device device : tested_devices()) {
    const Tensor a = leaf(exact.detach().to(device));
    EXPECT_TRUE(
        close(eigh(a).values.detach().to(Device::cpu), from_vector<double>({-6, 4, 4}), 2e-15));
    EXPECT_NEAR(det(a).item(), -96, 1e-13);
    EXPECT_NEAR(slogdet(a).logabsdet.item(), std::log(96.0), 1e-15);
    EXPECT_EQ(slogdet(a).sign.item(), -1);
    const Tensor expected = transposed(inv(exact));
    EXPECT_TRUE(close(grad(slogdet(a).logabsdet, {a})[0].to(Device::cpu), expected, 1e-14));
    EXPECT_TRUE(close(grad(log(abs(det(a))), {a})[0].to(Device::cpu), expected, 1e-14));
    // Through the eigenvalues, two of which coincide.
    EXPECT_TRUE(
        close(grad(sum(log(abs(eigh(a).values))), {a})[0].to(Device::cpu), expected, 1e-14));
    EXPECT_TRUE(close(grad(sum(log(svd(a).s)), {a})[0].to(Device::cpu), expected, 1e-14));
    // The vector of -6 stands alone, and has a derivative.
    const auto alone = [&](const Tensors& x) {
      return eigh((x[0] + transposed(x[0])) * 0.5).vectors.slice(-1, 0, 1);
    };
    if (device == Device::cpu) {
      const CheckResult r = check_gradients(alone, {exact});
      EXPECT_TRUE(r.ok) << r.text;
    }
  }
}

// The determinant by minors, in operations: its derivatives are those of a polynomial.
Tensor leibniz(const Tensor& a) {
  const std::int64_t n = a.size(0);
  if (n == 1) return a[0][0];
  Tensor d = zeros({}, f64);
  for (std::int64_t j = 0; j < n; ++j) {
    const Tensor rest = concat({a.slice(1, 0, j), a.slice(1, j + 1, n)}, 1).slice(0, 1, n);
    d = d + (j % 2 ? -1.0 : 1.0) * a[0][j] * leibniz(rest);
  }
  return d;
}

TEST(Linalg, DeterminantsOfSingularMatricesHaveAllTheirDerivatives) {
  const auto by_minors = [](const Tensor& a) { return leibniz(a); };
  for (std::int64_t n : {1, 2, 3, 4})
    for (std::int64_t rank = 0; rank < n; ++rank) {
      SCOPED_TRACE(testing::Message() << n << ", rank " << rank);
      Tensor a = zeros({n, n}, f64);
      if (rank) a = matmul(points(6, {n, rank}), points(7, {rank, n}));
      if (rank) a = a / largest(a);
      for (const Device device : tested_devices()) {
        const auto f = [&](const Tensor& x) { return det(x.to(device)).to(Device::cpu); };
        EXPECT_NEAR(f(a).item(), 0, 1e-16);
        if (rank < 2) {  // one step of elimination leaves noise that is known for it
          EXPECT_EQ(f(a).item(), 0);
          EXPECT_EQ(slogdet(a.to(device)).sign.item(), 0);
          EXPECT_EQ(slogdet(a.to(device)).logabsdet.item(), -inf);
        }
        EXPECT_TRUE(close(jacobian(f, a), jacobian(by_minors, a), 2e-14));
        EXPECT_TRUE(close(hessian(f, a), hessian(by_minors, a), 2e-14));
        const Tensor v = points(8, {n, n}), w = points(9, {n, n});
        const auto third = [&](const TensorFunction& g) {
          return jacobian([&](const Tensor& x) { return sum(w * hvp(g, x, v)); }, a);
        };
        EXPECT_TRUE(close(third(f), third(by_minors), 1e-13));
      }
    }
}

TEST(Linalg, DeterminantsInABatchOfAllKinds) {
  const Tensor r = points(10, {3, 1});
  const Tensor a = stack({identity(3), matmul(r, r.t()), zeros({3, 3}, f64), points(11, {3, 3}),
                          identity(3) * from_vector<double>({1, 1e-20, 1e20})},
                         0);
  const Tensor x = leaf(a);
  const Tensor d = grad(sum(det(x)), {x})[0];
  for (std::int64_t i = 0; i < 4; ++i)
    EXPECT_TRUE(close(d[i], jacobian([](const Tensor& y) { return leibniz(y); }, a[i]), 2e-14))
        << i;
  EXPECT_NEAR(det(a[4]).item(), 1, 1e-15);
}

// Rank is a property of directions: scaling changes nothing.
TEST(Linalg, SingularWhateverTheScale) {
  for (const Device device : tested_devices())
    for (double scale = 1e-20; scale < 2e20; scale *= 100) {
      const Tensor row = matrix({scale, 0.3 * scale}, 1, 2);
      const Tensor a = matmul(row.t(), row).to(device);
      EXPECT_EQ(det(a).item(), 0) << scale;
      const Tensor s = svd(a).s.to(Device::cpu);
      EXPECT_LT(s[1].item(), 2e-12 * s[0].item()) << scale;
      const Tensor x = leaf(a);
      const double unit = scale * scale;
      EXPECT_TRUE(close(grad(det(x), {x})[0].to(Device::cpu) / unit,
                        matrix({0.09, -0.3, -0.3, 1}, 2, 2), 1e-15))
          << scale;
      if (device == Device::cpu) {
        EXPECT_TRUE(throws("inv", "is singular (condition number", [&] { inv(a); }));
      }
      // Badly scaled, and regular.
      const Tensor d = matrix({scale, 0, 0, 1 / scale}, 2, 2).to(device);
      EXPECT_TRUE(close(matmul(d, inv(d)).to(Device::cpu), identity(2), 1e-15));
    }
}

TEST(Linalg, IllConditionedAsExactAsTheConditionAllows) {
  for (const Device device : tested_devices()) {
    const Tensor a = hilbert(10).to(device), x = ones({10, 1}, f64, device);
    EXPECT_LT(largest(solve(a, matmul(a, x)) - x), 1e-3);
    EXPECT_LT(largest(matmul(a, solve(a, x)) - x), 1e-3);
    const Tensor l = cholesky(a);
    EXPECT_LT(largest(matmul(l, l.t()) - a), 1e-15);
    // det of Hilbert(6) is 1 / 186313420339200000.
    EXPECT_NEAR(det(hilbert(6).to(device)).item() * 186313420339200000.0, 1, 1e-9);
  }
  EXPECT_TRUE(throws("inv", "the matrix is singular (condition number ", [] {
    inv(matrix({1, 2, 3, 4, 5, 6, 7, 8, 9}, 3, 3));
  }));
}

TEST(Linalg, LeastSquares) {
  for (const Device device : tested_devices()) {
    const Tensor a = points(12, {8, 3}).to(device), b = points(13, {8, 2}).to(device);
    const Tensor x = lstsq(a, b);
    EXPECT_LT(largest(matmul(a.t(), matmul(a, x) - b)), 1e-14);
    // Predictions do not change when features are scaled.
    const Tensor scaled = a * from_vector<double>({1e-6, 1, 1e6}).to(device);
    EXPECT_LT(largest(matmul(scaled, lstsq(scaled, b)) - matmul(a, x)), 1e-9);
    // A column twice: the smallest solution shares the weight.
    const Tensor twice = concat({a, a.slice(1, 0, 1)}, 1), y = lstsq(twice, b);
    EXPECT_LT(largest(matmul(twice, y) - matmul(a, x)), 1e-13);
    EXPECT_LT(largest(y[0] - y[3]), 1e-14);
    EXPECT_LT(largest(y[0] * 2.0 - x[0]), 1e-13);
  }
  // Among matrices of the same rank there is a derivative: here a family of them.
  const Tensor left = points(14, {5, 2}), right = points(15, {2, 3}), b = points(16, {5});
  const CheckResult r =
      check_gradients([](const Tensors& x) { return lstsq(matmul(x[0], x[1]), x[2]); },
                      {left, right, b}, {.order = 1});
  EXPECT_TRUE(r.ok) << r.text;
}

TEST(Linalg, DegenerateSpectra) {
  for_devices_and_dtypes([](Device device, DType dtype, double unit) {
    // Zero, rank one, orthogonal: vectors are orthogonal all the same.
    const Tensor r = points(17, {5, 1}, dtype);
    const Tensor list =
        stack({zeros({5, 3}, dtype), matmul(r, ones({1, 3}, dtype)), eye(5, 3, dtype),
               eye(5, 3, dtype) * from_vector<double>({1, 0, 0}).to(dtype)},
              0);
    const Svd f = svd(list.to(device));
    const Tensor one = identity(3, dtype).to(device);
    EXPECT_LT(largest(matmul(transposed(f.u), f.u) - one), 30 * unit);
    EXPECT_LT(largest(matmul(f.vh, transposed(f.vh)) - one), 30 * unit);
    EXPECT_LT(largest(matmul(f.u * f.s.unsqueeze(-2), f.vh).to(Device::cpu) - list), 30 * unit);
    const Eigh e = eigh(zeros({3, 3}, dtype, device));
    EXPECT_EQ(largest(e.values), 0);
    EXPECT_LT(largest(matmul(transposed(e.vectors), e.vectors) - one), unit);
  });
}

TEST(Linalg, WrongOperands) {
  const Tensor none, a = identity(2, f32);
  EXPECT_TRUE(throws("inv", "undefined", [&] { inv(none); }));
  EXPECT_TRUE(throws("det", "undefined", [&] { det(none); }));
  EXPECT_TRUE(throws("slogdet", "undefined", [&] { slogdet(none); }));
  EXPECT_TRUE(throws("cholesky", "undefined", [&] { cholesky(none); }));
  EXPECT_TRUE(throws("eigh", "undefined", [&] { eigh(none); }));
  EXPECT_TRUE(throws("svd", "undefined", [&] { svd(none); }));
  EXPECT_TRUE(throws("solve", "undefined", [&] { solve(none, a); }));
  EXPECT_TRUE(throws("solve", "undefined", [&] { solve(a, none); }));
  EXPECT_TRUE(throws("triangular_solve", "undefined", [&] { triangular_solve(none, a); }));
  EXPECT_TRUE(throws("triangular_solve", "undefined", [&] { triangular_solve(a, none); }));
  EXPECT_TRUE(throws("lstsq", "undefined", [&] { lstsq(none, a); }));
  EXPECT_TRUE(throws("lstsq", "undefined", [&] { lstsq(a, none); }));
  for (DType dtype : {u8, i64, DType::bf16}) {
    const Tensor b = ones({2, 2}, dtype);
    EXPECT_TRUE(throws("inv", name(dtype), [&] { inv(b); }));
    EXPECT_TRUE(throws("solve", name(dtype), [&] { solve(a, b); }));
    EXPECT_TRUE(throws("svd", name(dtype), [&] { svd(b); }));
    EXPECT_TRUE(throws("eigh", name(dtype), [&] { eigh(b); }));
  }
  EXPECT_THROW(inv(full({2, 2}, nan)), NumericError);
}

// On a device the next call that waits tells.
TEST(Linalg, DevicesTellWhatIsSingular) {
  for (const Device device : tested_devices()) {
    if (device == Device::cpu) continue;
    const auto bad = stack({identity(2), ones({2, 2}, f64)}, 0).to(device);
    EXPECT_TRUE(throws("inv",
                       "a matrix is singular: its weakest pivot is rounding noise, got 0 at "
                       "position 1",
                       [&] { inv(bad).to(Device::cpu); }));
    EXPECT_TRUE(throws("cholesky", "not positive definite",
                       [&] { cholesky(-1.0 * identity(2).to(device)).to(Device::cpu); }));
    EXPECT_TRUE(
        throws("eigh", "must be symmetric", [&] { eigh(triu(bad)).values.to(Device::cpu); }));
    EXPECT_TRUE(throws("svd", "must be finite", [&] { svd(bad * nan).s.to(Device::cpu); }));
    EXPECT_TRUE(throws("triangular_solve", "diagonal holds a 0", [&] {
      triangular_solve(zeros({2, 2}, f64, device), ones({2}, f64, device)).to(Device::cpu);
    }));
  }
}

TEST(Linalg, LargeMatricesGiveTheSameBitsForAnyNumberOfThreads) {
  const int before = threads();
  const Tensor a = points(18, {300, 300}) + 40.0 * identity(300), b = points(19, {300, 5});
  const Tensor s = a + transposed(a);
  std::vector<Tensors> results;
  for (int n : {1, 2, 3}) {
    set_threads(n);
    const Svd f = svd(a);
    results.push_back({inv(a), solve(a, b), det(a * 0.02), cholesky(matmul(a, transposed(a))),
                       eigh(s).vectors, f.u, f.s, f.vh, lstsq(a, b)});
  }
  set_threads(before);
  for (std::size_t k = 0; k < results[0].size(); ++k)
    for (std::size_t i : {1u, 2u}) EXPECT_TRUE(same_bits(results[i][k], results[0][k])) << k;
}

}  // namespace
}  // namespace gradus::test
