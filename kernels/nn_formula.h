// The formulas of distributions, dropout and clipping.
#pragma once

#include <limits>

#include "gradus/kernels/formula.h"

namespace gradus::formula {

// clang-format off
#define GRADUS_NN_FORMULAS(X)                                               \
  X(NormalLogProb, 3, false) X(NormalCdf, 3, false) X(NormalKl, 4, false)   \
  X(Affine, 3, false) X(StandardQuantile, 1, false) X(MixedLog, 2, false)   \
  X(LaplaceLogProb, 3, false) X(LaplaceCdf, 3, false)                       \
  X(LaplaceKl, 4, false) X(UniformLogProb, 2, false) X(Along, 3, false)     \
  X(KeepScaled, 2, false) X(ClipFactor, 1, false)
// clang-format on

struct NormalLogProb {
  static constexpr const char* name = "Normal.log_prob";
  GRADUS_INLINE auto operator()(const auto& x, const auto& mean, const auto& deviation) const {
    const auto z = (x - mean) / deviation;
    return -0.5 * (z * z) - log(deviation) - 0.91893853320467274178;  // log(2 pi) / 2
  }
};
struct NormalCdf {
  static constexpr const char* name = "Normal.cdf";
  GRADUS_INLINE auto operator()(const auto& x, const auto& mean, const auto& deviation) const {
    return ndtr((x - mean) / deviation);
  }
};
struct Affine {
  static constexpr const char* name = "Normal.rsample";
  GRADUS_INLINE auto operator()(const auto& noise, const auto& mean, const auto& deviation) const {
    return mean + deviation * noise;
  }
};
struct NormalKl {
  static constexpr const char* name = "kl_divergence";
  GRADUS_INLINE auto operator()(const auto& mean_p, const auto& deviation_p, const auto& mean_q,
                                const auto& deviation_q) const {
    const auto ratio = deviation_p / deviation_q;
    const auto shift = (mean_p - mean_q) / deviation_q;
    return 0.5 * (ratio * ratio + shift * shift - 1.0) - log(ratio);
  }
};

// The inverse of the standard normal cdf by rational functions (Wichura, 1988, algorithm AS 241:
// relative error about 1e-16); its derivative is 1 / density.
struct StandardQuantile {
  static constexpr const char* name = "Normal.icdf";

  template <class V>
  GRADUS_INLINE V operator()(const V& u) const {
    const V q = u - 0.5;
    const V tail = select(q < 0.0, u, 1.0 - u);
    const V r = sqrt(-log(select(tail <= 0.0, 1.0, tail)));
    const V beyond = select(tail <= 0.0, std::numeric_limits<double>::infinity(),
                            select(r > 5.0, far(V(r - 5.0)), middle(V(r - 1.6))));
    return select(abs(q) <= 0.425, q * central(V(0.180625 - q * q)),
                  select(q < 0.0, -beyond, beyond));
  }
  template <class V>
  GRADUS_INLINE V df(const V& g, const V&, const V& y) const {
    return g * (2.5066282746310005024 * exp(0.5 * (y * y)));
  }

