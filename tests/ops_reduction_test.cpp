// Rows of the reductions, scans and matrix products.
#include <algorithm>
#include <numeric>

#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

using Values = std::vector<double>;
using Fold = std::function<double(const Values&)>;

struct Case {
  const char* detail;
  Axes axes;
  bool keepdim;
};
const std::vector<Case> cases = {{"all", {}, false},
                                 {"axis -1", -1, false},
                                 {"axis 0, kept", 0, true},
                                 {"axes 0 and 2", {0, 2}, false},
                                 {"axes -1 and 1, kept", {-1, 1}, true}};

std::vector<bool> reduced(const Axes& axes, int rank) {
  std::vector<bool> is(static_cast<std::size_t>(rank), !axes.list);
  if (axes.list)
    for (std::int64_t a : *axes.list) is[static_cast<std::size_t>(a < 0 ? a + rank : a)] = true;
  return is;
}

// The fold of what shares an index outside of the reduced axes, in row-major order.
Tensor reduce(const Tensor& x, const Axes& axes, bool keepdim, const Fold& fold) {
  const std::vector<bool> is = reduced(axes, x.dim());
  Shape kept = x.shape(), result;
  for (int a = 0; a < x.dim(); ++a) {
    if (is[static_cast<std::size_t>(a)]) kept[a] = 1;
    if (keepdim || !is[static_cast<std::size_t>(a)]) result.push_back(kept[a]);
  }
  Values values;
  each_index(kept, [&](const Shape& at_kept) {
    Values terms;
    each_index(x.shape(), [&](const Shape& i) {
      for (int a = 0; a < x.dim(); ++a)
        if (!is[static_cast<std::size_t>(a)] && i[a] != at_kept[a]) return;
      terms.push_back(at(x, i));
    });
    values.push_back(fold(terms));
  });
  return from_vector(values, result);
}

std::int64_t ratio(const Tensors& x, const Tensor& y) {
  return std::max<std::int64_t>(1, x[0].numel() / std::max<std::int64_t>(1, y.numel()));
}

void push_reduction(std::vector<Row>& rows, const char* name, Tensor (*f)(At, const Axes&, bool),
                    const Fold& fold, const Domain& domain, const char* kept,
                    bool differentiable = true) {
  for (const Case& c : cases) {
    Row row;
    row.name = name;
    row.detail = c.detail;
    row.f = [f, c](const Tensors& x) { return f(x[0], c.axes, c.keepdim); };
    row.reference = [fold, c](const Tensors& x) { return reduce(x[0], c.axes, c.keepdim, fold); };
    row.calls = {{{2, 3, 4}}, {{3, 1, 2}}, {{1, 1, 1}}, {{2, 2, 5}}};
    if (!c.axes.list) {
      row.calls.push_back({{}});
      row.calls.push_back({{11}});
    }
    row.domains = {domain};
    row.large = {{47, 65, 33}};
    row.differentiable = differentiable;
    row.length = ratio;
    row.one_rounding = true;
    row.kept = kept;
    if (&c == &cases[0])
      row.misuses = {{"axis",
                      [f] {
                        f(ones({2, 3}), 2, false);
                      }},
                     {"axis",
                      [f] {
                        f(ones({2, 3}), -3, false);
                      }},
                     {"axis", [f] {
                        f(ones({2, 3}), Axes{0, -2}, false);
                      }}};
    rows.push_back(std::move(row));
  }
}

double sum_of(const Values& v) { return std::accumulate(v.begin(), v.end(), 0.0); }
double mean_of(const Values& v) { return sum_of(v) / static_cast<double>(v.size()); }
Fold variance(double correction) {
  return [correction](const Values& v) {
    const double m = mean_of(v);
    double s = 0;
    for (double e : v) s += (e - m) * (e - m);
    return s / (static_cast<double>(v.size()) - correction);
  };
}
double log_sum(const Values& v) {
  double s = 0;
  for (double e : v) s += std::exp(e);
  return std::log(s);
}

