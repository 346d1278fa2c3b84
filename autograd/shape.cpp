// Views and copies. A view shares memory; its rule is the adjoint rearrangement.
#include <algorithm>
#include <cmath>

#include "gradus/autograd/ops.h"
#include "gradus/tensor/copy.h"

namespace gradus {
namespace {

using detail::require_defined;

Tensor view(const char* name, Here here, const Tensor& x, const Shape& shape, const Shape& strides,
            std::int64_t offset, auto rule) {
  return record(name, here, x.alias(shape, strides, offset), wrt(x, std::move(rule)));
}

// Adds g into the part of a zero tensor that a slice took: the slice's adjoint.
Tensor unslice(const Tensor& g, const Shape& shape, int axis, std::int64_t start, std::int64_t step,
               Here here) {
  Tensor y = zeros(shape, g.dtype(), g.device());
  Shape strides = y.strides();
  const std::int64_t offset = start * strides[axis];
  strides[axis] *= step;
  if (g.numel()) detail::copy_elements(g, y.alias(g.shape(), strides, offset));
  const std::int64_t count = g.shape()[axis];
  return record("slice", here, y, wrt(g, [=](const Tensor& gg) {
                  Shape part = gg.shape(), s = gg.strides();
                  part[axis] = count;
                  s[axis] *= step;
                  const std::int64_t at = gg.impl().offset + start * gg.strides()[axis];
                  return record("slice", here, gg.alias(part, s, at),
                                wrt(gg, [=, whole = gg.shape()](const Tensor& ggg) {
                                  return unslice(ggg, whole, axis, start, step, here);
                                }));
                }));
}

Tensor strided_slice(At x, int axis, std::int64_t start, std::int64_t count, std::int64_t step,
                     const char* name = "slice") {
  Shape shape = x->shape(), strides = x->strides();
  const std::int64_t offset = x->impl().offset + (count ? start * strides[axis] : 0);
  shape[axis] = count;
  strides[axis] *= step;
  return view(name, x.here, *x, shape, strides, offset,
              [=, whole = x->shape(), here = x.here](const Tensor& g) {
                return unslice(g, whole, axis, start, step, here);
              });
}

// Strides under which x's memory has the new shape, if there are any.
std::optional<Shape> reshaped_strides(const Tensor& x, const Shape& shape) {
  if (x.is_contiguous()) return contiguous_strides(shape);
  Shape strides = shape;
  int from = 0, to = 0;
  const Shape& old = x.shape();
  while (from < old.size() && to < shape.size()) {
    // The smallest groups of axes with the same number of elements.
    const int from_begin = from, to_begin = to;
    std::int64_t a = old[from++], b = shape[to++];
    while (a != b) {
      if (a < b) {
        if (from == old.size()) return {};
        a *= old[from++];
      } else {
        if (to == shape.size()) return {};
        b *= shape[to++];
      }
    }
    for (int i = from_begin; i + 1 < from; ++i)
      if (x.strides()[i] != x.strides()[i + 1] * old[i + 1]) return {};
    std::int64_t step = x.strides()[from - 1];
    for (int i = to; i-- > to_begin;) {
      strides[i] = step;
      step *= shape[i];
    }
  }
  for (; to < shape.size(); ++to) strides[to] = 1;  // sizes of 1 are left
  return strides;
}

}  // namespace

Tensor reshape(At x, const Shape& shape) {
  require_defined("reshape", *x);
  Shape sizes = shape;
  int unknown = -1;
  std::int64_t known = 1;
  for (int i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == -1) {
      require(unknown < 0, "reshape: more than one -1 in ", shape);
      unknown = i;
    } else {
      require(sizes[i] >= 0, "reshape: sizes must not be negative: ", shape);
    }
  }
  Shape rest = sizes;
  if (unknown >= 0) rest.erase(unknown);
  known = checked_numel("reshape", rest);
  if (unknown >= 0) {
    require(known > 0 && x->numel() % known == 0, "reshape: ", x->shape(), " does not divide into ",
            shape);
    sizes[unknown] = x->numel() / known;
  }
  require(checked_numel("reshape", sizes) == x->numel(), "reshape: ", x->shape(), " has ",
          x->numel(), " elements, ", shape, " another number");
  auto rule = [before = x->shape()](const Tensor& g) { return reshape(g, before); };
  if (x->numel() == 0) {
    return view("reshape", x.here, *x, sizes, contiguous_strides(sizes), x->impl().offset, rule);
  }
  if (const auto strides = reshaped_strides(*x, sizes))
    return view("reshape", x.here, *x, sizes, *strides, x->impl().offset, rule);
  const Tensor copy = detail::contiguous_copy(*x);
  return record("reshape", x.here, copy.alias(sizes, contiguous_strides(sizes), 0), wrt(x, rule));
}

