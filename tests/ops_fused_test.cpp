// Rows of indexing, of softmax and of the losses.
#include <algorithm>

#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

Tensor indices(std::vector<std::int64_t> values, const Shape& shape) {
  return from_vector(values, shape);
}
// 0 .. limit-1 in a fixed disorder, where x lives.
Tensor cycle(const Tensor& x, const Shape& shape, std::int64_t limit) {
  std::vector<std::int64_t> values(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] =
        static_cast<std::int64_t>((7 * i * i + 3 * i + 1) % static_cast<std::size_t>(limit));
  return from_vector(values, shape).to(x.device());
}

std::int64_t bytes_of(std::int64_t count) { return 8 * count; }

// gather's index: the shape of x, shorter along the axis by one where it can be.
Tensor gather_index(const Tensor& x, int axis) {
  Shape shape = x.shape();
  shape[axis] = std::max<std::int64_t>(1, shape[axis] - 1);
  return cycle(x, shape, x.shape()[axis]);
}

void push_gathers(std::vector<Row>& rows) {
  for (int axis : {0, 1}) {
    rows.push_back(row_of(
        "gather", axis ? "axis 1" : "axis 0",
        [axis](const Tensors& x) { return gather(x[0], axis, gather_index(x[0], axis)); },
        [axis](const Tensors& x) {
          const Tensor index = gather_index(x[0], axis);
          return build(index.shape(), [&](Shape i) {
            i[axis] = static_cast<std::int64_t>(at(index, i));
            return at(x[0], i);
          });
        },
        {{{3, 4}}, {{2, 3, 2}}, {{1, 1}}, {{5, 1}}}, {{131, 517}},
        {{"3",
          [] {
            gather(zeros({3, 2}), 0, indices({0, 3}, {1, 2}));
          }},
         {"-1",
          [] {
            gather(zeros({3, 2}), 0, indices({0, -1}, {1, 2}));
          }},
         {"axis",
          [] {
            gather(zeros({3, 2}), 2, indices({0, 1}, {1, 2}));
          }},
         {"i64",
          [] {
            gather(zeros({3, 2}), 0, zeros({1, 2}));
          }},
         {"",
          [] {
            gather(zeros({3, 2}), 0, indices({0}, {1}));
          }},
         {"", [] {
            gather(zeros({3, 2}), 0, indices({0, 0, 0}, {1, 3}));
          }}}));
    rows.back().also_kept = [axis](const Tensors& x, const Tensor&) {
      return bytes_of(gather_index(x[0], axis).numel());
    };
    rows.push_back(row_of(
        "scatter_add", axis ? "axis 1" : "axis 0",
        [axis](const Tensors& x) {
          return scatter_add(x[0], axis, cycle(x[0], x[1].shape(), x[0].size(axis)), x[1]);
        },
        [axis](const Tensors& x) {
          const Tensor index = cycle(x[0], x[1].shape(), x[0].size(axis));
          Tensor y = build(x[0].shape(), [&](const Shape& i) { return at(x[0], i); });
          double* p = y.mutable_data<double>();
          const Shape strides = contiguous_strides(y.shape());
          each_index(x[1].shape(), [&](Shape i) {
            const double value = at(x[1], i);
            i[axis] = static_cast<std::int64_t>(at(index, i));
            std::int64_t offset = 0;
            for (int a = 0; a < y.dim(); ++a) offset += i[a] * strides[a];
            p[offset] += value;
          });
          return y;
        },
        {axis ? std::vector<Shape>{{3, 4}, {3, 6}} : std::vector<Shape>{{3, 4}, {5, 4}},
         {{2, 3, 2}, {2, 3, 2}},
         {{1, 1}, {1, 1}}},
        {{131, 517}, {131, 517}},
        {{"3",
          [] {
            scatter_add(zeros({3}), 0, indices({0, 3}, {2}), zeros({2}));
          }},
         {"-1",
          [] {
            scatter_add(zeros({3}), 0, indices({-1, 0}, {2}), zeros({2}));
          }},
         {"",
          [] {
            scatter_add(zeros({3}), 0, indices({0, 1}, {2}), zeros({3}));
          }},
         {"axis",
          [] {
            scatter_add(zeros({3}), 1, indices({0, 1}, {2}), zeros({2}));
          }},
         {"f64", [] {
            scatter_add(zeros({3}), 0, indices({0, 1}, {2}), zeros({2}, f64));
          }}}));
    rows.back().also_kept = [](const Tensors& x, const Tensor&) { return bytes_of(x[1].numel()); };
    rows.back().length = [](const Tensors& x, const Tensor&) { return x[1].numel() + 1; };
    rows.push_back(row_of(
        "index_select", axis ? "axis -1" : "axis 0",
        [axis](const Tensors& x) {
          return index_select(x[0], axis ? -1 : 0, cycle(x[0], {5}, x[0].size(axis ? -1 : 0)));
        },
        [axis](const Tensors& x) {
          const int a = axis ? x[0].dim() - 1 : 0;
          const Tensor index = cycle(x[0], {5}, x[0].shape()[a]);
          Shape shape = x[0].shape();
          shape[a] = 5;
          return build(shape, [&](Shape i) {
            i[a] = static_cast<std::int64_t>(at(index, {i[a]}));
            return at(x[0], i);
          });
        },
        {{{3, 4}}, {{2, 3, 2}}, {{4}}, {{1, 1}}}, {{131, 517}},
        {{"3",
          [] {
            index_select(zeros({3, 2}), 0, indices({3}, {1}));
          }},
         {"-1",
          [] {
            index_select(zeros({3, 2}), 0, indices({-1}, {1}));
          }},
         {"axis",
          [] {
            index_select(zeros({3, 2}), 2, indices({0}, {1}));
          }},
         {"i64",
          [] {
            index_select(zeros({3, 2}), 0, zeros({1}));
          }},
         {"rank", [] {
            index_select(zeros({3, 2}), 0, indices({0, 1}, {1, 2}));
          }}}));
    rows.back().also_kept = [](const Tensors&, const Tensor&) { return bytes_of(5); };
  }
  rows.push_back(row_of(
      "embedding", "",
      [](const Tensors& x) {
        return embedding(x[0], cycle(x[0], {2, 3}, x[0].size(0)));
      },
      [](const Tensors& x) {
        const Tensor ids = cycle(x[0], {2, 3}, x[0].size(0));
        return build({2, 3, x[0].size(1)}, [&](const Shape& i) {
          return at(x[0], {static_cast<std::int64_t>(at(ids, {i[0], i[1]})), i[2]});
        });
      },
      {{{4, 3}}, {{5, 1}}, {{1, 2}}}, {{131, 517}},
      {{"4",
        [] {
          embedding(zeros({4, 2}), indices({4}, {1}));
        }},
       {"-1",
        [] {
          embedding(zeros({4, 2}), indices({-1}, {1}));
        }},
       {"i64",
        [] {
          embedding(zeros({4, 2}), zeros({2}));
        }},
       {"", [] { embedding(zeros({4}), indices({0}, {1})); }}}));
  rows.back().also_kept = [](const Tensors&, const Tensor&) { return bytes_of(6); };
  rows.push_back(row_of(
      "one_hot", "",
      [](const Tensors& x) { return one_hot(cycle(x[0], x[0].shape(), 5), 5, x[0].dtype()); },
      [](const Tensors& x) {
        const Tensor ids = cycle(x[0], x[0].shape(), 5);
        Shape shape = x[0].shape();
        shape.push_back(5);
        return build(shape, [&](Shape i) {
          const std::int64_t k = i.back();
          i.erase(i.size() - 1);
          return double(at(ids, i) == static_cast<double>(k));
        });
      },
      {{{3}}, {{2, 2}}, {{}}, {{0}}}, {{300, 100}},
      {{"5", [] { one_hot(indices({5}, {1}), 5); }},
       {"-1", [] { one_hot(indices({-1}, {1}), 5); }},
       {"", [] { one_hot(indices({0}, {1}), 0); }},
       {"i64", [] { one_hot(zeros({2}), 5); }}}));
  rows.back().differentiable = false;
}

