#include "gradus/nn/optim.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_set>

#include "gradus/autograd/ops.h"
#include "gradus/kernels/domain.h"
#include "gradus/kernels/nn_formula.h"
#include "gradus/kernels/optim.h"
#include "gradus/nn/module.h"
#include "gradus/tensor/copy.h"
#include "gradus/tensor/dispatch.h"
#include "gradus/tensor/ledger.h"
#include "gradus/tensor/replay.h"

namespace gradus::optim {
namespace {

void require_rate(const char* name, const char* what, double value) {
  require(value >= 0 && std::isfinite(value), name, ": ", what,
          " must be finite and at least 0: ", value);
}

void require_fraction(const char* name, const char* what, double value) {
  require(value >= 0 && value < 1, name, ": ", what, " must lie in [0, 1): ", value);
}

std::vector<Group> one_group(std::vector<Tensor> parameters) {
  return {{.parameters = std::move(parameters)}};
}

// What the kernels can walk. Asked at every step: nn::to() may have changed it.
void require_plain(const char* name, std::size_t i, const Tensor& p) {
  require(p.dtype() == DType::f32 || p.dtype() == DType::f64, name, ": parameter ", i,
          " must be f32 or f64, got ", p.dtype());
  require(p.is_contiguous(), name, ": parameter ", i, " of shape ", p.shape(),
          " is not row-major in memory");
}

// One pass of a kernel takes all of them.
void require_one_device(const char* name, const std::vector<Tensor>& parameters) {
  for (std::size_t i = 1; i < parameters.size(); ++i)
    require(parameters[i].device() == parameters[0].device(), name, ": parameter ", i, " is on ",
            parameters[i].device(), ", parameter 0 on ", parameters[0].device());
}

void require_parameters(const char* name, const std::vector<Tensor>& parameters) {
  require(!parameters.empty(), name, ": needs at least one parameter");
  std::unordered_set<const TensorImpl*> seen;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Tensor& p = parameters[i];
    require(p.defined(), name, ": parameter ", i, " has no value");
    require_plain(name, i, p);
    require(seen.insert(p.handle().get()).second, name, ": parameter ", i, " is given twice");
  }
  require_one_device(name, parameters);
}

void require_like(const char* name, std::size_t i, const char* what, const Tensor& g,
                  const Tensor& p) {
  require(g.defined(), name, ": ", what, ' ', i, " has no value");
  require(g.shape() == p.shape(), name, ": ", what, ' ', i, " is of shape ", g.shape(),
          ", its parameter ", p.shape());
  require(g.dtype() == p.dtype(), name, ": ", what, ' ', i, " is ", g.dtype(), ", its parameter ",
          p.dtype());
  require(g.device() == p.device(), name, ": ", what, ' ', i, " is on ", g.device(),
          ", its parameter on ", p.device());
}

// State follows a parameter whose dtype or device was changed behind its handle.
void follow(Tensor& state, const Tensor& parameter) {
  state = state.to(parameter.dtype()).to(parameter.device());
}

template <class T>
Slice<T> slice_of(const Tensor& gradient) {
  return {.gradient = detail::pointer<T>(gradient), .n = gradient.numel()};
}

}  // namespace

// ---- what optimisers share ----------------------------------------------------------------------

Optimizer::Optimizer(const char* name, std::vector<Group> groups, double learning_rate,
                     double weight_decay, std::vector<const char*> moments)
    : name_(name), learning_rate_(learning_rate), weight_decay_(weight_decay) {
  require_rate(name, "learning_rate", learning_rate);
  require_rate(name, "weight_decay", weight_decay);
  for (Group& g : groups) {
    if (g.learning_rate) require_rate(name, "learning_rate of a group", *g.learning_rate);
    if (g.weight_decay) require_rate(name, "weight_decay of a group", *g.weight_decay);
    group_of_.insert(group_of_.end(), g.parameters.size(), groups_.size());
    groups_.push_back({g.learning_rate, g.weight_decay});
    for (Tensor& p : g.parameters) parameters_.push_back(std::move(p));
  }
  require_parameters(name, parameters_);
  for (const char* moment : moments) {
    Moments& m = moments_.emplace_back(Moments{moment, {}});
    for (const Tensor& p : parameters_)
      m.tensors.push_back(zeros(p.shape(), p.dtype(), p.device()));
  }
}