Tensor permute(At x, const Shape& axes) {
  require_defined("permute", *x);
  require(axes.size() == x->dim(), "permute: ", axes, " is no order of the axes of ", x->shape());
  Shape shape = x->shape(), strides = x->strides(), inverse = axes;
  bool seen[max_rank] = {};
  for (int i = 0; i < axes.size(); ++i) {
    const int a = checked_axis("permute", axes[i], x->dim());
    require(!seen[a], "permute: axis ", a, " stands twice in ", axes);
    seen[a] = true;
    shape[i] = x->shape()[a];
    strides[i] = x->strides()[a];
    inverse[a] = i;
  }
  return view("permute", x.here, *x, shape, strides, x->impl().offset,
              [inverse](const Tensor& g) { return permute(g, inverse); });
}

Tensor transpose(At x, std::int64_t a, std::int64_t b) {
  require_defined("transpose", *x);
  const int i = checked_axis("transpose", a, x->dim()), j = checked_axis("transpose", b, x->dim());
  Shape shape = x->shape(), strides = x->strides();
  std::swap(shape[i], shape[j]);
  std::swap(strides[i], strides[j]);
  return view("transpose", x.here, *x, shape, strides, x->impl().offset,
              [i, j](const Tensor& g) { return transpose(g, i, j); });
}

Tensor expand(At x, const Shape& shape) {
  require_defined("expand", *x);
  Shape sizes = shape;
  const int missing = shape.size() - x->dim();
  require(missing >= 0, "expand: ", shape, " has fewer axes than ", x->shape());
  for (int i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == -1 && i >= missing) sizes[i] = x->shape()[i - missing];
    require(sizes[i] >= 0 && (i < missing || x->shape()[i - missing] == sizes[i] ||
                              x->shape()[i - missing] == 1),
            "expand: ", x->shape(), " does not expand to ", shape);
  }
  checked_numel("expand", sizes, item_size(x->dtype()));
  return view("expand", x.here, *x, sizes, detail::broadcast_strides(*x, sizes), x->impl().offset,
              [before = x->shape()](const Tensor& g) { return sum_to(g, before); });
}

Tensor slice(At x, std::int64_t axis, std::int64_t start, std::int64_t stop, std::int64_t step) {
  require_defined("slice", *x);
  const int a = checked_axis("slice", axis, x->dim());
  require(step != 0, "slice: the step must not be 0");
  const std::int64_t n = x->shape()[a];
  const std::int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
  auto bound = [&](std::int64_t i) {
    return std::clamp(i < 0 ? std::max(i, -n - 1) + n : i, low, high);
  };
  const std::int64_t from = bound(start), to = bound(stop);
  const std::int64_t span = step > 0 ? to - from : from - to;
  const std::int64_t stride = step == INT64_MIN ? INT64_MAX : std::abs(step);
  const std::int64_t count = span > 0 ? (span - 1) / stride + 1 : 0;
  return strided_slice(x, a, from, count, count > 1 ? step : 1);
}

Tensor flip(At x, std::int64_t axis) {
  require_defined("flip", *x);
  const int a = checked_axis("flip", axis, x->dim());
  const std::int64_t n = x->shape()[a];
  return n ? strided_slice(x, a, n - 1, n, -1, "flip") : strided_slice(x, a, 0, 0, 1, "flip");
}

Tensor concat(const std::vector<Tensor>& tensors, std::int64_t axis, Here here) {
  require(!tensors.empty(), "concat: no tensors");
  for (const Tensor& t : tensors) require_defined("concat", t);
  const Tensor& first = tensors[0];
  const int a = checked_axis("concat", axis, first.dim());
  Shape shape = first.shape();
  shape[a] = 0;
  for (const Tensor& t : tensors) {
    detail::require_same_dtype("concat", first, t);
    bool fits = t.dim() == first.dim();
    for (int i = 0; fits && i < t.dim(); ++i) fits = i == a || t.shape()[i] == shape[i];
    require(fits, "concat: shapes differ outside of axis ", a, ": ", first.shape(), " and ",
            t.shape());
    shape[a] += t.shape()[a];
  }
  Tensor y = empty(shape, first.dtype(), first.device());
  std::vector<const Tensor*> inputs;
  std::vector<std::int64_t> starts;
  std::int64_t at = 0;
  for (const Tensor& t : tensors) {
    inputs.push_back(&t);
    starts.push_back(at);
    if (t.numel()) detail::copy_elements(t, y.alias(t.shape(), y.strides(), at * y.strides()[a]));
    at += t.shape()[a];
  }
  starts.push_back(at);
  return record_joint("concat", here, y, inputs.data(), static_cast<int>(inputs.size()), false,
                      [a, starts](const Tensor& g, const Tensor&, const bool* wanted, Tensor* out) {
                        for (std::size_t i = 0; i + 1 < starts.size(); ++i)
                          if (wanted[i]) out[i] = slice(g, a, starts[i], starts[i + 1]);
                      });
}

