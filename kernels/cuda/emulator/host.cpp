#include "gradus/kernels/cuda/emulator/host.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "gradus/kernels/cuda/emulator/machine.h"
#include "gradus/kernels/cuda/emulator/memory.h"

using namespace gradus::emulator;

// ---- errors, versions, devices

cudaError_t cudaGetLastError() {
  const cudaError_t last = cudaPeekAtLastError();
  caller.last = cudaSuccess;
  return last;
}

cudaError_t cudaPeekAtLastError() {
  Machine& m = machine();
  const Lock lock(m.mutex);
  const cudaError_t broken = m.device(caller.device).broken;
  return broken != cudaSuccess ? broken : caller.last;
}

cudaError_t cudaDriverGetVersion(int* version) {
  const Lock lock(machine().mutex);
  *version = machine().driver_version;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = Machine::runtime_version;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  const Lock lock(machine().mutex);
  const cudaError_t status = machine().driver_status();
  if (status == cudaSuccess) *count = machine().device_count;
  return caller.last = status;
}

cudaError_t cudaSetDevice(int device) {
  const Lock lock(machine().mutex);
  cudaError_t status = machine().driver_status();
  if (status == cudaSuccess && (device < 0 || device >= machine().device_count))
    status = cudaErrorInvalidDevice;
  if (status != cudaSuccess) return caller.last = status;
  caller.device = device;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = caller.device;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  return unsafe_call([](Machine& m, Lock& lock) {
    m.streams.run_all(lock, caller.device);
    return cudaSuccess;
  });
}

// ---- memory

cudaError_t cudaMalloc(void** block, std::size_t bytes) {
  return unsafe_call([&](Machine& m, Lock&) {
    const int d = caller.device;
    if (bytes > m.device_bytes - std::min(m.device_bytes, m.device(d).used))
      return cudaErrorMemoryAllocation;
    void* p = bytes == 0 ? nullptr : device_allocate(bytes);
    if (!p && bytes > 0) return cudaErrorMemoryAllocation;
    if (p) m.blocks[p] = {bytes, d};
    m.device(d).used += bytes;
    *block = p;
    return cudaSuccess;
  });
}

cudaError_t cudaFree(void* block) {
  return unsafe_call([&](Machine& m, Lock& lock) {
    if (!block) return cudaSuccess;
    const auto found = m.blocks.find(block);
    if (found == m.blocks.end()) return cudaErrorInvalidValue;
    const DeviceBlock freed = found->second;
    m.blocks.erase(found);
    m.device(freed.device).used -= freed.bytes;
    m.streams.run_all(lock, freed.device);
    try {
      device_free(block);
    } catch (const Error&) {  // something wrote beside it
      m.fail(m.device(freed.device), std::current_exception());
    }
    return cudaSuccess;
  });
}

cudaError_t cudaMallocHost(void** block, std::size_t bytes) {
  return cudaHostAlloc(block, bytes, cudaHostAllocDefault);
}

cudaError_t cudaHostAlloc(void** block, std::size_t bytes, unsigned) {
  return unsafe_call([&](Machine& m, Lock&) {
    constexpr std::size_t page = 4096;
    void* p = std::aligned_alloc(page, (bytes + page - 1) / page * page);
    if (!p) return cudaErrorMemoryAllocation;
    std::memset(p, 0xff, bytes);
    m.pinned[p] = bytes;
    *block = p;
    return cudaSuccess;
  });
}

cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  return call([&](Machine& m, Lock&) {
    if (!m.is_pinned(host, 1)) return cudaErrorInvalidValue;
    *device = host;  // one space of addresses
    return cudaSuccess;
  });
}

