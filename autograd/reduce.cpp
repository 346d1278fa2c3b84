// Reductions over axes.
#include <algorithm>
#include <cmath>
#include <limits>

#include "gradus/autograd/ops.h"
#include "gradus/autograd/precision.h"
#include "gradus/autograd/walk.h"
#include "gradus/kernels/index.h"
#include "gradus/kernels/reduce.h"
#include "gradus/tensor/copy.h"
#include "gradus/tensor/dispatch.h"
#include "gradus/tensor/ledger.h"

namespace gradus {
namespace {

// Which axes go, and the shapes that follow.
struct Plan {
  unsigned axes = 0;       // bit i: axis i is reduced
  Shape kept_ones;         // the input's shape with 1 for each reduced axis
  Shape kept;              // without them
  std::int64_t count = 1;  // of elements reduced to one

  const Shape& result(bool keepdim) const { return keepdim ? kept_ones : kept; }
};

Plan plan_of(const char* name, const Tensor& x, const Axes& axes) {
  detail::require_defined(name, x);
  Plan p;
  if (!axes.list) {
    p.axes = (1u << x.dim()) - 1;
  } else {
    for (std::int64_t axis : *axes.list) {
      const unsigned bit = 1u << checked_axis(name, axis, x.dim());
      require(!(p.axes & bit), name, ": axis ", axis, " stands twice in ", *axes.list);
      p.axes |= bit;
    }
  }
  for (int i = 0; i < x.dim(); ++i) {
    const bool reduced = p.axes >> i & 1;
    p.kept_ones.push_back(reduced ? 1 : x.shape()[i]);
    if (reduced)
      p.count *= x.shape()[i];
    else
      p.kept.push_back(x.shape()[i]);
  }
  return p;
}

ReduceShape loops_of(const Tensor& x, const Plan& p) {
  return reduce_shape(detail::extents_of(x.shape()), x.strides().begin(), p.axes);
}

using detail::in_float;
using detail::out_pointer;
using detail::pointer;

// A new tensor from kernel(T*, input pointer, loops).
template <class Kernel>
Tensor reduced(const char* name, const Tensor& x, const Plan& p, bool keepdim, Kernel kernel) {
  return detail::with_stored(name, x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    Tensor y = empty(p.result(keepdim), x.dtype(), x.device());
    detail::count(name, Work::reduction, x.numel(), {&x, &y});
    if (y.numel()) kernel(pointer<T>(x), loops_of(x, p), out_pointer<T>(y));
    return y;
  });
}

Tensor summed(const char* name, const Tensor& x, const Plan& p, bool keepdim) {
  return reduced(name, x, p, keepdim, [&](auto* in, const ReduceShape& s, auto* out) {
    GRADUS_RUN(x.device(), sum(in, s, out));
  });
}
// The sum of bf16 in f32, for what follows.
Tensor summed_in_float(const Tensor& x, const Plan& p, bool keepdim) {
  Tensor y = empty(p.result(keepdim), DType::f32, x.device());
  detail::count("mean", Work::reduction, x.numel(), {&x, &y});
  if (y.numel())
    GRADUS_RUN(x.device(), sum(pointer<bf16>(x), loops_of(x, p), out_pointer<float>(y)));
  return y;
}

// f(x in f32), for what has no kernel that reads bf16.
template <class F>
Tensor of_widened(At x, const F& f) {
  const Tensor wide = x->to(DType::f32, x.here);
  return f(At(wide, x.here.file, x.here.line));
}

void require_elements(const char* name, const Tensor& x, const Plan& p) {
  require(p.count > 0, name, ": nothing to reduce, an axis is empty: ", x.shape());
}

Tensor sum_of_integers(At x, const Plan& p, bool keepdim) {
  Tensor y = empty(p.result(keepdim), DType::i64, x->device());
  detail::count("sum", Work::reduction, x->numel(), {&*x, &y});
  auto run = [&](auto zero) {
    if (y.numel())
      GRADUS_RUN(x->device(), sum_integers(pointer<decltype(zero)>(*x), loops_of(*x, p),
                                           out_pointer<std::int64_t>(y)));
  };
  switch (x->dtype()) {
    case DType::i32:
      run(std::int32_t{});
      break;
    case DType::i64:
      run(std::int64_t{});
      break;
    case DType::u8:
      run(std::uint8_t{});
      break;
    default:
      run(bool{});
      break;
  }
  return record_nothing("sum", x.here, y, {&*x});
}

// How many elements are the largest or the smallest, in the shape with ones.
template <bool largest>
Tensor counted(const char* name, const Tensor& x, const Plan& p) {
  const Tensor y = empty(p.kept_ones, x.dtype(), x.device());
  detail::count(name, Work::reduction, x.numel(), {&x, &y});
  with_float(name, x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    if (y.numel() == 0) return;
    if constexpr (largest)
      GRADUS_RUN(x.device(), count_max(pointer<T>(x), loops_of(x, p), out_pointer<T>(y)));
    else
      GRADUS_RUN(x.device(), count_min(pointer<T>(x), loops_of(x, p), out_pointer<T>(y)));
  });
  return y;
}

