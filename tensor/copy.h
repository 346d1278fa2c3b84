// Values moved between tensors, outside of any graph: what the recording operations are made of.
#pragma once

#include "gradus/tensor/tensor.h"

namespace gradus::detail {

// The unsigned integer that holds the bits of an element.
template <std::size_t bytes>
using BitsOf = std::conditional_t<
    bytes == 1, std::uint8_t,
    std::conditional_t<bytes == 2, std::uint16_t,
                       std::conditional_t<bytes == 4, std::uint32_t, std::uint64_t>>>;
// Calls f(U{}) with that of the dtype.
template <class F>
void with_bits(DType t, F f) {
  with_any(t, [&](auto zero) { f(BitsOf<sizeof zero>{}); });
}

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

template <class T>
const T* pointer(const Tensor& t) {
  return reinterpret_cast<const T*>(first_byte(t));
}
template <class T>
T* out_pointer(const Tensor& t) {
  return reinterpret_cast<T*>(first_byte_mutable(t));
}
// Before a write: what shares memory with a lazy copy gets its own. What must not fail half way
// notes all its writes before the first.
GRADUS_API void note_write(const Tensor& t, Here here);
// The pointer of a write that is noted.
template <class T>
T* written_pointer(const Tensor& t, Here here) {
  note_write(t, here);
  return out_pointer<T>(t);
}

// New memory in row-major order with t's values.
Tensor contiguous_copy(const Tensor& t);
// The same, but where t is the whole of a storage, memory is copied only once one of the two is
// written.
Tensor lazy_copy(const Tensor& t);
// t itself, detached, where it is contiguous; otherwise a copy.
Tensor contiguous_value(const Tensor& t);
// A contiguous tensor of another dtype.
Tensor converted(const Tensor& t, DType dtype);
// On a device, in row-major order; waits where that is the CPU. May be t itself, detached.
Tensor moved(const Tensor& t, Device device);
// moved() to the CPU, and to a device; refused with the caller's place inside of a step that a
// device records.
Tensor read_back(const char* operation, const Tensor& t, Here here);
Tensor sent(const char* operation, const Tensor& t, Device device, Here here);
// The elements of `from`, of the same shape and dtype, into those of `to`; from any device.
void copy_elements(const Tensor& from, const Tensor& to);

// Indices as kernels take them: i64, contiguous, on x's device, each in [0, limit); `what` names
// them in errors. (On a device an index outside is found when the device is waited for.)
Tensor checked_indices(const char* operation, const char* what, const Tensor& x,
                       const Tensor& indices, std::int64_t limit);

// Checks of operands. Errors name the operation. What every operation checks is inline.
[[noreturn]] GRADUS_API void refuse_undefined(const char* operation);
[[noreturn]] GRADUS_API void refuse_dtypes(const char* operation, const Tensor& a, const Tensor& b);
[[noreturn]] GRADUS_API void refuse_devices(const char* operation, const Tensor& a,
                                            const Tensor& b);
inline void require_defined(const char* operation, const Tensor& t) {
  if (!t.defined()) [[unlikely]]
    refuse_undefined(operation);
}
inline void require_same_device(const char* operation, const Tensor& a, const Tensor& b) {
  if (a.device() != b.device()) [[unlikely]]
    refuse_devices(operation, a, b);
}
inline void require_same_dtype(const char* operation, const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype()) [[unlikely]]
    refuse_dtypes(operation, a, b);
  require_same_device(operation, a, b);
}
GRADUS_API void require_dtype(const char* operation, const Tensor& t, DType dtype,
                              const char* what);
GRADUS_API void require_floating(const char* operation, const Tensor& t);  // f32, f64 or bf16

}  // namespace gradus::detail
