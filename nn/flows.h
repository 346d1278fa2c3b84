// Normalising flows: invertible maps z = f(x) with the logarithm of their volume change, and what
// they make of a distribution,  log p(z) = log base(x) - log |det dz/dx|  at x = f^-1(z).
//
// Elementwise transforms act on each number; the others on vectors, the last axis. log_det has the
// shape of x, without its last axis for those of vectors. A value outside of where a transform (or
// its inverse) is defined is an Error, as is a parameter that would make it singular.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gradus/autograd/transforms.h"
#include "gradus/nn/distributions.h"

namespace gradus::flows {

using distributions::Parameter;
using distributions::Support;

// A transform of any kind. Copies share it.
class GRADUS_API Transform {
 public:
  template <class T>
  requires(!std::is_same_v<T, Transform> &&
           requires(const T& t, const Tensor& x) {
             t.forward(x);
             t.inverse(x);
             t.log_det(x);
             t.image(Support());
             t.proof();
           }) Transform(T transform)
      : self_(std::make_shared<Model<T>>(std::move(transform))) {}

  // 0 for an elementwise one, 1 for one of vectors.
  int event_rank() const { return self_->event_rank(); }
  Tensor forward(At x) const { return self_->forward(x); }
  Tensor inverse(At z) const { return self_->inverse(z); }
  Tensor log_det(At x) const { return self_->log_det(x); }  // log |det dz/dx|
  // Where f maps a support to: the domain is what it takes without an Error.
  Support image(const Support& of) const { return self_->image(of); }
  Support domain() const { return self_->domain(); }
  // Why f is one to one; empty where nothing is known.
  std::string proof() const { return self_->proof(); }

 private:
  struct Interface {
    virtual ~Interface() = default;
    virtual int event_rank() const = 0;
    virtual Tensor forward(At) const = 0;
    virtual Tensor inverse(At) const = 0;
    virtual Tensor log_det(At) const = 0;
    virtual Support image(const Support&) const = 0;
    virtual Support domain() const = 0;
    virtual std::string proof() const = 0;
  };
  template <class T>
  struct Model final : Interface {
    explicit Model(T t) : transform(std::move(t)) {}
    int event_rank() const override {
      if constexpr (requires { transform.event_rank(); })
        return transform.event_rank();
      else
        return 1;
    }
    Tensor forward(At x) const override { return transform.forward(x); }
    Tensor inverse(At z) const override { return transform.inverse(z); }
    Tensor log_det(At x) const override { return transform.log_det(x); }
    Support image(const Support& of) const override { return transform.image(of); }
    Support domain() const override {
      if constexpr (requires { transform.domain(); })
        return transform.domain();
      else
        return {};
    }
    std::string proof() const override { return transform.proof(); }
    T transform;
  };
  std::shared_ptr<const Interface> self_;
};

// ---- elementwise --------------------------------------------------------------------------------

// z = shift + scale x; a scale of 0 is an Error.
struct GRADUS_API Affine {
  Parameter shift = 0.0, scale = 1.0;
  int event_rank() const { return 0; }
  Tensor forward(At x) const;
  Tensor inverse(At z) const;
  Tensor log_det(At x) const;
  Support image(const Support& of) const;
  std::string proof() const { return "Affine is monotone"; }
};

// z = exp(x), z > 0.
struct GRADUS_API Exp {
  int event_rank() const { return 0; }
  Tensor forward(At x) const;
  Tensor inverse(At z) const;
  Tensor log_det(At x) const;
  Support image(const Support& of) const;
  std::string proof() const { return "Exp is increasing"; }
};

// z = 1 / (1 + exp(-x)), in (0, 1).
struct GRADUS_API Sigmoid {
  int event_rank() const { return 0; }
  Tensor forward(At x) const;
  Tensor inverse(At z) const;
  Tensor log_det(At x) const;
  Support image(const Support& of) const;
  std::string proof() const { return "Sigmoid is increasing"; }
};

// z = x^exponent for x > 0; an exponent <= 0 is an Error.
struct GRADUS_API Power {
  Parameter exponent;
  int event_rank() const { return 0; }
  Support domain() const { return {Support::Kind::positive}; }
  Tensor forward(At x) const;
  Tensor inverse(At z) const;
  Tensor log_det(At x) const;
  Support image(const Support& of) const;
  std::string proof() const { return "Power is increasing"; }
};

// ---- of vectors ---------------------------------------------------------------------------------

// z_i = x_order[i].
class GRADUS_API Permutation {
 public:
  explicit Permutation(const std::vector<std::int64_t>& order);
  Tensor forward(At x) const;
  Tensor inverse(At z) const;
  Tensor log_det(At x) const;  // exactly 0
  Support image(const Support& of) const { return of; }
  std::string proof() const { return "Permutation only renames"; }

 private:
  Tensor order_, back_;
};

// The first `split` numbers x_1 stay; z_2 = x_2 + shift(x_1). Any function will do; a network's
// weights are its own to train (NICE: Dinh et al., 2015).
struct GRADUS_API AdditiveCoupling {
  std::int64_t split;
  TensorFunction shift;  // (..., split) -> (..., size - split)
  Tensor forward(At x) const;
  Tensor inverse(At z) const;
  Tensor log_det(At x) const;  // exactly 0
  Support image(const Support&) const { return {}; }
  std::string proof() const { return "AdditiveCoupling is undone by subtracting"; }
};

// The same with z_2 = shift + exp(log_scale) x_2, where network(x_1) is shift and log_scale side by
// side (Real NVP: Dinh et al., 2017).
struct GRADUS_API AffineCoupling {
  std::int64_t split;
  TensorFunction network;  // (..., split) -> (..., 2 (size - split))
  Tensor forward(At x) const;
  Tensor inverse(At z) const;
  Tensor log_det(At x) const;
  Support image(const Support&) const { return {}; }
  std::string proof() const { return "AffineCoupling is triangular with a positive diagonal"; }
};

// z = A x for a matrix (n, n). One that is singular is refused with its rank; see rank().
class GRADUS_API Linear {
 public:
  explicit Linear(const Tensor& a);
  Tensor forward(At x) const;
  Tensor inverse(At z) const;
  Tensor log_det(At x) const;
  Support image(const Support&) const { return {}; }
  std::string proof() const { return "Linear has a matrix of full rank"; }

