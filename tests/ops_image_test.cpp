// Rows of windows, convolution and pooling. References are loops over elements.
#include <algorithm>

#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

void push_windows(std::vector<Row>& rows) {
  struct Window {
    const char* detail;
    int axis;
    std::int64_t size, step;
  };
  for (const Window& w :
       {Window{"3 by 1", 0, 3, 1}, Window{"2 by 2", -1, 2, 2}, Window{"1 by 3", 1, 1, 3}}) {
    Row row = row_of(
        "unfold", w.detail, [w](const Tensors& x) { return unfold(x[0], w.axis, w.size, w.step); },
        [w](const Tensors& x) {
          const int a = w.axis < 0 ? w.axis + x[0].dim() : w.axis;
          Shape shape = x[0].shape();
          shape[a] = (shape[a] - w.size) / w.step + 1;
          shape.push_back(w.size);
          return build(shape, [&](Shape i) {
            i[a] = i[a] * w.step + i.back();
            i.erase(i.size() - 1);
            return at(x[0], i);
          });
        },
        {{{3, 2}}, {{7, 5}}, {{4, 3, 2}}}, {{131, 517}},
        {{"a window of 4 in axis 0 of (3, 2)",
          [] {
            unfold(zeros({3, 2}), 0, 4);
          }},
         {"a window of 0", [] { unfold(zeros({3}), 0, 0); }},
         {"the step must be at least 1, got 0", [] { unfold(zeros({3}), 0, 2, 0); }},
         {"axis", [] { unfold(zeros({3}), 1, 2); }}});
    row.any_dtype = true;
    row.views = true;
    row.length = [](const Tensors&, const Tensor& y) { return y.size(-1); };
    rows.push_back(std::move(row));
  }
}

struct Conv {
  const char* detail;
  Conv2dOptions o;
  bool bias;
};

Tensor convolved(const Conv& c, const Tensors& x) {
  const Tensor &image = x[0], &w = x[1];
  const auto places = [](std::int64_t n, std::int64_t k, std::int64_t stride, std::int64_t padding,
                         std::int64_t dilation) {
    return (n + 2 * padding - dilation * (k - 1) - 1) / stride + 1;
  };
  const Shape shape{
      image.size(0), w.size(0),
      places(image.size(2), w.size(2), c.o.stride.height, c.o.padding.height, c.o.dilation.height),
      places(image.size(3), w.size(3), c.o.stride.width, c.o.padding.width, c.o.dilation.width)};
  const std::int64_t in = w.size(1), out = w.size(0) / c.o.groups;
  return build(shape, [&](const Shape& i) {
    double s = c.bias ? at(x[2], {i[1]}) : 0;
    each_index({in, w.size(2), w.size(3)}, [&](const Shape& k) {
      const std::int64_t row =
          i[2] * c.o.stride.height + k[1] * c.o.dilation.height - c.o.padding.height;
      const std::int64_t column =
          i[3] * c.o.stride.width + k[2] * c.o.dilation.width - c.o.padding.width;
      if (row < 0 || column < 0 || row >= image.size(2) || column >= image.size(3)) return;
      s += at(w, {i[1], k[0], k[1], k[2]}) * at(image, {i[0], i[1] / out * in + k[0], row, column});
    });
    return s;
  });
}

void push_convolutions(std::vector<Row>& rows) {
  const std::vector<Misuse> misuses = {
      {"images",
       [] {
         conv2d(ones({3, 5, 5}), ones({2, 3, 3, 3}));
       }},
      {"weight must be",
       [] {
         conv2d(ones({1, 3, 5, 5}), ones({2, 3, 3}));
       }},
      {"does not take 3 channels in 1 groups",
       [] {
         conv2d(ones({1, 3, 5, 5}), ones({2, 2, 3, 3}));
       }},
      {"2 groups do not divide 3 channels into 2",
       [] {
         conv2d(ones({1, 3, 5, 5}), ones({2, 1, 3, 3}), {}, {.groups = 2});
       }},
      {"0 groups",
       [] {
         conv2d(ones({1, 3, 5, 5}), ones({2, 3, 3, 3}), {}, {.groups = 0});
       }},
      {"bias must be (2,)",
       [] {
         conv2d(ones({1, 3, 5, 5}), ones({2, 3, 3, 3}), ones({3}));
       }},
      {"stride must be at least 1 and below 2^31, got (1, 0)",
       [] {
         conv2d(ones({1, 3, 5, 5}), ones({2, 3, 3, 3}), {}, {.stride = {1, 0}});
       }},
      {"padding must be at least 0",
       [] {
         conv2d(ones({1, 3, 5, 5}), ones({2, 3, 3, 3}), {}, {.padding = -1});
       }},
      {"dilation must be at least 1",
       [] {
         conv2d(ones({1, 3, 5, 5}), ones({2, 3, 3, 3}), {}, {.dilation = 0});
       }},
      {"the window (9, 9) is larger than the image (5, 6) with padding (1, 1)",
       [] {
         conv2d(ones({1, 3, 5, 6}), ones({2, 3, 3, 3}), {}, {.padding = 1, .dilation = 4});
       }},
      {"f64", [] {
         conv2d(ones({1, 3, 5, 5}), ones({2, 3, 3, 3}, f64));
       }}};
  for (const Conv& c : {Conv{"", {}, true}, Conv{"without bias", {}, false},
                        Conv{"padded, by 2", {.stride = 2, .padding = 1}, true},
                        Conv{"dilated, two groups",
                             {.stride = {1, 2}, .padding = {2, 1}, .dilation = {2, 1}, .groups = 2},
                             true}}) {
    Row row = row_of(
        "conv2d", c.detail,
        [c](const Tensors& x) { return conv2d(x[0], x[1], c.bias ? x[2] : Tensor(), c.o); },
        [c](const Tensors& x) { return convolved(c, x); }, {}, {}, misuses);
    row.one_rounding = true;
    const std::int64_t g = c.o.groups;
    row.calls = {{{1, 2, 3, 4}, {2, 2 / g, 2, 3}, {2}},
                 {{2, 4, 3, 3}, {2, 4 / g, 1, 1}, {2}},
                 {{0, 2, 3, 4}, {4, 2 / g, 2, 2}, {4}}};
    row.large = {{3, 4, 31, 33}, {6, 4 / g, 3, 3}, {6}};
    if (!c.bias)
      for (auto* list : {&row.calls[0], &row.calls[1], &row.calls[2], &row.large}) list->pop_back();
    row.length = [](const Tensors& x, const Tensor& y) {
      return std::max<std::int64_t>(1, x[1].numel() / x[1].size(0) + y.numel() / y.size(1));
    };
    row.also_kept = [](const Tensors& x, const Tensor& y) {
      const std::int64_t terms = x[1].numel() / x[1].size(0);
      const std::int64_t groups = x[0].size(1) / x[1].size(1);
      return 8 * (x[1].numel() + groups * terms * y.numel() / y.size(1));
    };
    rows.push_back(std::move(row));
  }
}

