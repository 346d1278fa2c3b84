#include "gradus/nn/distributions.h"

#include <cmath>
#include <limits>

#include "gradus/kernels/domain.h"
#include "gradus/kernels/nn_formula.h"
#include "gradus/nn/domain.h"
#include "gradus/tensor/copy.h"
#include "gradus/tensor/dispatch.h"

namespace gradus::distributions {
namespace {

constexpr double half_log_2pi = 0.91893853320467274178;
constexpr double infinity = std::numeric_limits<double>::infinity();

Tensor affine(const Tensor& noise, const detail::Scaled& d) {
  return map(formula::Affine{}, noise, d.location, d.scale);
}

Tensor draw(const char* operation, const detail::Scaled& d, Generator& generator,
            const Shape& shape) {
  const Shape full = detail::draw_shape(operation, shape, d.shape);
  return affine(randn(full, generator, d.location.dtype(), d.location.device()), d);
}

Tensor quantile(const char* operation, At u, const detail::Scaled& d) {
  detail::require_probability(operation, *u);
  return affine(map(formula::StandardQuantile{}, u), d);
}

Tensor entropy_of(const detail::Scaled& d) {
  return expand(log(d.scale) + (half_log_2pi + 0.5), d.shape);
}

}  // namespace

// ---- Normal -------------------------------------------------------------------------------------

Tensor Normal::rsample(Generator& generator, const Shape& shape) const {
  return draw("Normal.rsample", detail::scaled(*this, {}), generator, shape);
}
Tensor Normal::log_prob(At x) const {
  const auto d = detail::scaled(*this, *x);
  return map(formula::NormalLogProb{}, x, d.location, d.scale);
}
Tensor Normal::cdf(At x) const {
  const auto d = detail::scaled(*this, *x);
  return map(formula::NormalCdf{}, x, d.location, d.scale);
}
Tensor Normal::icdf(At probability) const {
  return quantile("Normal.icdf", probability, detail::scaled(*this, *probability));
}
Tensor Normal::entropy() const { return entropy_of(detail::scaled(*this, {})); }

// ---- LogNormal ----------------------------------------------------------------------------------

Tensor LogNormal::rsample(Generator& generator, const Shape& shape) const {
  return exp(draw("LogNormal.rsample", detail::scaled(*this, {}), generator, shape));
}
Tensor LogNormal::log_prob(At z) const {
  const auto d = detail::scaled(*this, *z);
  detail::require_supported("LogNormal.log_prob", *z, support());
  const Tensor x = log(z);
  return map(formula::NormalLogProb{}, detail::at(x, z), d.location, d.scale) - x;
}
Tensor LogNormal::cdf(At z) const {
  const auto d = detail::scaled(*this, *z);
  const Tensor outside = less_equal(z, 0);
  const Tensor x = log(where(outside, 1.0, z));
  return where(outside, 0.0, map(formula::NormalCdf{}, detail::at(x, z), d.location, d.scale));
}
Tensor LogNormal::icdf(At probability) const {
  return exp(quantile("LogNormal.icdf", probability, detail::scaled(*this, *probability)));
}
Tensor LogNormal::entropy() const {
  const auto d = detail::scaled(*this, {});
  return entropy_of(d) + d.location;
}

// ---- moments ------------------------------------------------------------------------------------

Tensor mean(const Normal& d) {
  const auto n = detail::scaled(d, {});
  return expand(n.location, n.shape);
}
Tensor variance(const Normal& d) {
  const auto n = detail::scaled(d, {});
  return expand(square(n.scale), n.shape);
}
Tensor mean(const LogNormal& d) {
  const auto n = detail::scaled(d, {});
  return exp(n.location + 0.5 * square(n.scale));
}
Tensor variance(const LogNormal& d) {
  const auto n = detail::scaled(d, {});
  const Tensor s = square(n.scale);
  return expm1(s) * exp(2.0 * n.location + s);
}

// ---- Parameters and domains ---------------------------------------------------------------------

Tensor Parameter::tensor(const Tensor& like) const {
  if (is_tensor()) return tensor_;
  const bool known = like.defined() && is_floating(like.dtype());
  return full({}, number_, known ? like.dtype() : DType::f32,
              like.defined() ? like.device() : Device::cpu);
}

std::ostream& operator<<(std::ostream& out, const Support& support) {
  switch (support.kind) {
    case Support::Kind::real:
      return out << "the real numbers";
    case Support::Kind::positive:
      return out << "z > 0";
    case Support::Kind::interval:
      return out << '[' << support.low << ", " << support.high << ']';
    case Support::Kind::zero_or_one:
      return out << "{0, 1}";
    case Support::Kind::classes:
      break;
  }
  return out << "{0, ..., " << support.classes - 1 << '}';
}

namespace detail {
namespace {

template <class... Parts>
void require_domain(bool in_domain, double value, const Parts&... parts) {
  if (in_domain) return;
  std::ostringstream text;
  (text << ... << parts) << ", got " << value;
  if (!std::isfinite(value)) throw NumericError(text.str());
  throw Error(text.str());
}

}  // namespace

void require_within(const char* what, const char* rule, const Tensor& t, double low, double high) {
  if (t.numel() == 0) return;
  if (t.device() == Device::cpu) {
    const Range r = range(t);
    require_domain(r.low >= low, r.low, what, rule);
    require_domain(r.high <= high, r.high, what, rule);
    return;
  }
  const Tensor x = gradus::detail::contiguous_value(t);
  with_float(what, x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    GRADUS_RUN_ON_DEVICE(
        x.device(), note_outside(what, rule, gradus::detail::pointer<T>(x), x.numel(), low, high));
  });
}

namespace {

// The least positive and the largest finite number of a dtype.
struct Finite {
  double least, largest;
  explicit Finite(DType t)
      : least(t == DType::f32 ? std::numeric_limits<float>::denorm_min()
                              : std::numeric_limits<double>::denorm_min()),
        largest(t == DType::f32 ? std::numeric_limits<float>::max()
                                : std::numeric_limits<double>::max()) {}
};

Scaled scaled(const char* location, const char* scale, const Parameter& a, const Parameter& b,
              const Tensor& value) {
  const Tensor like = first_tensor({&a, &b}, value);
  Scaled d{any_real(location, a, like), positive(scale, b, like), {}};
  d.shape = broadcast_shapes(scale, d.location.shape(), d.scale.shape());
  return d;
}

}  // namespace

Tensor first_tensor(std::initializer_list<const Parameter*> parameters, const Tensor& value) {
  for (const Parameter* p : parameters)
    if (p->is_tensor()) return p->tensor();
  return value;
}

Range range(const Tensor& x) {
  if (x.numel() == 0) return {0, 0};
  const Tensor values = x.detach();
  return {min(values).to(Device::cpu).item(), max(values).to(Device::cpu).item()};
}

Tensor any_real(const char* what, const Parameter& p, const Tensor& like) {
  require(p.given(), what, " is missing");
  return p.tensor(like);
}

Tensor positive(const char* what, const Parameter& p, const Tensor& like) {
  const Tensor t = any_real(what, p, like);
  const Finite numbers(t.dtype());
  require_within(what, " must be positive and finite", t, numbers.least, numbers.largest);
  return t;
}

Tensor finite(const char* what, const Parameter& p, const Tensor& like) {
  const Tensor t = any_real(what, p, like);
  const double high = Finite(t.dtype()).largest;
  require_within(what, " must be finite", t, -high, high);
  return t;
}

Tensor probability(const char* what, const Parameter& p, const Tensor& like) {
  const Tensor t = any_real(what, p, like);
  require_within(what, " must lie in [0, 1]", t, 0, 1);
  return t;
}

void require_supported(const char* operation, const Tensor& x, const Support& support) {
  const Tensor values = is_floating(x.dtype()) ? x : x.to(DType::f64);
  switch (support.kind) {
    case Support::Kind::real:
      return require_within(operation, ": value outside of the support, the real numbers", values,
                            -infinity, infinity);
    case Support::Kind::positive:
      return require_within(operation, ": value outside of the support z > 0", values,
                            Finite(values.dtype()).least, infinity);
    case Support::Kind::interval:
      return require_within(operation, ": value outside of the support, the interval", values,
                            support.low, support.high);
    case Support::Kind::zero_or_one:
      return require_within(operation, ": value outside of the support {0, 1}", values, 0, 1);
    case Support::Kind::classes:
      return require_within(operation, ": value outside of the support, the classes", values, 0,
                            static_cast<double>(support.classes - 1));
  }
}

void require_probability(const char* operation, const Tensor& u) {
  require_within(operation, ": a probability must lie in [0, 1]", u, 0, 1);
}

Shape draw_shape(const char* operation, const Shape& shape, const Shape& parameters) {
  require(shape.size() + parameters.size() <= max_rank, operation, ": a draw of ", shape,
          " from parameters of ", parameters, " has more than ", max_rank, " axes");
  Shape full = shape;
  for (const std::int64_t size : parameters) full.push_back(size);
  return full;
}

Scaled scaled(const Normal& d, const Tensor& value) {
  return scaled("Normal: mean", "Normal: standard_deviation", d.mean, d.standard_deviation, value);
}
Scaled scaled(const LogNormal& d, const Tensor& value) {
  return scaled("LogNormal: mu", "LogNormal: sigma", d.mu, d.sigma, value);
}
Scaled scaled(const Laplace& d, const Tensor& value) {
  return scaled("Laplace: mean", "Laplace: scale", d.mean, d.scale, value);
}
Scaled scaled(const Uniform& d, const Tensor& value) {
  const Tensor like = first_tensor({&d.low, &d.high}, value);
  const Tensor low = any_real("Uniform: low", d.low, like);
  const Tensor width = any_real("Uniform: high", d.high, like) - low;
  Scaled bounds{low, positive("Uniform: high - low", width, like), {}};
  bounds.shape = width.shape();
  return bounds;
}

}  // namespace detail
}  // namespace gradus::distributions
