// Devices, streams, copies, graphs, and what goes wrong with them.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "gradus/kernels/cuda/device.h"
#include "gradus/kernels/error.h"

namespace gradus::GRADUS_GPU {
namespace runtime {
namespace {

// A device, once used, lives as long as the process: tensors of static storage may outlive every
// static object.
std::atomic<Device*> devices[max_devices];

struct Thread {
  int device = 0;
  bool bound = false;                          // CUDA knows which device this thread means
  std::array<Stream*, max_devices> streams{};  // null: the device's first
  Graph* capture = nullptr;
};
thread_local Thread thread;

Device& open(int index) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  if (!devices[index].load()) devices[index] = new Device(index);
  return *devices[index].load();
}

// The graph that this thread records; it records none from then on.
std::unique_ptr<Graph> take_capture() noexcept {
  std::unique_ptr<Graph> graph(std::exchange(thread.capture, nullptr));
  thread.streams[static_cast<std::size_t>(graph->stream.device.index)] = graph->previous;
  return graph;
}

// Its memory is anybody's again, after its last replay.
void destroy(std::unique_ptr<Graph> graph) noexcept {
  Device& d = graph->stream.device;
  const std::lock_guard lock(d.mutex);
  if (graph->exec) cudaStreamWaitEvent(d.first.handle, graph->done, 0);
  for (const auto& pool : graph->pools) hand_over(d, *pool, d.first.cache);
  hand_over(d, graph->kept, d.first.cache);
  graph.reset();
}

void refuse_in_graph(const char* what, const char* why) {
  if (!thread.capture) return;
  cancel_capture();
  throw Error(std::string(what) + ": not while a graph is recorded: " + why);
}
constexpr const char* would_wait = "the host would wait for what has not run";

void throw_finding(Device& d) {
  DeviceFinding found;
  {
    const std::lock_guard lock(d.mutex);
    if (std::atomic_ref(d.finding->set).load() != 2) return;
    found = std::exchange(*d.finding, {});
  }
  throw_found(found);
}

std::string version(int number) {
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

}  // namespace

Device* device_at(int index) noexcept {
  return index >= 0 && index < max_devices ? devices[index].load() : nullptr;
}

Device& here() {
  if (!thread.bound) use_device(thread.device);
  return *devices[thread.device].load();
}

Stream& current(Device& d) noexcept {
  Stream* const own = thread.streams[static_cast<std::size_t>(d.index)];
  return own ? *own : d.first;
}

Graph* capture(const Device& d) noexcept {
  return thread.capture && &thread.capture->stream.device == &d ? thread.capture : nullptr;
}

cudaError_t order(Stream& after, Stream& before) noexcept {
  const cudaError_t status = cudaEventRecord(before.mark, before.handle);
  return status == cudaSuccess ? cudaStreamWaitEvent(after.handle, before.mark, 0) : status;
}

Device::Device(int index) : index(index) {
  void* pinned = nullptr;
  check(cudaHostAlloc(&pinned, sizeof(DeviceFinding), cudaHostAllocMapped), "use_device");
  finding = new (pinned) DeviceFinding;  // one address here and there
}

Stream::Stream(Device& device) : device(device) {
  check(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking), "make_stream");
  check(cudaEventCreateWithFlags(&mark, cudaEventDisableTiming), "make_stream");
}
Stream::~Stream() {
  cudaStreamDestroy(handle);
  cudaEventDestroy(mark);
}

Graph::Graph(Device& device) : stream(device) {
  check(cudaEventCreateWithFlags(&done, cudaEventDisableTiming), "begin_capture");
}
Graph::~Graph() {
  if (exec) cudaGraphExecDestroy(exec);
  cudaEventDestroy(done);
}
Pool& Graph::pool(Stream& s) {
  for (const auto& pool : pools)
    if (pool->stream == &s) return *pool;
  pools.push_back(std::make_unique<Pool>(Pool{&s, this}));
  return *pools.back();
}

// ---- staging

void Staging::prepare() {
  if (memory_) return;
  void* pinned = nullptr;
  check(cudaMallocHost(&pinned, slots * slot_bytes), "copy");
  for (cudaEvent_t& event : copied_)
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "copy");
  memory_ = static_cast<std::byte*>(pinned);
}

std::optional<Staging::Slot> Staging::take(bool wait) {
  std::unique_lock lock(mutex_);
  prepare();
  const auto found = [this] {
    for (std::size_t i = 0; i < slots && taken_[next_]; ++i) next_ = (next_ + 1) % slots;
    return !taken_[next_];
  };
  if (wait) given_back_.wait(lock, found);
  if (!found()) return std::nullopt;
  const std::size_t index = std::exchange(next_, (next_ + 1) % slots);
  taken_[index] = true;
  lock.unlock();
  std::optional<Slot> slot(Slot(this, index));
  slot->wait("copy");  // its copy before
  return slot;
}

