#include "gradus/kernels/cuda/emulator/machine.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "gradus/kernels/cuda/emulator/engine.h"
#include "gradus/kernels/cuda/emulator/memory.h"

namespace gradus::emulator {

thread_local Caller caller;

// Never destroyed: tensors of static storage may outlive every other static object.
Machine& machine() {
  static auto* const m = new Machine;
  return *m;
}

Machine::Machine() {
  streams.works = [this](int d) { return device(d).broken == cudaSuccess; };
  streams.failed = [this](int d, const std::exception_ptr& e) { fail(device(d), e); };
  for (int d = 0; d < device_count; ++d) device(d).null_stream = streams.create(d);

  try {
    std::uint64_t seed = 1;
    streams.order = parse_stream_order(std::getenv("GRADUS_EMULATOR_STREAMS"), seed);
    streams.random.seed(seed);
  } catch (const Error& e) {  // said by the first call that could throw
    for (Device& d : devices) d = {cudaErrorInitializationError, e.what(), d.null_stream};
  }
}

cudaError_t Machine::driver_status() const {
  if (driver_version < runtime_version) return cudaErrorInsufficientDriver;
  return device_count == 0 ? cudaErrorNoDevice : cudaSuccess;
}

void Machine::fail(Device& device, const std::exception_ptr& thrown) {
  if (device.broken != cudaSuccess) return;
  try {
    std::rethrow_exception(thrown);
  } catch (const IllegalAddress& e) {
    device.broken = cudaErrorIllegalAddress;
    device.report = e.what();
  } catch (const std::exception& e) {
    device.broken = cudaErrorLaunchFailure;
    device.report = e.what();
  }
}

bool Machine::is_pinned(const void* p, std::size_t bytes) const {
  auto block = pinned.upper_bound(p);
  if (block == pinned.begin()) return false;
  --block;
  const auto* begin = static_cast<const std::byte*>(block->first);
  return static_cast<const std::byte*>(p) + bytes <= begin + block->second;
}

void require_block(const char* what, const void* p, std::size_t bytes) {
  if (in_device_memory(p) && !covers(p, bytes))
    throw IllegalAddress(std::string(what) + " of " + std::to_string(bytes) +
                         " bytes: not within a block: " + describe_device_address(p));
}

namespace {

void copy(void* to, const void* from, std::size_t bytes) {
  require_block("copy to", to, bytes);
  require_block("copy from", from, bytes);
  std::memmove(to, from, bytes);
  if (in_device_memory(to)) mark_written(to, bytes);
}

}  // namespace

cudaError_t Machine::submit_copy(Lock& lock, Stream& s, void* to, const void* from,
                                 std::size_t bytes, cudaMemcpyKind kind) {
  if (bytes == 0) return cudaSuccess;
  if (!to || !from) return cudaErrorInvalidValue;
  const bool to_device = in_device_memory(to), from_device = in_device_memory(from);
  if (kind != cudaMemcpyDefault &&
      (to_device != (kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice) ||
       from_device != (kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice)))
    return cudaErrorInvalidValue;
  const bool pageable =
      (!to_device && !is_pinned(to, bytes)) || (!from_device && !is_pinned(from, bytes));
  if (pageable && s.tail.capture) {
    s.tail.capture->invalid = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  if (pageable && !from_device && to_device) {  // read before the call returns
    const auto* begin = static_cast<const std::byte*>(from);
    const auto run = [to, staged = std::vector<std::byte>(begin, begin + bytes)] {
      copy(to, staged.data(), staged.size());
    };
    return streams.submit(lock, s, {run, nullptr});
  }
  const auto run = [to, from, bytes] { copy(to, from, bytes); };
  const cudaError_t status = streams.submit(lock, s, {run, nullptr});
  if (pageable) streams.run_until_idle(lock, s);  // written before the call returns
  return status;
}

cudaError_t enqueue_kernel(const char* name, dim3 grid, dim3 block, std::size_t shared,
                           cudaStream_t stream, std::function<void()> body) {
  constexpr std::size_t shared_limit = 227 * 1024;
  // One at a time: the engine shares the blocks of a kernel among its threads.
  static std::mutex one_kernel;
  return stream_call(stream, [&](Machine& m, Lock& lock, Stream& s) {
    if (s.device != caller.device) return cudaErrorInvalidResourceHandle;
    const std::size_t threads = std::size_t{block.x} * block.y * block.z;
    if (threads == 0 || threads > 1024 || block.z > 64) return cudaErrorInvalidConfiguration;
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 ||
        grid.z > 65535)
      return cudaErrorInvalidConfiguration;
    if (shared > shared_limit) return cudaErrorInvalidValue;
    const auto run = [=, body = std::move(body)] {
      const std::lock_guard one(one_kernel);
      run_grid(name, grid, block, shared, body);
    };
    return m.streams.submit(lock, s, {run, nullptr});
  });
}

cudaError_t enqueue_lend(void* block, std::size_t bytes, cudaStream_t stream) {
  return stream_call(stream, [&](Machine& m, Lock& lock, Stream& s) {
    return m.streams.submit(lock, s, {[=] { device_lend(block, bytes); }, nullptr});
  });
}

std::string report() {
  Machine& m = machine();
  const Lock lock(m.mutex);
  return m.device(caller.device).report;
}

StreamOrder set_stream_order(StreamOrder order, std::uint64_t seed) {
  Machine& m = machine();
  const Lock lock(m.mutex);
  m.streams.random.seed(seed);
  return std::exchange(m.streams.order, order);
}

void reset_devices() {
  Machine& m = machine();
  const Lock lock(m.mutex);
  m.streams.drop_all();
  for (Device& d : m.devices) {
    d.broken = cudaSuccess;
    d.report.clear();
  }
  caller.last = cudaSuccess;
}

void pretend_driver(int version, int devices) {
  Machine& m = machine();
  const Lock lock(m.mutex);
  m.driver_version = version;
  m.device_count = devices;
}

void set_device_memory(std::size_t bytes) {
  Machine& m = machine();
  const Lock lock(m.mutex);
  m.device_bytes = bytes;
}

Resources resources() {
  Machine& m = machine();
  const Lock lock(m.mutex);
  Resources all{m.blocks.size(), 0,
                m.pinned.size(), m.streams.count(),
                m.events.size(), m.graphs.size() + m.execs.size()};
  for (const Device& d : m.devices) all.device_bytes += d.used;
  return all;
}

}  // namespace gradus::emulator
