// Matrix products.
#include <algorithm>

#include "gradus/autograd/ops.h"
#include "gradus/autograd/precision.h"
#include "gradus/kernels/gemm.h"
#include "gradus/tensor/copy.h"
#include "gradus/tensor/dispatch.h"
#include "gradus/tensor/ledger.h"

namespace gradus {
namespace {

// The last two axes of a tensor as the product kernel takes them.
struct Operand {
  Tensor value;
  bool transposed = false;
  std::int64_t ld = 1;
};

Operand operand(const Tensor& t) {
  const std::int64_t rows = t.size(-2), columns = t.size(-1);
  const std::int64_t down = t.strides()[t.dim() - 2], across = t.strides()[t.dim() - 1];
  constexpr std::int64_t limit = std::int64_t{1} << 31;
  auto fits = [&](std::int64_t ld, std::int64_t width) { return ld >= width && ld < limit; };
  if ((across == 1 || columns == 1) && (rows == 1 || fits(down, columns)))
    return {t, false, rows == 1 ? std::max<std::int64_t>(columns, 1) : down};
  if ((down == 1 || rows == 1) && (columns == 1 || fits(across, rows)))
    return {t, true, columns == 1 ? std::max<std::int64_t>(rows, 1) : across};
  return {detail::contiguous_copy(t), false, std::max<std::int64_t>(columns, 1)};
}

// y = a b, and the bias added to each row unless it is undefined; batch axes of a and b broadcast
// to y's.
void product(const char* name, const Tensor& a, const Tensor& b, const Tensor& bias,
             const Tensor& y) {
  const Operand x = operand(a), w = operand(b);
  GemmShape s;
  s.m = y.size(-2);
  s.n = y.size(-1);
  s.k = a.size(-1);
  s.transpose_a = x.transposed;
  s.transpose_b = w.transposed;
  s.lda = x.ld;
  s.ldb = w.ld;
  s.ldc = std::max<std::int64_t>(s.n, 1);
  s.batch.rank = y.dim() - 2;
  auto batch_strides = [&](const Tensor& t, std::int64_t* stride) {
    const int missing = y.dim() - t.dim();
    for (int i = 0; i < s.batch.rank; ++i) {
      s.batch.size[i] = y.shape()[i];
      stride[i] = i < missing || t.shape()[i - missing] == 1 ? 0 : t.strides()[i - missing];
    }
  };
  batch_strides(x.value, s.stride_a);
  batch_strides(w.value, s.stride_b);
  batch_strides(y, s.stride_c);
  const std::int64_t operations = 2 * y.numel() * s.k;
  if (bias.defined())
    detail::count(name, Work::product, operations, {&a, &b, &bias, &y});
  else
    detail::count(name, Work::product, operations, {&a, &b, &y});
  detail::with_stored(name, y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const std::int64_t bytes = GRADUS_RUN(y.device(), gemm_scratch<T>(s));
    const Tensor scratch = bytes ? empty({bytes}, DType::u8, y.device()) : Tensor();
    const Tensor added =
        bias.defined() && !bias.is_contiguous() ? detail::contiguous_copy(bias) : bias;
    const Epilogue<T> epilogue{added.defined() ? detail::pointer<T>(added) : nullptr, {}};
    GRADUS_RUN(y.device(),
               gemm_epilogue<T, T>(s, 1, detail::pointer<T>(x.value), detail::pointer<T>(w.value),
                                   0, detail::out_pointer<T>(y), epilogue,
                                   bytes ? detail::first_byte_mutable(scratch) : nullptr));
  });
}

Tensor transposed(const Tensor& t) { return transpose(t, -2, -1); }

// An operand's gradient, a b summed over the batch axes of g that it lacks.
Tensor operand_gradient(const Tensor& a, const Tensor& b, const Tensor& g, const Shape& shape) {
  if (g.dim() == shape.size() && std::equal(shape.begin(), shape.end() - 2, g.shape().begin()))
    return matmul(a, b);
  const auto rule = [&](const Tensor& x, const Tensor& w) { return sum_to(matmul(x, w), shape); };
  return detail::in_float(g.dtype(), rule, a, b);
}

}  // namespace

