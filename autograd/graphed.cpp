#include "gradus/autograd/graphed.h"

#include <algorithm>

#include "gradus/autograd/graph.h"
#include "gradus/kernels/cuda/replay.h"
#include "gradus/tensor/copy.h"
#include "gradus/tensor/dispatch.h"
#include "gradus/tensor/replay.h"

namespace gradus::cuda::detail {
namespace {

using gradus::detail::HostCall;
using gradus::detail::note_calls;

std::vector<Tensor> detached(std::vector<Tensor> list) {
  for (Tensor& t : list) t = t.detach();
  return list;
}

// What the host calls of a recording, and later of each replay, put into the graph's arguments.
class Arguments {
 public:
  explicit Arguments(Device device)
      : device_(device), held_(GRADUS_RUN_ON_DEVICE(device, make_replay_arguments())) {}
  ~Arguments() { GRADUS_FREE_ON_DEVICE(device_, destroy_replay_arguments(held_)); }
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;

  void note(bool on) { GRADUS_RUN_ON_DEVICE(device_, note_arguments(on ? held_ : nullptr)); }
  void rewrite(const std::vector<HostCall>& calls) {
    GRADUS_RUN_ON_DEVICE(device_, rewrite_arguments(held_));
    try {
      for (const HostCall& call : calls) call();
    } catch (...) {
      GRADUS_RUN_ON_DEVICE(device_, rewrite_arguments(nullptr));
      throw;
    }
    GRADUS_RUN_ON_DEVICE(device_, rewrite_arguments(nullptr));
  }
  void send() { GRADUS_RUN_ON_DEVICE(device_, send_arguments(held_)); }

 private:
  Device device_;
  ReplayArguments* held_;
};

}  // namespace

struct Recordings::Recording {
  explicit Recording(const std::vector<Tensor>& x) : device(x[0].device()) {
    for (const Tensor& t : x) {
      shapes.push_back(t.shape());
      dtypes.push_back(t.dtype());
    }
  }
  ~Recording() {
    calls.clear();
    outputs.clear();
    inputs.clear();
    arguments.reset();
    if (graph) GRADUS_FREE_ON_DEVICE(device, destroy_graph(graph));
  }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  bool fits(const std::vector<Tensor>& x) const {
    if (x.size() != shapes.size()) return false;
    for (std::size_t i = 0; i < x.size(); ++i)
      if (x[i].device() != device || x[i].shape() != shapes[i] || x[i].dtype() != dtypes[i])
        return false;
    return true;
  }

  void record(const Step& step, const std::vector<Tensor>& x) {
    inputs.clear();
    for (const Tensor& t : x) inputs.push_back(gradus::detail::contiguous_copy(t));
    arguments = std::make_unique<Arguments>(device);
    GRADUS_RUN_ON_DEVICE(device, begin_capture());
    arguments->note(true);
    std::vector<HostCall>* const before = note_calls(&calls);
    const auto stop = [&] {
      note_calls(before);
      arguments->note(false);
    };
    try {
      outputs = detached(step(inputs));
      stop();
      graph = GRADUS_RUN_ON_DEVICE(device, end_capture());
    } catch (...) {
      stop();
      GRADUS_FREE_ON_DEVICE(device, cancel_capture());
      calls.clear();
      outputs.clear();
      throw;
    }
  }

  void replay() {
    arguments->send();
    GRADUS_RUN_ON_DEVICE(device, replay(graph));
  }

  Device device;
  std::vector<Shape> shapes;
  std::vector<DType> dtypes;
  std::vector<Tensor> inputs, outputs;
  std::vector<HostCall> calls;
  std::unique_ptr<Arguments> arguments;
  DeviceGraph* graph = nullptr;
};

Recordings::Recordings() = default;
Recordings::~Recordings() = default;
Recordings::Recordings(Recordings&&) noexcept = default;

std::vector<Tensor> Recordings::call(const Step& step, const std::vector<Tensor>& arguments) {
  require(!arguments.empty(), "graphed: the step needs at least one tensor");
  for (const Tensor& t : arguments) {
    gradus::detail::require_defined("graphed", t);
    gradus::detail::require_same_device("graphed", arguments[0], t);
    require(!t.requires_grad(),
            "graphed: an argument requires a gradient, which a recorded step does not pass on "
            "(detach it, and take gradients inside of the step)");
  }
  const Device device = arguments[0].device();
  // Within another recorded step, this one is part of it.
  if (device == Device::cpu || GRADUS_RUN_ON_DEVICE(device, is_capturing()))
    return detached(step(arguments));
  const auto found =
      std::find_if(list_.begin(), list_.end(), [&](const auto& r) { return r->fits(arguments); });
  if (found == list_.end()) {
    std::vector<Tensor> y = detached(step(arguments));
    list_.push_back(std::make_unique<Recording>(arguments));
    return y;
  }
  Recording& recording = **found;
  if (!recording.graph) {
    recording.record(step, arguments);
  } else {
    for (std::size_t i = 0; i < arguments.size(); ++i) recording.inputs[i].copy_(arguments[i]);
    recording.arguments->rewrite(recording.calls);
  }
  recording.replay();
  return recording.outputs;
}

}  // namespace gradus::cuda::detail