Staging::Slot::~Slot() {
  if (!staging_) return;
  {
    const std::lock_guard lock(staging_->mutex_);
    staging_->taken_[index_] = false;
  }
  staging_->given_back_.notify_one();
}
std::byte* Staging::Slot::data() const {
  return staging_->memory_ + static_cast<std::int64_t>(index_) * slot_bytes;
}
void Staging::Slot::record(cudaStream_t stream, const char* what) const {
  check(cudaEventRecord(staging_->copied_[index_], stream), what);
}
void Staging::Slot::wait(const char* what) const {
  check(cudaEventSynchronize(staging_->copied_[index_]), what);
}

}  // namespace runtime

using namespace runtime;

// ---- devices

int device_count() noexcept {
  int count = 0;  // left as it is by a call that fails
  if (cudaGetDeviceCount(&count) == cudaSuccess) return std::min(count, max_devices);
  cudaGetLastError();
  return 0;
}

std::string problem() {
  int count = 0, driver = 0, needed = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess && count > 0) return {};
  cudaGetLastError();
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&needed);
  if (status == cudaErrorInsufficientDriver && driver == 0) return "there is no NVIDIA driver";
  if (status == cudaErrorInsufficientDriver)
    return "the NVIDIA driver is too old: it supports CUDA " + version(driver) +
           ", this build needs " + version(needed);
  if (status == cudaSuccess || status == cudaErrorNoDevice) return "there is no CUDA device";
  return std::string(cudaGetErrorName(status)) + " (" + cudaGetErrorString(status) + ")";
}

void use_device(int device) {
  if (thread.bound && thread.device == device) return;
  refuse_in_graph("use_device", "all of its steps run on one device");
  const int count = device_count();
  if (count == 0) throw Error("use_device: no device: " + problem());
  if (device < 0 || device >= count)
    throw Error("use_device: no such device: index " + std::to_string(device) + ", there are " +
                std::to_string(count));
  thread.bound = false;  // until all of this is done
  check(cudaSetDevice(device), "use_device");
  open(device);
  thread.device = device;
  thread.bound = true;
}

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // told here, not again by the next call
  std::string text = std::string(what) + ": CUDA failed: " + cudaGetErrorName(status) + " (" +
                     cudaGetErrorString(status) + ")";
#ifndef __CUDACC__
  if (const std::string report = emulator::report(); !report.empty()) text += "\n" + report;
#endif
  if (status == cudaErrorMemoryAllocation) throw OutOfMemory(text);
  throw Error(text);
}

// ---- copies

void copy_from_host(void* to, const void* from, std::int64_t bytes) {
  constexpr const char* what = "copy_from_host";
  refuse_in_graph(what, "every replay would copy the bytes of now");
  Device& d = here();
  const cudaStream_t stream = current(d).handle;
  for (std::int64_t at = 0; at < bytes; at += Staging::slot_bytes) {
    const auto n = static_cast<std::size_t>(std::min(bytes - at, Staging::slot_bytes));
    const std::optional<Staging::Slot> slot = d.staging.take(true);
    std::memcpy(slot->data(), static_cast<const std::byte*>(from) + at, n);
    check(cudaMemcpyAsync(static_cast<std::byte*>(to) + at, slot->data(), n, cudaMemcpyHostToDevice,
                          stream),
          what);
    slot->record(stream, what);
  }
}

void copy_to_host(void* to, const void* from, std::int64_t bytes) {
  constexpr const char* what = "copy_to_host";
  constexpr std::size_t in_flight = 8;
  refuse_in_graph(what, would_wait);
  if (bytes == 0) return synchronize();
  Device& d = here();
  const cudaStream_t stream = current(d).handle;
  struct Part {
    Staging::Slot slot;
    std::int64_t at;
    std::size_t bytes;
  };
  std::deque<Part> parts;
  for (std::int64_t asked = 0; asked < bytes || !parts.empty();) {
    while (asked < bytes && parts.size() < in_flight) {
      // Who holds a slot does not wait for another one.
      std::optional<Staging::Slot> slot = d.staging.take(parts.empty());
      if (!slot) break;
      const auto n = static_cast<std::size_t>(std::min(bytes - asked, Staging::slot_bytes));
      check(cudaMemcpyAsync(slot->data(), static_cast<const std::byte*>(from) + asked, n,
                            cudaMemcpyDeviceToHost, stream),
            what);
      slot->record(stream, what);
      parts.push_back({std::move(*slot), asked, n});
      asked += static_cast<std::int64_t>(n);
    }
    const Part& part = parts.front();
    part.slot.wait(what);
    std::memcpy(static_cast<std::byte*>(to) + part.at, part.slot.data(), part.bytes);
    parts.pop_front();
  }
  throw_finding(d);
}

