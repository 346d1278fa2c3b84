// Rows of the norms and of attention. References are loops over elements.
#include <algorithm>

#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

using Options = AttentionOptions;

// ---- norms

Tensor normalised(const Tensors& x, double eps, bool centre) {
  const std::int64_t n = x[0].size(-1);
  return build(x[0].shape(), [&](const Shape& i) {
    const auto across = [&](const auto& term) {
      double s = 0;
      Shape k = i;
      for (k[i.size() - 1] = 0; k.back() < n; ++k[i.size() - 1]) s += term(at(x[0], k));
      return s / static_cast<double>(n);
    };
    const double centre_at = centre ? across([](double v) { return v; }) : 0;
    const double power = across([&](double v) { return (v - centre_at) * (v - centre_at); });
    const double y = (at(x[0], i) - centre_at) / std::sqrt(power + eps) * at(x[1], {i.back()});
    return centre ? y + at(x[2], {i.back()}) : y;
  });
}

// Centred rows twice (squared, scaled), their factors twice (made, used), the scaled rows, gain.
std::int64_t norm_bytes(const Tensors& x, const Tensor&) {
  const std::int64_t n = x[0].numel(), rows = n / x[0].size(-1);
  return 8 * (3 * n + 2 * rows + x[1].numel());
}

void push_norms(std::vector<Row>& rows) {
  const auto length = [](const Tensors& x, const Tensor&) { return x[0].size(-1); };
  rows.push_back(row_of(
      "layer_norm", "", [](const Tensors& x) { return layer_norm(x[0], x[1], x[2], 0.1); },
      [](const Tensors& x) { return normalised(x, 0.1, true); },
      {{{3, 4}, {4}, {4}}, {{5}, {5}, {5}}, {{2, 3, 2}, {2}, {2}}, {{2, 1}, {1}, {1}}},
      {{131, 517}, {517}, {517}},
      {{"gain must be (3,)",
        [] {
          layer_norm(ones({2, 3}), ones({2}), ones({3}));
        }},
       {"bias must be (3,)",
        [] {
          layer_norm(ones({2, 3}), ones({3}), ones({1, 3}));
        }},
       {"f64",
        [] {
          layer_norm(ones({2, 3}), ones({3}, f64), ones({3}));
        }},
       {"at least one",
        [] {
          layer_norm(ones({2, 0}), ones({0}), ones({0}));
        }},
       {"at least one", [] { layer_norm(ones({}), ones({1}), ones({1})); }},
       {"eps must be positive and finite, got 0", [] {
          layer_norm(ones({2, 3}), ones({3}), ones({3}), 0);
        }}}));
  rows.back().length = length;
  rows.back().also_kept = norm_bytes;
  rows.push_back(row_of(
      "rms_norm", "", [](const Tensors& x) { return rms_norm(x[0], x[1], 0.1); },
      [](const Tensors& x) { return normalised(x, 0.1, false); },
      {{{3, 4}, {4}}, {{5}, {5}}, {{2, 3, 2}, {2}}, {{2, 1}, {1}}}, {{131, 517}, {517}},
      {{"gain must be (3,)",
        [] {
          rms_norm(ones({2, 3}), ones({2}));
        }},
       {"eps",
        [] {
          rms_norm(ones({2, 3}), ones({3}), nan);
        }},
       {"at least one", [] {
          rms_norm(ones({2, 0}), ones({0}));
        }}}));
  rows.back().length = length;
  rows.back().also_kept = norm_bytes;
}

// ---- attention

// Whether query i attends to key j, and nothing at all for query 1 of batch 0: a mask in closed
// form.
bool seen(std::int64_t batch, std::int64_t head, std::int64_t i, std::int64_t j) {
  return !(batch == 0 && i == 1) && (batch + head + 2 * i + j) % 3 != 0;
}
Tensor seen_mask(const Tensor& q, const Tensor& k) {
  if (!q.defined() || !k.defined()) return {};
  std::vector<bool> values;
  const Shape shape{q.size(0), q.size(1), q.size(2), k.size(2)};
  each_index(shape, [&](const Shape& i) { values.push_back(seen(i[0], i[1], i[2], i[3])); });
  return from_vector(values, shape).to(q.device());
}

struct Case {
  const char* detail;
  bool causal, masked;
  AttentionWeights weights;

  Options options(const Tensor& q, const Tensor& k) const {
    Options o{.causal = causal, .weights = weights};
    if (masked) o.mask = seen_mask(q, k);
    return o;
  }
  bool attends(const Shape& i, std::int64_t j, const Tensor& q, const Tensor& k) const {
    return (!masked || seen(i[0], i[1], i[2], j)) && (!causal || j <= i[2] + k.size(2) - q.size(2));
  }
};