 private:
  Tensor a_;
};

// z = P L U x: of `lower` what lies below the diagonal, of `upper` what lies above it, the diagonal
// of L is 1 and that of U exp(log_diagonal) > 0; P a fixed permutation (Kingma and Dhariwal, 2018).
struct GRADUS_API LULinear {
  Tensor lower, upper, log_diagonal;  // (n, n), (n, n), (n)
  std::vector<std::int64_t> order;

  LULinear() = default;
  // A random permutation; L and U start as the identity.
  LULinear(std::int64_t size, Generator& generator, DType dtype = DType::f32);
  Tensor forward(At x) const;
  Tensor inverse(At z) const;
  Tensor log_det(At x) const;
  Support image(const Support&) const { return {}; }
  std::string proof() const { return "LULinear is triangular with a positive diagonal"; }
  static void each(auto& self, auto&& f) {
    f("lower", self.lower);
    f("upper", self.upper);
    f("log_diagonal", self.log_diagonal);
  }
};

// Any map of a vector (n), with its inverse where that is known. log_det is that of the Jacobian by
// differentiation, n walks for each vector; where that is singular, an Error with its rank.
struct GRADUS_API Function {
  TensorFunction map, undo = {};
  Tensor forward(At x) const;
  Tensor inverse(At z) const;
  Tensor log_det(At x) const;
  Support image(const Support&) const { return {}; }
  std::string proof() const { return {}; }
};

// One after the other, the first one first.
struct GRADUS_API Composition {
  std::vector<Transform> parts;
  int event_rank() const;
  Support domain() const;
  Tensor forward(At x) const;
  Tensor inverse(At z) const;
  Tensor log_det(At x) const;
  Support image(const Support& of) const;
  std::string proof() const;
};

// ---- the flow -----------------------------------------------------------------------------------

// Sums the last `axes` axes.
GRADUS_API Tensor sum_last(const Tensor& x, int axes);

// The law of f(x) for x from `base`, a distribution of numbers or of vectors; where a transform is
// one of vectors, the last axis of the base's draws is the vector.
//
//   Flow<Normal>{{0.0, 1.0}, {Exp{}}}   is LogNormal{0.0, 1.0}
template <class Base>
struct Flow {
  static constexpr const char* name = "Flow";
  Base base;
  std::vector<Transform> transforms;

  Support support() const { return Composition{transforms}.image(base.support()); }
  Tensor rsample(Generator& generator,
                 const Shape& shape = {}) const requires distributions::Reparameterised<Base> {
    return Composition{transforms}.forward(base.rsample(generator, shape));
  }
  Tensor sample(Generator& generator, const Shape& shape = {}) const {
    const NoGrad off;
    return Composition{transforms}.forward(distributions::draw(base, generator, shape));
  }
  Tensor log_prob(At z) const {
    const Composition f{transforms};
    const Tensor x = f.inverse(z);
    return at_source(x, f);
  }
  // log_prob(f(x)), for x of the base: without the inverse.
  Tensor log_prob_at_source(At x) const { return at_source(*x, Composition{transforms}); }

 private:
  static constexpr int base_rank = distributions::event_rank<Base>();
  Tensor at_source(const Tensor& x, const Composition& f) const {
    const int rank = std::max(base_rank, f.event_rank());
    return sum_last(base.log_prob(x), rank - base_rank) -
           sum_last(f.log_det(x), rank - f.event_rank());
  }
};

// ---- whether a map is one to one ----------------------------------------------------------------

// Singular values above n 1e-12 (f32: n 1e-6) of the largest count: a rule that no scaling of the
// matrix changes. Computed in f64.
GRADUS_API std::int64_t rank(const Tensor& a);

struct Finding {
  enum class Verdict { certified, refuted, unknown };
  Verdict verdict = Verdict::unknown;
  Tensor x, y;  // refuted: f(x) = f(y)
  std::string reason;
};
struct SearchOptions {
  double low = -3, high = 3;  // of each coordinate of x
  std::int64_t starts = 32;
  std::uint64_t seed = 0;
};
// Looks for x != y with f(x) = f(y), for f of a vector (size), in f64: from random points x towards
// reflections, exchanges and random partners y by Gauss-Newton steps, and along the null vectors of
// singular Jacobians. A pair counts when f moves between x and y by far more than rounding, and
// f(x), f(y) agree to 1e-9 of that, or when the Jacobian is singular between them (a row of zeros
// alone may be saturation, and counts only where that output is 0). What is not found is unknown.
GRADUS_API Finding find_noninvertibility(const TensorFunction& f, std::int64_t size,
                                         SearchOptions options = {});
// Of a transform that proves it: certified. Otherwise as above.
GRADUS_API Finding find_noninvertibility(const Transform& transform, std::int64_t size,
                                         SearchOptions options = {});
// Of x -> A x, A (m, n): certified by its rank, or refuted by a null vector.
GRADUS_API Finding find_noninvertibility(const Tensor& a);

}  // namespace gradus::flows
