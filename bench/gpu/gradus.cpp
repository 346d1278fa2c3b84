#include "gradus.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>

#include "../peers/vae.h"
#include "../peers/workload.h"
#include "gradus/kernels/cuda/runtime.h"
#include "gradus/tensor/copy.h"

struct CUstream_st;
namespace gradus::cuda {
CUstream_st* current_stream() noexcept GRADUS_WEAK;  // kernels/cuda/gpu.h
}

using namespace gradus;
using std::int64_t;
using Tensors = std::vector<Tensor>;
using Call = std::function<Tensors()>;

struct GradusJob {
  std::vector<Call> calls;       // one for each set
  std::vector<Tensors> results;  // of their last calls
  std::size_t next = 0;
  std::function<void()> replay;  // all of them, as a graph

  void run_all() {
    for (std::size_t i = 0; i < calls.size(); ++i) results[i] = calls[i]();
  }
};

namespace {

Device device = Device::cpu;
thread_local std::string error;

// What `f` returns, or `failed` where it throws.
template <class Result, class F>
Result guarded(Result failed, const F& f) noexcept {
  try {
    return f();
  } catch (const std::exception& e) {
    error = e.what();
    return failed;
  }
}
template <class F>
int guarded(const F& f) noexcept {
  return guarded(-1, [&] { return f(), 0; });
}

// The caller's memory is a GPU's beside a GPU, and else the host's.
void copy_in(const Tensor& t, const void* from) {
  if (device == Device::cpu)
    std::memcpy(t.raw_mutable_data(), from, static_cast<std::size_t>(t.bytes()));
  else if (device == Device::emulated)
    emulated::copy_from_host(detail::first_byte_mutable(t), from, t.bytes());
  else
    cuda::copy_within(detail::first_byte_mutable(t), from, t.bytes());
}
void copy_out(const Tensor& t, void* to) {
  if (device == Device::cpu)
    std::memcpy(to, t.raw_data(), static_cast<std::size_t>(t.bytes()));
  else if (device == Device::emulated)
    emulated::copy_to_host(to, detail::first_byte(t), t.bytes());
  else
    cuda::copy_within(to, detail::first_byte(t), t.bytes());
}

Tensor copied(const GradusArray& array) {
  Shape shape;
  for (int i = 0; i < array.rank; ++i) shape.push_back(array.sizes[i]);
  const Tensor t = empty(shape, static_cast<DType>(array.dtype), device);
  copy_in(t, array.data);
  return t;
}

Call training(const Tensors& inputs) {
  struct State {
    peers::VAE model{Generator(6)};
    std::unique_ptr<optim::Adam> adam;
    Generator generator{7};
    Tensor x, given;

    Tensor step(const Tensor& noise) {
      Tensor loss = model.loss(x, noise);
      const Tensor shown = loss.detach();
      adam->step(grad(std::move(loss), adam->parameters()));
      return shown;
    }
  };
  const auto state = std::make_shared<State>();
  nn::to(state->model, device);
  Tensors parameters = nn::parameters(state->model);
  require(inputs.size() == parameters.size() + 2, "vae: takes ", parameters.size(),
          " parameters, a batch and noise, got ", inputs.size(), " tensors");
  for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i].copy_(inputs[i]);
  state->adam = std::make_unique<optim::Adam>(std::move(parameters));
  state->x = inputs.end()[-2];
  state->given = inputs.back();
  return [state]() -> Tensors {
    State& s = *state;
    if (!s.given.defined())
      return {s.step(randn({s.x.size(0), peers::VAE::latent}, s.generator, f32, device))};
    Tensors losses;
    for (int64_t i = 0; i < s.given.size(0); ++i) losses.push_back(s.step(s.given[i]));
    s.given = {};
    return {stack(losses, 0)};
  };
}

