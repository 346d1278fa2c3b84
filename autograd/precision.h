// Internal to the operations: bf16 is stored, and computed in f32. What has no kernel that reads
// and rounds it in passing is computed between two conversions, so that it too is rounded once.
#pragma once

#include "gradus/tensor/dtype.h"
#include "gradus/tensor/tensor.h"

namespace gradus::detail {

// In the dtype that its elements are computed in; recorded.
inline Tensor widened(const Tensor& t) {
  return t.defined() && t.dtype() == DType::bf16 ? t.to(DType::f32) : t;
}

// Calls f(T{}) for kernels that read and write bf16, too.
template <class F>
decltype(auto) with_stored(const char* operation, DType t, F&& f) {
  if (t == DType::bf16) return f(bf16{});
  return with_float(operation, t, f);
}

// f(widened operands), rounded to `dtype` where that is bf16.
template <class F, class... Ts>
Tensor in_float(DType dtype, const F& f, const Ts&... x) {
  const Tensor y = f(widened(x)...);
  return dtype == DType::bf16 ? y.to(dtype) : y;
}

}  // namespace gradus::detail
