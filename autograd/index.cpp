// Reading and adding through indices.
#include "gradus/kernels/index.h"

#include "gradus/autograd/ops.h"
#include "gradus/tensor/copy.h"

namespace gradus {
namespace {

using detail::contiguous_value;
using detail::first_byte;
using detail::first_byte_mutable;

// Indices as the kernels take them, each known to lie in [0, limit).
Tensor checked_ids(const char* name, const Tensor& ids, std::int64_t limit) {
  detail::require_dtype(name, ids, DType::i64, "indices");
  const Tensor flat = contiguous_value(ids);
  const std::int64_t* p = flat.data<std::int64_t>();
  const std::int64_t bad = cpu::find_out_of_range(name, p, flat.numel(), limit);
  if (bad >= 0)
    fail(name, ": index ", p[bad], " at position ", bad, " lies outside of [0, ", limit, ")");
  return flat;
}

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
void read_through(const Tensor& x, const Tensor& y, Read read) {
  if (y.numel() == 0) return;
  auto run = [&](auto bits) {
    using U = decltype(bits);
    read(reinterpret_cast<const U*>(first_byte(x)), reinterpret_cast<U*>(first_byte_mutable(y)));
  };
  switch (item_size(x.dtype())) {
    case 1:
      return run(std::uint8_t{});
    case 2:
      return run(std::uint16_t{});
    case 4:
      return run(std::uint32_t{});
    default:
      return run(std::uint64_t{});
  }
}

template <class Add>
void add_through(const char* name, const Tensor& g, const Tensor& y, Add add) {
  with_float(name, g.dtype(), [&](auto zero) {
    using T = decltype(zero);
    if (g.numel())
      add(reinterpret_cast<const T*>(first_byte(g)), reinterpret_cast<T*>(first_byte_mutable(y)));
  });
}

// zeros(shape) with the rows of g added at ids along an axis: index_select's adjoint.
Tensor index_add(const Tensor& g, const Tensor& ids, int axis, const Shape& shape, Here here) {
  Tensor y = zeros(shape, g.dtype(), g.device());
  const IndexShape s = index_shape(shape, axis, ids.numel());
  add_through("index_select", contiguous_value(g), y,
              [&](auto* from, auto* to) { cpu::index_add(from, ids.data<std::int64_t>(), s, to); });
  return record("index_select", here, y,
                wrt(g, [ids, axis](const Tensor& gg) { return index_select(gg, axis, ids); }));
}

void check_gather(const char* name, const Tensor& x, int axis, const Tensor& index) {
  require(index.dim() == x.dim(), name, ": index ", index.shape(), " and tensor ", x.shape(),
          " need the same rank");
  for (int i = 0; i < x.dim(); ++i)
    require(i == axis || index.shape()[i] == x.shape()[i], name, ": index ", index.shape(),
            " and tensor ", x.shape(), " differ outside of axis ", axis);
}

}  // namespace

Tensor gather(At x, std::int64_t axis, At index) {
  detail::require_defined("gather", *x);
  const int a = checked_axis("gather", axis, x->dim());
  detail::require_dtype("gather", *index, DType::i64, "indices");
  check_gather("gather", *x, a, *index);
  const Tensor ids = checked_ids("gather", *index, x->shape()[a]);
  const Tensor in = contiguous_value(*x);
  Tensor y = empty(ids.shape(), x->dtype(), x->device());
  const IndexShape s = index_shape(x->shape(), a, ids.shape()[a]);
  read_through(in, y,
               [&](auto* from, auto* to) { cpu::gather(from, ids.data<std::int64_t>(), s, to); });
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
  detail::require_dtype("scatter_add", *index, DType::i64, "indices");
  check_gather("scatter_add", *x, a, *index);
  require(source->shape() == index->shape(), "scatter_add: source ", source->shape(), " and index ",
          index->shape(), " differ");
  const Tensor ids = checked_ids("scatter_add", *index, x->shape()[a]);
  Tensor y = detail::contiguous_copy(*x);
  const IndexShape s = index_shape(x->shape(), a, ids.shape()[a]);
  add_through("scatter_add", contiguous_value(*source), y, [&](auto* from, auto* to) {
    cpu::scatter_add(from, ids.data<std::int64_t>(), s, to);
  });
  return record("scatter_add", x.here, y, wrt(x, [](const Tensor& g) { return g; }),
                wrt(source, [ids = saved(ids), a](const Tensor& g) { return gather(g, a, *ids); }));
}

Tensor index_select(At x, std::int64_t axis, At index) {
  detail::require_defined("index_select", *x);
  const int a = checked_axis("index_select", axis, x->dim());
  detail::require_dtype("index_select", *index, DType::i64, "indices");
  require(index->dim() == 1, "index_select: index must have rank 1, got ", index->shape());
  const Tensor ids = checked_ids("index_select", *index, x->shape()[a]);
  const Tensor in = contiguous_value(*x);
  Shape shape = x->shape();
  shape[a] = ids.numel();
  Tensor y = empty(shape, x->dtype(), x->device());
  const IndexShape s = index_shape(x->shape(), a, ids.numel());
  read_through(in, y, [&](auto* from, auto* to) {
    cpu::index_select(from, ids.data<std::int64_t>(), s, to);
  });
  return record("index_select", x.here, y,
                wrt(x, [ids = saved(ids), a, shape = x->shape(), here = x.here](const Tensor& g) {
                  return index_add(g, *ids, a, shape, here);
                }));
}

Tensor embedding(At weight, At ids) {
  detail::require_defined("embedding", *weight);
  require(weight->dim() == 2, "embedding: weight must be (rows, size), got ", weight->shape());
  detail::require_dtype("embedding", *ids, DType::i64, "ids");
  Shape shape = ids->shape();
  shape.push_back(weight->size(1));
  const Tensor flat = checked_ids("embedding", *ids, weight->size(0));
  const Tensor in = contiguous_value(*weight);
  Tensor y = empty(shape, weight->dtype(), weight->device());
  const IndexShape s = index_shape(weight->shape(), 0, flat.numel());
  read_through(in, y, [&](auto* from, auto* to) {
    cpu::index_select(from, flat.data<std::int64_t>(), s, to);
  });
  return record("embedding", weight.here, y,
                wrt(weight, [ids = saved(flat), shape = weight->shape(),
                             here = weight.here](const Tensor& g) {
                  const Tensor rows = reshape(*ids, {ids->numel()});
                  return index_add(reshape(g, {ids->numel(), shape[1]}), rows, 0, shape, here);
                }));
}

Tensor one_hot(At ids, std::int64_t classes, DType dtype) {
  require(classes >= 1, "one_hot: needs at least one class, got ", classes);
  const Tensor flat = checked_ids("one_hot", *ids, classes);
  Shape shape = ids->shape();
  shape.push_back(classes);
  checked_numel("one_hot", shape, item_size(dtype));
  Tensor y = empty(shape, dtype == DType::f64 ? DType::f64 : DType::f32, ids->device());
  with_float("one_hot", y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    cpu::one_hot(flat.data<std::int64_t>(), flat.numel(), classes,
                 reinterpret_cast<T*>(first_byte_mutable(y)));
  });
  return y.dtype() == dtype ? y : y.to(dtype);
}

}  // namespace gradus
