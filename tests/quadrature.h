// Numbers in f64 and integrals, for the tests of distributions.
#pragma once

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

}  // namespace gradus::test