// The weight of query i[2] for key i[3].
double weight(const Case& c, const Tensors& x, const Shape& i) {
  const Tensor &q = x[0], &k = x[1];
  const std::int64_t size = q.size(3), group = i[1] / (q.size(1) / k.size(1));
  const auto score = [&](std::int64_t j) {
    double s = 0;
    for (std::int64_t d = 0; d < size; ++d)
      s += q.data<double>()[i[0] * q.strides()[0] + i[1] * q.strides()[1] + i[2] * q.strides()[2] +
                            d * q.strides()[3]] *
           k.data<double>()[i[0] * k.strides()[0] + group * k.strides()[1] + j * k.strides()[2] +
                            d * k.strides()[3]];
    return s;
  };
  const auto raw = [&](std::int64_t j) {
    if (!c.attends(i, j, q, k)) return 0.0;
    return c.weights == AttentionWeights::relu
               ? std::max(score(j), 0.0)
               : std::exp(score(j) / std::sqrt(static_cast<double>(size)));
  };
  double total = 0;
  for (std::int64_t j = 0; j < k.size(2); ++j) total += raw(j);
  return total == 0 ? 0 : raw(i[3]) / total;
}

Tensor weights(const Case& c, const Tensors& x) {
  return build({x[0].size(0), x[0].size(1), x[0].size(2), x[1].size(2)},
               [&](const Shape& i) { return weight(c, x, i); });
}

Tensor attended(const Case& c, const Tensors& x) {
  const Tensor p = weights(c, x), v = x[2].contiguous();
  return build({p.size(0), p.size(1), p.size(2), v.size(3)}, [&](const Shape& i) {
    const std::int64_t group = i[1] / (p.size(1) / v.size(1));
    double s = 0;
    for (std::int64_t j = 0; j < v.size(2); ++j)
      s += at(p, {i[0], i[1], i[2], j}) *
           v.data<double>()[((i[0] * v.size(1) + group) * v.size(2) + j) * v.size(3) + i[3]];
    return s;
  });
}

// Queries and keys for the product. Then, of (batch, heads, queries, keys) numbers: softmax keeps
// its result, relu its operand, the sum's divisor and what it divides; masks a byte for each
// choice.
std::int64_t weight_bytes(const Case& c, const Tensors& x) {
  const std::int64_t rows = x[0].numel() / x[0].size(3), n = rows * x[1].size(2);
  const std::int64_t one = x[0].size(2) * x[1].size(2);
  const std::int64_t mask = c.masked ? n : c.causal ? one : 0;
  const std::int64_t products = 8 * (x[0].numel() + x[1].numel());
  if (c.weights == AttentionWeights::softmax) return products + 8 * n + 2 * mask;
  return products + 8 * n + mask + 8 * (n + rows) + rows;
}

std::vector<Misuse> attention_misuses(
    const std::function<void(const Tensor&, const Tensor&, const Options&)>& call) {
  const auto wrong = [call](const char* rule, const Shape& q, const Shape& k, Options o = {}) {
    return Misuse{rule, [=] { call(ones(q), ones(k), o); }};
  };
  // Made in the call: the table holds no tensors.
  const auto masked = [call](const char* rule, const Shape& mask, DType dtype) {
    return Misuse{rule, [=] {
                    const Tensor x = ones({2, 4, 3, 5});
                    call(x, x, {.mask = ones(mask, dtype)});
                  }};
  };
  const Shape q{2, 4, 3, 5};
  return {wrong("(batch, heads, time, size)", {2, 3, 5}, q),
          wrong("batches differ", q, {1, 4, 3, 5}),
          wrong("sizes differ or are 0", q, {2, 4, 3, 6}),
          wrong("sizes differ or are 0", {2, 4, 3, 0}, {2, 4, 3, 0}),
          wrong("groups of 3", q, {2, 3, 3, 5}),
          wrong("groups of 0", q, {2, 0, 3, 5}),
          wrong("the 3 queries are the last of the keys, and there are 2", q, {2, 4, 2, 5},
                {.causal = true}),
          masked("mask must be boolean", {3, 3}, f32),
          masked("(3, 4)", {3, 4}, boolean),
          masked("does not broadcast", {5, 1, 1, 3, 3}, boolean),
          wrong("scale must be positive and finite, got 0", q, q, {.scale = 0.0}),
          wrong("scale must be positive", q, q, {.scale = nan})};
}

