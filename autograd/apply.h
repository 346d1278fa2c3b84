// Internal to the elementwise operations: a formula applied to operands.
#pragma once

#include "gradus/autograd/ops.h"

namespace gradus::detail {

// `integers`: i32 and i64 too.
template <bool integers = false, class F, class... Ts>
Tensor apply(const F& f, At first, const Ts&... rest) {
  const Tensor* inputs[] = {&first.tensor, &rest.tensor...};
  return run_map(map_op<F, 1 + static_cast<int>(sizeof...(Ts)), integers>(), &f, inputs,
                 first.here);
}

}  // namespace gradus::detail
