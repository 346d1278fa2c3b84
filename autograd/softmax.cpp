// Softmax and its kin. Each fused kernel stands beside its definition, which is also what its rule
// differentiates when a graph is recorded.
#include "gradus/kernels/softmax.h"

#include "gradus/autograd/ops.h"
#include "gradus/autograd/precision.h"
#include "gradus/kernels/index.h"
#include "gradus/tensor/copy.h"
#include "gradus/tensor/dispatch.h"
#include "gradus/tensor/ledger.h"

namespace gradus {
namespace {

using detail::in_float;
using detail::out_pointer;
using detail::pointer;

// Calls kernel(rows, n) on tensors whose last axis is `axis`: others are moved there and back.
template <class Rows>
Tensor over_rows(const char* name, At x, std::int64_t axis, Rows rows) {
  detail::require_floating(name, *x);
  const int a = checked_axis(name, axis, x->dim());
  if (a == x->dim() - 1) return rows(x);
  const auto from_caller = [&](const Tensor& t) { return At(t, x.here.file, x.here.line); };
  const Tensor moved = transpose(x, a, -1), y = rows(from_caller(moved));
  return transpose(from_caller(y), a, -1);
}

std::int64_t row_count(const Tensor& t) { return t.size(-1) ? t.numel() / t.size(-1) : 0; }

// y = kernel(x), (rows, n); `more` is what else the kernel reads.
template <class Kernel>
Tensor row_map(const char* name, const Tensor& x, Kernel kernel, const Tensor* more = nullptr) {
  const Tensor in = detail::contiguous_value(x);
  Tensor y = empty(x.shape(), x.dtype(), x.device());
  if (more)
    detail::count(name, Work::reduction, y.numel(), {&in, more, &y});
  else
    detail::count(name, Work::reduction, y.numel(), {&in, &y});
  detail::with_stored(name, x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    if (y.numel()) kernel(pointer<T>(in), row_count(y), y.size(-1), out_pointer<T>(y));
  });
  return y;
}

// dx = kernel(y, g).
template <class Kernel>
Tensor row_gradient(const char* name, const Tensor& y, const Tensor& g, Kernel kernel) {
  const Tensor values = detail::contiguous_value(y);
  return row_map(
      name, g,
      [&](auto* gradient, std::int64_t rows, std::int64_t n, auto* dx) {
        using T = std::remove_reference_t<decltype(*dx)>;
        kernel(pointer<T>(values), gradient, rows, n, dx);
      },
      &values);
}

Tensor softmax_rows(At x) {
  const Tensor y =
      row_map("softmax", *x, [&](auto... a) { GRADUS_RUN(x->device(), softmax(a...)); });
  return record("softmax", x.here, y, wrt(x, [](const Tensor& g, const Tensor& y) {
                  const auto rule = [](const Tensor& g, const Tensor& y) {
                    return y * (g - sum(g * y, -1, true));
                  };
                  if (is_recording()) return in_float(g.dtype(), rule, g, y);
                  return row_gradient("softmax", y, g, [&](auto... a) {
                    GRADUS_RUN(g.device(), softmax_vjp(a...));
                  });
                }));
}

Tensor log_softmax_rows(At x) {
  const Tensor y =
      row_map("log_softmax", *x, [&](auto... a) { GRADUS_RUN(x->device(), log_softmax(a...)); });
  return record("log_softmax", x.here, y, wrt(x, [](const Tensor& g, const Tensor& y) {
                  const auto rule = [](const Tensor& g, const Tensor& y) {
                    return g - exp(y) * sum(g, -1, true);
                  };
                  if (is_recording()) return in_float(g.dtype(), rule, g, y);
                  return row_gradient("log_softmax", y, g, [&](auto... a) {
                    GRADUS_RUN(g.device(), log_softmax_vjp(a...));
                  });
                }));
}

}  // namespace

Tensor softmax(At x, std::int64_t axis) { return over_rows("softmax", x, axis, softmax_rows); }

Tensor log_softmax(At x, std::int64_t axis) {
  return over_rows("log_softmax", x, axis, log_softmax_rows);
}

namespace detail {

// Loss of each row, of bf16 in f32. Definition: -gather(log_softmax(x), target).
Tensor cross_entropy_rows(At x, At target) {
  const Tensor in = contiguous_value(*x), classes = contiguous_value(*target);
  const std::int64_t rows = x->size(0), n = x->size(1);
  const DType dtype = x->dtype() == DType::f64 ? DType::f64 : DType::f32;
  Tensor loss = empty({rows}, dtype, x->device());
  const Tensor lse = empty({rows}, dtype, x->device());
  detail::count("cross_entropy", Work::reduction, in.numel(), {&in, &classes, &loss, &lse});
  with_stored("cross_entropy", x->dtype(), [&](auto zero) {
    using S = decltype(zero);
    using T = computed<S>;
    if (rows)
      GRADUS_RUN(x->device(), cross_entropy<S>(pointer<S>(in), pointer<std::int64_t>(classes), rows,
                                               n, out_pointer<T>(loss), out_pointer<T>(lse)));
  });
  return record("cross_entropy", x.here, loss,
                wrt(x, [x = saved(x), classes = saved(classes), lse = saved(lse)](const Tensor& g) {
                  const std::int64_t rows = x->size(0), n = x->size(1);
                  const auto rule = [&](const Tensor& x) {
                    return (softmax(x, 1) - one_hot(*classes, n, x.dtype())) * g.unsqueeze(1);
                  };
                  if (is_recording()) return in_float(x->dtype(), rule, *x);
                  const Tensor in = contiguous_value(*x);
                  const bool one = g.strides()[0] == 0;
                  const Tensor gradient = one ? g : contiguous_value(g);
                  Tensor dx = empty(x->shape(), x->dtype(), x->device());
                  detail::count("cross_entropy", Work::reduction, in.numel(),
                                {&in, &*classes, &*lse, &gradient, &dx});
                  with_stored("cross_entropy", x->dtype(), [&](auto zero) {
                    using S = decltype(zero);
                    using T = computed<S>;
                    if (rows)
                      GRADUS_RUN(x->device(), cross_entropy_vjp<S>(
                                                  pointer<S>(in), pointer<std::int64_t>(*classes),
                                                  pointer<T>(*lse), pointer<T>(gradient),
                                                  one ? 0 : 1, rows, n, out_pointer<S>(dx)));
                  });
                  return dx;
                }));
}

}  // namespace detail
}  // namespace gradus