// max and min: the gradient goes to the extreme elements, in equal shares.
template <bool largest>
Tensor extreme(const char* name, At x, const Axes& axes, bool keepdim) {
  const Plan p = plan_of(name, *x, axes);
  require_elements(name, *x, p);
  const Tensor y = reduced(name, *x, p, keepdim, [&](auto* in, const ReduceShape& s, auto* out) {
    if constexpr (largest)
      GRADUS_RUN(x->device(), max(in, s, out));
    else
      GRADUS_RUN(x->device(), min(in, s, out));
  });
  return record(name, x.here, y, wrt(x, [x = saved(x), p, name](const Tensor& g, const Tensor& y) {
                  // Where a NaN won none is counted, and so the gradient is NaN.
                  const auto rule = [&](const Tensor& at, const Tensor& top, const Tensor& g) {
                    return map(formula::Hit{}, at, top, g / counted<largest>(name, at, p));
                  };
                  return in_float(g.dtype(), rule, x->detach(), reshape(y.detach(), p.kept_ones),
                                  reshape(g, p.kept_ones));
                }));
}

}  // namespace

Tensor sum(At x, const Axes& axes, bool keepdim) {
  const Plan p = plan_of("sum", *x, axes);
  if (!is_floating(x->dtype())) return sum_of_integers(x, p, keepdim);
  const Tensor y = summed("sum", *x, p, keepdim);
  return record("sum", x.here, y, wrt(x, [p, shape = x->shape()](const Tensor& g) {
                  return expand(reshape(g, p.kept_ones), shape);
                }));
}

Tensor mean(At x, const Axes& axes, bool keepdim) {
  const Plan p = plan_of("mean", *x, axes);
  detail::require_floating("mean", *x);
  require_elements("mean", *x, p);
  const double scale = 1.0 / static_cast<double>(p.count);
  const Tensor total =
      x->dtype() == DType::bf16 ? summed_in_float(*x, p, keepdim) : summed("mean", *x, p, keepdim);
  if (detail::checking()) detail::check_result("mean", x.here, total);
  const Tensor y = (total / static_cast<double>(p.count)).to(x->dtype());
  return record("mean", x.here, y, wrt(x, [p, scale, shape = x->shape()](const Tensor& g) {
                  return expand(reshape(g * scale, p.kept_ones), shape);
                }));
}