Tensor stack(const std::vector<Tensor>& tensors, std::int64_t axis, Here here) {
  require(!tensors.empty(), "stack: no tensors");
  std::vector<Tensor> rows;
  for (const Tensor& t : tensors) {
    require_defined("stack", t);
    require(t.shape() == tensors[0].shape(), "stack: shapes differ: ", tensors[0].shape(), " and ",
            t.shape());
    rows.push_back(t.unsqueeze(checked_axis("stack", axis, t.dim() + 1), here));
  }
  return concat(rows, axis, here);
}

std::vector<Tensor> split(At x, const Shape& sizes, std::int64_t axis) {
  require_defined("split", *x);
  const int a = checked_axis("split", axis, x->dim());
  std::int64_t total = 0;
  for (std::int64_t s : sizes) {
    require(s >= 0, "split: sizes must not be negative: ", sizes);
    total += s;
  }
  require(total == x->shape()[a], "split: sizes ", sizes, " do not add up to ", x->shape()[a],
          ", the size of axis ", a);
  std::vector<Tensor> parts;
  std::int64_t at = 0;
  for (std::int64_t s : sizes) {
    parts.push_back(slice(x, a, at, at + s));
    at += s;
  }
  return parts;
}

std::vector<Tensor> split(At x, std::int64_t parts, std::int64_t axis) {
  require_defined("split", *x);
  const int a = checked_axis("split", axis, x->dim());
  const std::int64_t n = x->shape()[a];
  require(parts > 0 && n % parts == 0, "split: ", n, " elements of axis ", a, " of ", x->shape(),
          " do not divide into ", parts, " equal parts");
  std::vector<Tensor> result;
  for (std::int64_t i = 0; i < parts; ++i)
    result.push_back(slice(x, a, i * (n / parts), (i + 1) * (n / parts)));
  return result;
}

Tensor pad(At x, const std::vector<std::pair<std::int64_t, std::int64_t>>& amounts, double value) {
  require_defined("pad", *x);
  require(std::ssize(amounts) <= x->dim(), "pad: ", amounts.size(), " amounts for shape ",
          x->shape());
  Shape shape = x->shape();
  for (std::size_t i = 0; i < amounts.size(); ++i) {
    require(amounts[i].first >= 0 && amounts[i].second >= 0,
            "pad: amounts must not be negative: ", amounts[i].first, " and ", amounts[i].second,
            " for axis ", i);
    shape[static_cast<int>(i)] += amounts[i].first + amounts[i].second;
  }
  checked_numel("pad", shape, item_size(x->dtype()));
  Tensor y = full(shape, value, x->dtype(), x->device());
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < amounts.size(); ++i)
    offset += amounts[i].first * y.strides()[static_cast<int>(i)];
  if (x->numel()) detail::copy_elements(*x, y.alias(x->shape(), y.strides(), offset));
  return record("pad", x.here, y, wrt(x, [amounts, inner = x->shape()](const Tensor& g) {
                  Tensor part = g;
                  for (std::size_t i = 0; i < amounts.size(); ++i)
                    part = slice(part, static_cast<int>(i), amounts[i].first,
                                 amounts[i].first + inner[static_cast<int>(i)]);
                  return part;
                }));
}

namespace {

// 1 where column - row <= diagonal.
Tensor lower_mask(const char* name, const Tensor& x, std::int64_t diagonal) {
  require_defined(name, x);
  require(x.dim() >= 2, name, ": needs a matrix, got shape ", x.shape());
  // Counted where x is: a copy from the CPU could not be part of a graph.
  const auto count = [&](std::int64_t n) { return cumsum(ones({n}, DType::f64, x.device()), 0); };
  return less_equal(sub(count(x.size(-1)), count(x.size(-2)).unsqueeze(1)),
                    static_cast<double>(diagonal));
}

}  // namespace

Tensor tril(At x, std::int64_t diagonal) {
  const Tensor mask = lower_mask("tril", *x, diagonal);
  return where(At(mask, x.here.file, x.here.line), x, 0.0);
}
Tensor triu(At x, std::int64_t diagonal) {
  const Tensor mask = lower_mask("triu", *x, diagonal - 1);
  return where(At(mask, x.here.file, x.here.line), 0.0, x);
}

Tensor sum_to(At x, const Shape& shape) {
  require_defined("sum_to", *x);
  if (x->shape() == shape) return *x;
  const int extra = x->dim() - shape.size();
  require(extra >= 0 && broadcast_shapes("sum_to", x->shape(), shape) == x->shape(),
          "sum_to: ", shape, " does not broadcast to ", x->shape());
  Axes axes{Shape{}};
  for (int i = 0; i < x->dim(); ++i)
    if (i < extra || (shape[i - extra] == 1 && x->shape()[i] != 1)) axes.list->push_back(i);
  const Tensor y = sum(x, axes);
  return reshape(At(y, x.here.file, x.here.line), shape);
}

}  // namespace gradus
