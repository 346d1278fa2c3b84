// Memory of the emulated device for tests of kernels, and its schedules.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "gradus/kernels/cuda/emulator/engine.h"
#include "gradus/kernels/cuda/runtime.h"

namespace gradus::test {

// An array on the emulated device, `skip` elements behind an aligned address.
template <class T>
class EmulatedArray {
 public:
  explicit EmulatedArray(std::int64_t n, std::int64_t skip = 0)
      : n_(n), skip_(skip), block_(static_cast<T*>(emulated::allocate(bytes(n + skip)))) {}
  explicit EmulatedArray(const std::vector<T>& values, std::int64_t skip = 0)
      : EmulatedArray(std::ssize(values), skip) {
    set(values);
  }
  EmulatedArray(EmulatedArray&& other) noexcept
      : n_(other.n_), skip_(other.skip_), block_(std::exchange(other.block_, nullptr)) {}
  EmulatedArray& operator=(EmulatedArray&&) = delete;
  ~EmulatedArray() {
    if (block_) emulated::deallocate(block_, bytes(n_ + skip_));
  }

  T* data() const { return block_ + skip_; }
  std::int64_t size() const { return n_; }
  void set(const std::vector<T>& values) {
    if (n_ > 0) emulated::copy_from_host(data(), values.data(), bytes(n_));
  }
  std::vector<T> values() const {
    std::vector<T> values(static_cast<std::size_t>(n_));
    if (n_ > 0) emulated::copy_to_host(values.data(), data(), bytes(n_));
    return values;
  }

 private:
  static std::int64_t bytes(std::int64_t n) {
    return std::max<std::int64_t>(n * static_cast<std::int64_t>(sizeof(T)), 1);
  }
  std::int64_t n_, skip_;
  T* block_;
};

// What f() gives, which must be the same under every schedule.
template <class F>
auto on_every_schedule(const F& f) {
  using emulator::Schedule;
  auto& schedule = emulator::options().schedule;
  const Schedule before = schedule;
  schedule = Schedule::forward;
  const auto first = f();
  for (const Schedule s : {Schedule::reverse, Schedule::random}) {
    schedule = s;
    EXPECT_TRUE(f() == first) << "schedule " << static_cast<int>(s);
  }
  schedule = before;
  return first;
}

}  // namespace gradus::test