// The largest of a row, as a number that carries no gradient: the shift of the definitions.
Tensor shifted_exp(const Tensor& x, int axis) { return exp(x - max(x.detach(), axis, true)); }

void push_softmax(std::vector<Row>& rows) {
  for (int axis : {-1, 0}) {
    Row row;
    row.name = "softmax";
    row.one_rounding = true;
    row.detail = axis ? "axis -1" : "axis 0";
    row.f = [axis](const Tensors& x) { return softmax(x[0], axis); };
    row.definition = [axis](const Tensors& x) {
      const Tensor e = shifted_exp(x[0], axis);
      return e / sum(e, axis, true);
    };
    row.reference = [axis](const Tensors& x) {
      const int a = axis < 0 ? x[0].dim() - 1 : axis;
      return build(x[0].shape(), [&](const Shape& i) {
        double s = 0;
        Shape k = i;
        for (k[a] = 0; k[a] < x[0].shape()[a]; ++k[a]) s += std::exp(at(x[0], k) - at(x[0], i));
        return 1 / s;
      });
    };
    row.calls = {{{3, 4}}, {{5}}, {{2, 3, 2}}, {{1, 1}}, {{0, 3}}, {{3, 1}}};
    row.large = {{131, 517}};
    row.kept = "y";
    row.length = [](const Tensors& x, const Tensor&) {
      return std::max(x[0].size(0), x[0].size(-1));
    };
    row.misuses = {{"axis", [] { softmax(zeros({2, 3}), 2); }}};
    rows.push_back(row);
    row.name = "log_softmax";
    row.f = [axis](const Tensors& x) { return log_softmax(x[0], axis); };
    row.definition = [axis](const Tensors& x) {
      const Tensor shift = max(x[0].detach(), axis, true);
      return x[0] - shift - log(sum(exp(x[0] - shift), axis, true));
    };
    row.reference = [inner = row.reference](const Tensors& x) {
      const Tensor p = inner(x);
      return build(p.shape(), [&](const Shape& i) { return std::log(at(p, i)); });
    };
    row.misuses = {{"axis", [] { log_softmax(zeros({2, 3}), 2); }}};
    rows.push_back(std::move(row));
  }
}

