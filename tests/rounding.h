// Bounds on rounding errors that follow from the sizes of the terms.
#pragma once

#include "gradus/tests/ops.h"

namespace gradus::test {

// sum of the magnitudes of the terms of each element of f(x): |y| + sum_i |x_i dy/dx_i|, in f64.
inline std::vector<double> terms_of(const TensorsFunction& f, const Tensors& x) {
  const Tensor y = f(x);
  std::vector<double> terms = doubles(y);
  for (double& t : terms) t = std::abs(t);
  const std::size_t rows = terms.size();
  const Tensors j = jacobian(f, x);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::vector<double> d = doubles(j[i]), v = doubles(x[i]);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < v.size(); ++c) terms[r] += std::abs(d[r * v.size() + c] * v[c]);
  }
  return terms;
}

// The length of a row's sums.
inline std::int64_t length_of(const Row& row, const Tensors& x) {
  const NoGrad off;
  return row.length ? row.length(x, row.f(x)) : 1;
}

// What sums of `length` numbers in f32 may be wrong by, for each unit of their terms.
inline double single(std::int64_t length) {
  return (4 + 2 * std::sqrt(static_cast<double>(length))) * std::ldexp(1.0, -24);
}

template <class Bound>
testing::AssertionResult within(const Tensor& y, const Tensor& exact, const Bound& bound) {
  if (y.shape() != exact.shape())
    return testing::AssertionFailure() << y.shape() << " against " << exact.shape();
  const std::vector<double> a = doubles(y), b = doubles(exact);
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i] && !(std::abs(a[i] - b[i]) <= bound(b[i], i)))
      return testing::AssertionFailure()
             << "element " << i << ": " << testing::PrintToString(a[i]) << " against "
             << testing::PrintToString(b[i]) << ", bound " << bound(b[i], i);
  return testing::AssertionSuccess();
}

inline testing::AssertionResult within_single(const Tensor& y, const Tensor& exact,
                                              const std::vector<double>& terms,
                                              std::int64_t length) {
  return within(y, exact, [&](double, std::size_t i) { return single(length) * terms[i]; });
}

}  // namespace gradus::test