cudaError_t cudaFreeHost(void* block) {
  return unsafe_call([&](Machine& m, Lock& lock) {
    if (!block) return cudaSuccess;
    if (m.pinned.erase(block) == 0) return cudaErrorInvalidValue;
    for (int d = 0; d < m.device_count; ++d) m.streams.run_all(lock, d);
    std::free(block);
    return cudaSuccess;
  });
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return call([&](Machine& m, Lock&) {
    const std::size_t used = m.device(caller.device).used;
    *total = m.device_bytes;
    *free = m.device_bytes - std::min(m.device_bytes, used);
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return unsafe_call([&](Machine& m, Lock& lock) {
    Stream& s = *m.device(caller.device).null_stream;
    const cudaError_t status = m.submit_copy(lock, s, to, from, bytes, kind);
    m.streams.run_until_idle(lock, s);
    return status;
  });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return stream_call(stream, [&](Machine& m, Lock& lock, Stream& s) {
    return m.submit_copy(lock, s, to, from, bytes, kind);
  });
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return stream_call(stream, [&](Machine& m, Lock& lock, Stream& s) {
    if (bytes == 0) return cudaSuccess;
    if (!in_device_memory(to)) return cudaErrorInvalidValue;
    const auto run = [=] {
      require_block("memset", to, bytes);
      std::memset(to, value, bytes);
      mark_written(to, bytes);
    };
    return m.streams.submit(lock, s, {run, nullptr});
  });
}

// ---- streams and events

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return call([&](Machine& m, Lock&) {
    if (flags != cudaStreamNonBlocking) return cudaErrorNotSupported;
    *stream = m.streams.create(caller.device);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (!stream) return caller.last = cudaErrorInvalidResourceHandle;
  return stream_call(stream, [](Machine& m, Lock&, Stream& s) {
    m.streams.destroy(&s);
    return cudaSuccess;
  });
}

namespace {

// Waiting for a stream that records a graph would wait forever.
cudaError_t refuse_capturing(Stream& s) {
  if (!s.tail.capture) return cudaSuccess;
  s.tail.capture->invalid = true;
  return cudaErrorStreamCaptureUnsupported;
}

// A call that needs to know how far an event is.
template <class F>
cudaError_t marker_call(cudaEvent_t event, F body) {
  return unsafe_call([&](Machine& m, Lock& lock) {
    if (!m.events.count(event)) return cudaErrorInvalidResourceHandle;
    if (event->tail.capture) return cudaErrorCapturedEvent;
    const auto marker = event->marker;  // a record in another thread makes a new one
    return marker && !marker->reached ? body(m, lock, *marker) : cudaSuccess;
  });
}

}  // namespace

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return stream_call(stream, [](Machine& m, Lock& lock, Stream& s) {
    const cudaError_t status = refuse_capturing(s);
    if (status == cudaSuccess) m.streams.run_until_idle(lock, s);
    return status;
  });
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return stream_call(stream, [](Machine& m, Lock& lock, Stream& s) {
    const cudaError_t status = refuse_capturing(s);
    if (status != cudaSuccess || s.idle()) return status;
    m.streams.step(lock, s);
    return cudaErrorNotReady;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return stream_call(stream, [&](Machine& m, Lock& lock, Stream& s) {
    return m.events.count(event) ? m.streams.wait(lock, s, *event) : cudaErrorInvalidResourceHandle;
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return call([&](Machine& m, Lock&) {
    *event = *m.events.insert(new Event{flags}).first;
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return call([&](Machine& m, Lock&) {
    if (m.events.erase(event) == 0) return cudaErrorInvalidResourceHandle;
    delete event;
    return cudaSuccess;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return stream_call(stream, [&](Machine& m, Lock& lock, Stream& s) {
    return m.events.count(event) ? m.streams.record(lock, s, *event)
                                 : cudaErrorInvalidResourceHandle;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return marker_call(event, [](Machine& m, Lock& lock, Marker& marker) {
    m.streams.run_until(lock, marker);
    return cudaSuccess;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return marker_call(event, [](Machine& m, Lock& lock, Marker& marker) {
    m.streams.step(lock, *marker.stream);
    return cudaErrorNotReady;
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  return call([&](Machine& m, Lock&) {
    for (const cudaEvent_t e : {begin, end})
      if (!m.events.count(e) || e->flags & cudaEventDisableTiming || !e->marker)
        return cudaErrorInvalidResourceHandle;
    if (!begin->marker->reached || !end->marker->reached) return cudaErrorNotReady;
    *milliseconds =
        std::chrono::duration<float, std::milli>(end->marker->when - begin->marker->when).count();
    return cudaSuccess;
  });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* argument) {
  return stream_call(stream, [&](Machine& m, Lock& lock, Stream& s) {
    return m.streams.submit(lock, s, {[=] { function(argument); }, nullptr});
  });
}

// ---- graphs

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (!stream) return caller.last = cudaErrorStreamCaptureUnsupported;
  return stream_call(
      stream, [&](Machine& m, Lock&, Stream& s) { return m.streams.begin_capture(s, mode); });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  return stream_call(stream, [&](Machine& m, Lock&, Stream& s) {
    std::unique_ptr<Graph> captured;
    const cudaError_t status = m.streams.end_capture(s, captured);
    if (captured) m.graphs.insert(captured.get());
    *graph = captured.release();
    return status;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return stream_call(stream, [&](Machine&, Lock&, Stream& s) {
    *status = !s.tail.capture           ? cudaStreamCaptureStatusNone
              : s.tail.capture->invalid ? cudaStreamCaptureStatusInvalidated
                                        : cudaStreamCaptureStatusActive;
    return cudaSuccess;
  });
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(caller.mode, *mode);
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return call([&](Machine& m, Lock&) {
    if (!m.graphs.count(graph)) return cudaErrorInvalidValue;
    *exec = *m.execs.insert(new GraphExec{std::make_shared<const Graph>(*graph), nullptr}).first;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  return stream_call(stream, [&](Machine& m, Lock& lock, Stream& s) {
    return m.execs.count(exec) ? m.streams.launch(lock, s, *exec) : cudaErrorInvalidValue;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return call([&](Machine& m, Lock&) {
    if (m.graphs.erase(graph) == 0) return cudaErrorInvalidValue;
    delete graph;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  return call([&](Machine& m, Lock&) {
    if (m.execs.erase(exec) == 0) return cudaErrorInvalidValue;
    delete exec;
    return cudaSuccess;
  });
}

// ---- kernels

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int value) {
  return call([&](Machine&, Lock&) {
    return kernel && value >= 0 && value <= 227 * 1024 ? cudaSuccess : cudaErrorInvalidValue;
  });
}
