#include "gradus/nn/flows.h"

#include <cmath>

#include "gradus/nn/domain.h"

namespace gradus::flows {
namespace {

using Kind = Support::Kind;
constexpr double infinity = std::numeric_limits<double>::infinity();

struct Interval {
  double low, high;
};
Interval ends(const Support& s) {
  switch (s.kind) {
    case Kind::positive:
      return {0, infinity};
    case Kind::interval:
      return {s.low, s.high};
    default:
      return {-infinity, infinity};
  }
}
Support support(double low, double high) {
  if (low == -infinity && high == infinity) return {};
  if (low == 0 && high == infinity) return {Kind::positive};
  return {Kind::interval, 0, low, high};
}

// The numbers of t broadcast to x.
Tensor like(const char* operation, const Tensor& t, const Tensor& x) {
  return expand(t, broadcast_shapes(operation, t.shape(), x.shape()));
}

Tensor shift_of(const Affine& a, const Tensor& x) {
  return distributions::detail::any_real("Affine: shift", a.shift, x);
}
// Not 0: its reciprocal is finite. NaN and infinities are found on the way.
Tensor scale_of(const Affine& a, const Tensor& x) {
  const Tensor scale = distributions::detail::finite("Affine: scale", a.scale, x);
  distributions::detail::require_within(
      "Affine: scale", " must not be 0, the Jacobian is singular: its magnitude",
      abs(scale.detach()), std::numeric_limits<double>::denorm_min(), infinity);
  return scale;
}

Tensor exponent_of(const Power& p, const Tensor& x) {
  return distributions::detail::positive("Power: exponent", p.exponent, x);
}

}  // namespace

// ---- Affine -------------------------------------------------------------------------------------

Tensor Affine::forward(At x) const { return shift_of(*this, *x) + scale_of(*this, *x) * *x; }
Tensor Affine::inverse(At z) const { return (*z - shift_of(*this, *z)) / scale_of(*this, *z); }
Tensor Affine::log_det(At x) const {
  return like("Affine.log_det", log(abs(scale_of(*this, *x))), *x);
}
Support Affine::image(const Support& of) const {
  const auto [low, high] = ends(of);
  if (low == -infinity && high == infinity) return of;
  const auto s = distributions::detail::range(scale.tensor());
  const auto t = distributions::detail::range(shift.tensor());
  Interval image{infinity, -infinity};
  for (const double factor : {s.low, s.high})
    for (const double end : {factor * low, factor * high}) {
      image.low = std::min(image.low, t.low + end);
      image.high = std::max(image.high, t.high + end);
    }
  return support(image.low, image.high);
}

// ---- Exp ----------------------------------------------------------------------------------------

Tensor Exp::forward(At x) const { return exp(x); }
Tensor Exp::inverse(At z) const {
  distributions::detail::require_supported("Exp.inverse", *z, {Kind::positive});
  return log(z);
}
Tensor Exp::log_det(At x) const { return *x; }
Support Exp::image(const Support& of) const {
  const auto [low, high] = ends(of);
  return support(std::exp(low), std::exp(high));
}

// ---- Sigmoid ------------------------------------------------------------------------------------

Tensor Sigmoid::forward(At x) const { return sigmoid(x); }
Tensor Sigmoid::inverse(At z) const {
  const bool single = z->dtype() == DType::f32;
  distributions::detail::require_within(
      "Sigmoid.inverse", ": a value must lie in (0, 1)", *z,
      single ? double{std::numeric_limits<float>::denorm_min()}
             : std::numeric_limits<double>::denorm_min(),
      single ? double{std::nextafter(1.0f, 0.0f)} : std::nextafter(1.0, 0.0));
  return log(z) - log1p(-*z);
}
Tensor Sigmoid::log_det(At x) const { return -softplus(x) - softplus(-*x); }
Support Sigmoid::image(const Support& of) const {
  const auto [low, high] = ends(of);
  const auto at = [](double x) { return 1 / (1 + std::exp(-x)); };
  return support(at(low), at(high));
}

// ---- Power --------------------------------------------------------------------------------------

Tensor Power::forward(At x) const {
  const Tensor e = exponent_of(*this, *x);
  distributions::detail::require_supported("Power.forward", *x, domain());
  return pow(x, e);
}
Tensor Power::inverse(At z) const {
  const Tensor e = exponent_of(*this, *z);
  distributions::detail::require_supported("Power.inverse", *z, domain());
  return pow(z, 1.0 / e);
}
Tensor Power::log_det(At x) const {
  const Tensor e = exponent_of(*this, *x);
  distributions::detail::require_supported("Power.log_det", *x, domain());
  return log(e) + (e - 1.0) * log(x);
}
Support Power::image(const Support& of) const {
  const auto [low, high] = ends(of);
  require(low >= 0, "Power: it takes x > 0, and x lies on ", of);
  const auto e = distributions::detail::range(exponent.tensor());
  return support(std::min(std::pow(low, e.low), std::pow(low, e.high)),
                 std::max(std::pow(high, e.low), std::pow(high, e.high)));
}

// ---- Composition --------------------------------------------------------------------------------

int Composition::event_rank() const {
  int rank = 0;
  for (const Transform& t : parts) rank = std::max(rank, t.event_rank());
  return rank;
}
Support Composition::domain() const { return parts.empty() ? Support{} : parts.front().domain(); }
Tensor Composition::forward(At x) const {
  Tensor y = *x;
  for (const Transform& t : parts) y = t.forward(distributions::detail::at(y, x));
  return y;
}
Tensor Composition::inverse(At z) const {
  Tensor y = *z;
  for (std::size_t i = parts.size(); i-- > 0;)
    y = parts[i].inverse(distributions::detail::at(y, z));
  return y;
}
Tensor Composition::log_det(At x) const {
  const int rank = event_rank();
  Tensor y = *x, total;
  for (const Transform& t : parts) {
    const Tensor part = sum_last(t.log_det(distributions::detail::at(y, x)), rank - t.event_rank());
    total = total.defined() ? total + part : part;
    if (&t != &parts.back()) y = t.forward(distributions::detail::at(y, x));
  }
  return total.defined() ? total : zeros(x->shape(), x->dtype(), x->device());
}
Support Composition::image(const Support& of) const {
  Support s = of;
  for (const Transform& t : parts) s = t.image(s);
  return s;
}
std::string Composition::proof() const {
  std::string all;
  for (const Transform& t : parts) {
    const std::string one = t.proof();
    if (one.empty()) return {};
    all += (all.empty() ? "" : "; ") + one;
  }
  return all.empty() ? "nothing is changed" : all;
}

Tensor sum_last(const Tensor& x, int axes) {
  Tensor y = x;
  for (int i = 0; i < axes; ++i) {
    require(y.dim() > 0, "Flow: a transform of vectors needs vectors, got numbers");
    y = sum(y, -1);
  }
  return y;
}

}  // namespace gradus::flows
