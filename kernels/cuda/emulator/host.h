// The part of the CUDA runtime API that the machine layer needs, with CUDA's names and meanings.
//
// Work on a stream is a queue of closures. By default it is lazy: nothing runs before a call waits
// for it, and then only what that call needs, so that a missing wait gives wrong values. Streams
// never wait for the null stream (cudaStreamNonBlocking). A program that breaks a rule on the
// device makes every later call on that device fail, as CUDA does; report() has the whole text.
//
// GRADUS_EMULATOR_STREAMS=lazy|eager|random[:SEED] sets the order in which streams run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "gradus/kernels/cuda/emulator/vocabulary.h"

namespace gradus::emulator {

struct Stream;
struct Event;
struct Graph;
struct GraphExec;

enum cudaError_t : int {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInitializationError = 3,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorIllegalState = 401,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchFailure = 719,
  cudaErrorNotSupported = 801,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorStreamCaptureMerge = 902,
  cudaErrorStreamCaptureUnmatched = 903,
  cudaErrorStreamCaptureUnjoined = 904,
  cudaErrorStreamCaptureIsolation = 905,
  cudaErrorCapturedEvent = 907,
  cudaErrorStreamCaptureWrongThread = 908,
};

enum cudaMemcpyKind : int {
  cudaMemcpyHostToHost = 0,
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
  cudaMemcpyDefault = 4,
};
enum cudaStreamCaptureMode : int {
  cudaStreamCaptureModeGlobal = 0,
  cudaStreamCaptureModeThreadLocal = 1,
  cudaStreamCaptureModeRelaxed = 2,
};
enum cudaStreamCaptureStatus : int {
  cudaStreamCaptureStatusNone = 0,
  cudaStreamCaptureStatusActive = 1,
  cudaStreamCaptureStatusInvalidated = 2,
};
enum cudaFuncAttribute : int { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };

inline constexpr unsigned cudaStreamNonBlocking = 1;
inline constexpr unsigned cudaEventDefault = 0, cudaEventDisableTiming = 2;
inline constexpr unsigned cudaHostAllocDefault = 0, cudaHostAllocMapped = 2;

}  // namespace gradus::emulator

using gradus::emulator::cudaError_t;
using gradus::emulator::cudaEventDefault;
using gradus::emulator::cudaEventDisableTiming;
using gradus::emulator::cudaFuncAttribute;
using gradus::emulator::cudaHostAllocDefault;
using gradus::emulator::cudaHostAllocMapped;
using gradus::emulator::cudaMemcpyKind;
using gradus::emulator::cudaStreamCaptureMode;
using gradus::emulator::cudaStreamCaptureStatus;
using gradus::emulator::cudaStreamNonBlocking;
using enum gradus::emulator::cudaError_t;
using enum gradus::emulator::cudaFuncAttribute;
using enum gradus::emulator::cudaMemcpyKind;
using enum gradus::emulator::cudaStreamCaptureMode;
using enum gradus::emulator::cudaStreamCaptureStatus;

using cudaStream_t = gradus::emulator::Stream*;
using cudaEvent_t = gradus::emulator::Event*;
using cudaGraph_t = gradus::emulator::Graph*;
using cudaGraphExec_t = gradus::emulator::GraphExec*;
using cudaHostFn_t = void (*)(void*);

// ---- errors, versions, devices (there are two)
const char* cudaGetErrorName(cudaError_t);
const char* cudaGetErrorString(cudaError_t);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaGetDeviceCount(int* count);  // leaves *count as it is when it fails
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaDeviceSynchronize();

// ---- memory
cudaError_t cudaMalloc(void** block, std::size_t bytes);
cudaError_t cudaFree(void* block);
cudaError_t cudaMallocHost(void** block, std::size_t bytes);
cudaError_t cudaHostAlloc(void** block, std::size_t bytes, unsigned flags);
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned flags);
cudaError_t cudaFreeHost(void* block);
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total);
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind);
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream = nullptr);
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream = nullptr);

// ---- streams and events
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);  // runs one piece of work, so that polls end
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end);
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* argument);

// ---- graphs
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status);
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph,
                                 unsigned long long flags = 0);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);

// ---- kernels
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value);

namespace gradus::emulator {

// A launch: `body` is one thread of the kernel, its arguments held by value. A size that no device
// has is refused at once; what the kernel does wrong shows in a later call that waits.
cudaError_t enqueue_kernel(const char* name, dim3 grid, dim3 block, std::size_t shared,
                           cudaStream_t stream, std::function<void()> body);

// For allocators that keep blocks: when the stream comes there, the first `bytes` of a block begin
// as those of a new one, and the rest is out of bounds (device_lend).
cudaError_t enqueue_lend(void* block, std::size_t bytes, cudaStream_t stream);

// What broke this thread's device, in full; empty while it works.
std::string report();

// ---- for tests
enum class StreamOrder { lazy, eager, random };
StreamOrder set_stream_order(StreamOrder order, std::uint64_t seed = 1);  // the one before
// What GRADUS_EMULATOR_STREAMS means; null is the default. Throws Error.
StreamOrder parse_stream_order(const char* order, std::uint64_t& seed);
// Drops queued work and the errors of all devices, as a new process would.
void reset_devices();
// What cudaGetDeviceCount and cudaDriverGetVersion answer; version 0: no driver at all.
void pretend_driver(int version, int devices);
void set_device_memory(std::size_t bytes);  // of each device
// What exists: a test for leaks compares two of these.
struct Resources {
  std::size_t device_blocks, device_bytes, pinned_blocks, streams, events, graphs;
  friend bool operator==(const Resources&, const Resources&) = default;
};
Resources resources();

}  // namespace gradus::emulator
