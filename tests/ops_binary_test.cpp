// Rows of the elementwise operations with two or three operands, and of the comparisons.
#include <limits>

#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

using Function = Tensor (*)(At, At);
using Scalar = double (*)(double, double);

const std::vector<std::vector<Shape>> two_operands = {{{3, 4}, {3, 4}},
                                                      {{3, 4}, {4}},
                                                      {{3, 1}, {1, 4}},
                                                      {{}, {3}},
                                                      {{1}, {1}},
                                                      {{2, 0}, {1}},
                                                      {{2, 3}, {2, 1}},
                                                      {{}, {}},
                                                      {{7}, {1}},
                                                      {{1, 3}, {2, 1, 3}},
                                                      {{2, 1, 2, 1}, {1, 3, 1, 2}},
                                                      {{5}, {2, 5}}};
const Domain positive{0.5, 2.5};
// Never nearer than 0.1 to each other.
const Domain off_grid{-2, 2, {-2, -1.6, -1.2, -0.8, -0.4, 0, 0.4, 0.8, 1.2, 1.6, 2}};
const Domain on_grid{-2, 2, {-1.8, -1.4, -1, -0.6, -0.2, 0.2, 0.6, 1, 1.4, 1.8}};

std::vector<Misuse> pair_misuses(Function f, bool promotes_nothing = true) {
  std::vector<Misuse> list = {
      {"broadcast",
       [f] {
         f(zeros({2, 3}), zeros({2, 4}));
       }},
      {"(3, 2)",
       [f] {
         f(zeros({3, 2}), zeros({3}));
       }},
  };
  if (promotes_nothing) list.push_back({"f64", [f] { f(zeros({2}, f32), zeros({2}, f64)); }});
  return list;
}

Row two(const char* name, Function f, Scalar scalar, std::vector<Domain> domains,
        const char* kept) {
  Row row;
  row.name = name;
  row.f = [f](const Tensors& x) { return f(x[0], x[1]); };
  row.scalar = [scalar](const double* x) { return scalar(x[0], x[1]); };
  row.calls = two_operands;
  row.domains = std::move(domains);
  row.large = {{129, 517}, {517}};
  row.kept = kept;
  row.misuses = pair_misuses(f);
  return row;
}

Row constant(const char* name, const char* detail, TensorsFunction f, double (*scalar)(double),
             Domain domain, const char* kept, std::vector<Edge> edges = {}) {
  Row row;
  row.name = name;
  row.detail = detail;
  row.f = std::move(f);
  row.scalar = [scalar](const double* x) { return scalar(x[0]); };
  row.calls = {{{3, 4}}, {{}}, {{1}}, {{0, 3}}, {{2, 1, 5}}};
  row.domains = {std::move(domain)};
  row.large = {{129, 517}};
  row.kept = kept;
  row.edges = std::move(edges);
  return row;
}

// Results are boolean; as f64 for the comparison with the scalar.
Row decision(const char* name, TensorsFunction f, std::function<double(const double*)> scalar,
             std::vector<std::vector<Shape>> calls, std::vector<Misuse> misuses,
             const char* detail = "") {
  Row row;
  row.name = name;
  row.detail = detail;
  row.f = std::move(f);
  row.scalar = std::move(scalar);
  row.calls = std::move(calls);
  row.domains = {{-2, 2, {0.5}}};
  row.large = row.calls[0].size() == 2 ? std::vector<Shape>{{129, 517}, {517}}
                                       : std::vector<Shape>{{129, 517}};
  row.differentiable = false;
  row.any_dtype = true;
  row.misuses = std::move(misuses);
  return row;
}
Row comparison(const char* name, Function f, Tensor (*with)(At, double), Scalar scalar,
               bool constant) {
  if (constant)
    return decision(
        name, [with](const Tensors& x) { return with(x[0], 0.5); },
        [scalar](const double* x) { return scalar(x[0], 0.5); }, {{{3, 4}}, {{}}, {{0, 2}}}, {},
        "constant");
  return decision(
      name, [f](const Tensors& x) { return f(x[0], x[1]); },
      [scalar](const double* x) { return scalar(x[0], x[1]); }, two_operands, pair_misuses(f));
}

// Boolean inputs made from signs.
TensorsFunction of_signs(Function f) {
  return [f](const Tensors& x) { return f(x[0] > 0.0, x[1] > 0.0); };
}

Tensor mask_of(const Tensor& x) {
  return from_vector(std::vector<bool>{true, false, true, true, false}, Shape{5})
      .slice(0, 0, x.dim() ? x.size(-1) : 1)
      .reshape(x.dim() ? Shape{x.size(-1)} : Shape{})
      .to(x.device());
}