Tensor product(const Tensor& a, const Tensor& b, bool transposed_b) {
  const bool row = a.dim() == 1, column = b.dim() == 1;
  const Shape sa = row ? Shape{1, a.size(0)} : a.shape(),
              sb = column ? Shape{b.size(0), 1} : b.shape();
  const std::int64_t m = sa[sa.size() - 2], k = sa.back();
  const std::int64_t n = transposed_b ? sb[sb.size() - 2] : sb.back();
  Shape batch_a = sa, batch_b = sb;
  for (Shape* s : {&batch_a, &batch_b}) {
    s->erase(s->size() - 1);
    s->erase(s->size() - 1);
  }
  Shape full = broadcast_shapes("reference", batch_a, batch_b);
  full.push_back(m);
  full.push_back(n);
  const Tensor x = a.reshape(sa), y = b.reshape(sb);
  Tensor c = build(full, [&](const Shape& i) {
    double s = 0;
    Shape ia = i, ib = i;
    const int last = i.size() - 1;
    for (std::int64_t p = 0; p < k; ++p) {
      ia[last] = p;
      ib[last - 1] = transposed_b ? i[last] : p;
      ib[last] = transposed_b ? p : i[last];
      s += at(x, ia) * at(y, ib);
    }
    return s;
  });
  Shape result = full;
  if (column) result.erase(result.size() - 1);
  if (row) result.erase(result.size() - (column ? 1 : 2));
  return c.reshape(result);
}

std::int64_t inner(const Tensors& x, const Tensor&) {
  return std::max<std::int64_t>(1, x[0].size(-1));
}

void push_var(std::vector<Row>& rows) {
  struct VarCase {
    const char* detail;
    Axes axes;
    VarOptions options;
  };
  const std::vector<VarCase> variants = {{"all", {}, {}},
                                         {"axis -1", -1, {}},
                                         {"axes 0 and 2, population, kept", {0, 2}, {0, true}},
                                         {"axis 1, correction 0.5", 1, {0.5, false}}};
  for (const VarCase& c : variants) {
    Row row;
    row.name = "var";
    row.detail = c.detail;
    row.f = [c](const Tensors& x) { return var(x[0], c.axes, c.options); };
    row.reference = [c](const Tensors& x) {
      return reduce(x[0], c.axes, c.options.keepdim, variance(c.options.correction));
    };
    row.definition = [c](const Tensors& x) {
      const Tensor d = x[0] - mean(x[0], c.axes, true);
      double n = 1;
      const std::vector<bool> is = reduced(c.axes, x[0].dim());
      for (int a = 0; a < x[0].dim(); ++a)
        if (is[static_cast<std::size_t>(a)]) n *= static_cast<double>(x[0].size(a));
      return sum(d * d, c.axes, c.options.keepdim) / (n - c.options.correction);
    };
    row.calls = {{{2, 3, 4}}, {{3, 2, 2}}, {{2, 5, 3}}};
    row.large = {{47, 65, 33}};
    row.length = ratio;
    row.one_rounding = true;
    row.kept = "0";
    row.misuses = {{"axis",
                    [] {
                      var(ones({2, 3}), 2);
                    }},
                   {"correction", [] {
                      var(ones({1, 3}), 0);
                    }}};
    rows.push_back(std::move(row));
  }
}

