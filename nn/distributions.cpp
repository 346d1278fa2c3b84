#include "gradus/nn/distributions.h"

#include <cmath>
#include <limits>

#include "gradus/kernels/domain.h"
#include "gradus/nn/domain.h"
#include "gradus/tensor/copy.h"
#include "gradus/tensor/dispatch.h"

namespace gradus::distributions {
namespace {

constexpr double half_log_2pi = 0.91893853320467274178;
constexpr double sqrt_half = 0.70710678118654752440;
constexpr double infinity = std::numeric_limits<double>::infinity();

struct NormalLogProb {
  static constexpr const char* name = "Normal.log_prob";
  GRADUS_INLINE auto operator()(const auto& x, const auto& mean, const auto& deviation) const {
    const auto z = (x - mean) / deviation;
    return -0.5 * (z * z) - log(deviation) - half_log_2pi;
  }
};

struct NormalCdf {
  static constexpr const char* name = "Normal.cdf";
  GRADUS_INLINE auto operator()(const auto& x, const auto& mean, const auto& deviation) const {
    return 0.5 * erfc((mean - x) / deviation * sqrt_half);
  }
};

struct Affine {
  static constexpr const char* name = "Normal.rsample";
  GRADUS_INLINE auto operator()(const auto& noise, const auto& mean, const auto& deviation) const {
    return mean + deviation * noise;
  }
};

// The inverse of the standard normal cdf by rational functions (Wichura, 1988, algorithm AS 241:
// relative error about 1e-16); its derivative is 1 / density.
struct StandardQuantile {
  static constexpr const char* name = "Normal.icdf";
  static constexpr double central[2][8] = {
      {3.3871328727963666080, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125,
       45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727},
      {1, 42.313330701600911252, 687.18700749205790830, 5394.1960214247511077,
       21213.794301586595867, 39307.895800092710610, 28729.085735721942674, 5226.4952788528545610}};
  static constexpr double middle[2][8] = {
      {1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550,
       3.64784832476320460504, 1.27045825245236838258, 0.241780725177450611770,
       0.0227238449892691845833, 7.74545014278341407640e-4},
      {1, 2.05319162663775882187, 1.67638483018380384940, 0.689767334985100004550,
       0.148103976427480074590, 0.0151986665636164571966, 5.47593808499534494600e-4,
       1.05075007164441684324e-9}};
  static constexpr double far[2][8] = {
      {6.65790464350110377720, 5.46378491116411436990, 1.78482653991729133580,
       0.296560571828504891230, 0.0265321895265761230930, 1.24266094738807843860e-3,
       2.71155556874348757815e-5, 2.01033439929228813265e-7},
      {1, 0.599832206555887937690, 0.136929880922735805310, 0.0148753612908506148525,
       7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
       2.04426310338993978564e-15}};

  template <class V>
  GRADUS_INLINE static V polynomial(const V& x, const double (&c)[8]) {
    V y = c[7] * x + c[6];
    for (int k = 5; k >= 0; --k) y = y * x + c[k];
    return y;
  }
  template <class V>
  GRADUS_INLINE static V ratio(const V& x, const double (&c)[2][8]) {
    return polynomial(x, c[0]) / polynomial(x, c[1]);
  }
  template <class V>
  GRADUS_INLINE V operator()(const V& u) const {
    const V q = u - 0.5;
    const V tail = select(q < 0.0, u, 1.0 - u);
    const V r = sqrt(-log(select(tail <= 0.0, 1.0, tail)));
    const V beyond = select(tail <= 0.0, infinity,
                            select(r > 5.0, ratio(V(r - 5.0), far), ratio(V(r - 1.6), middle)));
    return select(abs(q) <= 0.425, q * ratio(V(0.180625 - q * q), central),
                  select(q < 0.0, -beyond, beyond));
  }
  template <class V>
  GRADUS_INLINE V df(const V& g, const V&, const V& y) const {
    return g * (2.5066282746310005024 * exp(0.5 * (y * y)));
  }
};

Tensor affine(const Tensor& noise, const detail::Scaled& d) {
  return map(Affine{}, noise, d.location, d.scale);
}

Tensor draw(const char* operation, const detail::Scaled& d, Generator& generator,
            const Shape& shape) {
  const Shape full = detail::draw_shape(operation, shape, d.shape);
  return affine(randn(full, generator, d.location.dtype(), d.location.device()), d);
}

Tensor quantile(const char* operation, At u, const detail::Scaled& d) {
  detail::require_probability(operation, *u);
  return affine(map(StandardQuantile{}, u), d);
}

Tensor entropy_of(const detail::Scaled& d) {
  return expand(log(d.scale) + (half_log_2pi + 0.5), d.shape);
}

}  // namespace

// ---- Normal
// --------------------------------------------------------------------------------------

Tensor Normal::rsample(Generator& generator, const Shape& shape) const {
  return draw("Normal.rsample", detail::scaled(*this, {}), generator, shape);
}
Tensor Normal::log_prob(At x) const {
  const auto d = detail::scaled(*this, *x);
  return map(NormalLogProb{}, x, d.location, d.scale);
}
Tensor Normal::cdf(At x) const {
  const auto d = detail::scaled(*this, *x);
  return map(NormalCdf{}, x, d.location, d.scale);
}
Tensor Normal::icdf(At probability) const {
  return quantile("Normal.icdf", probability, detail::scaled(*this, *probability));
}
Tensor Normal::entropy() const { return entropy_of(detail::scaled(*this, {})); }

// ---- LogNormal
// -----------------------------------------------------------------------------------

Tensor LogNormal::rsample(Generator& generator, const Shape& shape) const {
  return exp(draw("LogNormal.rsample", detail::scaled(*this, {}), generator, shape));
}
Tensor LogNormal::log_prob(At z) const {
  const auto d = detail::scaled(*this, *z);
  detail::require_supported("LogNormal.log_prob", *z, support());
  const Tensor x = log(z);
  return map(NormalLogProb{}, detail::at(x, z), d.location, d.scale) - x;
}
Tensor LogNormal::cdf(At z) const {
  const auto d = detail::scaled(*this, *z);
  const Tensor outside = less_equal(z, 0);
  const Tensor x = log(where(outside, 1.0, z));
  return where(outside, 0.0, map(NormalCdf{}, detail::at(x, z), d.location, d.scale));
}
Tensor LogNormal::icdf(At probability) const {
  return exp(quantile("LogNormal.icdf", probability, detail::scaled(*this, *probability)));
}
Tensor LogNormal::entropy() const {
  const auto d = detail::scaled(*this, {});
  return entropy_of(d) + d.location;
}

// ---- moments
// ---------------------------------------------------------------------------------------

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

// ---- Parameters and domains
// ----------------------------------------------------------------------

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
