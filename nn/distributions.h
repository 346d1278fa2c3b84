// Distributions of independent elements. Parameters are tensors or plain numbers; they broadcast
// against each other and against values, and gradients reach those that are tensors. A parameter
// out of its domain (standard deviation <= 0, NaN, ...) or a value outside of the support throws,
// naming the distribution.
//
//   rsample    a draw that gradients pass through; sample, for discrete ones, one that they do not.
//              The shape of a draw is `shape` followed by that of the parameters.
//   log_prob   of each element, in nats; discrete ones give the logarithm of a probability
//   cdf, icdf  P(value <= x) and its inverse
//   entropy    in nats
#pragma once

#include <string>

#include "gradus/autograd/ops.h"
#include "gradus/tensor/random.h"

namespace gradus::distributions {

// A tensor, a number, or nothing yet.
class GRADUS_API Parameter {
 public:
  Parameter() = default;
  Parameter(double number) : number_(number), given_(true) {}
  Parameter(const Tensor& tensor) : tensor_(tensor), given_(tensor.defined()) {}
  Parameter(Tensor&& tensor) : tensor_(std::move(tensor)), given_(tensor_.defined()) {}
  bool given() const noexcept { return given_; }
  bool is_tensor() const noexcept { return tensor_.defined(); }
  // The tensor; or the number as one of rank 0, in the dtype and on the device of `like`, f32
  // without.
  Tensor tensor(const Tensor& like = {}) const;

 private:
  Tensor tensor_;
  double number_ = 0;
  bool given_ = false;
};

// Where a distribution has mass.
struct Support {
  enum class Kind { real, positive, interval, zero_or_one, classes };
  Kind kind = Kind::real;
  std::int64_t classes = 0;  // 0, 1, ..., classes - 1
  double low = 0, high = 0;  // of an interval, both included
  friend bool operator==(const Support&, const Support&) = default;
};
GRADUS_API std::ostream& operator<<(std::ostream&, const Support&);  // "z > 0"

struct GRADUS_API Normal {
  static constexpr const char* name = "Normal";
  Parameter mean, standard_deviation;

  Support support() const { return {Support::Kind::real}; }
  Tensor rsample(Generator& generator, const Shape& shape = {}) const;
  Tensor log_prob(At x) const;
  Tensor cdf(At x) const;
  Tensor icdf(At probability) const;  // -inf at 0, inf at 1
  Tensor entropy() const;
};

// z = exp(x) for x from Normal{mu, sigma}.
struct GRADUS_API LogNormal {
  static constexpr const char* name = "LogNormal";
  Parameter mu, sigma;

  Support support() const { return {Support::Kind::positive}; }
  Tensor rsample(Generator& generator, const Shape& shape = {}) const;
  Tensor log_prob(At z) const;  // from log z, so as exact for z near 0 as elsewhere
  Tensor cdf(At z) const;       // 0 for z <= 0
  Tensor icdf(At probability) const;
  Tensor entropy() const;
};

// Density exp(-|x - mean| / scale) / (2 scale).
struct GRADUS_API Laplace {
  static constexpr const char* name = "Laplace";
  Parameter mean, scale;

  Support support() const { return {Support::Kind::real}; }
  Tensor rsample(Generator& generator, const Shape& shape = {}) const;
  Tensor log_prob(At x) const;  // its derivative at the mean is 0
  Tensor cdf(At x) const;
  Tensor icdf(At probability) const;
  Tensor entropy() const;
};

// Density 1 / (high - low) on [low, high].
struct GRADUS_API Uniform {
  static constexpr const char* name = "Uniform";
  Parameter low, high;

  Support support() const;  // the smallest interval that holds those of all elements
  Tensor rsample(Generator& generator, const Shape& shape = {}) const;
  Tensor log_prob(At x) const;
  Tensor cdf(At x) const;  // 0 below, 1 above
  Tensor icdf(At probability) const;
  Tensor entropy() const;
};

// 1 with probability sigmoid(logits), or `probabilities`: one of the two is given.
struct GRADUS_API Bernoulli {
  static constexpr const char* name = "Bernoulli";
  Parameter logits = {}, probabilities = {};

  Support support() const { return {Support::Kind::zero_or_one}; }
  Tensor sample(Generator& generator, const Shape& shape = {}) const;  // in the parameter's dtype
  // x log p + (1 - x) log(1 - p), for any x in [0, 1]: a grey value is a mixture of black and
  // white.
  Tensor log_prob(At x) const;
  Tensor cdf(At x) const;
  Tensor icdf(At probability) const;  // the smallest value whose cdf is at least that
  Tensor entropy() const;
};

// Class i with probability softmax(logits)[i], along the last axis. Values are i64.
struct GRADUS_API Categorical {
  static constexpr const char* name = "Categorical";
  Parameter logits;  // (..., classes)

  Support support() const;
  Tensor sample(Generator& generator, const Shape& shape = {}) const;
  Tensor log_prob(At x) const;
  Tensor cdf(At x) const;
  Tensor icdf(At probability) const;
  Tensor entropy() const;
};

// ---- moments and traits -------------------------------------------------------------------------

// Of each element, in the shape of the parameters.
GRADUS_API Tensor mean(const Normal& d);
GRADUS_API Tensor mean(const LogNormal& d);
GRADUS_API Tensor mean(const Laplace& d);
GRADUS_API Tensor mean(const Uniform& d);
GRADUS_API Tensor mean(const Bernoulli& d);
GRADUS_API Tensor variance(const Normal& d);
GRADUS_API Tensor variance(const LogNormal& d);
GRADUS_API Tensor variance(const Laplace& d);
GRADUS_API Tensor variance(const Uniform& d);
GRADUS_API Tensor variance(const Bernoulli& d);

// How many trailing axes of a draw are one outcome: 1 where a distribution is one of vectors, which
// says so in `event_rank`.
template <class D>
constexpr int event_rank() {
  if constexpr (requires { D::event_rank; })
    return D::event_rank;
  else
    return 0;
}

// Gradients pass through the draws of this distribution.
template <class D>
concept Reparameterised = requires(const D& d, Generator& generator, const Shape& shape) {
  d.rsample(generator, shape);
};
template <class D>
Tensor draw(const D& d, Generator& generator, const Shape& shape = {}) {
  if constexpr (Reparameterised<D>)
    return d.rsample(generator, shape);
  else
    return d.sample(generator, shape);
}

}  // namespace gradus::distributions
