// Reading and adding through indices.
#include "gradus/kernels/index.h"

#include "gradus/autograd/ops.h"
#include "gradus/autograd/precision.h"
#include "gradus/tensor/copy.h"
#include "gradus/tensor/dispatch.h"
#include "gradus/tensor/ledger.h"

namespace gradus {
namespace {

using detail::contiguous_value;
using detail::pointer;

IndexShape index_shape(const Shape& shape, int axis, std::int64_t picks) {
  IndexShape s;
  for (int i = 0; i < axis; ++i) s.outer *= shape[i];
  s.axis = shape[axis];
  s.picks = picks;
  for (int i = axis + 1; i < shape.size(); ++i) s.inner *= shape[i];
  return s;
}

// y = read(x through ids), whatever the dtype.
template <class Read>
void read_through(const char* name, const Tensor& x, const Tensor& ids, const Tensor& y,
                  Read read) {
  if (y.numel() == 0) return;
  detail::count(name, Work::move, 0, {&ids, &y, &y});  // as much is read of x as is written
  detail::with_bits(x.dtype(), [&](auto bits) {
    using U = decltype(bits);
    read(pointer<U>(x), detail::out_pointer<U>(y));
  });
}

template <class Add>
void add_through(const char* name, const Tensor& g, const Tensor& ids, const Tensor& y, Add add) {
  detail::count(name, Work::reduction, g.numel(), {&ids, &g, &g, &g});  // to y's: read and written
  with_float(name, g.dtype(), [&](auto zero) {
    using T = decltype(zero);
    if (g.numel()) add(pointer<T>(g), detail::out_pointer<T>(y));
  });
}

void check_gather(const char* name, const Tensor& x, int axis, const Tensor& index) {
  require(index.dim() == x.dim(), name, ": index ", index.shape(), " and tensor ", x.shape(),
          " need the same rank");
  for (int i = 0; i < x.dim(); ++i)
    require(i == axis || index.shape()[i] == x.shape()[i], name, ": index ", index.shape(),
            " and tensor ", x.shape(), " differ outside of axis ", axis);
}

}  // namespace

namespace detail {

// zeros(shape) with the rows of g added at ids along an axis: index_select's adjoint.
Tensor index_add(const Tensor& g, const Tensor& ids, int axis, const Shape& shape, Here here) {
  if (g.dtype() == DType::bf16)  // summed in f32
    return index_add(detail::widened(g), ids, axis, shape, here).to(DType::bf16, here);
  Tensor y = zeros(shape, g.dtype(), g.device());
  const IndexShape s = index_shape(shape, axis, ids.numel());
  add_through("index_select", contiguous_value(g), ids, y, [&](auto* from, auto* to) {
    GRADUS_RUN(g.device(), index_add(from, pointer<std::int64_t>(ids), s, to));
  });
  return record("index_select", here, y,
                wrt(g, [ids, axis](const Tensor& gg) { return index_select(gg, axis, ids); }));
}

}  // namespace detail

Tensor gather(At x, std::int64_t axis, At index) {
  detail::require_defined("gather", *x);
  const int a = checked_axis("gather", axis, x->dim());
  detail::require_dtype("gather", *index, DType::i64, "index");
  check_gather("gather", *x, a, *index);
  const Tensor ids = detail::checked_indices("gather", "index", *x, *index, x->shape()[a]);
  const Tensor in = contiguous_value(*x);
  Tensor y = empty(ids.shape(), x->dtype(), x->device());
  const IndexShape s = index_shape(x->shape(), a, ids.shape()[a]);
  read_through("gather", in, ids, y, [&](auto* from, auto* to) {
    GRADUS_RUN(x->device(), gather(from, pointer<std::int64_t>(ids), s, to));
  });
  return record("gather", x.here, y,
                wrt(x, [ids = saved(ids), a, shape = x->shape()](const Tensor& g) {
                  return scatter_add(zeros(shape, g.dtype(), g.device()), a, *ids, g);
                }));
}

Tensor scatter_add(At x, std::int64_t axis, At index, At source) {
  detail::require_floating("scatter_add", *x);
  detail::require_defined("scatter_add", *source);
  detail::require_same_dtype("scatter_add", *x, *source);
  const int a = checked_axis("scatter_add", axis, x->dim());
  detail::require_dtype("scatter_add", *index, DType::i64, "index");
  check_gather("scatter_add", *x, a, *index);
  require(source->shape() == index->shape(), "scatter_add: source ", source->shape(), " and index ",
          index->shape(), " differ");
  if (x->dtype() == DType::bf16)  // summed in f32
    return scatter_add(At(detail::widened(*x), x.here.file, x.here.line), axis, index,
                       detail::widened(*source))
        .to(DType::bf16, x.here);
  const Tensor ids = detail::checked_indices("scatter_add", "index", *x, *index, x->shape()[a]);
  Tensor y = detail::contiguous_copy(*x);
  const IndexShape s = index_shape(x->shape(), a, ids.shape()[a]);
  add_through("scatter_add", contiguous_value(*source), ids, y, [&](auto* from, auto* to) {
    GRADUS_RUN(x->device(), scatter_add(from, pointer<std::int64_t>(ids), s, to));
  });
  return record("scatter_add", x.here, y, wrt(x, [](const Tensor& g) { return g; }),
                wrt(source, [ids = saved(ids), a](const Tensor& g) { return gather(g, a, *ids); }));
}

Tensor index_select(At x, std::int64_t axis, At index) {
  detail::require_defined("index_select", *x);
  const int a = checked_axis("index_select", axis, x->dim());
  detail::require_dtype("index_select", *index, DType::i64, "index");
  require(index->dim() == 1, "index_select: index must have rank 1, got ", index->shape());
  const Tensor ids = detail::checked_indices("index_select", "index", *x, *index, x->shape()[a]);
  const Tensor in = contiguous_value(*x);
  Shape shape = x->shape();
  shape[a] = ids.numel();
  Tensor y = empty(shape, x->dtype(), x->device());
  const IndexShape s = index_shape(x->shape(), a, ids.numel());
  read_through("index_select", in, ids, y, [&](auto* from, auto* to) {
    GRADUS_RUN(x->device(), index_select(from, pointer<std::int64_t>(ids), s, to));
  });
  return record("index_select", x.here, y,
                wrt(x, [ids = saved(ids), a, shape = x->shape(), here = x.here](const Tensor& g) {
                  return detail::index_add(g, *ids, a, shape, here);
                }));
}

Tensor embedding(At weight, At ids) {
  detail::require_defined("embedding", *weight);
  require(weight->dim() == 2, "embedding: weight must be (rows, size), got ", weight->shape());
  detail::require_dtype("embedding", *ids, DType::i64, "ids");
  Shape shape = ids->shape();
  shape.push_back(weight->size(1));
  const Tensor flat = detail::checked_indices("embedding", "index", *weight, *ids, weight->size(0));
  const Tensor in = contiguous_value(*weight);
  Tensor y = empty(shape, weight->dtype(), weight->device());
  const IndexShape s = index_shape(weight->shape(), 0, flat.numel());
  read_through("embedding", in, flat, y, [&](auto* from, auto* to) {
    GRADUS_RUN(weight->device(), index_select(from, pointer<std::int64_t>(flat), s, to));
  });
  return record(
      "embedding", weight.here, y,
      wrt(weight,
          [ids = saved(flat), shape = weight->shape(), here = weight.here](const Tensor& g) {
            const Tensor rows = reshape(*ids, {ids->numel()});
            return detail::index_add(reshape(g, {ids->numel(), shape[1]}), rows, 0, shape, here);
          }));
}

Tensor one_hot(At ids, std::int64_t classes, DType dtype) {
  require(classes >= 1, "one_hot: needs at least one class, got ", classes);
  const Tensor flat = detail::checked_indices("one_hot", "index", *ids, *ids, classes);
  Shape shape = ids->shape();
  shape.push_back(classes);
  checked_numel("one_hot", shape, item_size(dtype));
  Tensor y = empty(shape, dtype == DType::f64 ? DType::f64 : DType::f32, ids->device());
  detail::count("one_hot", Work::move, 0, {&flat, &y});
  with_float("one_hot", y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    GRADUS_RUN(y.device(), one_hot(pointer<std::int64_t>(flat), flat.numel(), classes,
                                   detail::out_pointer<T>(y)));
  });
  return y.dtype() == dtype ? y : y.to(dtype);
}

}  // namespace gradus