Tensor matmul(At a, At b) {
  detail::require_floating("matmul", *a);
  detail::require_floating("matmul", *b);
  detail::require_same_dtype("matmul", *a, *b);
  require(a->dim() >= 1 && b->dim() >= 1, "matmul: needs vectors or matrices, got ", a->shape(),
          " x ", b->shape());
  const Here here = a.here;
  auto at = [&](const Tensor& t) { return At(t, here.file, here.line); };
  if (a->dim() == 1) {
    const Tensor row = a->unsqueeze(0, here);
    return matmul(at(row), b).squeeze(b->dim() == 1 ? 0 : -2, here);
  }
  if (b->dim() == 1) {
    const Tensor column = b->unsqueeze(1, here);
    return matmul(a, at(column)).squeeze(-1, here);
  }
  require(a->size(-1) == b->size(-2), "matmul: inner sizes differ: ", a->shape(), " x ",
          b->shape());
  if (b->dim() == 2 && a->dim() > 2) {  // one tall product instead of a batch of small ones
    Shape shape = a->shape();
    shape[shape.size() - 1] = b->size(-1);
    Shape rows{a->numel() / std::max<std::int64_t>(a->size(-1), 1), a->size(-1)};
    if (a->size(-1) == 0) {
      rows[0] = 1;
      for (int i = 0; i + 1 < a->dim(); ++i) rows[0] *= a->shape()[i];
    }
    const Tensor tall = reshape(a, rows);
    return reshape(at(matmul(at(tall), b)), shape);
  }
  Shape batch_a(std::span(a->shape().begin(), static_cast<std::size_t>(a->dim() - 2)));
  Shape batch_b(std::span(b->shape().begin(), static_cast<std::size_t>(b->dim() - 2)));
  Shape shape = broadcast_shapes("matmul", batch_a, batch_b);
  shape.push_back(a->size(-2));
  shape.push_back(b->size(-1));
  const Tensor y = empty(shape, a->dtype(), a->device());
  product("matmul", *a, *b, {}, y);
  return record(
      "matmul", here, y,
      wrt(a, [b = saved(b), shape = a->shape()](
                 const Tensor& g) { return operand_gradient(g, transposed(*b), g, shape); }),
      wrt(b, [a = saved(a), shape = b->shape()](const Tensor& g) {
        return operand_gradient(transposed(*a), g, g, shape);
      }));
}

Tensor linear(At x, At weight, const Tensor& bias) {
  detail::require_floating("linear", *x);
  detail::require_floating("linear", *weight);
  detail::require_same_dtype("linear", *x, *weight);
  require(weight->dim() == 2, "linear: weight must be (out, in), got ", weight->shape());
  require(x->dim() >= 1 && x->size(-1) == weight->size(1), "linear: x ", x->shape(),
          " does not end in the weight's input size: ", weight->shape());
  const std::int64_t in = weight->size(1), out = weight->size(0);
  Shape shape = x->shape();
  shape[shape.size() - 1] = out;
  std::int64_t rows = 1;
  for (int i = 0; i + 1 < x->dim(); ++i) rows *= x->shape()[i];
  if (bias.defined()) {
    detail::require_same_dtype("linear", *x, bias);
    require(bias.shape() == Shape{out}, "linear: bias must be (", out, ",), got ", bias.shape());
  }
  const Tensor flat = x->dim() == 2 ? *x : reshape(x, {rows, in});
  const Tensor y = empty({rows, out}, x->dtype(), x->device());
  product(
      "linear", flat,
      weight->alias({in, out}, {weight->strides()[1], weight->strides()[0]}, weight->impl().offset),
      bias, y);
  const Tensor none = bias.defined() ? bias : empty({0}, x->dtype(), x->device());
  const Tensor result =
      record("linear", x.here, y,
             wrt(flat, [w = saved(weight)](const Tensor& g) { return matmul(g, *w); }),
             wrt(weight, [flat = saved(flat)](const Tensor& g) { return matmul(g.t(), *flat); }),
             wrt(none, [](const Tensor& g) { return sum(g, 0); }));
  return x->dim() == 2 ? result : reshape(At(result, x.here.file, x.here.line), shape);
}

}  // namespace gradus
