// Rows of the views, copies and what joins and cuts tensors.
#include <algorithm>

#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

Row view(const char* name, const char* detail, TensorsFunction f, TensorsFunction reference,
         std::vector<std::vector<Shape>> calls, std::vector<Misuse> misuses = {}) {
  Row row = row_of(name, detail, std::move(f), std::move(reference), std::move(calls), {{131, 517}},
                   std::move(misuses));
  row.any_dtype = true;
  return row;
}

// Row-major order kept, another shape.
Tensor refold(const Tensor& x, const Shape& shape) {
  std::vector<double> values;
  each_index(x.shape(), [&](const Shape& i) { values.push_back(at(x, i)); });
  return from_vector(values, shape);
}

Shape swapped(Shape s, int a, int b) {
  std::swap(s[a], s[b]);
  return s;
}

// Every element at start + i step along an axis.
Tensor picked(const Tensor& x, int axis, std::int64_t start, std::int64_t step,
              std::int64_t count) {
  Shape shape = x.shape();
  shape[axis] = count;
  return build(shape, [&](Shape i) {
    i[axis] = start + i[axis] * step;
    return at(x, i);
  });
}

Tensor joined(const Tensors& parts, int axis) {
  Shape shape = parts[0].shape();
  for (std::size_t k = 1; k < parts.size(); ++k) shape[axis] += parts[k].shape()[axis];
  return build(shape, [&](Shape i) {
    std::size_t k = 0;
    while (i[axis] >= parts[k].shape()[axis]) i[axis] -= parts[k++].shape()[axis];
    // Not at(): a size of 1 is no broadcast here, but the index is 0 then anyway.
    return at(parts[k], i);
  });
}

Tensor triangle(const Tensor& x, std::int64_t diagonal, bool lower) {
  return build(x.shape(), [&](const Shape& i) {
    const std::int64_t d = i.back() - i[i.size() - 2];
    return (lower ? d <= diagonal : d >= diagonal) ? at(x, i) : 0.0;
  });
}

// The sum over what broadcasts from `shape`.
Tensor summed_to(const Tensor& x, const Shape& shape) {
  Tensor y = zeros(shape, f64);
  double* p = y.mutable_data<double>();
  const Shape strides = contiguous_strides(shape);
  each_index(x.shape(), [&](const Shape& i) {
    std::int64_t offset = 0;
    const int skipped = x.dim() - shape.size();
    for (int a = 0; a < shape.size(); ++a)
      if (shape[a] != 1) offset += i[skipped + a] * strides[a];
    p[offset] += at(x, i);
  });
  return y;
}

void push_shapes(std::vector<Row>& rows) {
  rows.push_back(view(
      "reshape", "",
      [](const Tensors& x) {
        return reshape(x[0], {-1, 2});
      },
      [](const Tensors& x) {
        return refold(x[0], {x[0].numel() / 2, 2});
      },
      {{{3, 4}}, {{2}}, {{2, 1, 3}}, {{4, 2}}},
      {{"(3,",
        [] {
          reshape(zeros({3}), {2, 2});
        }},
       {"-1",
        [] {
          reshape(zeros({4}), {-1, -1});
        }},
       {"",
        [] {
          reshape(zeros({4}), {-2, 2});
        }},
       {"", [] {
          reshape(zeros({0}), {-1, 0});
        }}}));
  rows.back().large = {{132, 517}};
  rows.push_back(view(
      "transpose", "", [](const Tensors& x) { return transpose(x[0], 0, -1); },
      [](const Tensors& x) {
        const int last = x[0].dim() - 1;
        return build(swapped(x[0].shape(), 0, last),
                     [&](const Shape& i) { return at(x[0], swapped(i, 0, last)); });
      },
      {{{3, 4}}, {{2, 3, 2}}, {{1, 5}}, {{0, 3}}, {{4}}},
      {{"axis",
        [] {
          transpose(zeros({2, 3}), 0, 2);
        }},
       {"axis", [] {
          transpose(zeros({2, 3}), -3, 0);
        }}}));
  rows.push_back(view(
      "permute", "",
      [](const Tensors& x) {
        return permute(x[0], {2, 0, -2});
      },
      [](const Tensors& x) {
        const Shape s = x[0].shape();
        return build({s[2], s[0], s[1]}, [&](const Shape& i) {
          return at(x[0], {i[1], i[2], i[0]});
        });
      },
      {{{2, 3, 4}}, {{1, 2, 3}}, {{2, 0, 3}}},
      {{"",
        [] {
          permute(zeros({2, 3}), {0});
        }},
       {"",
        [] {
          permute(zeros({2, 3}), {0, 0});
        }},
       {"axis", [] {
          permute(zeros({2, 3}), {0, 2});
        }}}));
  rows.back().large = {{67, 31, 129}};
  rows.push_back(view(
      "expand", "",
      [](const Tensors& x) {
        return expand(x[0], {2, 3, 4});
      },
      [](const Tensors& x) {
        return build({2, 3, 4}, [&](const Shape& i) { return at(x[0], i); });
      },
      {{{3, 4}}, {{4}}, {{1}}, {{}}, {{3, 1}}, {{2, 1, 4}}, {{2, 3, 4}}},
      {{"(3,",
        [] {
          expand(zeros({3}), {2, 4});
        }},
       {"",
        [] {
          expand(zeros({2, 3}), {3});
        }},
       {"", [] { expand(zeros({1}), {-2}); }}}));
  rows.back().large = {{3, 4}};
  rows.push_back(view(
      "sum_to", "",
      [](const Tensors& x) {
        return sum_to(x[0], {3, 1});
      },
      [](const Tensors& x) {
        return summed_to(x[0], {3, 1});
      },
      {{{3, 4}}, {{2, 3, 4}}, {{3, 1}}, {{2, 2, 3, 1}}},
      {{"", [] { sum_to(zeros({3}), {2}); }}, {"", [] {
                                                 sum_to(zeros({3}), {2, 3});
                                               }}}));
  rows.back().large = {{50, 3, 517}};
  rows.back().any_dtype = false;
  rows.back().length = [](const Tensors& x, const Tensor& y) {
    return std::max<std::int64_t>(1, x[0].numel() / y.numel());
  };
}