Tensor var(At x, const Axes& axes, VarOptions options) {
  const Plan p = plan_of("var", *x, axes);
  detail::require_floating("var", *x);
  const double n = static_cast<double>(p.count) - options.correction;
  require(n > 0, "var: ", p.count, " elements with correction ", options.correction,
          " leave nothing to divide by");
  const Tensor y =
      reduced("var", *x, p, options.keepdim, [&](auto* in, const ReduceShape& s, auto* out) {
        using T = std::remove_reference_t<decltype(*out)>;
        const Tensor means = empty({s.kept.count()}, dtype_of<T>, x->device());
        GRADUS_RUN(x->device(), variance(in, s, options.correction, out_pointer<T>(means), out));
      });
  // d var / d x = 2 (x - mean) / (n - correction)
  return record("var", x.here, y, wrt(x, [x = saved(x), p, axes, n](const Tensor& g) {
                  const auto rule = [&](const Tensor& x, const Tensor& g) {
                    return (x - mean(x, axes, true)) * reshape(g * (2.0 / n), p.kept_ones);
                  };
                  return in_float(g.dtype(), rule, *x, g);
                }));
}

Tensor max(At x, const Axes& axes, bool keepdim) { return extreme<true>("max", x, axes, keepdim); }
Tensor min(At x, const Axes& axes, bool keepdim) { return extreme<false>("min", x, axes, keepdim); }

namespace {

// The product of what stands before each element of a row, in log2(n) doubling steps.
Tensor products_before(const Tensor& x) {
  const std::int64_t n = x.size(1);
  auto shifted = [n](const Tensor& t, std::int64_t by) {
    return pad(slice(t, 1, 0, n - by), {{0, 0}, {by, 0}}, 1);
  };
  Tensor y = shifted(x, 1);
  for (std::int64_t by = 1; by < n; by *= 2) y = y * shifted(y, by);
  return y;
}
// The product of all others of its row, without division: what stands before times what follows.
Tensor products_of_others(const Tensor& x) {
  return products_before(x) * flip(products_before(flip(x, 1)), 1);
}

// Axes moved to the end and flattened: (rest, reduced); `restore` brings a gradient back.
Tensor rows_of(const Tensor& x, const Plan& p, Shape& moved, Shape& order) {
  order = Shape{};
  for (int i = 0; i < x.dim(); ++i)
    if (!(p.axes >> i & 1)) order.push_back(i);
  for (int i = 0; i < x.dim(); ++i)
    if (p.axes >> i & 1) order.push_back(i);
  const Tensor y = permute(x, order);
  moved = y.shape();
  return reshape(y, {p.kept.numel(), p.count});
}

}  // namespace

Tensor prod(At x, const Axes& axes, bool keepdim) {
  const Plan p = plan_of("prod", *x, axes);
  if (x->dtype() == DType::bf16)
    return of_widened(x, [&](At v) { return prod(v, axes, keepdim); }).to(DType::bf16, x.here);
  const Tensor y = with_float("prod", x->dtype(), [&](auto zero) {
    using T = decltype(zero);
    Tensor result = empty(p.result(keepdim), x->dtype(), x->device());
    detail::count("prod", Work::reduction, x->numel(), {&*x, &result});
    if (result.numel())
      GRADUS_RUN(x->device(), prod(pointer<T>(*x), loops_of(*x, p), out_pointer<T>(result)));
    return result;
  });
  return record("prod", x.here, y, wrt(x, [x = saved(x), p](const Tensor& g) {
                  Shape moved, order;
                  const Tensor rows = rows_of(*x, p, moved, order);
                  if (rows.numel() == 0) return zeros(x->shape(), x->dtype(), x->device());
                  Shape inverse = order;
                  for (int i = 0; i < order.size(); ++i) inverse[static_cast<int>(order[i])] = i;
                  const Tensor others = reshape(products_of_others(rows), moved);
                  return permute(others, inverse) * reshape(g, p.kept_ones);
                }));
}

