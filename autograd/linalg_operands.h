// Internal to linalg: operands checked, and in the order of the kernels.
#pragma once

#include <functional>
#include <string>

#include "gradus/autograd/linalg.h"
#include "gradus/autograd/ops.h"
#include "gradus/autograd/walk.h"
#include "gradus/tensor/copy.h"
#include "gradus/tensor/dispatch.h"

namespace gradus::linalg::detail {

using gradus::detail::out_pointer;
using gradus::detail::pointer;

inline At at(const Tensor& t, const At& caller) {
  return At(t, caller.here.file, caller.here.line);
}
inline Tensor transposed(const Tensor& t) { return transpose(t, -2, -1); }
// The same elements outside of any graph: what is computed of them leaves no trace.
inline Tensor values_of(const Tensor& t) {
  return t.alias(t.shape(), t.strides(), t.impl().offset);
}

// The result of the steps that make up an operation.
template <class Steps>
auto result_of(const Steps& steps) {
  const gradus::detail::StepsScope scope;
  return steps();
}

// f32 or f64, of at least two axes, whose sizes LAPACK can count.
void require_matrices(const char* operation, const Tensor& a);
void require_square(const char* operation, const Tensor& a);

Shape batch_shape(const Tensor& a);  // without the last two axes
Shape with_sizes(Shape batch, std::initializer_list<std::int64_t> sizes);
inline std::int64_t batch_count(const Tensor& a) { return batch_shape(a).numel(); }

// A copy in column-major order, as a tensor (..., columns, rows); and back.
inline Tensor columns(const Tensor& a) {
  return gradus::detail::contiguous_copy(transposed(values_of(a)));
}
inline Tensor rows(const Tensor& c) { return gradus::detail::contiguous_copy(transposed(c)); }

// What is wrong with a matrix, given by a number for each: `value` must be above 0. Otherwise
// "operation: matrix i of n `rule`" with the facts, which describe(i) adds; on a device the next
// call that waits says "operation`noted`, got value at position i".
void require_each(const char* operation, const Tensor& value, const char* rule, const char* noted,
                  const std::function<std::string(std::int64_t)>& describe = {});
// No NaN and no infinity in x; `rule` tells of matrix i.
void require_finite(const char* operation, const Tensor& x, const char* rule, const char* noted);
void require_finite(const char* operation, const Tensor& x);

// " (condition number ...)" of matrix i.
std::string condition(const Tensor& a, std::int64_t i);

// (A + A^T) / 2 of an A that is finite, and symmetric within sqrt(eps) of its largest element.
Tensor symmetric(const char* operation, At a);

// The shape of the batch of A X = B, whose operands were checked.
Shape system_batch(const char* operation, const Tensor& a, const Tensor& b);

}  // namespace gradus::linalg::detail