Call call_of(const std::string& name, const Tensors& inputs) {
  require(!inputs.empty(), "prepare: ", name, " takes at least one tensor");
  if (name == "vae") return training(inputs);
  const Tensor x = inputs[0];
  if (name == "rand" || name == "randn") {
    const auto generator = std::make_shared<Generator>(1);
    return [normal = name == "randn", shape = x.shape(), generator]() -> Tensors {
      return {normal ? randn(shape, *generator, f32, device)
                     : rand(shape, *generator, f32, device)};
    };
  }
  const Tensor y = inputs.size() > 1 ? inputs[1] : Tensor();
  if (name == "adam") {
    Tensor parameter = x;
    const auto adam = std::make_shared<optim::Adam>(Tensors{parameter.requires_grad_()});
    return [=]() -> Tensors {
      adam->step({y});
      return {parameter.detach()};
    };
  }
  if (name.size() == 2) {
    const Tensor a = name[0] == 't' ? x.t() : x, b = name[1] == 't' ? y.t() : y;
    return [=]() -> Tensors { return {matmul(a, b)}; };
  }
  const bool backward = name.ends_with("/backward");
  const auto f = peers::operation(name.substr(0, name.rfind('/'))).f;
  if (!backward) return [=]() -> Tensors { return {f(x, y)}; };
  Tensors leaves;
  for (std::size_t i = 0; i + 1 < inputs.size(); ++i)
    if (is_floating(inputs[i].dtype())) leaves.push_back(Tensor(inputs[i]).requires_grad_());
  const Tensor second = inputs.size() > 2 ? y : Tensor();
  return [=, g = inputs.back()] { return grad(f(x, second), leaves, {.grad_output = g}); };
}

const Tensor& result(const GradusJob& job, int index) {
  require(index >= 0 && static_cast<std::size_t>(index) < job.results[0].size(),
          "result: there is no result ", index);
  return job.results[0][static_cast<std::size_t>(index)];
}

}  // namespace

int gradus_open(const char* name) {
  return guarded([&] {
    device = device_named(name);
    require_available(device);
    synchronize(device);
  });
}

void* gradus_stream() {
  return device.kind == Device::Kind::cuda && cuda::current_stream ? cuda::current_stream()
                                                                   : nullptr;
}

const char* gradus_error() { return error.c_str(); }

double gradus_arrays(const char* name, int backward) {
  return guarded(-1.0, [&] {
    const peers::Operation& operation = peers::operation(name);
    return operation.arrays + (backward ? operation.arrays_backward : 0);
  });
}

GradusJob* gradus_prepare(const char* name, const GradusArray* inputs, int count, int sets,
                          int graph) {
  return guarded(static_cast<GradusJob*>(nullptr), [&] {
    auto job = std::make_unique<GradusJob>();
    for (int set = 0; set < sets; ++set) {
      Tensors tensors;
      for (int i = 0; i < count; ++i) tensors.push_back(copied(inputs[i]));
      job->calls.push_back(call_of(name, tensors));
    }
    job->results.resize(job->calls.size());
    if (graph) {
      auto all = [job = job.get()](const Tensor&) {
        job->run_all();
        return job->results[0];
      };
      const auto step =
          std::make_shared<cuda::Graphed<decltype(all)>>(cuda::graphed(std::move(all)));
      const Tensor unused = zeros({1}, f32, device);
      job->replay = [step, unused] { (*step)(unused); };
    }
    return job.release();
  });
}

int gradus_run(GradusJob* job, int64_t calls) {
  return guarded([&] {
    const auto sets = static_cast<int64_t>(job->calls.size());
    if (job->replay) {
      for (int64_t i = 0; i < calls; i += sets) job->replay();
      return;
    }
    for (int64_t i = 0; i < calls; ++i) {
      job->results[job->next] = job->calls[job->next]();
      job->next = (job->next + 1) % job->calls.size();
    }
  });
}

// The cache of free blocks hands out first what was freed last.
int gradus_poison(GradusJob* job) {
  return guarded([&] {
    for (Tensors& results : job->results) {
      Tensors poison;
      for (const Tensor& t : results)
        poison.push_back(
            full(t.shape(), std::numeric_limits<double>::quiet_NaN(), t.dtype(), t.device()));
      results.clear();
    }
    job->next = 0;
  });
}

int64_t gradus_result_size(GradusJob* job, int index) {
  return guarded(int64_t{-1}, [&] { return result(*job, index).numel(); });
}

int gradus_result(GradusJob* job, int index, void* to) {
  return guarded([&] {
    const NoGrad off;
    const Tensor t = result(*job, index).to(f32).contiguous();
    copy_out(t, to);
  });
}

void gradus_destroy(GradusJob* job) {
  if (!job) return;
  job->results.clear();
  delete job;
}

int gradus_synchronize() {
  return guarded([] { synchronize(device); });
}
