// The emulated CUDA runtime API against CUDA's rules: order, what a capture forbids, what fails.
#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "gradus/kernels/cuda/emulator/host.h"

namespace gradus::emulator {
namespace {

// Two streams, an event, an int on the device, one in pinned memory.
class EmulatorHost : public ::testing::Test {
 protected:
  EmulatorHost() : order_(set_stream_order(StreamOrder::lazy)) {
    cudaStreamCreateWithFlags(&a_, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&b_, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&event_, cudaEventDefault);
    void* memory = nullptr;
    cudaMalloc(&memory, 8);
    x_ = static_cast<int*>(memory);
    cudaMallocHost(&memory, 8);
    host_ = static_cast<int*>(memory);
    cudaMemsetAsync(x_, 0, 8, a_);
    cudaStreamSynchronize(a_);
  }
  ~EmulatorHost() override {
    reset_devices();
    set_stream_order(order_);
    EXPECT_EQ(cudaStreamDestroy(a_), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(b_), cudaSuccess);
    EXPECT_EQ(cudaEventDestroy(event_), cudaSuccess);
    EXPECT_EQ(cudaFree(x_), cudaSuccess);
    EXPECT_EQ(cudaFreeHost(host_), cudaSuccess);
    EXPECT_EQ(resources(), before_);
  }

  cudaError_t set(cudaStream_t stream, int value) {
    return enqueue_kernel("set", 1, 1, 0, stream, [x = x_, value] { *x = value; });
  }
  cudaError_t begin(cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal) {
    return cudaStreamBeginCapture(a_, mode);
  }
  cudaError_t end() {
    cudaGraph_t graph = nullptr;
    const cudaError_t status = cudaStreamEndCapture(a_, &graph);
    EXPECT_EQ(graph != nullptr, status == cudaSuccess);
    if (graph) cudaGraphDestroy(graph);
    return status;
  }

