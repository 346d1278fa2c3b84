// The device of a conformance test: the emulator, or a GPU where the build and the machine have
// one.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "gradus/kernels/cuda/emulator/engine.h"
#include "gradus/kernels/cuda/runtime.h"
#include "gradus/tests/cuda/conformance.h"

namespace gradus::conformance {

using Word = std::uint64_t;
using Words = std::vector<Word>;

struct Machine {
  const char* name;
  decltype(&emulated::conform) conform;
  decltype(&emulated::device_count) device_count;
  decltype(&emulated::allocate) allocate;
  decltype(&emulated::deallocate) deallocate;
  decltype(&emulated::copy_from_host) copy_from_host;
  decltype(&emulated::copy_to_host) copy_to_host;
};
#define MACHINE(name, device)                                                          \
  {                                                                                    \
    name, device::conform, device::device_count, device::allocate, device::deallocate, \
        device::copy_from_host, device::copy_to_host                                   \
  }
inline const Machine machines[] = {MACHINE("emulated", emulated), MACHINE("cuda", cuda)};
#undef MACHINE

inline unsigned low(Word x) { return static_cast<unsigned>(x); }
inline unsigned high(Word x) { return static_cast<unsigned>(x >> 32); }
inline float as_float(Word x) { return std::bit_cast<float>(low(x)); }
inline double as_double(Word x) { return std::bit_cast<double>(x); }
inline Word word(double x) { return std::bit_cast<Word>(x); }
inline Word word(float x) { return std::bit_cast<std::uint32_t>(x); }
inline Word word(int x) { return static_cast<unsigned>(x); }

class Conformance : public testing::TestWithParam<Machine> {
 protected:
  void SetUp() override {
    if (!GetParam().conform || GetParam().device_count() == 0) GTEST_SKIP() << "no such device";
  }
  void TearDown() override { emulator::options() = saved_; }

  // What the threads write, the same bits under every schedule.
  Words run(Primitive what, const Words& in, int a = 0, int b = 0, Words out = {}) {
    out.resize(conform_threads * conform_words);
    const Words first = once(what, in, a, b, out);
    if (std::string(GetParam().name) != "emulated") return first;
    emulator::options().schedule = emulator::Schedule::reverse;
    EXPECT_EQ(once(what, in, a, b, out), first);
    emulator::options().schedule = emulator::Schedule::random;
    EXPECT_EQ(once(what, in, a, b, out), first);
    emulator::options().schedule = emulator::Schedule::forward;
    return first;
  }

  Words once(Primitive what, const Words& in, int a, int b, Words out) {
    const Machine& m = GetParam();
    const auto bytes = [](const Words& w) { return static_cast<std::int64_t>(w.size() * 8); };
    auto* const from = static_cast<Word*>(m.allocate(bytes(in)));
    auto* const to = static_cast<Word*>(m.allocate(bytes(out)));
    m.copy_from_host(from, in.data(), bytes(in));
    m.copy_from_host(to, out.data(), bytes(out));
    m.conform(what, from, to, a, b);
    m.copy_to_host(out.data(), to, bytes(out));
    m.deallocate(from, bytes(in));
    m.deallocate(to, bytes(out));
    return out;
  }

  // Compares the threads' words with those of a function of a thread's number.
  using Definition = std::function<Words(int thread)>;
  void expect(const Words& out, const Definition& definition) {
    for (int i = 0; i < conform_threads; ++i) {
      const Words expected = definition(i);
      for (std::size_t k = 0; k < expected.size(); ++k)
        ASSERT_EQ(out[static_cast<std::size_t>(i) * conform_words + k], expected[k])
            << "thread " << i << ", word " << k;
    }
  }

 private:
  emulator::Options saved_ = emulator::options();
};

inline Words random_words(unsigned seed = 7) {
  std::mt19937_64 generator(seed);
  Words words(conform_threads);
  for (Word& w : words) w = generator() >> generator() % 64;
  return words;
}

}  // namespace gradus::conformance