void push_matmul(std::vector<Row>& rows) {
  Row row;
  row.name = "matmul";
  row.f = [](const Tensors& x) { return matmul(x[0], x[1]); };
  row.reference = [](const Tensors& x) { return product(x[0], x[1], false); };
  row.definition = [](const Tensors& x) {
    const Tensor a = x[0].dim() == 1 ? x[0].reshape({1, -1}) : x[0];
    const Tensor b = x[1].dim() == 1 ? x[1].reshape({-1, 1}) : x[1];
    Tensor y = sum(a.unsqueeze(-1) * b.unsqueeze(-3), -2);
    if (x[1].dim() == 1) y = y.squeeze(-1);
    return x[0].dim() == 1 ? y.squeeze(x[1].dim() == 1 ? -1 : -2) : y;
  };
  row.calls = {
      {{3, 4}, {4, 2}},       {{4}, {4}},          {{4}, {4, 3}},       {{2, 3}, {3}},
      {{2, 3, 4}, {2, 4, 2}}, {{2, 3, 4}, {4, 5}}, {{3, 2}, {4, 2, 3}}, {{2, 1, 2, 3}, {3, 3, 1}},
      {{1, 1}, {1, 1}},       {{2, 0}, {0, 3}},    {{0, 3}, {3, 2}},    {{5}, {2, 5, 2}}};
  row.large = {{300, 200}, {200, 700}};
  row.length = inner;
  row.one_rounding = true;
  row.kept = "01";
  row.misuses = {{"(64, 128) x (100, 10)",
                  [] {
                    matmul(zeros({64, 128}), zeros({100, 10}));
                  }},
                 {"", [] { matmul(zeros({}), zeros({2})); }},
                 {"",
                  [] {
                    matmul(zeros({2, 2, 3}), zeros({3, 3, 4}));
                  }},
                 {"f64", [] {
                    matmul(zeros({2, 2}), zeros({2, 2}, f64));
                  }}};
  rows.push_back(row);

  row.name = "linear";
  row.f = [](const Tensors& x) { return linear(x[0], x[1], x.size() > 2 ? x[2] : Tensor()); };
  row.reference = [](const Tensors& x) {
    const Tensor y = product(x[0], x[1], true);
    const Shape shape = x[0].dim() == 1 ? Shape{x[1].size(0)} : y.shape();
    return build(shape, [&](const Shape& i) {
      return at(y.reshape(shape), i) + (x.size() > 2 ? at(x[2], i) : 0);
    });
  };
  row.definition = [](const Tensors& x) {
    const Tensor y = matmul(x[0], x[1].t());
    return x.size() > 2 ? y + x[2] : y;
  };
  row.calls = {{{3, 4}, {2, 4}, {2}}, {{3, 4}, {2, 4}}, {{2, 2, 3}, {4, 3}, {4}},
               {{3}, {2, 3}, {2}},    {{3}, {2, 3}},    {{0, 3}, {2, 3}, {2}},
               {{1, 1}, {1, 1}, {1}}};
  row.large = {{300, 200}, {700, 200}, {700}};
  row.misuses = {{"(3, 4)",
                  [] {
                    linear(zeros({3, 4}), zeros({2, 5}));
                  }},
                 {"bias",
                  [] {
                    linear(zeros({3, 4}), zeros({2, 4}), zeros({3}));
                  }},
                 {"",
                  [] {
                    linear(zeros({3, 4}), zeros({4}));
                  }},
                 {"f64", [] {
                    linear(zeros({3, 4}), zeros({2, 4}, f64));
                  }}};
  rows.push_back(std::move(row));
}

}  // namespace

