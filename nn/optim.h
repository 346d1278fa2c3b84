// Optimisers. A step is one pass over all parameters, their gradients and their state; it changes
// the parameters in place, behind their handles.
//
//   optim::Adam adam{nn::parameters(model), {.learning_rate = 1e-3}};
//   adam.step(grad(loss, adam.parameters()));
//
// Groups of parameters may have a learning rate and a weight decay of their own; the gradients then
// come in the order of the groups:
//
//   optim::AdamW adamw{{{.parameters = weights}, {.parameters = gains, .weight_decay = 0}}, {...}};
#pragma once

#include <optional>
#include <vector>

#include "gradus/tensor/safetensors.h"
#include "gradus/tensor/tensor.h"

namespace gradus {
template <class T>
struct Slice;
}

namespace gradus::optim {

struct Group {
  std::vector<Tensor> parameters;
  std::optional<double> learning_rate = {}, weight_decay = {};  // the optimiser's where absent
};

// What all optimisers share. Parameters are f32 or f64, row-major, and each is given once.
class GRADUS_API Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;  // two would share their state
  Optimizer& operator=(const Optimizer&) = delete;
  Optimizer(Optimizer&&) = default;
  Optimizer& operator=(Optimizer&&) = default;

  // One gradient a parameter, of its shape, dtype and device, in the order of parameters(). Nothing
  // changes unless all fit. A write like any other: a graph that saved a parameter is stale after
  // it.
  void step(const std::vector<Tensor>& gradients, Here here = Here::now());
  const std::vector<Tensor>& parameters() const noexcept { return parameters_; }
  std::int64_t steps() const noexcept { return steps_; }

  // Of all groups without a rate of their own; of one group.
  void set_learning_rate(double rate);
  void set_learning_rate(std::size_t group, double rate);
  double learning_rate() const noexcept { return learning_rate_; }
  double learning_rate(std::size_t group) const;

  // "step", then the moments by the number of the parameter: "m.0", "m.1", ..., "v.0", ... They are
  // the optimiser's own tensors: save or clone them before the next step.
  NamedTensors state() const;
  // Exactly the entries that state() has, or an error that lists what does not fit, and no change.
  void load_state(const NamedTensors& state, Here here = Here::now());

 protected:
  Optimizer(const char* name, std::vector<Group> groups, double learning_rate, double weight_decay,
            std::vector<const char*> moments);
  Device device() const { return parameters_[0].device(); }

 private:
  struct Rates {
    std::optional<double> learning_rate, weight_decay;
  };
  struct Moments {
    const char* name;
    std::vector<Tensor> tensors;
  };
  template <class T>
  std::vector<Slice<T>> slices(const std::vector<Tensor>& gradients, Here here) const;
  virtual void run(const Slice<float>* slices, std::int64_t count) const = 0;
  virtual void run(const Slice<double>* slices, std::int64_t count) const = 0;

  const char* name_;
  std::vector<Tensor> parameters_;
  std::vector<std::size_t> group_of_;  // of each parameter
  std::vector<Rates> groups_;
  std::vector<Moments> moments_;
  double learning_rate_, weight_decay_;
  std::int64_t steps_ = 0;
};

struct SGDOptions {
  double learning_rate = 1e-2, momentum = 0, weight_decay = 0;
  bool nesterov = false;
};
// d = g + weight_decay p; m = momentum m + d; p -= learning_rate m, or (d + momentum m) with
// nesterov.
class GRADUS_API SGD : public Optimizer {
 public:
  SGD(std::vector<Tensor> parameters, SGDOptions options = {});
  SGD(std::vector<Group> groups, SGDOptions options = {});

 private:
  void run(const Slice<float>* slices, std::int64_t count) const override;
  void run(const Slice<double>* slices, std::int64_t count) const override;
  SGDOptions options_;
};

struct AdamOptions {
  double learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
};
// m and v: moving averages of d = g + weight_decay p and of d^2, corrected for their start at 0;
// p -= learning_rate m / (sqrt(v) + eps). (Kingma and Ba, 2015.)
class GRADUS_API Adam : public Optimizer {
 public:
  Adam(std::vector<Tensor> parameters, AdamOptions options = {});
  Adam(std::vector<Group> groups, AdamOptions options = {});

 protected:
  Adam(const char* name, std::vector<Group> groups, AdamOptions options, bool decoupled);

 private:
  void run(const Slice<float>* slices, std::int64_t count) const override;
  void run(const Slice<double>* slices, std::int64_t count) const override;
  AdamOptions options_;
  bool decoupled_;
};

struct AdamWOptions {
  double learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 1e-2;
};
// Adam whose weight decay is not part of the gradient: p *= 1 - learning_rate weight_decay first.
// (Loshchilov and Hutter, 2019.)
class GRADUS_API AdamW : public Adam {
 public:
  AdamW(std::vector<Tensor> parameters, AdamWOptions options = {});
  AdamW(std::vector<Group> groups, AdamWOptions options = {});
};

// The square root of the sum of the squares of all elements. Waits for the device.
GRADUS_API double global_norm(const std::vector<Tensor>& gradients);

struct Clipped {
  std::vector<Tensor> gradients;
  Tensor norm;  // before: one f64, where the gradients lie
};
// Scales all gradients by max_norm / norm where the norm is larger; the CPU's are the same tensors
// where it is not. The results are outside of any graph. A norm that is not finite is a
// NumericError, on a device of the next call that waits for it: clipping can be part of a graph.
GRADUS_API Clipped clip_global_norm(const std::vector<Tensor>& gradients, double max_norm);

// Moving averages of parameters, which start as their values.
class GRADUS_API EMA {
 public:
  explicit EMA(std::vector<Tensor> parameters, double decay = 0.999);
  EMA(const EMA&) = delete;
  EMA& operator=(const EMA&) = delete;
  EMA(EMA&&) = default;
  EMA& operator=(EMA&&) = default;

  // average = decay average + (1 - decay) parameter.
  void update(Here here = Here::now());
  const std::vector<Tensor>& averages() const noexcept { return averages_; }
  // Writes the averages into parameters of the same number, shapes and dtypes, such as a clone's.
  void copy_to(const std::vector<Tensor>& parameters, Here here = Here::now()) const;
  // "average.0", "average.1", ...
  NamedTensors state() const;
  void load_state(const NamedTensors& state, Here here = Here::now());

 private:
  std::vector<Tensor> parameters_, averages_;
  double decay_;
};

}  // namespace gradus::optim
