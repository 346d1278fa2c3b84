// What the emulated devices are, and how a call of the API goes about them.
#pragma once

#include <array>
#include <map>
#include <set>

#include "gradus/kernels/cuda/emulator/streams.h"

namespace gradus::emulator {

struct Device {
  cudaError_t broken = cudaSuccess;  // what every call returns from then on
  std::string report;
  Stream* null_stream = nullptr;
  std::size_t used = 0;
};

struct DeviceBlock {
  std::size_t bytes;
  int device;
};

struct Machine {
  std::mutex mutex;
  Streams streams;
  std::array<Device, 2> devices;
  std::size_t device_bytes = std::size_t{8} << 30;
  std::map<void*, DeviceBlock> blocks;
  std::map<const void*, std::size_t> pinned;
  std::set<Event*> events;
  std::set<Graph*> graphs;
  std::set<GraphExec*> execs;
  static constexpr int runtime_version = 13000;
  int driver_version = runtime_version, device_count = 2;

  Machine();
  Device& device(int d) { return devices[static_cast<std::size_t>(d)]; }
  cudaError_t driver_status() const;
  // Takes note of what work on the device threw.
  void fail(Device& device, const std::exception_ptr& thrown);
  bool is_pinned(const void* p, std::size_t bytes) const;
  cudaError_t submit_copy(Lock& lock, Stream& s, void* to, const void* from, std::size_t bytes,
                          cudaMemcpyKind kind);
};
Machine& machine();

struct Caller {
  int device = 0;
  cudaError_t last = cudaSuccess;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
};
extern thread_local Caller caller;  // this thread

// Work on an address that is no block's.
class IllegalAddress : public Error {
 public:
  using Error::Error;
};
void require_block(const char* what, const void* p, std::size_t bytes);

// A call of the API: under the lock, refused by a broken device, its error remembered.
template <class F>
cudaError_t call(F body) {
  Machine& m = machine();
  Lock lock(m.mutex);
  const auto broken = [&] { return m.device(caller.device).broken; };
  cudaError_t status = m.driver_status();
  if (status == cudaSuccess) status = broken();
  if (status == cudaSuccess) status = body(m, lock);
  if (broken() != cudaSuccess) status = broken();
  if (status != cudaSuccess) caller.last = status;
  return status;
}

// One that no graph can hold, because it may wait for the device.
template <class F>
cudaError_t unsafe_call(F body) {
  return call([&](Machine& m, Lock& lock) {
    const cudaError_t status = m.streams.unsafe_call(caller.mode);
    return status == cudaSuccess ? body(m, lock) : status;
  });
}

// One about a stream; null is the current device's.
template <class F>
cudaError_t stream_call(cudaStream_t stream, F body) {
  return call([&](Machine& m, Lock& lock) {
    if (!stream) stream = m.device(caller.device).null_stream;
    return m.streams.knows(stream) ? body(m, lock, *stream) : cudaErrorInvalidResourceHandle;
  });
}

}  // namespace gradus::emulator
