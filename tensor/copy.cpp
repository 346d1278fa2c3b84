#include "gradus/tensor/copy.h"

#include <algorithm>

#include "gradus/kernels/copy.h"
#include "gradus/kernels/index.h"
#include "gradus/tensor/dispatch.h"
#include "gradus/tensor/ledger.h"

namespace gradus::detail {

Extents extents_of(const Shape& shape) {
  Extents e;
  e.rank = shape.size();
  std::copy(shape.begin(), shape.end(), e.size);
  return e;
}

Shape broadcast_strides(const Tensor& t, const Shape& shape) {
  Shape strides = shape;
  const int missing = shape.size() - t.dim();
  for (int i = 0; i < shape.size(); ++i)
    strides[i] = i < missing || (t.shape()[i - missing] == 1 && shape[i] != 1)
                     ? 0
                     : t.strides()[i - missing];
  return strides;
}

void copy_elements(const Tensor& from, const Tensor& to) {
  if (from.device() != to.device()) return copy_elements(moved(from, to.device()), to);
  count("copy", Work::move, 0, {&from, &to});
  with_bits(from.dtype(), [&](auto bits) {
    using U = decltype(bits);
    Strided<const U> x{pointer<U>(from), {}};
    Strided<U> y{out_pointer<U>(to), {}};
    std::copy(from.strides().begin(), from.strides().end(), x.stride);
    std::copy(to.strides().begin(), to.strides().end(), y.stride);
    GRADUS_RUN(to.device(), copy_strided<U>(extents_of(to.shape()), x, y));
  });
}

void note_write(const Tensor& t, Here here) {
  Storage& storage = *t.impl().storage;
  if (open_ledger && storage.shares_memory()) {
    const Tensor all = t.alias({storage.bytes() / item_size(t.dtype())}, {1}, 0);
    count("copy", Work::move, 0, {&all, &all});
  }
  storage.note_write(here);
}

Tensor contiguous_copy(const Tensor& t) {
  Tensor y = empty(t.shape(), t.dtype(), t.device());
  copy_elements(t, y);
  return y;
}

Tensor moved(const Tensor& t, Device device) {
  const Tensor x = contiguous_value(t);
  if (device == t.device()) return x;
  Tensor y = empty(t.shape(), t.dtype(), device);
  if (x.numel() == 0) return y;
  count("to", Work::move, 0, {&x, &y});
  if (device == Device::cpu) {
    GRADUS_RUN_ON_DEVICE(x.device(), copy_to_host(first_byte_mutable(y), first_byte(x), x.bytes()));
  } else if (x.device() == Device::cpu) {
    GRADUS_RUN_ON_DEVICE(device, copy_from_host(first_byte_mutable(y), first_byte(x), x.bytes()));
  } else {  // between devices, by way of the CPU
    return moved(moved(x, Device::cpu), device);
  }
  return y;
}

namespace {
void refuse_recording(const char* operation, Device device, const char* what, Here here,
                      const char* instead) {
  if (device == Device::cpu) return;
  require_available(device);
  require(!GRADUS_RUN_ON_DEVICE(device, is_capturing()), operation, ": ", what,
          " inside of a step that is recorded as a graph: ", here.file, ':', here.line, " (",
          instead, ')');
}
}  // namespace

Tensor read_back(const char* operation, const Tensor& t, Here here) {
  refuse_recording(operation, t.device(), "waits for the device", here,
                   "return the tensor and read it outside of the step");
  return moved(t, Device::cpu);
}

Tensor sent(const char* operation, const Tensor& t, Device device, Here here) {
  refuse_recording(operation, device, "copies from the CPU", here,
                   "make the tensor before the step, or hand it in as an argument");
  return moved(t, device);
}

Tensor contiguous_value(const Tensor& t) {
  if (!t.is_contiguous()) return contiguous_copy(t);
  return t.alias(t.shape(), t.strides(), t.impl().offset);
}

Tensor converted(const Tensor& t, DType dtype) {
  if (t.dtype() == dtype) return contiguous_copy(t);
  const Tensor x = contiguous_value(t);
  Tensor y = empty(t.shape(), dtype, t.device());
  count("to", Work::move, 0, {&x, &y});
  with_any(t.dtype(), [&](auto from) {
    with_any(dtype, [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      if constexpr (!std::is_same_v<From, To>)
        GRADUS_RUN(t.device(), convert<From, To>(pointer<From>(x), x.numel(), out_pointer<To>(y)));
    });
  });
  return y;
}

Tensor checked_indices(const char* operation, const char* what, const Tensor& x,
                       const Tensor& indices, std::int64_t limit) {
  require_dtype(operation, indices, DType::i64, what);
  require_same_device(operation, x, indices);
  const Tensor flat = contiguous_value(indices);
  const auto* p = pointer<std::int64_t>(flat);
  count(operation, Work::reduction, flat.numel(), {&flat});
  const std::int64_t bad =
      GRADUS_RUN(flat.device(), find_out_of_range(operation, p, flat.numel(), limit));
  if (bad >= 0)
    fail(operation, ": ", what, ' ', p[bad], " at position ", bad, " lies outside of [0, ", limit,
         ")");
  return flat;
}

void refuse_undefined(const char* operation) {
  fail(operation, ": an operand is an undefined tensor");
}

void refuse_dtypes(const char* operation, const Tensor& a, const Tensor& b) {
  fail(operation, ": dtypes differ: ", a.dtype(), " and ", b.dtype(),
       " (nothing is promoted; convert with .to(dtype))");
}

void refuse_devices(const char* operation, const Tensor& a, const Tensor& b) {
  fail(operation, ": devices differ: ", a.device(), " and ", b.device(),
       " (move one with .to(device))");
}

void require_dtype(const char* operation, const Tensor& t, DType dtype, const char* what) {
  require_defined(operation, t);
  require(t.dtype() == dtype, operation, ": ", what, " must be ", dtype, ", got ", t.dtype());
}

void require_floating(const char* operation, const Tensor& t) {
  require_defined(operation, t);
  require(is_floating(t.dtype()), operation, ": takes f32, f64 or bf16, got ", t.dtype());
}

}  // namespace gradus::detail