void push_cuts(std::vector<Row>& rows) {
  const std::vector<std::vector<Shape>> calls = {{{5, 4}}, {{7}}, {{6, 1, 2}}};
  struct Slice {
    const char* detail;
    std::int64_t start, stop, step, from, count5, count7, count6;
  };
  const auto counted = [](const Slice& s, std::int64_t n) {
    return n == 5 ? s.count5 : n == 7 ? s.count7 : n == 6 ? s.count6 : std::int64_t{301};
  };
  for (const Slice& s :
       {Slice{"1:4", 1, 4, 1, 1, 3, 3, 3}, Slice{"::2", 0, 100, 2, 0, 3, 4, 3},
        Slice{"-3:", -3, 100, 1, -3, 3, 3, 3}, Slice{"4:0:-2", 4, 0, -2, 4, 2, 2, 2},
        Slice{"::-1", 100, -100, -1, -1, 5, 7, 6}, Slice{"3:1", 3, 1, 1, 0, 0, 0, 0}})
    rows.push_back(view(
        "slice", s.detail,
        [s](const Tensors& x) { return slice(x[0], 0, s.start, s.stop, s.step); },
        [s, counted](const Tensors& x) {
          const std::int64_t n = x[0].size(0);
          return picked(x[0], 0, s.from < 0 ? s.from + n : s.from, s.step, counted(s, n));
        },
        calls,
        {{"axis",
          [] {
            slice(zeros({2, 3}), 2, 0, 1);
          }},
         {"step", [] {
            slice(zeros({2, 3}), 0, 0, 1, 0);
          }}}));
  for (int axis : {0, -1})
    rows.push_back(view(
        "flip", axis ? "axis -1" : "axis 0", [axis](const Tensors& x) { return flip(x[0], axis); },
        [axis](const Tensors& x) {
          const int a = axis < 0 ? x[0].dim() - 1 : axis;
          return picked(x[0], a, x[0].shape()[a] - 1, -1, x[0].shape()[a]);
        },
        {{{3, 4}}, {{5}}, {{2, 1, 3}}, {{0, 2}}, {{1}}}, {{"axis", [] {
                                                             flip(zeros({2, 3}), 2);
                                                           }}}));
  rows.push_back(view(
      "split", "3 parts, second", [](const Tensors& x) { return split(x[0], 3, 0)[1]; },
      [](const Tensors& x) {
        const std::int64_t n = x[0].size(0) / 3;
        return picked(x[0], 0, n, 1, n);
      },
      {{{6, 2}}, {{3}}, {{3, 1, 2}}},
      {{"3", [] { split(zeros({4}), 3, 0); }},
       {"", [] { split(zeros({4}), std::int64_t{0}, 0); }},
       {"axis", [] { split(zeros({4}), 2, 1); }}}));
  rows.back().large = {{132, 517}};
  rows.push_back(view(
      "split", "sizes 1 and 3, both",
      [](const Tensors& x) {
        const Tensors parts = split(x[0], Shape{1, 3}, -1);
        return parts[1] * 2.0 + parts[0];
      },
      [](const Tensors& x) {
        Shape shape = x[0].shape();
        shape[shape.size() - 1] = 3;
        return build(shape, [&](const Shape& i) {
          Shape first = i, rest = i;
          first[i.size() - 1] = 0;
          rest[i.size() - 1] = i.back() + 1;
          return 2 * at(x[0], rest) + at(x[0], first);
        });
      },
      {{{2, 4}}, {{4}}, {{2, 1, 4}}},
      {{"5",
        [] {
          split(zeros({5}), Shape{2, 2}, 0);
        }},
       {"", [] {
          split(zeros({2}), Shape{3, -1}, 0);
        }}}));
  rows.back().large = {{30000, 4}};
  rows.back().any_dtype = false;
}