void push_attention(std::vector<Row>& rows) {
  constexpr auto softmax = AttentionWeights::softmax, relu = AttentionWeights::relu;
  // The last call has more keys than queries and two heads for each key head.
  const std::vector<std::vector<Shape>> calls = {{{1, 2, 3, 2}, {1, 2, 3, 2}, {1, 2, 3, 3}},
                                                 {{2, 1, 2, 3}, {2, 1, 3, 3}, {2, 1, 3, 1}},
                                                 {{1, 4, 2, 1}, {1, 2, 3, 1}, {1, 2, 3, 2}},
                                                 {{0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3}}};
  for (const Case& c :
       {Case{"softmax", false, false, softmax}, Case{"causal", true, false, softmax},
        Case{"masked", false, true, softmax}, Case{"causal and masked", true, true, softmax},
        Case{"relu", false, false, relu}, Case{"causal relu", true, false, relu},
        Case{"causal and masked relu", true, true, relu}}) {
    Row p = row_of(
        "attention_weights", c.detail,
        [c](const Tensors& x) { return attention_weights(x[0], x[1], c.options(x[0], x[1])); },
        [c](const Tensors& x) { return weights(c, x); }, {}, {{2, 4, 33, 8}, {2, 2, 65, 8}},
        attention_misuses([](const Tensor& q, const Tensor& k, const Options& o) {
          attention_weights(q, k, o);
        }));
    p.length = [](const Tensors& x, const Tensor& y) { return x[0].size(3) + y.size(3); };
    p.also_kept = [c](const Tensors& x, const Tensor&) { return weight_bytes(c, x); };
    // Positive products, away from relu's kink. Where a query attends to one key alone, or is of
    // size 1, relu's weights are constant in it, and gradients are rounding: two keys at least, or
    // none.
    const std::vector<std::vector<Shape>> pairs = {{{1, 2, 2, 2}, {1, 2, 4, 2}, {1, 2, 4, 3}},
                                                   {{2, 1, 2, 3}, {2, 1, 4, 3}, {2, 1, 4, 1}},
                                                   {{1, 4, 2, 2}, {1, 2, 4, 2}, {1, 2, 4, 2}},
                                                   calls[3]};
    const auto& shapes = c.weights == relu ? pairs : calls;
    for (const std::vector<Shape>& call : shapes) p.calls.push_back({call[0], call[1]});
    // Softmax far from saturation, where f32 gradients cancel.
    p.domains = c.weights == relu ? std::vector<Domain>{{0.5, 2}} : std::vector<Domain>{{-1, 1}};
    Row y = p;
    y.name = "attention";
    y.f = [c](const Tensors& x) { return attention(x[0], x[1], x[2], c.options(x[0], x[1])); };
    y.reference = [c](const Tensors& x) { return attended(c, x); };
    y.calls = shapes;
    y.large = {{2, 4, 33, 8}, {2, 2, 65, 8}, {2, 2, 65, 8}};
    y.length = [](const Tensors& x, const Tensor&) { return x[0].size(3) + 2 * x[1].size(2); };
    y.also_kept = [c](const Tensors& x, const Tensor&) {
      const std::int64_t n = x[0].numel() / x[0].size(3) * x[1].size(2);
      return weight_bytes(c, x) + 8 * (n + x[2].numel());
    };
    y.misuses = attention_misuses(
        [](const Tensor& q, const Tensor& k, const Options& o) { attention(q, k, k, o); });
    y.misuses.push_back({"(2, 1, 4, 3) do not go with keys (2, 1, 5, 3)", [] {
                           attention(ones({2, 1, 5, 3}), ones({2, 1, 5, 3}), ones({2, 1, 4, 3}));
                         }});
    rows.push_back(std::move(p));
    rows.push_back(std::move(y));
  }
  // Every third key points away from all queries: relu cuts it off.
  const Case c{"relu, both signs", false, false, relu};
  const auto turned = [](const Tensors& x) {
    // What is wrong reaches the operation as it is.
    if (!x[1].defined() || !is_floating(x[1].dtype())) return x[1];
    std::vector<double> signs;
    for (std::int64_t j = 0; j < x[1].size(2); ++j) signs.push_back(j % 3 == 1 ? -1 : 1);
    const Tensor sign = from_vector(signs, Shape{x[1].size(2), 1}).to(x[1].dtype());
    return x[1] * sign.to(x[1].device());
  };
  Row cut =
      *std::find_if(rows.begin(), rows.end(), [](const Row& r) { return r.detail == "relu"; });
  cut.detail = c.detail;
  cut.f = [=](const Tensors& x) { return attention_weights(x[0], turned(x), c.options({}, {})); };
  cut.reference = [=](const Tensors& x) { return weights(c, {x[0], turned(x)}); };
  cut.calls = {{{1, 1, 3, 2}, {1, 1, 5, 2}}, {{2, 1, 2, 3}, {2, 1, 4, 3}}};
  cut.also_kept = [c](const Tensors& x, const Tensor&) {
    return weight_bytes(c, x) + 8 * x[1].size(2);
  };
  cut.misuses.clear();
  rows.push_back(std::move(cut));
}

}  // namespace

std::vector<Row> attention_rows() {
  std::vector<Row> rows;
  push_norms(rows);
  push_attention(rows);
  for (Row& row : rows) row.one_rounding = true;
  return rows;
}

}  // namespace gradus::test
