// What tests of the machine layer share: small kernels, and a fixture that leaves the emulated
// devices as it found them.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "gradus/kernels/cuda/finding.cuh"
#include "gradus/kernels/error.h"

namespace gradus::emulated {

using emulator::StreamOrder;

__global__ inline void set_to(int* x, int value) { *x = value; }
__global__ inline void add_to(int* x, int value) { *x += value; }
__global__ inline void copy_one(int* to, const int* from) { *to = *from; }
__global__ inline void look_up(DeviceFinding* finding, std::int64_t index) {
  if (threadIdx.x >= 3) note_finding(finding, "embedding", threadIdx.x, index, 10);
}
__global__ inline void diverge(unsigned lanes) {
  if (threadIdx.x < lanes) __syncthreads();
}

template <class... P, class... A>
void run(void (*kernel)(P...), A... arguments) {
  GRADUS_LAUNCH(kernel, 1, 1, 0, arguments...);
}

template <class F>
std::string message(F f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

class Ints {
 public:
  explicit Ints(int n = 1) : n_(n), data_(static_cast<int*>(allocate(4 * n))) {}
  ~Ints() { free(); }
  Ints(const Ints&) = delete;
  Ints& operator=(const Ints&) = delete;
  void free() { deallocate(std::exchange(data_, nullptr), 4 * n_); }
  int* get() const { return data_; }
  int first() const {
    int value = 0;
    copy_to_host(&value, data_, sizeof value);
    return value;
  }

 private:
  int n_;
  int* data_;
};

// A stream that is this thread's current one as long as it lives.
class OnStream {
 public:
  explicit OnStream(DeviceStream* stream) : before_(set_stream(stream)) {}
  ~OnStream() { set_stream(before_); }
  OnStream(const OnStream&) = delete;
  OnStream& operator=(const OnStream&) = delete;

 private:
  DeviceStream* before_;
};

class DeviceRuntime : public ::testing::Test {
 protected:
  DeviceRuntime() : order_(emulator::set_stream_order(StreamOrder::lazy)) {
    use_device(0);
    release_cached(0);
  }
  ~DeviceRuntime() override {
    EXPECT_FALSE(is_capturing());
    EXPECT_EQ(emulator::report(), "");
    emulator::reset_devices();
    emulator::set_stream_order(order_);
    for (DeviceStream* s : streams_) destroy_stream(s);
    synchronize();
    EXPECT_EQ(memory(0).live, live_);
  }
  DeviceStream* stream() { return streams_.emplace_back(make_stream()); }

  StreamOrder order_;
  std::vector<DeviceStream*> streams_;
  std::int64_t live_ = memory(0).live;
};

}  // namespace gradus::emulated