void push_comparisons(std::vector<Row>& rows) {
  for (bool c : {false, true}) {
    rows.push_back(comparison(
        "less", less, less, [](double a, double b) { return double(a < b); }, c));
    rows.push_back(comparison(
        "less_equal", less_equal, less_equal, [](double a, double b) { return double(a <= b); },
        c));
    rows.push_back(comparison(
        "greater", greater, greater, [](double a, double b) { return double(a > b); }, c));
    rows.push_back(comparison(
        "greater_equal", greater_equal, greater_equal,
        [](double a, double b) { return double(a >= b); }, c));
    rows.push_back(comparison(
        "equal", equal, equal, [](double a, double b) { return double(a == b); }, c));
    rows.push_back(comparison(
        "not_equal", not_equal, not_equal, [](double a, double b) { return double(a != b); }, c));
  }
  const std::vector<Misuse> not_boolean = {
      {"bool", [] { logical_and(zeros({2}), zeros({2}, boolean)); }}};
  rows.push_back(decision(
      "logical_and", of_signs(logical_and),
      [](const double* x) { return double(x[0] > 0 && x[1] > 0); }, two_operands, not_boolean));
  rows.push_back(decision("logical_or", of_signs(logical_or),
                          [](const double* x) { return double(x[0] > 0 || x[1] > 0); },
                          two_operands,
                          {{"bool", [] { logical_or(zeros({2}, boolean), zeros({2})); }}}));
  rows.push_back(decision(
      "logical_not", [](const Tensors& x) { return logical_not(x[0] > 0.0); },
      [](const double* x) { return double(!(x[0] > 0)); }, {{{3, 4}}, {{}}},
      {{"bool", [] { logical_not(zeros({2})); }}}));
  rows.push_back(decision(
      "isfinite", [](const Tensors& x) { return isfinite(1.0 / (x[0] - x[0])); },
      [](const double*) { return 0.0; }, {{{3, 4}}, {{}}}, {}));
  rows.push_back(decision(
      "isnan", [](const Tensors& x) { return isnan((x[0] - x[0]) / (x[0] - x[0])); },
      [](const double*) { return 1.0; }, {{{3, 4}}, {{}}}, {}));
}

}  // namespace

