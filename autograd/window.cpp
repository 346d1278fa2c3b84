// Windows of an axis, and what is made of windows of images: convolution and pooling, by their
// definitions.
#include <algorithm>

#include "gradus/autograd/ops.h"
#include "gradus/autograd/precision.h"
#include "gradus/tensor/copy.h"

namespace gradus {
namespace detail {
Tensor index_add(const Tensor& g, const Tensor& ids, int axis, const Shape& shape, Here here);
}
namespace {

At at(const Tensor& t, Here here) { return At(t, here.file, here.line); }

// Adds every window back to where it was read: the adjoint of unfold.
Tensor fold(const Tensor& g, int axis, std::int64_t step, const Shape& whole, Here here) {
  const std::int64_t windows = g.shape()[axis], size = g.size(-1);
  Shape order, rows = whole;
  for (int i = 0; i < whole.size(); ++i) {
    order.push_back(i);
    if (i == axis) order.push_back(whole.size());
  }
  rows[axis] = windows * size;
  // Element j of window i lies at i step + j. Counted on the device: a recorded step (graphed)
  // takes no copies from the CPU.
  const auto count = [&](std::int64_t n) {
    return cumsum(ones({n}, DType::f64, g.device()), 0) - 1.0;
  };
  const Tensor places = count(windows).unsqueeze(1) * static_cast<double>(step) + count(size);
  const Tensor ids = reshape(places.detach().to(DType::i64), {windows * size});
  return detail::index_add(reshape(permute(g, order), rows), ids, axis, whole, here);
}

void check_images(const char* name, const Tensor& x) {
  detail::require_floating(name, x);
  require(x.dim() == 4, name, ": needs images (batch, channels, height, width), got ", x.shape());
}

constexpr std::int64_t most = std::int64_t{1} << 31;

void check_range(const char* name, const char* what, HeightWidth v, std::int64_t least) {
  require(v.height >= least && v.width >= least && v.height < most && v.width < most, name, ": ",
          what, " must be at least ", least, " and below 2^31, got ", Shape{v.height, v.width});
}

// Windows of images, zeros around them: (batch, channels, rows, columns, height, width).
Tensor windows(const char* name, At x, HeightWidth size, HeightWidth stride, HeightWidth padding,
               HeightWidth dilation) {
  check_range(name, "stride", stride, 1);
  check_range(name, "padding", padding, 0);
  check_range(name, "dilation", dilation, 1);
  const std::int64_t height = dilation.height * (size.height - 1) + 1;
  const std::int64_t width = dilation.width * (size.width - 1) + 1;
  require(height <= x->size(2) + 2 * padding.height && width <= x->size(3) + 2 * padding.width,
          name, ": the window ", Shape{height, width}, " is larger than the image ",
          Shape{x->size(2), x->size(3)}, " with padding ", Shape{padding.height, padding.width});
  const Here here = x.here;
  Tensor y = *x;
  if (padding.height || padding.width)
    y = pad(x, {{0, 0}, {0, 0}, {padding.height, padding.height}, {padding.width, padding.width}});
  y = unfold(at(unfold(at(y, here), 2, height, stride.height), here), 3, width, stride.width);
  if (dilation.height > 1) y = y.slice(4, 0, height, dilation.height, here);
  if (dilation.width > 1) y = y.slice(5, 0, width, dilation.width, here);
  return y;
}

}  // namespace

Tensor unfold(At x, std::int64_t axis, std::int64_t size, std::int64_t step) {
  detail::require_defined("unfold", *x);
  const int a = checked_axis("unfold", axis, x->dim());
  const std::int64_t n = x->shape()[a];
  require(size >= 1 && size <= n, "unfold: a window of ", size, " in axis ", a, " of ", x->shape());
  require(step >= 1, "unfold: the step must be at least 1, got ", step);
  Shape shape = x->shape(), strides = x->strides();
  shape[a] = (n - size) / step + 1;
  shape.push_back(size);
  strides.push_back(strides[a]);
  if (shape[a] > 1) strides[a] *= step;
  return record("unfold", x.here, x->alias(shape, strides, x->impl().offset),
                wrt(x, [=, whole = x->shape(), here = x.here](const Tensor& g) {
                  return fold(g, a, step, whole, here);
                }));
}

Tensor conv2d(At x, At weight, const Tensor& bias, const Conv2dOptions& options) {
  check_images("conv2d", *x);
  detail::require_floating("conv2d", *weight);
  detail::require_same_dtype("conv2d", *x, *weight);
  require(weight->dim() == 4 && weight->size(2) > 0 && weight->size(3) > 0,
          "conv2d: weight must be (out, channels / groups, height, width), got ", weight->shape());
  const std::int64_t n = x->size(0), channels = x->size(1), out = weight->size(0);
  const std::int64_t groups = options.groups;
  require(groups >= 1 && channels % groups == 0 && out % groups == 0, "conv2d: ", groups,
          " groups do not divide ", channels, " channels into ", out);
  require(weight->size(1) == channels / groups, "conv2d: weight ", weight->shape(),
          " does not take ", channels, " channels in ", groups, " groups");
  if (bias.defined()) {
    detail::require_same_dtype("conv2d", *x, bias);
    require(bias.shape() == Shape{out}, "conv2d: bias must be (", out, ",), got ", bias.shape());
  }
  const auto of = [&, here = x.here](const Tensor& images, const Tensor& kernels,
                                     const Tensor& shift) {
    const Tensor w = windows("conv2d", at(images, here), {kernels.size(2), kernels.size(3)},
                             options.stride, options.padding, options.dilation);
    const std::int64_t terms = kernels.numel() / std::max<std::int64_t>(out, 1);
    const Tensor columns = w.permute({0, 1, 4, 5, 2, 3}, here)
                               .reshape({n, groups, terms, w.size(2) * w.size(3)}, here);
    const Tensor filters = kernels.reshape({groups, out / groups, terms}, here);
    const Tensor y =
        matmul(at(filters, here), columns).reshape({n, out, w.size(2), w.size(3)}, here);
    return shift.defined() ? add(at(y, here), shift.reshape({out, 1, 1}, here)) : y;
  };
  return detail::in_float(x->dtype(), of, *x, *weight, bias);
}

Tensor avg_pool2d(At x, HeightWidth size, const Pool2dOptions& options) {
  check_images("avg_pool2d", *x);
  check_range("avg_pool2d", "size", size, 1);
  require(2 * options.padding.height <= size.height && 2 * options.padding.width <= size.width,
          "avg_pool2d: padding ", Shape{options.padding.height, options.padding.width},
          " is more than half of the window ", Shape{size.height, size.width});
  const Tensor w =
      windows("avg_pool2d", x, size, options.stride.value_or(size), options.padding, 1);
  return mean(at(w, x.here), {-2, -1});
}

Tensor upsample(At x, HeightWidth factor) {
  check_images("upsample", *x);
  check_range("upsample", "factor", factor, 1);
  const std::int64_t n = x->size(0), c = x->size(1), h = x->size(2), w = x->size(3);
  return x->reshape({n, c, h, 1, w, 1}, x.here)
      .expand({n, c, h, factor.height, w, factor.width}, x.here)
      .reshape({n, c, h * factor.height, w * factor.width}, x.here);
}

}  // namespace gradus
