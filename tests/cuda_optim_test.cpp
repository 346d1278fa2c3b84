// The CUDA source of optim.h, emulated, against the CPU twin: the same bits where the CPU has fma.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "gradus/kernels/cpu/isa.h"
#include "gradus/kernels/cuda/replay.h"
#include "gradus/kernels/optim.h"
#include "gradus/tests/emulated.h"

namespace gradus {
namespace {

using std::int64_t;
using test::EmulatedArray;

// Parameters with gradients and moments on the host and on the device; every second array on the
// device begins at an address that is aligned to nothing but the element.
template <class T>
class Both {
 public:
  enum Array { parameter, gradient, m, v };

  explicit Both(const std::vector<int64_t>& sizes) {
    for (int64_t n : sizes) {
      const auto i = static_cast<double>(host_.size());
      host_.emplace_back();
      device_.emplace_back();
      for (Array array : {parameter, gradient, m, v}) {
        host_.back().push_back(array < m ? normals(n)
                                         : std::vector<T>(static_cast<std::size_t>(n)));
        device_.back().emplace_back(host_.back().back(), static_cast<int64_t>(host_.size()) % 2);
      }
      auto& h = host_.back();
      auto& d = device_.back();
      slices.push_back(
          {h[0].data(), h[1].data(), h[2].data(), h[3].data(), n, 0.01 * (i + 1), 0.1 * i});
      on_device.push_back(
          {d[0].data(), d[1].data(), d[2].data(), d[3].data(), n, 0.01 * (i + 1), 0.1 * i});
    }
  }
  int64_t count() const { return static_cast<int64_t>(slices.size()); }
  int64_t elements() const {
    int64_t n = 0;
    for (const auto& s : slices) n += s.n;
    return n;
  }
  void draw_gradients() {
    for (std::size_t i = 0; i < host_.size(); ++i) {
      const auto fresh = normals(slices[i].n);
      std::copy(fresh.begin(), fresh.end(), host_[i][gradient].begin());
      device_[i][gradient].set(fresh);
    }
  }
  std::vector<std::vector<T>> on_host(Array array) const {
    std::vector<std::vector<T>> all;
    for (const auto& arrays : host_) all.push_back(arrays[array]);
    return all;
  }
  std::vector<std::vector<T>> from_device(Array array) const {
    std::vector<std::vector<T>> all;
    for (const auto& arrays : device_) all.push_back(arrays[array].values());
    return all;
  }
  void expect_equal() const {
    for (Array array : {parameter, m, v})
      EXPECT_EQ(from_device(array), on_host(array)) << "array " << array;
  }

  std::vector<Slice<T>> slices, on_device;

 private:
  std::vector<T> normals(int64_t n) {
    std::vector<T> x(static_cast<std::size_t>(n));
    for (T& e : x) e = static_cast<T>(normal_(engine_));
    return x;
  }
  std::mt19937_64 engine_{5};
  std::normal_distribution<double> normal_;
  std::vector<std::vector<std::vector<T>>> host_;
  std::vector<std::vector<EmulatedArray<T>>> device_;
};

template <class T>
class CudaOptimTest : public testing::Test {
 protected:
  void SetUp() override {
#if defined(__x86_64__)
    if (!cpu::set_isa(cpu::Isa::avx2)) GTEST_SKIP() << "the CPU twin has no fma here";
#endif
  }
  void TearDown() override { cpu::set_isa(isa_); }
  const std::vector<int64_t> sizes{3, 0, 2500, 1, 64, 130, 1024, 33};

