// Rows of the elementwise operations with one operand.
#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

using Function = Tensor (*)(At);
using Scalar = double (*)(double);

const std::vector<std::vector<Shape>> one_operand = {{{3, 4}},    {{}},     {{1}},         {{7}},
                                                     {{2, 1, 3}}, {{0, 3}}, {{2, 2, 2, 2}}};
const Domain positive{0.5, 2.5};
const Domain any{};
Domain avoiding(std::vector<double> kinks) { return {-2, 2, std::move(kinks)}; }

Row one(const char* name, TensorsFunction f, Scalar scalar, Domain domain, const char* kept,
        std::vector<Edge> edges) {
  Row row;
  row.name = name;
  row.f = std::move(f);
  row.scalar = [scalar](const double* x) { return scalar(x[0]); };
  row.calls = one_operand;
  row.domains = {std::move(domain)};
  row.large = {{129, 517}};
  row.kept = kept;
  row.edges = std::move(edges);
  return row;
}
Row one(const char* name, Function f, Scalar scalar, Domain domain, const char* kept,
        std::vector<Edge> edges) {
  return one(
      name, [f](const Tensors& x) { return f(x[0]); }, scalar, std::move(domain), kept,
      std::move(edges));
}
Row with_detail(Row row, const char* detail) {
  row.detail = detail;
  return row;
}

double stable_sigmoid(double x) {
  return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}
double stable_softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }
double gelu_exact(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }
double gelu_tanh(double x) {
  return x * stable_sigmoid(2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x));
}
double gelu_sigmoid(double x) { return x * stable_sigmoid(1.702 * x); }

const double e700 = std::exp(-700.0), two_over_root_pi = 2 / std::sqrt(M_PI);
const char* no_limit = "the function has no limit there";
const char* outside = "outside of the domain";

}  // namespace