void push_joins(std::vector<Row>& rows) {
  for (int axis : {0, -1}) {
    rows.push_back(view(
        "concat", axis ? "axis -1" : "axis 0", [axis](const Tensors& x) { return concat(x, axis); },
        [axis](const Tensors& x) { return joined(x, axis < 0 ? x[0].dim() - 1 : axis); },
        {axis ? std::vector<Shape>{{3, 4}, {3, 2}} : std::vector<Shape>{{3, 4}, {1, 4}},
         {{2}, {3}, {1}},
         {{2, 2}, {2, 2}},
         {{2}, {0}}},
        {{"(2, 3)",
          [] {
            concat({zeros({2, 3}), zeros({3, 2})}, 0);
          }},
         {"axis", [] { concat({zeros({2})}, 1); }},
         {"", [] { concat({}, 0); }},
         {"",
          [] {
            concat({zeros({}), zeros({})}, 0);
          }},
         {"f64", [] {
            concat({zeros({2}), zeros({2}, f64)}, 0);
          }}}));
    rows.back().large = {{131, 517}, {131, 517}};
    rows.push_back(view(
        "stack", axis ? "axis -1" : "axis 0", [axis](const Tensors& x) { return stack(x, axis); },
        [axis](const Tensors& x) {
          const int a = axis < 0 ? x[0].dim() : axis;
          Shape shape = x[0].shape();
          shape.insert(a, std::ssize(x));
          return build(shape, [&](Shape i) {
            const auto k = static_cast<std::size_t>(i[a]);
            i.erase(a);
            return at(x[k], i);
          });
        },
        {{{3, 4}, {3, 4}}, {{2}, {2}, {2}}, {{}, {}}, {{0}, {0}}, {{1}}},
        {{"(2,",
          [] {
            stack({zeros({2}), zeros({3})}, 0);
          }},
         {"axis", [] { stack({zeros({2})}, 2); }},
         {"", [] { stack({}, 0); }}}));
    rows.back().large = {{131, 517}, {131, 517}};
  }
  rows.push_back(view(
      "pad", "",
      [](const Tensors& x) {
        return pad(x[0], {{1, 2}, {0, 1}}, 7);
      },
      [](const Tensors& x) {
        const Shape s = x[0].shape();
        Shape shape = s;
        shape[0] += 3;
        shape[1] += 1;
        return build(shape, [&](Shape i) {
          i[0] -= 1;
          return i[0] < 0 || i[0] >= s[0] || i[1] >= s[1] ? 7.0 : at(x[0], i);
        });
      },
      {{{3, 4}}, {{1, 1}}, {{2, 2, 3}}, {{0, 2}}},
      {{"",
        [] {
          pad(zeros({2}), {{1, 1}, {1, 1}});
        }},
       {"-1", [] {
          pad(zeros({2}), {{-1, 0}});
        }}}));
  rows.back().any_dtype = false;
  const auto mask_bytes = [](const Tensors& x, const Tensor&) {
    return x[0].size(-2) * x[0].size(-1);
  };
  for (std::int64_t d : {0, 1, -1}) {
    static const char* names[] = {"below", "", "above"};
    rows.push_back(view(
        "tril", names[d + 1], [d](const Tensors& x) { return tril(x[0], d); },
        [d](const Tensors& x) { return triangle(x[0], d, true); },
        {{{3, 4}}, {{4, 2}}, {{2, 3, 3}}, {{1, 1}}, {{0, 3}}}, {{"", [] { tril(zeros({3})); }}}));
    rows.back().any_dtype = false;
    rows.back().also_kept = mask_bytes;
    rows.push_back(view(
        "triu", names[d + 1], [d](const Tensors& x) { return triu(x[0], d); },
        [d](const Tensors& x) { return triangle(x[0], d, false); },
        {{{3, 4}}, {{4, 2}}, {{2, 3, 3}}, {{1, 1}}, {{0, 3}}}, {{"", [] { triu(zeros({3})); }}}));
    rows.back().any_dtype = false;
    rows.back().also_kept = mask_bytes;
  }
}

}  // namespace

std::vector<Row> view_rows() {
  std::vector<Row> rows;
  push_shapes(rows);
  push_cuts(rows);
  push_joins(rows);
  return rows;
}

}  // namespace gradus::test