 private:
  cpu::Isa isa_ = cpu::isa();
};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaOptimTest, Types);

template <class T>
double squares(const Slice<T>* slices, int64_t count, int64_t elements) {
  const EmulatedArray<unsigned char> scratch(sum_of_squares_scratch(elements));
  const EmulatedArray<double> sum(1);
  emulated::sum_of_squares(slices, count, scratch.data(), sum.data());
  return sum.values()[0];
}

// More slices than an argument of a launch holds.
std::vector<int64_t> many_sizes() {
  std::vector<int64_t> sizes;
  for (int64_t i = 0; i < 150; ++i) sizes.push_back(i * 37 % 41);
  return sizes;
}

TYPED_TEST(CudaOptimTest, Sgd) {
  for (double momentum : {0.0, 0.9})
    for (bool nesterov : {false, true}) {
      Both<TypeParam> x(this->sizes);
      if (momentum == 0)
        for (auto* slices : {&x.slices, &x.on_device})
          for (auto& s : *slices) s.m = s.v = nullptr;
      const SgdStep step{.momentum = momentum, .nesterov = nesterov, .gradient_scale = 0.7};
      for (int t = 0; t < 3; ++t) {
        x.draw_gradients();
        cpu::sgd(x.slices.data(), x.count(), step);
        emulated::sgd(x.on_device.data(), x.count(), step);
      }
      x.expect_equal();
    }
}

TYPED_TEST(CudaOptimTest, Adam) {
  for (const auto& sizes : {this->sizes, many_sizes()})
    for (bool decoupled : {false, true}) {
      Both<TypeParam> x(sizes);
      for (int t = 1; t <= 3; ++t) {
        const AdamStep step{.beta1 = 0.8,
                            .beta2 = 0.95,
                            .eps = 1e-6,
                            .decoupled = decoupled,
                            .step = t,
                            .gradient_scale = 2};
        x.draw_gradients();
        cpu::adam(x.slices.data(), x.count(), step);
        emulated::adam(x.on_device.data(), x.count(), step);
      }
      x.expect_equal();
    }
}

TYPED_TEST(CudaOptimTest, MovingAverage) {
  Both<TypeParam> x(this->sizes);
  for (auto* slices : {&x.slices, &x.on_device})
    for (auto& s : *slices) s.m = s.v = nullptr;
  cpu::moving_average(x.slices.data(), x.count(), 0.99);
  emulated::moving_average(x.on_device.data(), x.count(), 0.99);
  x.expect_equal();
}

TYPED_TEST(CudaOptimTest, NothingForNothing) {
  Both<TypeParam> x({0, 0});
  for (int64_t count : {int64_t{0}, x.count()}) {
    emulated::adam(x.on_device.data(), count, AdamStep{});
    emulated::sgd(x.on_device.data(), count, SgdStep{});
    EXPECT_EQ(squares(x.on_device.data(), count, 0), 0);
  }
  emulated::synchronize();
}

TYPED_TEST(CudaOptimTest, SumOfSquares) {
  using T = TypeParam;
  for (const auto& sizes : {this->sizes, many_sizes(), std::vector<int64_t>{9001, 1}}) {
    const Both<T> x(sizes);
    long double expected = 0;
    for (const auto& array : x.on_host(Both<T>::gradient))
      for (T g : array) expected += static_cast<long double>(g) * static_cast<long double>(g);
    const double found = test::on_every_schedule(
        [&] { return squares(x.on_device.data(), x.count(), x.elements()); });
    EXPECT_NEAR(static_cast<double>(found / expected), 1, 2 * std::numeric_limits<T>::epsilon());
  }
}

TYPED_TEST(CudaOptimTest, SumOfSquaresOfMoreUnitsThanBlocks) {
  using T = TypeParam;
  const int64_t n = (sum_of_squares_partial + 1) * 4096 + 5;
  const EmulatedArray<T> ones(std::vector<T>(static_cast<std::size_t>(n), T(1)));
  const Slice<T> slice{.gradient = ones.data(), .n = n};
  EXPECT_EQ(squares(&slice, 1, n), static_cast<double>(n));
}

TYPED_TEST(CudaOptimTest, SumOfSquaresOfAnythingAnywhere) {
  using T = TypeParam;
  std::vector<T> g(5000);
  for (std::size_t i = 0; i < g.size(); ++i)
    g[i] = static_cast<T>(std::sin(static_cast<double>(i)));
  const auto sum = [&](int64_t skip) {
    const EmulatedArray<T> gradient(g, skip);
    const Slice<T> slice{.gradient = gradient.data(), .n = std::ssize(g)};
    return squares(&slice, 1, slice.n);
  };
  EXPECT_EQ(sum(0), sum(1));                // the bits do not depend on where the numbers lie
  g[4321] = std::numeric_limits<T>::max();  // its square is finite in double
  EXPECT_EQ(std::isfinite(sum(0)), (std::is_same_v<T, float>));
  g[4321] = std::numeric_limits<T>::infinity();
  EXPECT_EQ(sum(0), std::numeric_limits<double>::infinity());
  g[17] = std::numeric_limits<T>::quiet_NaN();
  EXPECT_TRUE(std::isnan(sum(0)));
}

// Steps that a graph replays, with other rates and counts each time, are ordinary steps.
TYPED_TEST(CudaOptimTest, ReplaysWithOtherNumbers) {
  for (const auto& sizes : {this->sizes, many_sizes()}) {
    Both<TypeParam> x(sizes);
    const auto step = [&](auto adam, auto sgd, std::vector<Slice<TypeParam>>& slices, int t) {
      for (std::size_t i = 0; i < slices.size(); ++i)
        slices[i].learning_rate = 0.1 / static_cast<double>(t + static_cast<int>(i));
      adam(slices.data(), x.count(), AdamStep{.decoupled = true, .step = t});
      sgd(slices.data(), x.count(), SgdStep{.gradient_scale = 1.0 / t});
    };
    const auto on_device = [&](int t) {
      step(emulated::adam<TypeParam>, emulated::sgd<TypeParam>, x.on_device, t);
    };
    ReplayArguments* const arguments = emulated::make_replay_arguments();
    emulated::begin_capture();
    emulated::note_arguments(arguments);
    on_device(1);
    emulated::note_arguments(nullptr);
    DeviceGraph* const graph = emulated::end_capture();
    for (int t = 1; t <= 4; ++t) {
      if (t > 1) {
        emulated::rewrite_arguments(arguments);
        on_device(t);
        emulated::rewrite_arguments(nullptr);
      }
      emulated::send_arguments(arguments);
      emulated::replay(graph);
      step(cpu::adam<TypeParam>, cpu::sgd<TypeParam>, x.slices, t);
      x.expect_equal();
    }
    emulated::destroy_graph(graph);
    emulated::destroy_replay_arguments(arguments);
  }
}

}  // namespace
}  // namespace gradus