std::vector<Row> elementwise_rows() {
  return {
      one("neg", neg, [](double x) { return -x; }, any, "",
          {{0, {0, -1, 0, 0}},
           {-0.0, {0, -1, 0, 0}},
           {inf, {-inf, -1, 0, 0}},
           {-inf, {inf, -1, 0, 0}},
           {nan, {nan}, "NaN"}}),
      one("abs", abs, [](double x) { return std::abs(x); }, avoiding({0}), "0",
          {{0, {0, 0, 0, 0}},
           {-0.0, {0, 0, 0, 0}},
           {inf, {inf, 1, 0, 0}},
           {-inf, {inf, -1, 0, 0}},
           {1e-300, {1e-300, 1, 0, 0}},
           {-1e-300, {1e-300, -1, 0, 0}},
           {nan, {nan}, "NaN"}}),
      one("sign", sign, [](double x) { return double((x > 0) - (x < 0)); }, avoiding({0}), "",
          {{0, {0, 0, 0, 0}},
           {-0.0, {0, 0, 0, 0}},
           {inf, {1, 0, 0, 0}},
           {-inf, {-1, 0, 0, 0}},
           {5e-324, {1, 0, 0, 0}},
           {nan, {nan}, "NaN"}}),
      one("exp", exp, std::exp, any, "y",
          {{0, {1, 1, 1, 1}},
           {-0.0, {1, 1, 1, 1}},
           {inf, {inf, inf, inf, inf}},
           {-inf, {0, 0, 0, 0}},
           {710, {inf, inf, inf, inf}},
           {-746, {0, 0, 0, 0}},
           {-700, {e700, e700, e700, e700}},
           {nan, {nan, nan, nan, nan}, "NaN"}}),
      one("expm1", expm1, std::expm1, any, "y",
          {{0, {0, 1, 1, 1}},
           {-0.0, {0, 1, 1, 1}},
           {1e-20, {1e-20, 1, 1, 1}},
           {inf, {inf, inf, inf, inf}},
           {-inf, {-1, 0, 0, 0}},
           {nan, {nan}, "NaN"}}),
      one("log", log, std::log, positive, "0",
          {{1, {0, 1, -1, 2}},
           {0, {-inf, inf, -inf, inf}},
           {-0.0, {-inf}},
           {inf, {inf, 0, 0, 0}},
           {-1, {nan}, outside},
           {1e-300, {std::log(1e-300), 1e300}},
           {5e-324, {std::log(5e-324)}},
           {nan, {nan}, "NaN"}}),
      one("log1p", log1p, std::log1p, {-0.5, 2}, "0",
          {{0, {0, 1, -1, 2}},
           {-0.0, {0, 1, -1, 2}},
           {-1, {-inf, inf, -inf, inf}},
           {1e-20, {1e-20, 1, -1, 2}},
           {inf, {inf, 0, 0, 0}},
           {-2, {nan}, outside},
           {nan, {nan}, "NaN"}}),
      one("sqrt", sqrt, std::sqrt, positive, "y",
          {{4, {2, 0.25, -1.0 / 32, 3.0 / 256}},
           {0, {0, inf, -inf, inf}},
           {-0.0, {0}},
           {inf, {inf, 0, 0, 0}},
           {-1, {nan}, outside},
           {nan, {nan}, "NaN"}}),
      one("rsqrt", rsqrt, [](double x) { return 1 / std::sqrt(x); }, positive, "y",
          {{4, {0.5, -1.0 / 16, 3.0 / 128, -15.0 / 1024}},
           {0, {inf, -inf, inf, -inf}},
           {inf, {0, 0, 0, 0}},
           {-1, {nan}, outside},
           {nan, {nan}, "NaN"}}),
      one("square", square, [](double x) { return x * x; }, any, "0",
          {{0, {0, 0, 2, 0}},
           {-3, {9, -6, 2, 0}},
           {inf, {inf, inf, 2, 0}},
           {-inf, {inf, -inf, 2, 0}},
           {1e200, {inf, 2e200, 2, 0}},
           {nan, {nan}, "NaN"}}),
      one("reciprocal", reciprocal, [](double x) { return 1 / x; }, positive, "y",
          {{2, {0.5, -0.25, 0.25, -0.375}},
           {0, {inf, -inf, inf, -inf}},
           {-0.0, {-inf, -inf, -inf, -inf}},
           {inf, {0, 0, 0, 0}},
           {-inf, {0, 0, 0, 0}},
           {nan, {nan}, "NaN"}}),
      one("sin", sin, std::sin, any, "0",
          {{0, {0, 1, 0, -1}},
           {-0.0, {0, 1, 0, -1}},
           {inf, {nan, nan, nan, nan}, no_limit},
           {-inf, {nan, nan, nan, nan}, no_limit},
           {nan, {nan}, "NaN"}}),
      one("cos", cos, std::cos, any, "0",
          {{0, {1, 0, -1, 0}},
           {inf, {nan, nan, nan, nan}, no_limit},
           {-inf, {nan, nan, nan, nan}, no_limit},
           {nan, {nan}, "NaN"}}),
      one("tan", tan, std::tan, {-1, 1}, "y",
          {{0, {0, 1, 0, 2}}, {inf, {nan, nan, nan, nan}, no_limit}, {nan, {nan}, "NaN"}}),
      one("tanh", tanh, std::tanh, any, "y",
          {{0, {0, 1, 0, -2}},
           {-0.0, {0, 1, 0, -2}},
           {inf, {1, 0, 0, 0}},
           {-inf, {-1, 0, 0, 0}},
           {1e4, {1, 0, 0, 0}},
           {-1e4, {-1, 0, 0, 0}},
           {nan, {nan}, "NaN"}}),
      one("sigmoid", sigmoid, stable_sigmoid, any, "y",
          {{0, {0.5, 0.25, 0, -0.125}},
           {inf, {1, 0, 0, 0}},
           {-inf, {0, 0, 0, 0}},
           {1e4, {1, 0, 0, 0}},
           {-1e4, {0, 0, 0, 0}},
           {-700, {e700, e700, e700, e700}},
           {nan, {nan}, "NaN"}}),
      one("softplus", softplus, stable_softplus, any, "0",
          {{0, {std::log(2.0), 0.5, 0.25, 0}},
           {inf, {inf, 1, 0, 0}},
           {-inf, {0, 0, 0, 0}},
           {1e4, {1e4, 1, 0, 0}},
           {-700, {e700, e700, e700, e700}},
           {nan, {nan}, "NaN"}}),
      one("erf", erf, std::erf, any, "0",
          {{0, {0, two_over_root_pi, 0, -2 * two_over_root_pi}},
           {inf, {1, 0, 0, 0}},
           {-inf, {-1, 0, 0, 0}},
           {30, {1, 0, 0, 0}},
           {-30, {-1, 0, 0, 0}},
           {nan, {nan}, "NaN"}}),
      one("erfc", erfc, std::erfc, any, "0",
          {{0, {1, -two_over_root_pi, 0, 2 * two_over_root_pi}},
           {inf, {0, 0, 0, 0}},
           {-inf, {2, 0, 0, 0}},
           {26, {std::erfc(26.0)}},
           {30, {0, 0, 0, 0}},
           {nan, {nan}, "NaN"}}),
      one("ndtr", ndtr, [](double x) { return std::erfc(-x / std::sqrt(2.0)) / 2; }, any, "0",
          {{0, {0.5, 0.25 * two_over_root_pi * std::sqrt(2.0), 0}},
           {inf, {1, 0, 0, 0}},
           {-inf, {0, 0, 0, 0}},
           {-37, {std::erfc(37 / std::sqrt(2.0)) / 2}},
           {-45, {0, 0, 0, 0}},
           {nan, {nan}, "NaN"}}),
      one("relu", relu, [](double x) { return x > 0 ? x : 0; }, avoiding({0}), "y",
          {{0, {0, 0, 0, 0}},
           {-0.0, {0, 0, 0, 0}},
           {1e-300, {1e-300, 1, 0, 0}},
           {-1e-300, {0, 0, 0, 0}},
           {inf, {inf, 1, 0, 0}},
           {-inf, {0, 0, 0, 0}},
           {nan, {nan}, "NaN"}}),
      one(
          "leaky_relu", [](const Tensors& x) { return leaky_relu(x[0], 0.1); },
          [](double x) { return x > 0 ? x : 0.1 * x; }, avoiding({0}), "0",
          {{0, {0, 0.1, 0, 0}},
           {1e-300, {1e-300, 1, 0, 0}},
           {inf, {inf, 1, 0, 0}},
           {-inf, {-inf, 0.1, 0, 0}},
           {nan, {nan}, "NaN"}}),
      one(
          "elu", [](const Tensors& x) { return elu(x[0], 1.5); },
          [](double x) { return x > 0 ? x : 1.5 * std::expm1(x); }, avoiding({0}), "0",
          {{0, {0, 1.5, 1.5, 1.5}},
           {1e-20, {1e-20, 1, 0, 0}},
           {inf, {inf, 1, 0, 0}},
           {-inf, {-1.5, 0, 0, 0}},
           {nan, {nan}, "NaN"}}),
      one("silu", silu, [](double x) { return x * stable_sigmoid(x); }, any, "0",
          {{0, {0, 0.5, 0.5, 0}},
           {inf, {inf, 1, 0, 0}},
           {-inf, {0, 0, 0, 0}},
           {1e4, {1e4, 1, 0, 0}},
           {-1e4, {0, 0, 0, 0}},
           {nan, {nan}, "NaN"}}),
      with_detail(one("gelu", [](const Tensors& x) { return gelu(x[0]); }, gelu_exact, any, "0",
                      {{0, {0, 0.5, std::sqrt(2 / M_PI), 0}},
                       {inf, {inf, 1, 0, 0}},
                       {-inf, {0, 0, 0, 0}},
                       {1e4, {1e4, 1, 0, 0}},
                       {-1e4, {0, 0, 0, 0}},
                       {nan, {nan}, "NaN"}}),
                  "exact"),
      with_detail(
          one("gelu", [](const Tensors& x) { return gelu(x[0], Gelu::tanh); }, gelu_tanh, any, "0",
              {{0, {0, 0.5, std::sqrt(2 / M_PI), 0}},
               {inf, {inf, 1, 0, 0}},
               {-inf, {0, 0, 0, 0}},
               {1e4, {1e4, 1, 0, 0}},
               {-1e4, {0, 0, 0, 0}},
               {nan, {nan}, "NaN"}}),
          "tanh"),
      with_detail(one("gelu", [](const Tensors& x) { return gelu(x[0], Gelu::sigmoid); },
                      gelu_sigmoid, any, "0",
                      {{0, {0, 0.5, 0.851, 0}},
                       {inf, {inf, 1, 0, 0}},
                       {-inf, {0, 0, 0, 0}},
                       {1e4, {1e4, 1, 0, 0}},
                       {-1e4, {0, 0, 0, 0}},
                       {nan, {nan}, "NaN"}}),
                  "sigmoid"),
      one("floor", floor, std::floor, avoiding({-2, -1, 0, 1, 2}), "",
          {{0.5, {0, 0, 0, 0}},
           {-0.5, {-1, 0, 0, 0}},
           {2, {2, 0, 0, 0}},
           {inf, {inf, 0, 0, 0}},
           {-inf, {-inf, 0, 0, 0}},
           {1e300, {1e300, 0, 0, 0}},
           {nan, {nan}, "NaN"}}),
      one("ceil", ceil, std::ceil, avoiding({-2, -1, 0, 1, 2}), "",
          {{0.5, {1, 0, 0, 0}},
           {-0.5, {0, 0, 0, 0}},
           {2, {2, 0, 0, 0}},
           {inf, {inf, 0, 0, 0}},
           {-inf, {-inf, 0, 0, 0}},
           {1e300, {1e300, 0, 0, 0}},
           {nan, {nan}, "NaN"}}),
      one("round", round, std::nearbyint, avoiding({-1.5, -0.5, 0.5, 1.5}), "",
          {{0.5, {0, 0, 0, 0}},
           {1.5, {2, 0, 0, 0}},
           {2.5, {2, 0, 0, 0}},
           {-0.5, {0, 0, 0, 0}},
           {inf, {inf, 0, 0, 0}},
           {-inf, {-inf, 0, 0, 0}},
           {nan, {nan}, "NaN"}}),
      [] {
        Row row = one(
            "clamp", [](const Tensors& x) { return clamp(x[0], -1, 0.5); },
            [](double x) { return std::min(std::max(x, -1.0), 0.5); }, avoiding({-1, 0.5}), "0",
            {{0, {0, 1, 0, 0}},
             {-1, {-1, 1, 0, 0}},
             {0.5, {0.5, 1, 0, 0}},
             {-1.0000001, {-1, 0, 0, 0}},
             {0.5000001, {0.5, 0, 0, 0}},
             {inf, {0.5, 0, 0, 0}},
             {-inf, {-1, 0, 0, 0}},
             {nan, {nan}, "NaN"}});
        row.misuses = {{"low", [] { clamp(zeros({2}), 1, -1); }},
                       {"", [] { clamp(zeros({2}), nan, 1); }}};
        return row;
      }(),
  };
}

}  // namespace gradus::test