  Resources before_ = resources();
  StreamOrder order_;
  cudaStream_t a_ = nullptr, b_ = nullptr;
  cudaEvent_t event_ = nullptr;
  int* x_ = nullptr;
  int* host_ = nullptr;
};

// ---- order

TEST_F(EmulatorHost, LazyWorkRunsWhenACallWaitsForIt) {
  set(a_, 1);
  EXPECT_EQ(*x_, 0);
  cudaStreamSynchronize(b_);
  EXPECT_EQ(*x_, 0);
  cudaStreamSynchronize(a_);
  EXPECT_EQ(*x_, 1);
  set(a_, 2);
  cudaEventRecord(event_, a_);
  set(a_, 3);
  cudaEventSynchronize(event_);
  EXPECT_EQ(*x_, 2);  // no further
  cudaDeviceSynchronize();
  EXPECT_EQ(*x_, 3);
}

TEST_F(EmulatorHost, EagerWorkRunsAtOnce) {
  set_stream_order(StreamOrder::eager);
  set(a_, 1);
  EXPECT_EQ(*x_, 1);
}

TEST_F(EmulatorHost, RandomOrderKeepsToStreamsAndEvents) {
  bool later = false, sooner = false;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    set_stream_order(StreamOrder::random, seed);
    set(a_, 1);
    set(a_, 2);
    cudaEventRecord(event_, a_);
    (*x_ == 0 ? later : sooner) = true;
    cudaStreamWaitEvent(b_, event_);
    cudaMemcpyAsync(host_, x_, 4, cudaMemcpyDeviceToHost, b_);
    cudaStreamSynchronize(b_);
    EXPECT_EQ(*host_, 2);
    cudaMemsetAsync(x_, 0, 4, b_);
    cudaStreamSynchronize(b_);
  }
  EXPECT_TRUE(later && sooner);
}

TEST_F(EmulatorHost, AnEventIsItsLastRecord) {
  EXPECT_EQ(cudaEventQuery(event_), cudaSuccess);  // of nothing
  set(a_, 1);
  cudaEventRecord(event_, a_);
  cudaStreamWaitEvent(b_, event_);  // what was recorded by now
  set(a_, 2);
  cudaEventRecord(event_, a_);
  cudaMemcpyAsync(host_, x_, 4, cudaMemcpyDeviceToHost, b_);
  cudaStreamSynchronize(b_);
  EXPECT_EQ(*host_, 1);
  int polls = 0;
  while (cudaEventQuery(event_) == cudaErrorNotReady) ASSERT_LT(++polls, 10);
  EXPECT_EQ(*x_, 2);
  EXPECT_GT(polls, 0);
  set(a_, 3);
  while (cudaStreamQuery(a_) == cudaErrorNotReady) ASSERT_LT(++polls, 20);
  EXPECT_EQ(*x_, 3);
  EXPECT_EQ(cudaGetLastError(), cudaErrorNotReady);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST_F(EmulatorHost, TimeGoesForwardBetweenEvents) {
  cudaEvent_t end = nullptr, untimed = nullptr;
  cudaEventCreateWithFlags(&end, cudaEventDefault);
  cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming);
  float ms = -1;
  EXPECT_EQ(cudaEventElapsedTime(&ms, event_, end), cudaErrorInvalidResourceHandle);
  cudaEventRecord(event_, a_);
  cudaLaunchHostFunc(
      a_, [](void*) { std::this_thread::sleep_for(std::chrono::milliseconds(5)); }, nullptr);
  cudaEventRecord(end, a_);
  cudaEventRecord(untimed, a_);
  EXPECT_EQ(cudaEventElapsedTime(&ms, event_, end), cudaErrorNotReady);
  cudaEventSynchronize(untimed);
  EXPECT_EQ(cudaEventElapsedTime(&ms, event_, untimed), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaEventElapsedTime(&ms, event_, end), cudaSuccess);
  EXPECT_GE(ms, 5);
  cudaEventDestroy(end);
  cudaEventDestroy(untimed);
}

// ---- copies

TEST_F(EmulatorHost, PageableMemoryIsReadAtOncePinnedMemoryLater) {
  int pageable = 1;
  host_[0] = 1;
  cudaMemcpyAsync(x_, &pageable, 4, cudaMemcpyHostToDevice, a_);
  cudaMemcpyAsync(x_ + 1, host_, 4, cudaMemcpyHostToDevice, a_);
  pageable = host_[0] = 2;
  cudaStreamSynchronize(a_);
  EXPECT_EQ(x_[0], 1);
  EXPECT_EQ(x_[1], 2);
  set(a_, 5);
  EXPECT_EQ(cudaMemcpyAsync(&pageable, x_, 4, cudaMemcpyDefault, a_), cudaSuccess);
  EXPECT_EQ(pageable, 5);  // waits
}

TEST_F(EmulatorHost, CopiesKnowTheirSides) {
  int host = 0;
  EXPECT_EQ(cudaMemcpy(x_, &host, 4, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(&host, x_, 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(nullptr, x_, 4, cudaMemcpyDefault), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemsetAsync(&host, 0, 4, a_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST_F(EmulatorHost, ACopyBesideABlockBreaksTheDevice) {
  EXPECT_EQ(cudaMemcpyAsync(host_, x_ + 1, 8, cudaMemcpyDeviceToHost, a_), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(a_), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaStreamSynchronize(b_), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress);  // stays
  EXPECT_NE(report().find("copy from of 8 bytes: not within a block"), std::string::npos)
      << report();
  EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
}

// ---- what is refused

TEST_F(EmulatorHost, RefusesWhatDoesNotExist) {
  EXPECT_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaFree(host_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(x_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
  cudaStream_t gone = nullptr;
  cudaStreamCreateWithFlags(&gone, cudaStreamNonBlocking);
  cudaStreamDestroy(gone);
  EXPECT_EQ(cudaStreamSynchronize(gone), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaStreamCreateWithFlags(&gone, 0), cudaErrorNotSupported);
  void* p = nullptr;
  EXPECT_EQ(cudaMalloc(&p, std::size_t{1} << 50), cudaErrorMemoryAllocation);
  cudaSetDevice(1);
  EXPECT_EQ(set(a_, 1), cudaErrorInvalidResourceHandle);  // a stream of the other device
  cudaSetDevice(0);
  EXPECT_EQ(enqueue_kernel("k", 1, dim3(1, 1, 65), 0, a_, [] {}), cudaErrorInvalidConfiguration);
  EXPECT_EQ(enqueue_kernel("k", dim3(1, 65536), 1, 0, a_, [] {}), cudaErrorInvalidConfiguration);
  EXPECT_EQ(enqueue_kernel("k", 1, 1, 228 << 10, a_, [] {}), cudaErrorInvalidValue);
  EXPECT_STREQ(cudaGetErrorName(cudaErrorNotSupported), "cudaErrorNotSupported");
}

TEST_F(EmulatorHost, ACountThatFailsIsLeftAsItWas) {
  pretend_driver(0, 0);
  int count = -1;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
  EXPECT_EQ(count, -1);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorInsufficientDriver);
  pretend_driver(13000, 2);
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 2);
}

// ---- captures

TEST_F(EmulatorHost, ACallThatWaitsInvalidatesTheCapture) {
  int pageable = 0;
  void* p = nullptr;
  const std::function<cudaError_t()> calls[] = {
      [&] { return cudaStreamSynchronize(a_); },
      [&] { return cudaStreamQuery(a_); },
      [&] { return cudaDeviceSynchronize(); },
      [&] { return cudaMalloc(&p, 4); },
      [&] { return cudaFree(x_); },
      [&] { return cudaMallocHost(&p, 4); },
      [&] { return cudaMemcpy(host_, x_, 4, cudaMemcpyDefault); },
      [&] { return cudaMemcpyAsync(&pageable, x_, 4, cudaMemcpyDeviceToHost, a_); },
      [&] { return cudaEventQuery(event_); },
  };
  for (const auto& call : calls) {
    EXPECT_EQ(begin(), cudaSuccess);
    EXPECT_EQ(set(a_, 7), cudaSuccess);
    EXPECT_EQ(call(), cudaErrorStreamCaptureUnsupported);
    cudaStreamCaptureStatus status{};
    cudaStreamIsCapturing(a_, &status);
    EXPECT_EQ(status, cudaStreamCaptureStatusInvalidated);
    EXPECT_EQ(set(a_, 8), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(end(), cudaErrorStreamCaptureInvalidated);
    cudaStreamSynchronize(a_);
    EXPECT_EQ(*x_, 0);
  }
}

TEST_F(EmulatorHost, ModesSayWhomACaptureConcerns) {
  const auto elsewhere = [] {
    void* p = nullptr;
    cudaError_t status{};
    std::thread([&] {
      status = cudaMalloc(&p, 4);
      if (status == cudaSuccess) cudaFree(p);
    }).join();
    return status;
  };
  begin(cudaStreamCaptureModeGlobal);
  EXPECT_EQ(elsewhere(), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(end(), cudaErrorStreamCaptureInvalidated);
  begin(cudaStreamCaptureModeThreadLocal);
  EXPECT_EQ(elsewhere(), cudaSuccess);
  auto mode = cudaStreamCaptureModeRelaxed;
  cudaThreadExchangeStreamCaptureMode(&mode);
  void* p = nullptr;
  EXPECT_EQ(cudaMalloc(&p, 4), cudaSuccess);
  EXPECT_EQ(cudaFree(p), cudaSuccess);
  cudaThreadExchangeStreamCaptureMode(&mode);
  EXPECT_EQ(mode, cudaStreamCaptureModeRelaxed);
  std::thread([&] { EXPECT_EQ(end(), cudaErrorStreamCaptureWrongThread); }).join();
  EXPECT_EQ(end(), cudaSuccess);
  EXPECT_EQ(end(), cudaErrorIllegalState);
}

TEST_F(EmulatorHost, EventsForkACaptureAndJoinIt) {
  begin();
  EXPECT_EQ(begin(), cudaErrorIllegalState);
  set(a_, 1);
  cudaEventRecord(event_, a_);
  EXPECT_EQ(cudaStreamWaitEvent(b_, event_), cudaSuccess);
  EXPECT_EQ(set(b_, 2), cudaSuccess);
  EXPECT_EQ(end(), cudaErrorStreamCaptureUnjoined);

  begin();
  cudaEventRecord(event_, a_);
  cudaStreamWaitEvent(b_, event_);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(b_, &graph), cudaErrorStreamCaptureUnmatched);
  EXPECT_EQ(end(), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(cudaStreamWaitEvent(b_, event_), cudaErrorStreamCaptureInvalidated);

  cudaEventRecord(event_, b_);
  begin();
  EXPECT_EQ(cudaStreamWaitEvent(a_, event_), cudaErrorStreamCaptureIsolation);
  EXPECT_EQ(end(), cudaErrorStreamCaptureInvalidated);

  begin();
  cudaStreamBeginCapture(b_, cudaStreamCaptureModeGlobal);
  cudaEventRecord(event_, b_);
  EXPECT_EQ(cudaStreamWaitEvent(a_, event_), cudaErrorStreamCaptureMerge);
  EXPECT_EQ(end(), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(cudaStreamEndCapture(b_, &graph), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal),
            cudaErrorStreamCaptureUnsupported);
}

// Two branches that nothing orders: what a graph may do about them depends on the order set.
TEST_F(EmulatorHost, AMissingEdgeOfAGraphShows) {
  cudaEvent_t joined = nullptr;
  cudaEventCreateWithFlags(&joined, cudaEventDisableTiming);
  begin();
  cudaEventRecord(event_, a_);
  cudaStreamWaitEvent(b_, event_);
  set(a_, 1);
  enqueue_kernel("copy", 1, 1, 0, b_, [x = x_] { x[1] = x[0]; });
  cudaEventRecord(joined, b_);
  cudaStreamWaitEvent(a_, joined);
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(a_, &graph), cudaSuccess);
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph), cudaSuccess);
  cudaGraphDestroy(graph);
  const auto copied = [&](StreamOrder order, std::uint64_t seed = 1) {
    set_stream_order(order, seed);
    cudaMemsetAsync(x_, 0, 8, a_);
    cudaGraphLaunch(exec, a_);
    cudaStreamSynchronize(a_);
    return x_[1];
  };
  EXPECT_EQ(copied(StreamOrder::eager), 1);
  EXPECT_EQ(copied(StreamOrder::lazy), 0);
  int ones = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) ones += copied(StreamOrder::random, seed);
  EXPECT_GT(ones, 0);
  EXPECT_LT(ones, 40);
  cudaGraphExecDestroy(exec);
  EXPECT_EQ(cudaGraphLaunch(exec, a_), cudaErrorInvalidValue);
  cudaEventDestroy(joined);
}

}  // namespace
}  // namespace gradus::emulator
