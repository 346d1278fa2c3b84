// Softmax and its kin on raw memory against their definitions in long double.
#include "gradus/kernels/softmax.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "gradus/tests/windows.h"

namespace gradus::test {
namespace {

using Real = long double;

constexpr double infinity = std::numeric_limits<double>::infinity();

template <class T>
Real log_sum_exp(const T* x, std::int64_t n) {
  Real high = -infinity, sum = 0;
  for (std::int64_t i = 0; i < n; ++i) high = std::max<Real>(high, x[i]);
  for (std::int64_t i = 0; i < n; ++i) sum += std::exp(x[i] - high);
  return high + std::log(sum);
}

template <class T>
void check_against_definitions() {
  Random random(1);
  const double eps = std::numeric_limits<T>::epsilon();
  for (const std::int64_t n : {1, 2, 3, 7, 8, 10, 16, 17, 31, 100, 128, 513, 3000})
    for (const std::int64_t rows :
         {std::int64_t{1}, std::int64_t{3}, std::max<std::int64_t>(1, 10000 / n)}) {
      SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(n));
      const auto count = static_cast<std::size_t>(rows * n);
      const std::vector<T> x = random_values<T>(random, rows * n, -10, 10);
      const std::vector<T> g = random_values<T>(random, rows * n);
      const std::vector<T> gr = random_values<T>(random, rows);
      std::vector<std::int64_t> target(static_cast<std::size_t>(rows));
      for (auto& t : target) t = pick(random, 0, n - 1);
      std::vector<T> p(count), lp(count), dp(count), dlp(count), loss(target.size()),
          lse(target.size()), dx(count);
      cpu::softmax(x.data(), rows, n, p.data());
      cpu::log_softmax(x.data(), rows, n, lp.data());
      cpu::softmax_vjp(p.data(), g.data(), rows, n, dp.data());
      cpu::log_softmax_vjp(lp.data(), g.data(), rows, n, dlp.data());
      cpu::cross_entropy(x.data(), target.data(), rows, n, loss.data(), lse.data());
      cpu::cross_entropy_vjp(x.data(), target.data(), lse.data(), gr.data(), 1, rows, n, dx.data());
      for (std::int64_t r = 0; r < rows; ++r) {
        const auto row = static_cast<std::size_t>(r), at = static_cast<std::size_t>(r * n);
        const Real l = log_sum_exp(&x[at], n);
        Real dot = 0, sum = 0;
        for (std::size_t i = at; i < at + static_cast<std::size_t>(n); ++i) {
          dot += std::exp(x[i] - l) * g[i];
          sum += g[i];
        }
        ASSERT_LE(std::abs(lse[row] - l), 8 * eps * (10 + std::log(Real(n))));
        ASSERT_LE(std::abs(loss[row] - (l - x[at + static_cast<std::size_t>(target[row])])),
                  8 * eps * (20 + std::log(Real(n))));
        for (std::int64_t i = 0; i < n; ++i) {
          const std::size_t k = at + static_cast<std::size_t>(i);
          const Real q = std::exp(x[k] - l);
          ASSERT_LE(std::abs(p[k] - q), 30 * eps * q);
          ASSERT_LE(std::abs(lp[k] - (x[k] - l)), 8 * eps * (20 + std::log(Real(n))));
          ASSERT_LE(std::abs(dp[k] - q * (g[k] - dot)), 60 * eps * q);
          ASSERT_LE(std::abs(dlp[k] - (g[k] - q * sum)), 60 * eps * (1 + q * std::sqrt(Real(n))));
          ASSERT_LE(std::abs(dx[k] - (q - (i == target[row])) * gr[row]), 60 * eps);
        }
      }
    }
}

TEST(SoftmaxKernel, FloatFollowsTheDefinitions) {
  for_each_isa([] { check_against_definitions<float>(); });
}
TEST(SoftmaxKernel, DoubleFollowsTheDefinitions) {
  for_each_isa([] { check_against_definitions<double>(); });
}

TEST(SoftmaxKernel, OutputsMayReplaceInputs) {
  Random random(2);
  for_each_isa([&] {
    for (const std::int64_t n : {3, 10, 40, 700}) {
      const std::int64_t rows = 90000 / n;
      const std::vector<float> x = random_values<float>(random, rows * n, -5, 5);
      const std::vector<float> g = random_values<float>(random, rows * n);
      const std::vector<std::int64_t> target(static_cast<std::size_t>(rows), n - 1);
      std::vector<float> y(x.size()), z = x, lse(target.size()), loss(target.size());
      cpu::softmax(x.data(), rows, n, y.data());
      cpu::softmax(z.data(), rows, n, z.data());
      EXPECT_EQ(y, z);
      cpu::softmax_vjp(z.data(), g.data(), rows, n, y.data());
      cpu::softmax_vjp(z.data(), g.data(), rows, n, z.data());
      EXPECT_EQ(y, z);
      z = x;
      cpu::log_softmax(x.data(), rows, n, y.data());
      cpu::log_softmax(z.data(), rows, n, z.data());
      EXPECT_EQ(y, z);
      std::vector<float> h = g;
      cpu::log_softmax_vjp(z.data(), g.data(), rows, n, y.data());
      cpu::log_softmax_vjp(z.data(), h.data(), rows, n, h.data());
      EXPECT_EQ(y, h);
      z = x;
      cpu::cross_entropy(x.data(), target.data(), rows, n, loss.data(), lse.data());
      cpu::cross_entropy_vjp(x.data(), target.data(), lse.data(), g.data(), 0, rows, n, y.data());
      cpu::cross_entropy_vjp(z.data(), target.data(), lse.data(), g.data(), 0, rows, n, z.data());
      EXPECT_EQ(y, z);
    }
  });
}

TEST(SoftmaxKernel, ShiftKeepsLargeNumbersApart) {
  const double x[] = {1e300, 1e300, -1e300, 1000, 1001, 1002};
  double y[6];
  cpu::softmax(x, 2, 3, y);
  EXPECT_EQ(y[0], 0.5);
  EXPECT_EQ(y[2], 0.0);
  EXPECT_NEAR(y[3], std::exp(-2.0) / (1 + std::exp(-1.0) + std::exp(-2.0)), 1e-15);
}

TEST(SoftmaxKernel, InfinitiesAreAsStated) {
  for_each_isa([] {
    for (const std::int64_t n : {3, 40}) {
      std::vector<double> x(static_cast<std::size_t>(3 * n), -infinity), y(x.size()), z(x.size());
      x[static_cast<std::size_t>(n)] = 2;             // one finite number
      x[static_cast<std::size_t>(2 * n)] = infinity;  // one +inf
      cpu::softmax(x.data(), 3, n, y.data());
      cpu::log_softmax(x.data(), 3, n, z.data());
      EXPECT_TRUE(std::isnan(y[0]) && std::isnan(z[0]));
      EXPECT_EQ(y[static_cast<std::size_t>(n)], 1);
      EXPECT_EQ(y[static_cast<std::size_t>(n + 1)], 0);
      EXPECT_EQ(z[static_cast<std::size_t>(n)], 0);
      EXPECT_EQ(z[static_cast<std::size_t>(n + 1)], -infinity);
      EXPECT_TRUE(std::isnan(y[static_cast<std::size_t>(2 * n)]));
      const std::int64_t target[] = {0, 0, 1};
      double loss[3], lse[3];
      cpu::cross_entropy(x.data(), target, 3, n, loss, lse);
      EXPECT_EQ(lse[0], -infinity);
      EXPECT_EQ(lse[1], 2);
      EXPECT_EQ(lse[2], infinity);
      EXPECT_EQ(loss[1], 0);
      EXPECT_EQ(loss[2], infinity);
    }
  });
}

TEST(SoftmaxKernel, BitsDoNotDependOnThreads) {
  Random random(3);
  for (const std::int64_t n : {10, 1000, 70000}) {
    const std::int64_t rows = 700000 / n;
    const std::vector<float> x = random_values<float>(random, rows * n);
    expect_same_for_any_threads([&] {
      std::vector<float> y(x.size());
      cpu::softmax(x.data(), rows, n, y.data());
      cpu::log_softmax_vjp(y.data(), x.data(), rows, n, y.data());
      return y;
    });
  }
}

}  // namespace
}  // namespace gradus::test
