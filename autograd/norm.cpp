// Normalisations of rows, by their definitions.
#include <cmath>

#include "gradus/autograd/ops.h"
#include "gradus/autograd/precision.h"
#include "gradus/tensor/copy.h"

namespace gradus {
namespace {

At at(const Tensor& t, Here here) { return At(t, here.file, here.line); }

void check_rows(const char* name, const Tensor& x, double eps) {
  detail::require_floating(name, x);
  require(x.dim() >= 1 && x.size(-1) >= 1, name, ": needs rows of at least one element, got ",
          x.shape());
  require(eps > 0 && std::isfinite(eps), name, ": eps must be positive and finite, got ", eps);
}

void check_factor(const char* name, const char* what, const Tensor& x, const Tensor& t) {
  detail::require_floating(name, t);
  detail::require_same_dtype(name, x, t);
  require(t.shape() == Shape{x.size(-1)}, name, ": ", what, " must be (", x.size(-1), ",), got ",
          t.shape());
}

// x / sqrt(mean(x^2) + eps) gain
Tensor over_root_mean_square(const Tensor& x, const Tensor& gain, double eps, Here here) {
  const Tensor power = mean(at(square(at(x, here)), here), -1, true);
  const Tensor inverse = rsqrt(at(add(at(power, here), eps), here));
  return mul(at(mul(at(x, here), inverse), here), gain);
}

}  // namespace

Tensor layer_norm(At x, At gain, At bias, double eps) {
  check_rows("layer_norm", *x, eps);
  check_factor("layer_norm", "gain", *x, *gain);
  check_factor("layer_norm", "bias", *x, *bias);
  const auto of = [&, here = x.here](const Tensor& rows, const Tensor& factor,
                                     const Tensor& shift) {
    const Tensor centred = sub(at(rows, here), mean(at(rows, here), -1, true));
    return add(at(over_root_mean_square(centred, factor, eps, here), here), shift);
  };
  return detail::in_float(x->dtype(), of, *x, *gain, *bias);
}

Tensor rms_norm(At x, At gain, double eps) {
  check_rows("rms_norm", *x, eps);
  check_factor("rms_norm", "gain", *x, *gain);
  const auto of = [&](const Tensor& rows, const Tensor& factor) {
    return over_root_mean_square(rows, factor, eps, x.here);
  };
  return detail::in_float(x->dtype(), of, *x, *gain);
}

}  // namespace gradus