void copy_within(void* to, const void* from, std::int64_t bytes) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToDevice,
                        current(here()).handle),
        "copy_within");
}

// ---- streams

cudaStream_t current_stream() noexcept {
  try {
    return current(here()).handle;
  } catch (const std::exception&) {
    return nullptr;  // the launch will say what is wrong
  }
}

DeviceStream* make_stream() {
  Device& d = here();
  auto stream = std::make_unique<Stream>(d);
  const std::lock_guard lock(d.mutex);
  return d.streams.emplace_back(std::move(stream)).get();
}

void destroy_stream(DeviceStream* stream) noexcept {
  if (!stream) return;
  auto& s = *static_cast<Stream*>(stream);
  Device& d = s.device;
  Stream*& own = thread.streams[static_cast<std::size_t>(d.index)];
  if (own == &s) own = nullptr;
  const std::lock_guard lock(d.mutex);
  order(d.first, s);
  hand_over(d, s.cache, d.first.cache);
  std::erase_if(d.streams, [&](const auto& other) { return other.get() == &s; });
}

DeviceStream* set_stream(DeviceStream* stream) noexcept {
  return std::exchange(thread.streams[static_cast<std::size_t>(thread.device)],
                       static_cast<Stream*>(stream));
}

void wait_for(DeviceStream* stream) {
  Device& d = here();
  Stream& before = stream ? *static_cast<Stream*>(stream) : d.first;
  if (&before == &current(d)) return;
  const std::lock_guard lock(before.device.mutex);
  check(order(current(d), before), "wait_for");
}

void synchronize() {
  refuse_in_graph("synchronize", would_wait);
  Device& d = here();
  check(cudaStreamSynchronize(current(d).handle), "synchronize");
  throw_finding(d);
}

// ---- graphs

void begin_capture() {
  if (thread.capture) {
    cancel_capture();
    throw Error("begin_capture: this thread records a graph already");
  }
  Device& d = here();
  auto graph = std::make_unique<Graph>(d);
  check(cudaStreamBeginCapture(graph->stream.handle, cudaStreamCaptureModeThreadLocal),
        "begin_capture");
  graph->previous = static_cast<Stream*>(set_stream(&graph->stream));
  thread.capture = graph.release();
}

DeviceGraph* end_capture() {
  if (!thread.capture) throw Error("end_capture: this thread records no graph");
  std::unique_ptr<Graph> graph = take_capture();
  cudaGraph_t recorded = nullptr;
  cudaError_t status = cudaStreamEndCapture(graph->stream.handle, &recorded);
  if (status == cudaSuccess) status = cudaGraphInstantiate(&graph->exec, recorded, 0);
  if (recorded) cudaGraphDestroy(recorded);
  if (status == cudaSuccess) return graph.release();
  destroy(std::move(graph));
  check(status, "end_capture");
  return nullptr;
}

void cancel_capture() noexcept {
  if (!thread.capture) return;
  std::unique_ptr<Graph> graph = take_capture();
  cudaGraph_t recorded = nullptr;
  cudaStreamEndCapture(graph->stream.handle, &recorded);
  if (recorded) cudaGraphDestroy(recorded);
  cudaGetLastError();
  destroy(std::move(graph));
}

bool is_capturing() noexcept { return thread.capture != nullptr; }

void replay(DeviceGraph* recorded) {
  auto& graph = *static_cast<Graph*>(recorded);
  refuse_in_graph("replay", "a graph holds no other one");
  Device& d = here();
  if (&d != &graph.stream.device)
    throw Error("replay: a graph runs on the device that it was recorded on: " +
                std::to_string(graph.stream.device.index) + ", not " + std::to_string(d.index));
  check(cudaGraphLaunch(graph.exec, current(d).handle), "replay");
  check(cudaEventRecord(graph.done, current(d).handle), "replay");
}

void destroy_graph(DeviceGraph* graph) noexcept {
  if (graph) destroy(std::unique_ptr<Graph>(static_cast<Graph*>(graph)));
}

DeviceFinding* findings() { return here().finding; }

}  // namespace gradus::GRADUS_GPU
