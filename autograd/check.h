// A checker of gradients, in f64, against witnesses that know nothing of the rules.
//
//   const auto f = [](const auto& x) { return softmax(x[0], -1); };
//   CheckResult r = check_gradients(f, {x}, {.order = 2});
//   if (!r.ok) std::cerr << r.text;
//
// Order 1: with a random u of the output's shape, J^T u by the rules is compared with u . J e by
// fourth-order central differences of the forward, for each element e of each input and in random
// directions (the dot-product test: no derivative of ours stands on the other side); and the Taylor
// remainders f(x + t v) - f(x) - t <J^T u, v> must fall with slope 2.
// Order 2: the gradient of <J^T u, w>, with respect to the inputs and to u, against differences of
// J^T u and of the forward. J^T u is our own first-order rule; order 1 has compared it with the
// forward before. Taylor remainders with the second-order term must fall with slope 3: forward
// only.
#pragma once

#include <array>
#include <string>

#include "gradus/autograd/transforms.h"
#include "gradus/kernels/map_loops.h"

namespace gradus {

struct CheckOptions {
  int order = 1;             // 1, or 2 for both
  int directions = 3;        // random ones, for differences and for slopes
  bool elementwise = true;   // each element of each input by itself; a long check for large inputs
  std::uint64_t seed = 0;    // of u, w and the directions
  double difference = 1e-9;  // relative to the sum of the terms' magnitudes
  double slope = 0.1;        // around 2 and 3, over at least four halvings
};

struct CheckResult {
  bool ok = false;
  double worst = 0;              // largest error in units of its tolerance
  std::int64_t comparisons = 0;  // a check that compared nothing is not ok
  std::string text;  // failures with input, index and both numbers; what was skipped and why
};

// Errors: inputs that are not f64, an order other than 1 and 2, an f that returns another dtype.
// f must be a function of its arguments alone: called twice, it returns the same.
GRADUS_API CheckResult check_gradients(const TensorsFunction& f, const std::vector<Tensor>& inputs,
                                       const CheckOptions& options = {});

namespace detail {
struct FormulaReading {
  int inputs;
  std::function<double(const double* x)> value;
  std::function<double(const double* x, int k)> dual;    // by dual numbers
  std::function<double(const double* x, int k)> stated;  // by the formula's own df, or empty
};
GRADUS_API CheckResult check_formula(const FormulaReading& formula,
                                     const std::vector<std::vector<double>>& points,
                                     double tolerance);

template <class F, int K>
FormulaReading read_formula(const F& f) {
  using L = cpu::baseline::Lane<double>;
  const auto lanes = [](const double* x) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) { return std::array<L, K>{L(x[I])...}; }
    (std::make_index_sequence<K>{});
  };
  const auto with_index = [](int k, auto&& body) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      ((k == static_cast<int>(I) ? body(std::integral_constant<int, static_cast<int>(I)>{})
                                 : void()),
       ...);
    }
    (std::make_index_sequence<K>{});
  };
  FormulaReading reading;
  reading.inputs = K;
  reading.value = [=](const double* x) { return L(std::apply(f, lanes(x)))[0]; };
  reading.dual = [=](const double* x, int k) {
    double d = 0;
    with_index(k, [&](auto i) {
      d = L(along<decltype(i)::value>(f, L(1.0), lanes(x), std::make_index_sequence<K>{}))[0];
    });
    return d;
  };
  if constexpr (K == 1 && StatesGradient<F, L>)
    reading.stated = [=](const double* x, int) { return f.df(L(1.0), L(x[0]), L(f(L(x[0]))))[0]; };
  return reading;
}
}  // namespace detail

// The dual reading of a formula of K numbers against fourth-order differences of its value, and its
// own df, where it has one, against the dual reading (1e-14 relative), at each of the points.
template <int K, class F>
CheckResult check_formula(const F& f, const std::vector<std::vector<double>>& points,
                          double tolerance = 1e-9) {
  return detail::check_formula(detail::read_formula<F, K>(f), points, tolerance);
}

}  // namespace gradus