Tensor reduced(const Tensor& terms, Reduction r) {
  return r == Reduction::mean ? mean(terms) : r == Reduction::sum ? sum(terms) : terms;
}
const char* name_of(Reduction r) {
  return r == Reduction::mean ? "mean" : r == Reduction::sum ? "sum" : "none";
}
std::int64_t all_terms(const Tensors& x, const Tensor&) {
  return std::max<std::int64_t>(1, x[0].numel());
}

void push_losses(std::vector<Row>& rows) {
  using Loss = std::function<Tensor(const Tensor&, const Tensor&, LossOptions)>;
  struct Pointwise {
    const char* name;
    Loss f;
    std::function<Tensor(const Tensor&, const Tensor&)> terms;
    std::vector<Domain> domains;
    const char* kept;
  };
  const Domain low{-2, -0.2}, high{0, 2}, probability{0.1, 0.9};
  const std::vector<Pointwise> list = {
      {"mse_loss",
       [](const Tensor& a, const Tensor& b, LossOptions o) { return mse_loss(a, b, o); },
       [](const Tensor& a, const Tensor& b) { return square(a - b); },
       {{}},
       "01"},
      {"l1_loss",
       [](const Tensor& a, const Tensor& b, LossOptions o) { return l1_loss(a, b, o); },
       [](const Tensor& a, const Tensor& b) { return abs(a - b); },
       {low, high},
       "01"},
      {"huber_loss",
       [](const Tensor& a, const Tensor& b, LossOptions o) { return huber_loss(a, b, 0.75, o); },
       [](const Tensor& a, const Tensor& b) {
         const Tensor d = abs(a - b);
         return where(d <= 0.75, square(d) * 0.5, d * 0.75 - 0.28125);
       },
       {{-2, 2, {-2, -0.75, 0.75, 2}}, {-0.1, 0.1}},
       "01"},
      {"binary_cross_entropy_with_logits",
       [](const Tensor& a, const Tensor& b, LossOptions o) {
         return binary_cross_entropy_with_logits(a, b, o);
       },
       [](const Tensor& a, const Tensor& b) { return softplus(a) - a * b; },
       {{}, probability},
       "01"}};
  for (const Pointwise& p : list)
    for (Reduction r : {Reduction::mean, Reduction::sum, Reduction::none}) {
      Row row;
      row.name = p.name;
      row.detail = name_of(r);
      row.f = [p, r](const Tensors& x) { return p.f(x[0], x[1], {r}); };
      row.definition = [p, r](const Tensors& x) { return reduced(p.terms(x[0], x[1]), r); };
      row.calls = {{{3, 4}, {3, 4}}, {{5}, {5}}, {{}, {}}, {{1, 1}, {1, 1}}};
      row.domains = p.domains;
      row.large = {{129, 517}, {129, 517}};
      row.length = r == Reduction::none ? nullptr : all_terms;
      row.kept = p.kept;
      row.misuses = {{"(77, 1)",
                      [p, r] {
                        p.f(zeros({77}), zeros({77, 1}), {r});
                      }},
                     {"f64", [p, r] { p.f(zeros({2}), zeros({2}, f64), {r}); }}};
      if (row.name == "huber_loss")
        row.misuses.push_back({"delta", [] { huber_loss(zeros({2}), zeros({2}), 0); }});
      rows.push_back(std::move(row));
    }
  for (Reduction r : {Reduction::mean, Reduction::sum, Reduction::none})
    for (bool from_logits : {true, false}) {
      Row row;
      row.name = from_logits ? "cross_entropy" : "nll_loss";
      row.one_rounding = true;
      row.detail = name_of(r);
      const auto f = [from_logits](const Tensor& x, const Tensor& target, LossOptions o) {
        return from_logits ? cross_entropy(x, target, o) : nll_loss(x, target, o);
      };
      row.f = [f, r](const Tensors& x) {
        return f(x[0], cycle(x[0], {x[0].size(0)}, x[0].size(1)), {r});
      };
      row.definition = [from_logits, r](const Tensors& x) {
        Tensor log_p = x[0];
        if (from_logits) {
          const Tensor shift = max(x[0].detach(), 1, true);
          log_p = x[0] - shift - log(sum(exp(x[0] - shift), 1, true));
        }
        const Tensor chosen =
            one_hot(cycle(x[0], {x[0].size(0)}, x[0].size(1)), x[0].size(1), x[0].dtype());
        return reduced(-sum(log_p * chosen, 1), r);
      };
      row.calls = {{{3, 4}}, {{5, 2}}, {{1, 1}}, {{2, 7}}};
      row.large = {{251, 517}};
      row.length = r == Reduction::none
                       ? +[](const Tensors& x, const Tensor&) { return x[0].size(1); }
                       : all_terms;
      row.kept = from_logits ? "0" : "";
      // The targets, and from logits the rows' logsumexp.
      row.also_kept = [from_logits](const Tensors& x, const Tensor&) {
        return bytes_of(x[0].size(0)) * (from_logits ? 2 : 1);
      };
      row.misuses = {{"4",
                      [f, r] {
                        f(zeros({2, 4}), indices({0, 4}, {2}), {r});
                      }},
                     {"-1",
                      [f, r] {
                        f(zeros({2, 4}), indices({0, -1}, {2}), {r});
                      }},
                     {"i64",
                      [f, r] {
                        f(zeros({2, 4}), zeros({2}), {r});
                      }},
                     {"(3,",
                      [f, r] {
                        f(zeros({2, 4}), indices({0, 1, 2}, {3}), {r});
                      }},
                     {"", [f, r] { f(zeros({4}), indices({0}, {1}), {r}); }}};
      rows.push_back(std::move(row));
    }
}

}  // namespace

std::vector<Row> index_rows() {
  std::vector<Row> rows;
  push_gathers(rows);
  return rows;
}

std::vector<Row> fused_rows() {
  std::vector<Row> rows;
  push_softmax(rows);
  push_losses(rows);
  return rows;
}

}  // namespace gradus::test
