// Values moved between tensors, outside of any graph: what the recording operations are made of.
#pragma once

#include "gradus/tensor/tensor.h"

namespace gradus::detail {

// Loop nest and strided views for the kernels.
Extents extents_of(const Shape& shape);
// Strides with which a tensor is walked along a larger, broadcast shape: 0 along the axes it lacks.
Shape broadcast_strides(const Tensor& t, const Shape& shape);
// Pointer to the first element, whatever the dtype.
inline const std::byte* first_byte(const Tensor& t) {
  return t.impl().storage->data() + t.impl().offset * item_size(t.dtype());
}
inline std::byte* first_byte_mutable(const Tensor& t) {
  return t.impl().storage->data() + t.impl().offset * item_size(t.dtype());
}

// New memory in row-major order with t's values.
Tensor contiguous_copy(const Tensor& t);
// t itself, detached, where it is contiguous; otherwise a copy.
Tensor contiguous_value(const Tensor& t);
// A contiguous tensor of another dtype.
Tensor converted(const Tensor& t, DType dtype);
// The elements of `from`, of the same shape and dtype, into those of `to`.
void copy_elements(const Tensor& from, const Tensor& to);

// Checks of operands. Errors name the operation.
void require_defined(const char* operation, const Tensor& t);
GRADUS_API void require_same_dtype(const char* operation, const Tensor& a, const Tensor& b);
GRADUS_API void require_dtype(const char* operation, const Tensor& t, DType dtype,
                              const char* what);
GRADUS_API void require_floating(const char* operation, const Tensor& t);

}  // namespace gradus::detail