void Optimizer::step(const std::vector<Tensor>& gradients, Here here) {
  require(gradients.size() == parameters_.size(), name_, ": got ", gradients.size(),
          " gradients for ", parameters_.size(), " parameters");
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    require_plain(name_, i, parameters_[i]);
    require_like(name_, i, "gradient", gradients[i], parameters_[i]);
  }
  require_one_device(name_, parameters_);
  // A gradient may be a view, and even one of a parameter that this step changes.
  std::unordered_set<const Storage*> changing;
  for (const Tensor& p : parameters_) changing.insert(p.impl().storage.get());
  std::vector<Tensor> values;
  values.reserve(gradients.size());
  for (const Tensor& g : gradients)
    values.push_back(changing.contains(g.impl().storage.get()) ? detail::contiguous_copy(g)
                                                               : detail::contiguous_value(g));
  for (Moments& m : moments_)
    for (std::size_t i = 0; i < parameters_.size(); ++i) follow(m.tensors[i], parameters_[i]);
  std::vector<const std::vector<Tensor>*> touched{&values, &parameters_, &parameters_};
  for (const Moments& m : moments_) touched.insert(touched.end(), 2, &m.tensors);
  gradus::detail::count_pass(name_, Work::map, touched);
  // Whatever needs memory comes first: a step is done as a whole or not at all.
  gradus::detail::call_at_replays([this, values = std::move(values), here] {
    const auto floats = slices<float>(values, here);
    const auto doubles = slices<double>(values, here);
    ++steps_;
    if (!floats.empty()) run(floats.data(), std::ssize(floats));
    if (!doubles.empty()) run(doubles.data(), std::ssize(doubles));
  });
}

template <class T>
std::vector<Slice<T>> Optimizer::slices(const std::vector<Tensor>& gradients, Here here) const {
  std::vector<Slice<T>> slices;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (parameters_[i].dtype() != dtype_of<T>) continue;
    const Rates& rates = groups_[group_of_[i]];
    Slice<T> s = slice_of<T>(gradients[i]);
    s.parameter = detail::written_pointer<T>(parameters_[i], here);
    if (moments_.size() > 0) s.m = detail::written_pointer<T>(moments_[0].tensors[i], here);
    if (moments_.size() > 1) s.v = detail::written_pointer<T>(moments_[1].tensors[i], here);
    s.learning_rate = rates.learning_rate.value_or(learning_rate_);
    s.weight_decay = rates.weight_decay.value_or(weight_decay_);
    slices.push_back(s);
  }
  return slices;
}

void Optimizer::set_learning_rate(double rate) {
  require_rate(name_, "learning_rate", rate);
  learning_rate_ = rate;
}

void Optimizer::set_learning_rate(std::size_t group, double rate) {
  require_rate(name_, "learning_rate", rate);
  require(group < groups_.size(), name_, ": no group ", group, " of ", groups_.size());
  groups_[group].learning_rate = rate;
}

double Optimizer::learning_rate(std::size_t group) const {
  require(group < groups_.size(), name_, ": no group ", group, " of ", groups_.size());
  return groups_[group].learning_rate.value_or(learning_rate_);
}

NamedTensors Optimizer::state() const {
  NamedTensors list{{"step", from_vector<std::int64_t>({steps_}, Shape{})}};
  for (const Moments& m : moments_)
    for (std::size_t i = 0; i < m.tensors.size(); ++i)
      list.emplace_back(std::string(m.name) + '.' + std::to_string(i), m.tensors[i]);
  return list;
}

void Optimizer::load_state(const NamedTensors& state, Here here) {
  for (const auto& [name, t] : state)
    if (name == "step" && t.defined() && t.dtype() == DType::i64 && t.numel() == 1)
      require(t.item<std::int64_t>() >= 0, name_,
              ": load_state: the step is negative: ", t.item<std::int64_t>());
  for (Moments& m : moments_)
    for (std::size_t i = 0; i < parameters_.size(); ++i) follow(m.tensors[i], parameters_[i]);
  const NamedTensors mine = this->state();
  nn::detail::assign(name_, "the parameters", mine, "the state", state, here);
  steps_ = mine[0].second.item<std::int64_t>();
}

// ---- SGD ----------------------------------------------------------------------------------------

SGD::SGD(std::vector<Tensor> parameters, SGDOptions options)
    : SGD(one_group(std::move(parameters)), options) {}

