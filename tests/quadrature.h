// Numbers in f64, integrals and a test of draws, for the tests of distributions.
#pragma once

#include <algorithm>

#include "gradus/tests/support.h"

namespace gradus::test {

inline Tensor f64_of(const std::vector<double>& values) { return from_vector(values); }

inline testing::AssertionResult near(const Tensor& got, const std::vector<double>& wanted,
                                     double tolerance = 1e-14) {
  return close(got, from_vector(wanted, got.shape()), tolerance);
}

// Integral of f over [a, b] by the trapezoidal rule, which converges faster than any power for a
// smooth f that vanishes with all its derivatives at both ends.
inline Tensor grid(double a, double b, std::int64_t n) { return linspace(a, b, n + 1, f64); }
inline double integral(const Tensor& values, double a, double b) {
  return sum(values).item() * (b - a) / static_cast<double>(values.numel() - 1);
}

// Largest distance between the empirical cdf and the one that draws were mapped through, times
// sqrt(n): above 1.95 for one honest sample in a thousand.
inline double kolmogorov_smirnov(const Tensor& probabilities) {
  std::vector<double> u = doubles(probabilities);
  std::sort(u.begin(), u.end());
  const double n = static_cast<double>(u.size());
  double worst = 0;
  for (std::size_t i = 0; i < u.size(); ++i)
    worst =
        std::max({worst, u[i] - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - u[i]});
  return worst * std::sqrt(n);
}

}  // namespace gradus::test