void push_pools(std::vector<Row>& rows) {
  struct Pool {
    const char* detail;
    HeightWidth size;
    Pool2dOptions o;
  };
  for (const Pool& p :
       {Pool{"2", 2, {}}, Pool{"(3, 2) by 1, padded", {3, 2}, {.stride = 1, .padding = 1}}}) {
    rows.push_back(row_of(
        "avg_pool2d", p.detail, [p](const Tensors& x) { return avg_pool2d(x[0], p.size, p.o); },
        [p](const Tensors& x) {
          const HeightWidth by = p.o.stride.value_or(p.size), pad = p.o.padding;
          const Shape s = x[0].shape();
          const Shape shape{s[0], s[1], (s[2] + 2 * pad.height - p.size.height) / by.height + 1,
                            (s[3] + 2 * pad.width - p.size.width) / by.width + 1};
          return build(shape, [&](const Shape& i) {
            double sum = 0;
            each_index({p.size.height, p.size.width}, [&](const Shape& k) {
              const std::int64_t row = i[2] * by.height + k[0] - pad.height;
              const std::int64_t column = i[3] * by.width + k[1] - pad.width;
              if (row >= 0 && column >= 0 && row < s[2] && column < s[3])
                sum += at(x[0], {i[0], i[1], row, column});
            });
            return sum / static_cast<double>(p.size.height * p.size.width);
          });
        },
        {{{1, 2, 4, 4}}, {{2, 1, 3, 5}}, {{1, 1, 2, 2}}}, {{3, 4, 31, 65}},
        {{"images",
          [] {
            avg_pool2d(ones({4, 4}), 2);
          }},
         {"size must be at least 1",
          [] {
            avg_pool2d(ones({1, 1, 4, 4}), 0);
          }},
         {"stride",
          [] {
            avg_pool2d(ones({1, 1, 4, 4}), 2, {.stride = 0});
          }},
         {"(2, 2) is more than half",
          [] {
            avg_pool2d(ones({1, 1, 4, 4}), 3, {.padding = 2});
          }},
         {"the window (5, 5) is larger", [] {
            avg_pool2d(ones({1, 1, 4, 4}), 5);
          }}}));
    rows.back().length = [](const Tensors&, const Tensor&) { return std::int64_t{6}; };
  }
  for (const HeightWidth factor : {HeightWidth{2}, HeightWidth{1, 3}}) {
    rows.push_back(row_of(
        "upsample", factor.height == 2 ? "2" : "(1, 3)",
        [factor](const Tensors& x) { return upsample(x[0], factor); },
        [factor](const Tensors& x) {
          const Shape s = x[0].shape();
          return build({s[0], s[1], s[2] * factor.height, s[3] * factor.width},
                       [&](const Shape& i) {
                         return at(x[0], {i[0], i[1], i[2] / factor.height, i[3] / factor.width});
                       });
        },
        {{{1, 2, 2, 3}}, {{1, 1, 1, 1}}, {{2, 0, 2, 2}}}, {{3, 4, 31, 65}},
        {{"images", [] { upsample(ones({4}), 2); }}, {"factor must be at least 1", [] {
                                                        upsample(ones({1, 1, 4, 4}), {2, 0});
                                                      }}}));
    rows.back().length = [](const Tensors&, const Tensor&) { return std::int64_t{4}; };
  }
}

}  // namespace

std::vector<Row> image_rows() {
  std::vector<Row> rows;
  push_windows(rows);
  push_convolutions(rows);
  push_pools(rows);
  return rows;
}

}  // namespace gradus::test