SGD::SGD(std::vector<Group> groups, SGDOptions options)
    : Optimizer("SGD", std::move(groups), options.learning_rate, options.weight_decay,
                options.momentum != 0 ? std::vector{"m"} : std::vector<const char*>{}),
      options_(options) {
  require_fraction("SGD", "momentum", options.momentum);
  require(!options.nesterov || options.momentum > 0, "SGD: nesterov needs a momentum above 0");
}

void SGD::run(const Slice<float>* slices, std::int64_t count) const {
  const SgdStep step{.momentum = options_.momentum, .nesterov = options_.nesterov};
  GRADUS_RUN(device(), sgd(slices, count, step));
}
void SGD::run(const Slice<double>* slices, std::int64_t count) const {
  const SgdStep step{.momentum = options_.momentum, .nesterov = options_.nesterov};
  GRADUS_RUN(device(), sgd(slices, count, step));
}

// ---- Adam, AdamW --------------------------------------------------------------------------------

Adam::Adam(std::vector<Tensor> parameters, AdamOptions options)
    : Adam(one_group(std::move(parameters)), options) {}

Adam::Adam(std::vector<Group> groups, AdamOptions options)
    : Adam("Adam", std::move(groups), options, false) {}

Adam::Adam(const char* name, std::vector<Group> groups, AdamOptions options, bool decoupled)
    : Optimizer(name, std::move(groups), options.learning_rate, options.weight_decay, {"m", "v"}),
      options_(options),
      decoupled_(decoupled) {
  require_fraction(name, "beta1", options.beta1);
  require_fraction(name, "beta2", options.beta2);
  require(options.eps > 0 && std::isfinite(options.eps), name,
          ": eps must be finite and above 0: ", options.eps);
}

namespace {

AdamStep adam_step(const AdamOptions& o, bool decoupled, std::int64_t step) {
  return {.beta1 = o.beta1, .beta2 = o.beta2, .eps = o.eps, .decoupled = decoupled, .step = step};
}

AdamOptions as_adam(const AdamWOptions& o) {
  return {o.learning_rate, o.beta1, o.beta2, o.eps, o.weight_decay};
}

}  // namespace

void Adam::run(const Slice<float>* slices, std::int64_t count) const {
  const AdamStep step = adam_step(options_, decoupled_, steps());
  GRADUS_RUN(device(), adam(slices, count, step));
}
void Adam::run(const Slice<double>* slices, std::int64_t count) const {
  const AdamStep step = adam_step(options_, decoupled_, steps());
  GRADUS_RUN(device(), adam(slices, count, step));
}

AdamW::AdamW(std::vector<Tensor> parameters, AdamWOptions options)
    : AdamW(one_group(std::move(parameters)), options) {}

AdamW::AdamW(std::vector<Group> groups, AdamWOptions options)
    : Adam("AdamW", std::move(groups), as_adam(options), true) {}

// ---- norms --------------------------------------------------------------------------------------

namespace {

// The sum of the squares of all elements of tensors of type T: f64, where they lie.
template <class T>
Tensor sum_of_squares(std::vector<Tensor> values) {
  std::int64_t elements = 0;
  for (const Tensor& t : values) elements += t.numel();
  const Device device = values[0].device();
  const Tensor sum = empty({}, DType::f64, device);
  const Tensor scratch = empty({sum_of_squares_scratch(elements)}, DType::u8, device);
  detail::count_pass("global_norm", Work::reduction, {&values});
  detail::call_at_replays([=, values = std::move(values)] {
    std::vector<Slice<T>> slices;
    for (const Tensor& t : values) slices.push_back(slice_of<T>(t));
    GRADUS_RUN(device, sum_of_squares(slices.data(), std::ssize(slices),
                                      detail::first_byte_mutable(scratch),
                                      detail::out_pointer<double>(sum)));
  });
  return sum;
}

Tensor sum_of_squares(const std::vector<Tensor>& values) {
  std::vector<Tensor> floats, doubles;
  for (const Tensor& t : values) (t.dtype() == DType::f32 ? floats : doubles).push_back(t);
  if (floats.empty() && doubles.empty()) return zeros({}, DType::f64);
  if (doubles.empty()) return sum_of_squares<float>(std::move(floats));
  if (floats.empty()) return sum_of_squares<double>(std::move(doubles));
  return sum_of_squares<float>(std::move(floats)) + sum_of_squares<double>(std::move(doubles));
}

// f64, where the gradients lie.
Tensor norm_of(const std::vector<Tensor>& gradients) {
  std::vector<Tensor> values;
  for (const Tensor& g : gradients) {
    detail::require_floating("global_norm", g);
    values.push_back(detail::contiguous_value(g.dtype() == DType::bf16 ? g.to(DType::f32) : g));
  }
  require_one_device("global_norm", values);
  const Tensor fast = sum_of_squares(values);
  if (fast.device() != Device::cpu || std::isfinite(fast.item())) return sqrt(fast);
  // Squares of large f32 numbers overflow where the norm does not.
  for (Tensor& g : values) g = detail::converted(g, DType::f64);
  return sqrt(sum_of_squares(values));
}

}  // namespace