std::vector<Row> binary_rows() {
  std::vector<Row> rows = {
      two(
          "add", add, [](double a, double b) { return a + b; }, {{}}, ""),
      two(
          "sub", sub, [](double a, double b) { return a - b; }, {{}}, ""),
      two(
          "mul", mul, [](double a, double b) { return a * b; }, {{}}, "01"),
      two(
          "div", div, [](double a, double b) { return a / b; }, {{}, positive}, "01"),
      two(
          "pow", pow, [](double a, double b) { return std::pow(a, b); }, {positive, {}}, "01"),
      two(
          "maximum", maximum, [](double a, double b) { return std::max(a, b); },
          {off_grid, on_grid}, "01"),
      two(
          "minimum", minimum, [](double a, double b) { return std::min(a, b); },
          {off_grid, on_grid}, "01"),
      constant(
          "add", "constant", [](const Tensors& x) { return add(x[0], 1.5); },
          [](double x) { return x + 1.5; }, {}, "", {{inf, {inf, 1, 0, 0}}}),
      constant(
          "sub", "constant", [](const Tensors& x) { return sub(x[0], 1.5); },
          [](double x) { return x - 1.5; }, {}, "", {{-inf, {-inf, 1, 0, 0}}}),
      constant(
          "sub", "from a constant", [](const Tensors& x) { return sub(1.5, x[0]); },
          [](double x) { return 1.5 - x; }, {}, "", {{inf, {-inf, -1, 0, 0}}}),
      constant(
          "mul", "constant", [](const Tensors& x) { return mul(x[0], 1.5); },
          [](double x) { return x * 1.5; }, {}, "", {{inf, {inf, 1.5, 0, 0}}}),
      constant(
          "div", "constant", [](const Tensors& x) { return div(x[0], 1.5); },
          [](double x) { return x / 1.5; }, {}, "", {{inf, {inf, 1 / 1.5, 0, 0}}}),
      constant(
          "div", "of a constant", [](const Tensors& x) { return div(1.5, x[0]); },
          [](double x) { return 1.5 / x; }, positive, "0",
          {{0, {inf, -inf, inf, -inf}},
           {-0.0, {-inf, -inf, -inf, -inf}},
           {inf, {0, 0, 0, 0}},
           {1.5, {1, -1 / 1.5, 2 / 2.25, -6 / 3.375}}}),
      constant(
          "pow", "constant 2.5", [](const Tensors& x) { return pow(x[0], 2.5); },
          [](double x) { return std::pow(x, 2.5); }, positive, "0",
          {{0, {0, 0, 0}}, {-1, {nan}, "outside of the domain"}, {inf, {inf, inf}}}),
      constant(
          "pow", "constant 3", [](const Tensors& x) { return pow(x[0], 3); },
          [](double x) { return x * x * x; }, {}, "0",
          {{0, {0, 0, 0, 6}}, {-2, {-8, 12, -12, 6}}, {-0.0, {0, 0, 0, 6}}}),
      constant(
          "pow", "constant 2", [](const Tensors& x) { return pow(x[0], 2); },
          [](double x) { return x * x; }, {}, "0", {{0, {0, 0, 2, 0}}, {-1, {1, -2, 2, 0}}}),
      constant(
          "pow", "constant 0", [](const Tensors& x) { return pow(x[0], 0); },
          [](double) { return 1.0; }, {}, "", {{0, {1, 0, 0, 0}}, {-1, {1, 0, 0, 0}}}),
      constant(
          "pow", "constant 1", [](const Tensors& x) { return pow(x[0], 1); },
          [](double x) { return x; }, {}, "0", {{0, {0, 1, 0, 0}}, {-1, {-1, 1, 0, 0}}}),
      constant(
          "pow", "constant -1", [](const Tensors& x) { return pow(x[0], -1); },
          [](double x) { return 1 / x; }, positive, "y",
          {{0, {inf, -inf, inf, -inf}}, {-2, {-0.5, -0.25, -0.25, -0.375}}}),
      constant(
          "maximum", "constant", [](const Tensors& x) { return maximum(x[0], 0.3); },
          [](double x) { return std::max(x, 0.3); }, {-2, 2, {0.3}}, "0",
          {{0.3, {0.3, 1, 0, 0}},
           {inf, {inf, 1, 0, 0}},
           {-inf, {0.3, 0, 0, 0}},
           {nan, {nan}, "NaN wins"}}),
      constant(
          "minimum", "constant", [](const Tensors& x) { return minimum(x[0], 0.3); },
          [](double x) { return std::min(x, 0.3); }, {-2, 2, {0.3}}, "0",
          {{0.3, {0.3, 1, 0, 0}},
           {inf, {0.3, 0, 0, 0}},
           {-inf, {-inf, 1, 0, 0}},
           {nan, {nan}, "NaN wins"}}),
      constant(
          "where", "constant b",
          [](const Tensors& x) { return where(x[0] > 0.5, x[0] * 2.0, 3.0); },
          [](double x) { return x > 0.5 ? 2 * x : 3; }, {-2, 2, {0.5}}, ""),
      constant(
          "where", "constant a",
          [](const Tensors& x) { return where(x[0] > 0.5, 3.0, x[0] * 2.0); },
          [](double x) { return x > 0.5 ? 3 : 2 * x; }, {-2, 2, {0.5}}, ""),
  };
  for (Row& row : rows)
    if (row.name == "where")
      row.also_kept = [](const Tensors&, const Tensor& y) { return y.numel(); };

  // The condition has the last axis of b and broadcasts.
  Row choice;
  choice.name = "where";
  choice.f = [](const Tensors& x) { return where(mask_of(x[1]), x[0], x[1]); };
  choice.reference = [](const Tensors& x) {
    return build(broadcast_shapes("where", x[0].shape(), x[1].shape()), [&](const Shape& i) {
      const bool first = i.empty() || (i.back() % 5 != 1 && i.back() % 5 != 4);
      return at(first || x[1].dim() == 0 || x[1].size(-1) == 1 ? x[0] : x[1], i);
    });
  };
  choice.calls = {{{3, 4}, {3, 4}}, {{}, {2, 5}},  {{2, 1}, {4}},
                  {{}, {}},         {{3, 1}, {1}}, {{0, 1}, {3}}};
  choice.large = {{100000, 1}, {5}};
  choice.also_kept = [](const Tensors& x, const Tensor&) { return x[1].dim() ? x[1].size(-1) : 1; };
  choice.misuses = {{"bool", [] { where(zeros({2}), zeros({2}), zeros({2})); }},
                    {"broadcast", [] { where(ones({2}, boolean), zeros({3}), zeros({3})); }},
                    {"f64", [] { where(ones({2}, boolean), zeros({2}), zeros({2}, f64)); }}};
  rows.push_back(std::move(choice));

  push_comparisons(rows);

  Row near = decision("all_close",
                      [](const Tensors& x) { return full({}, all_close(x[0], x[1]), boolean); },
                      nullptr, {{{3, 4}, {3, 4}}, {{0, 2}, {0, 2}}}, {});
  near.reference = [](const Tensors& x) { return full({}, x[0].numel() == 0, f64); };
  near.any_dtype = false;
  near.misuses = {{"f64", [] { all_close(zeros({2}), zeros({2}, f64)); }}};
  rows.push_back(std::move(near));
  return rows;
}

}  // namespace gradus::test