Tensor logsumexp(At x, const Axes& axes, bool keepdim) {
  const Plan p = plan_of("logsumexp", *x, axes);
  const Tensor y =
      reduced("logsumexp", *x, p, keepdim, [&](auto* in, const ReduceShape& s, auto* out) {
        GRADUS_RUN(x->device(), logsumexp(in, s, out));
      });
  // The gradient is softmax(x); nothing at all (-inf) has gradient 0.
  return record(
      "logsumexp", x.here, y, wrt(x, [x = saved(x), p, axes](const Tensor& g, const Tensor& y) {
        // Of a result in bf16 too little is left to be subtracted.
        const auto rule = [&](const Tensor& x, const Tensor& g, const Tensor& y) {
          const Tensor shift = reshape(y, p.kept_ones);
          const Tensor safe = where(shift == -std::numeric_limits<double>::infinity(), 0.0, shift);
          return exp(x - safe) * reshape(g, p.kept_ones);
        };
        const Tensor from = detail::widened(*x);
        const bool rounded = g.dtype() == DType::bf16;
        return in_float(g.dtype(), rule, from, g, rounded ? logsumexp(from, axes) : y);
      }));
}

Tensor argmax(At x, std::int64_t axis, bool keepdim) {
  const Plan p = plan_of("argmax", *x, Axes(axis));
  require_elements("argmax", *x, p);
  if (x->dtype() == DType::bf16)
    return of_widened(x, [&](At v) { return argmax(v, axis, keepdim); });
  Tensor y = empty(p.result(keepdim), DType::i64, x->device());
  detail::count("argmax", Work::reduction, x->numel(), {&*x, &y});
  with_float("argmax", x->dtype(), [&](auto zero) {
    if (y.numel())
      GRADUS_RUN(x->device(), argmax(pointer<decltype(zero)>(*x), loops_of(*x, p),
                                     out_pointer<std::int64_t>(y)));
  });
  return record_nothing("argmax", x.here, y, {&*x});
}

Tensor argmax(At x) {
  detail::require_defined("argmax", *x);
  return argmax(At(reshape(x, {-1}), x.here.file, x.here.line), 0);
}

Tensor cumsum(At x, std::int64_t axis) {
  detail::require_floating("cumsum", *x);
  const int a = checked_axis("cumsum", axis, x->dim());
  if (x->dtype() == DType::bf16)
    return of_widened(x, [&](At v) { return cumsum(v, axis); }).to(DType::bf16, x.here);
  std::int64_t outer = 1, inner = 1;
  for (int i = 0; i < a; ++i) outer *= x->shape()[i];
  for (int i = a + 1; i < x->dim(); ++i) inner *= x->shape()[i];
  const Tensor in = detail::contiguous_value(*x);
  Tensor y = empty(x->shape(), x->dtype(), x->device());
  detail::count("cumsum", Work::reduction, x->numel(), {&in, &y});
  with_float("cumsum", x->dtype(), [&](auto zero) {
    using T = decltype(zero);
    GRADUS_RUN(x->device(), cumsum(pointer<T>(in), outer, x->shape()[a], inner, out_pointer<T>(y)));
  });
  // The adjoint sums from the end.
  return record("cumsum", x.here, y,
                wrt(x, [a](const Tensor& g) { return flip(cumsum(flip(g, a), a), a); }));
}

namespace {

template <class Kernel>
Tensor reduce_boolean(const char* name, At x, const Axes& axes, bool keepdim, Kernel kernel) {
  const Plan p = plan_of(name, *x, axes);
  detail::require_dtype(name, *x, DType::boolean, "the operand");
  Tensor y = empty(p.result(keepdim), DType::boolean, x->device());
  detail::count(name, Work::reduction, x->numel(), {&*x, &y});
  if (y.numel()) kernel(pointer<bool>(*x), loops_of(*x, p), out_pointer<bool>(y));
  return y;
}

}  // namespace

Tensor any(At x, const Axes& axes, bool keepdim) {
  return reduce_boolean("any", x, axes, keepdim,
                        [&](auto... a) { GRADUS_RUN(x->device(), any(a...)); });
}
Tensor all(At x, const Axes& axes, bool keepdim) {
  return reduce_boolean("all", x, axes, keepdim,
                        [&](auto... a) { GRADUS_RUN(x->device(), all(a...)); });
}

}  // namespace gradus