double global_norm(const std::vector<Tensor>& gradients) { return norm_of(gradients).item(); }

Clipped clip_global_norm(const std::vector<Tensor>& gradients, double max_norm) {
  require(max_norm > 0, "clip_global_norm: max_norm must be above 0: ", max_norm);
  const NoGrad no_grad;
  const Tensor norm = norm_of(gradients);
  if (norm.device() == Device::cpu) {
    const double value = norm.item();
    if (!std::isfinite(value))
      throw NumericError("clip_global_norm: the norm of the gradients is " + std::to_string(value));
    if (value <= max_norm) return {gradients, norm};
  } else {  // which is not waited for, so that a step can be recorded
    constexpr double largest = std::numeric_limits<double>::max();
    GRADUS_RUN_ON_DEVICE(
        norm.device(),
        note_outside("clip_global_norm", ": the norm of the gradients must be finite",
                     detail::pointer<double>(norm), 1, -largest, largest));
  }
  const Tensor factor = map(formula::ClipFactor{max_norm}, norm), narrow = factor.to(DType::f32);
  Clipped clipped{{}, norm};
  for (const Tensor& g : gradients)
    clipped.gradients.push_back(
        g.dtype() == DType::f64 ? g * factor : (g.to(DType::f32) * narrow).to(g.dtype()));
  return clipped;
}

// ---- EMA ----------------------------------------------------------------------------------------

EMA::EMA(std::vector<Tensor> parameters, double decay)
    : parameters_(std::move(parameters)), decay_(decay) {
  require(decay >= 0 && decay <= 1, "EMA: decay must lie in [0, 1]: ", decay);
  require_parameters("EMA", parameters_);
  for (const Tensor& p : parameters_) averages_.push_back(p.detach().clone());
}

void EMA::update(Here here) {
  require_one_device("EMA", parameters_);
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    require_plain("EMA", i, parameters_[i]);
    follow(averages_[i], parameters_[i]);
  }
  gradus::detail::call_at_replays([this, here] {
    std::vector<Slice<float>> floats;
    std::vector<Slice<double>> doubles;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      if (parameters_[i].dtype() == DType::f32) {
        floats.push_back(slice_of<float>(parameters_[i]));
        floats.back().parameter = detail::written_pointer<float>(averages_[i], here);
      } else {
        doubles.push_back(slice_of<double>(parameters_[i]));
        doubles.back().parameter = detail::written_pointer<double>(averages_[i], here);
      }
    }
    const Device device = parameters_[0].device();
    gradus::detail::count_pass("EMA", Work::map, {&parameters_, &averages_, &averages_});
    GRADUS_RUN(device, moving_average(floats.data(), std::ssize(floats), decay_));
    GRADUS_RUN(device, moving_average(doubles.data(), std::ssize(doubles), decay_));
  });
}

void EMA::copy_to(const std::vector<Tensor>& parameters, Here here) const {
  require(parameters.size() == averages_.size(), "EMA: got ", parameters.size(), " parameters for ",
          averages_.size(), " averages");
  for (std::size_t i = 0; i < averages_.size(); ++i)
    require_like("EMA", i, "average", averages_[i], parameters[i]);
  std::vector<Tensor> targets;
  for (const Tensor& p : parameters) targets.push_back(p.detach());
  for (const Tensor& t : targets) detail::note_write(t, here);  // may need memory: not half way
  for (std::size_t i = 0; i < averages_.size(); ++i) targets[i].copy_(averages_[i], here);
}

NamedTensors EMA::state() const {
  NamedTensors list;
  for (std::size_t i = 0; i < averages_.size(); ++i)
    list.emplace_back("average." + std::to_string(i), averages_[i]);
  return list;
}

void EMA::load_state(const NamedTensors& state, Here here) {
  nn::detail::assign("EMA", "the parameters", this->state(), "the state", state, here);
}

}  // namespace gradus::optim