 private:
  // c0 + c1 x + ...
  template <class V>
  GRADUS_INLINE static V polynomial(const V& x, double c0, double c1) {
    return c1 * x + c0;
  }
  template <class V, class... C>
  GRADUS_INLINE static V polynomial(const V& x, double c0, double c1, C... higher) {
    return polynomial(x, c1, higher...) * x + c0;
  }
  template <class V>
  GRADUS_INLINE static V central(const V& x) {
    return polynomial(x, 3.3871328727963666080, 133.14166789178437745, 1971.5909503065514427,
                      13731.693765509461125, 45921.953931549871457, 67265.770927008700853,
                      33430.575583588128105, 2509.0809287301226727) /
           polynomial(x, 1, 42.313330701600911252, 687.18700749205790830, 5394.1960214247511077,
                      21213.794301586595867, 39307.895800092710610, 28729.085735721942674,
                      5226.4952788528545610);
  }
  template <class V>
  GRADUS_INLINE static V middle(const V& x) {
    return polynomial(x, 1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550,
                      3.64784832476320460504, 1.27045825245236838258, 0.241780725177450611770,
                      0.0227238449892691845833, 7.74545014278341407640e-4) /
           polynomial(x, 1, 2.05319162663775882187, 1.67638483018380384940, 0.689767334985100004550,
                      0.148103976427480074590, 0.0151986665636164571966, 5.47593808499534494600e-4,
                      1.05075007164441684324e-9);
  }
  template <class V>
  GRADUS_INLINE static V far(const V& x) {
    return polynomial(x, 6.65790464350110377720, 5.46378491116411436990, 1.78482653991729133580,
                      0.296560571828504891230, 0.0265321895265761230930, 1.24266094738807843860e-3,
                      2.71155556874348757815e-5, 2.01033439929228813265e-7) /
           polynomial(x, 1, 0.599832206555887937690, 0.136929880922735805310,
                      0.0148753612908506148525, 7.86869131145613259100e-4,
                      1.84631831751005468180e-5, 1.42151175831644588870e-7,
                      2.04426310338993978564e-15);
  }
};

struct LaplaceLogProb {
  static constexpr const char* name = "Laplace.log_prob";
  GRADUS_INLINE auto operator()(const auto& x, const auto& mean, const auto& scale) const {
    return -abs((x - mean) / scale) - log(scale) - 0.69314718055994530942;  // log 2
  }
};
struct LaplaceCdf {
  static constexpr const char* name = "Laplace.cdf";
  GRADUS_INLINE auto operator()(const auto& x, const auto& mean, const auto& scale) const {
    const auto z = (x - mean) / scale;
    const auto tail = 0.5 * exp(-abs(z));
    return select(z < 0.0, tail, 1.0 - tail);
  }
};
// KL of laws of mean distance d; |d| is one-sided, so that its kink cancels in every order.
struct LaplaceKl {
  static constexpr const char* name = "kl_divergence";
  GRADUS_INLINE auto operator()(const auto& mean_p, const auto& scale_p, const auto& mean_q,
                                const auto& scale_q) const {
    const auto d = mean_p - mean_q;
    const auto t = select(d < 0.0, -d, d) / scale_p;
    const auto ratio = scale_p / scale_q;
    return ratio * (exp(-t) + t) - log(ratio) - 1.0;
  }
};
struct UniformLogProb {
  static constexpr const char* name = "Uniform.log_prob";
  GRADUS_INLINE auto operator()(const auto& x, const auto& width) const {
    return 0.0 * x - log(width);
  }
};
// Along from low to low + width by t.
struct Along {
  static constexpr const char* name = "Uniform.rsample";
  GRADUS_INLINE auto operator()(const auto& t, const auto& low, const auto& width) const {
    return low + width * t;
  }
};

// x log p + (1 - x) log(1 - p), where 0 log 0 = 0.
struct MixedLog {
  static constexpr const char* name = "Bernoulli.log_prob";
  GRADUS_INLINE auto operator()(const auto& x, const auto& p) const {
    return x * log(select((x <= 0.0) & (p <= 0.0), 1.0, p)) +
           (1.0 - x) * log1p(-select((x >= 1.0) & (p >= 1.0), 0.0, p));
  }
};

// x / (1 - p) where it is kept.
struct KeepScaled {
  static constexpr const char* name = "dropout";
  static constexpr unsigned boolean_inputs = 1;
  double scale;
  GRADUS_INLINE auto operator()(const auto& keep, const auto& x) const {
    return select(keep != 0.0, x * scale, 0.0);
  }
};
// What scales a norm down to the largest one allowed.
struct ClipFactor {
  static constexpr const char* name = "clip_global_norm";
  double max;
  GRADUS_INLINE auto operator()(const auto& norm) const {
    return select(norm > max, max / norm, 1.0);
  }
};

}  // namespace gradus::formula