std::vector<Row> reduction_rows() {
  std::vector<Row> rows;
  const Domain distinct{-2, 2, {}, true}, away{-2, 2, {0}},
      far{-1.5, 1.5, {-0.4, -0.2, 0, 0.2, 0.4}};
  push_reduction(rows, "sum", sum, sum_of, {}, "");
  push_reduction(rows, "mean", mean, mean_of, {}, "");
  push_reduction(
      rows, "max", max, [](const Values& v) { return *std::max_element(v.begin(), v.end()); },
      distinct, "0y");
  push_reduction(
      rows, "min", min, [](const Values& v) { return *std::min_element(v.begin(), v.end()); },
      distinct, "0y");
  push_reduction(
      rows, "prod", prod,
      [](const Values& v) { return std::accumulate(v.begin(), v.end(), 1.0, std::multiplies<>()); },
      far, "0");
  push_reduction(rows, "logsumexp", logsumexp, log_sum, {}, "0y");
  for (Row& row : rows) {
    if (row.name == "max" || row.name == "min") {
      row.misuses.push_back({"nothing to reduce", [f = row.name] {
                               f == "max" ? max(zeros({0, 2}), 0) : min(zeros({0, 2}), 0);
                             }});
    }
    if (row.name == "logsumexp")
      row.definition = [f = row.detail](const Tensors& x) {
        const Case& c =
            *std::find_if(cases.begin(), cases.end(), [&](const Case& k) { return k.detail == f; });
        return log(sum(exp(x[0]), c.axes, c.keepdim));
      };
  }
  for (const auto& [name, f, all_of] :
       {std::tuple{"any", static_cast<Tensor (*)(At, const Axes&, bool)>(any), false},
        std::tuple{"all", static_cast<Tensor (*)(At, const Axes&, bool)>(all), true}}) {
    const std::size_t first = rows.size();
    push_reduction(
        rows, name, f,
        [all_of = all_of](const Values& v) {
          const auto positive = [](double e) { return e > 0; };
          return double(all_of ? std::all_of(v.begin(), v.end(), positive)
                               : std::any_of(v.begin(), v.end(), positive));
        },
        away, "", false);
    for (std::size_t r = first; r < rows.size(); ++r)
      rows[r].f = [inner = rows[r].f](const Tensors& x) { return inner({x[0] > 0.0}); };
    rows[first].misuses = {{"axis",
                            [f = f] {
                              f(ones({2, 3}, boolean), 2, false);
                            }},
                           {"axis", [f = f] {
                              f(ones({2, 3}, boolean), Axes{0, -2}, false);
                            }}};
  }
  push_var(rows);

  Row row;
  row.name = "argmax";
  row.detail = "axis 1";
  row.f = [](const Tensors& x) { return argmax(x[0], 1); };
  row.reference = [](const Tensors& x) {
    return reduce(x[0], 1, false, [](const Values& v) {
      return double(std::max_element(v.begin(), v.end()) - v.begin());
    });
  };
  row.calls = {{{2, 3, 4}}, {{3, 5}}, {{1, 1}}};
  row.domains = {distinct};
  row.large = {{47, 65, 33}};
  row.differentiable = false;
  row.misuses = {{"axis",
                  [] {
                    argmax(ones({2, 3}), 2);
                  }},
                 {"nothing to reduce", [] {
                    argmax(ones({2, 0}), 1);
                  }}};
  rows.push_back(row);
  row.detail = "all";
  row.f = [](const Tensors& x) { return argmax(x[0]); };
  row.reference = [](const Tensors& x) {
    return reduce(x[0], {}, false, [](const Values& v) {
      return double(std::max_element(v.begin(), v.end()) - v.begin());
    });
  };
  row.misuses = {{"nothing to reduce", [] { argmax(ones({0})); }}};
  rows.push_back(row);

  for (int axis : {0, -1}) {
    Row scan;
    scan.name = "cumsum";
    scan.detail = axis ? "axis -1" : "axis 0";
    scan.f = [axis](const Tensors& x) { return cumsum(x[0], axis); };
    scan.reference = [axis](const Tensors& x) {
      const int a = axis < 0 ? axis + x[0].dim() : axis;
      return build(x[0].shape(), [&](Shape i) {
        const std::int64_t end = i[a];
        double s = 0;
        for (i[a] = 0; i[a] <= end; ++i[a]) s += at(x[0], i);
        return s;
      });
    };
    scan.calls = {{{3, 4}}, {{2, 3, 2}}, {{5}}, {{1}}, {{0, 2}}, {{2, 0}}};
    scan.large = {{131, 517}};
    scan.length = [](const Tensors& x, const Tensor&) {
      return std::max(x[0].size(0), x[0].size(-1));
    };
    scan.misuses = {{"axis", [] { cumsum(ones({2, 3}), 2); }}};
    rows.push_back(std::move(scan));
  }
  push_matmul(rows);
  return rows;
}

}  // namespace gradus::test
