// The CUDA source of random.h, emulated, against the CPU twin: the same bits.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "gradus/kernels/cuda/replay.h"
#include "gradus/kernels/random.h"
#include "gradus/tests/emulated.h"

namespace gradus {
namespace {

using std::int64_t;
using std::uint32_t;
using std::uint64_t;
using test::EmulatedArray;
using test::on_every_schedule;

constexpr PhiloxKey key{0x0123456789abcdef, 7};

using Bytes = std::vector<unsigned char>;

// The bytes that fill(y) writes where y begins `skip` elements behind an aligned address, on the
// host and on the device.
template <class T, class F>
Bytes on_host(int64_t n, int64_t skip, const F& fill) {
  Bytes y(static_cast<std::size_t>(n + skip) * sizeof(T));
  fill(reinterpret_cast<T*>(y.data()) + skip);
  return {y.begin() + static_cast<std::ptrdiff_t>(skip * sizeof(T)), y.end()};
}
template <class T, class F>
Bytes on_device(int64_t n, int64_t skip, const F& fill) {
  const int64_t bytes = n * static_cast<int64_t>(sizeof(T));
  const EmulatedArray<unsigned char> y(bytes, skip * static_cast<int64_t>(sizeof(T)));
  fill(reinterpret_cast<T*>(y.data()));
  return y.values();
}

// All kernels of both twins; p holds n numbers on the host, q the same on the device.
std::vector<Bytes> cpu_numbers(uint64_t offset, int64_t n, int64_t skip, const float* pf,
                               const double* pd) {
  return {
      on_host<uint32_t>(n, skip, [&](auto* y) { cpu::random_bits(key, offset, n, y); }),
      on_host<float>(n, skip, [&](auto* y) { cpu::random_uniform(key, offset, n, y); }),
      on_host<double>(n, skip, [&](auto* y) { cpu::random_uniform(key, offset, n, y); }),
      on_host<float>(n, skip, [&](auto* y) { cpu::random_normal(key, offset, n, y); }),
      on_host<double>(n, skip, [&](auto* y) { cpu::random_normal(key, offset, n, y); }),
      on_host<bool>(n, skip, [&](auto* y) { cpu::random_bernoulli(key, offset, n, pf, 0, y); }),
      on_host<bool>(n, skip, [&](auto* y) { cpu::random_bernoulli(key, offset, n, pf, 1, y); }),
      on_host<bool>(n, skip, [&](auto* y) { cpu::random_bernoulli(key, offset, n, pd, 0, y); }),
      on_host<bool>(n, skip, [&](auto* y) { cpu::random_bernoulli(key, offset, n, pd, 1, y); }),
      on_host<int64_t>(n, skip, [&](auto* y) { cpu::random_integers(key, offset, n, -5, 99, y); }),
      on_host<int64_t>(
          n, skip, [&](auto* y) { cpu::random_integers(key, offset, n, INT64_MIN, INT64_MAX, y); }),
  };
}
std::vector<Bytes> device_numbers(uint64_t offset, int64_t n, int64_t skip, const float* pf,
                                  const double* pd) {
  using namespace emulated;
  return {
      on_device<uint32_t>(n, skip, [&](auto* y) { random_bits(key, offset, n, y); }),
      on_device<float>(n, skip, [&](auto* y) { random_uniform(key, offset, n, y); }),
      on_device<double>(n, skip, [&](auto* y) { random_uniform(key, offset, n, y); }),
      on_device<float>(n, skip, [&](auto* y) { random_normal(key, offset, n, y); }),
      on_device<double>(n, skip, [&](auto* y) { random_normal(key, offset, n, y); }),
      on_device<bool>(n, skip, [&](auto* y) { random_bernoulli(key, offset, n, pf, 0, y); }),
      on_device<bool>(n, skip, [&](auto* y) { random_bernoulli(key, offset, n, pf, 1, y); }),
      on_device<bool>(n, skip, [&](auto* y) { random_bernoulli(key, offset, n, pd, 0, y); }),
      on_device<bool>(n, skip, [&](auto* y) { random_bernoulli(key, offset, n, pd, 1, y); }),
      on_device<int64_t>(n, skip, [&](auto* y) { random_integers(key, offset, n, -5, 99, y); }),
      on_device<int64_t>(
          n, skip, [&](auto* y) { random_integers(key, offset, n, INT64_MIN, INT64_MAX, y); }),
  };
}

TEST(CudaRandomTest, TheBitsOfTheCpu) {
  for (int64_t n : {1, 31, 33, 63, 65, 130, 3001}) {
    std::vector<float> pf;
    std::vector<double> pd;
    for (int64_t i = 0; i < n; ++i) {
      pd.push_back(i % 7 == 3 ? NAN : static_cast<double>(i % 5) / 4);
      pf.push_back(static_cast<float>(pd.back()));
    }
    pf[0] = 0.3f, pd[0] = 0.6;
    for (int64_t skip : {0, 1}) {
      const EmulatedArray<float> qf(pf, skip);
      const EmulatedArray<double> qd(pd, skip);
      for (uint64_t offset : {uint64_t{0}, uint64_t{1}, uint64_t{2}, uint64_t{3}, uint64_t{1} << 34,
                              ~uint64_t{0} - 28}) {
        SCOPED_TRACE(testing::Message() << n << " from " << offset << ", skip " << skip);
        const auto expected = cpu_numbers(offset, n, skip, pf.data(), pd.data());
        const auto found = device_numbers(offset, n, skip, qf.data(), qd.data());
        for (std::size_t i = 0; i < expected.size(); ++i)
          EXPECT_EQ(found[i], expected[i]) << "kernel " << i;
      }
    }
  }
}

TEST(CudaRandomTest, UnderEverySchedule) {
  const EmulatedArray<float> pf(std::vector<float>{0.4f});
  const EmulatedArray<double> pd(std::vector<double>(130, 0.7));
  const EmulatedArray<float> each(std::vector<float>(130, 0.4f));
  on_every_schedule([&] { return device_numbers(5, 130, 0, each.data(), pd.data()); });
}

TEST(CudaRandomTest, NothingForNothing) {
  emulated::random_bits(key, 0, 0, nullptr);
  emulated::random_normal<float>(key, 0, 0, nullptr);
  emulated::random_bernoulli<float>(key, 0, 0, nullptr, 0, nullptr);
  emulated::random_integers(key, 0, 0, 0, 1, nullptr);
  emulated::synchronize();
}

TEST(CudaRandomTest, SplitsAreTheSameNumbers) {
  constexpr int64_t n = 1000;
  const auto draw = [](uint64_t offset, int64_t count) {
    return on_device<float>(count, 0,
                            [&](float* y) { emulated::random_normal(key, offset, count, y); });
  };
  const Bytes whole = draw(77, n);
  for (int64_t cut : {1, 2, 3, 257, 999}) {
    Bytes joined = draw(77, cut);
    const Bytes rest = draw(77 + static_cast<uint64_t>(cut), n - cut);
    joined.insert(joined.end(), rest.begin(), rest.end());
    EXPECT_EQ(joined, whole) << "cut at " << cut;
  }
}

// A captured draw is replayed from other offsets, those of odd distance included.
TEST(CudaRandomTest, ReplaysFromWhereTheGeneratorStands) {
  constexpr int64_t n = 515;
  const EmulatedArray<float> normal(n);
  const EmulatedArray<double> uniform(n);
  const auto step = [&](uint64_t offset) {
    emulated::random_normal(key, offset, n, normal.data());
    emulated::random_uniform(key, offset + n, n, uniform.data());
  };
  ReplayArguments* const arguments = emulated::make_replay_arguments();
  emulated::begin_capture();
  emulated::note_arguments(arguments);
  step(10);
  emulated::note_arguments(nullptr);
  DeviceGraph* const graph = emulated::end_capture();
  EXPECT_THROW((emulated::rewrite_arguments(arguments), emulated::rewrite_arguments(nullptr),
                emulated::send_arguments(arguments)),
               Error);
  for (uint64_t offset : {uint64_t{10}, uint64_t{10}, uint64_t{1041}, ~uint64_t{0} - 5}) {
    emulated::rewrite_arguments(arguments);
    step(offset);
    emulated::rewrite_arguments(nullptr);
    emulated::send_arguments(arguments);
    emulated::replay(graph);
    std::vector<float> expected(n);
    std::vector<double> expected_uniform(n);
    cpu::random_normal(key, offset, n, expected.data());
    cpu::random_uniform(key, offset + n, n, expected_uniform.data());
    EXPECT_EQ(normal.values(), expected) << offset;
    EXPECT_EQ(uniform.values(), expected_uniform) << offset;
  }
  emulated::rewrite_arguments(arguments);
  step(1);
  EXPECT_THROW(step(2), Error);  // more calls than were captured
  emulated::rewrite_arguments(nullptr);
  emulated::destroy_graph(graph);
  emulated::destroy_replay_arguments(arguments);
}

std::vector<int64_t> permutation(uint64_t offset, int64_t n) {
  const EmulatedArray<int64_t> y(n);
  const EmulatedArray<unsigned char> scratch(random_permutation_scratch(n));
  emulated::random_permutation(key, offset, n, y.data(), scratch.data());
  return y.values();
}

TEST(CudaRandomTest, PermutationsOfTheCpu) {
  static constexpr uint64_t offset = ~uint64_t{0} - 16;
  const auto expected = [](int64_t n) {
    std::vector<int64_t> y(static_cast<std::size_t>(n));
    std::vector<std::max_align_t> scratch(
        static_cast<std::size_t>(random_permutation_scratch(n)) / sizeof(std::max_align_t) + 1);
    cpu::random_permutation(key, offset, n, y.data(), scratch.data());
    return y;
  };
  for (int64_t n : {0, 1, 5000}) EXPECT_EQ(permutation(offset, n), expected(n)) << n;
  EXPECT_EQ(on_every_schedule([] { return permutation(offset, 65); }), expected(65));
}

}  // namespace
}  // namespace gradus
