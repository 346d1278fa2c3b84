#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "gradus/kernels/cpu/isa.h"
#include "gradus/kernels/cpu/pool.h"
#include "gradus/kernels/optim.h"

namespace gradus {
namespace {

using std::int64_t;

// Several parameters with their gradients and state, each array at an odd address of its own.
template <class T>
struct Parameters {
  std::vector<std::vector<T>> p, g, m, v;
  std::vector<Slice<T>> slices;

  explicit Parameters(const std::vector<int64_t>& sizes) {
    for (auto* arrays : {&p, &g, &m, &v})
      for (int64_t n : sizes) arrays->emplace_back(static_cast<std::size_t>(n) + 1);
    for (std::size_t i = 0; i < sizes.size(); ++i)
      slices.push_back({p[i].data() + 1, g[i].data() + 1, m[i].data() + 1, v[i].data() + 1,
                        sizes[i], 0.01 * static_cast<double>(i + 1), 0.1 * static_cast<double>(i)});
    randomise(p, 1);
  }
  Parameters(const Parameters&) = delete;

  static void randomise(std::vector<std::vector<T>>& arrays, unsigned seed) {
    std::mt19937_64 engine(seed);
    std::normal_distribution<double> normal;
    for (auto& array : arrays)
      for (T& x : array) x = static_cast<T>(normal(engine));
  }
  int64_t count() const { return static_cast<int64_t>(slices.size()); }
  int64_t elements() const {
    int64_t n = 0;
    for (const auto& s : slices) n += s.n;
    return n;
  }
};

template <class T>
class OptimKernelTest : public testing::Test {
 protected:
  void TearDown() override {
    set_threads(threads_);
    cpu::set_isa(isa_);
  }
  const std::vector<int64_t> sizes{3, 0, 50001, 1, 64, 16384, 17};

  // Takes five steps with new gradients each time and compares every parameter with what
  // reference(step, p, g, m, v, slice) makes of the same numbers in double.
  template <class Step, class Reference>
  void check(Step step, Reference reference) {
    for (cpu::Isa set : {cpu::Isa::baseline, cpu::Isa::avx2, cpu::Isa::avx512}) {
      if (!cpu::set_isa(set)) continue;
      SCOPED_TRACE(cpu::name(set));
      Parameters<T> x(sizes);
      std::vector<std::vector<double>> p, m, v;
      for (const auto& a : x.p) {
        p.emplace_back(a.begin(), a.end());
        m.emplace_back(a.size());
        v.emplace_back(a.size());
      }
      for (int t = 1; t <= 5; ++t) {
        x.randomise(x.g, 10u + static_cast<unsigned>(t));
        step(t, x);
        for (std::size_t i = 0; i < p.size(); ++i) {
          EXPECT_EQ(static_cast<double>(x.p[i][0]), p[i][0]) << "before the slice";
          for (std::size_t j = 1; j < p[i].size(); ++j) {
            reference(t, p[i][j], static_cast<double>(x.g[i][j]), m[i][j], v[i][j], x.slices[i]);
            ASSERT_NEAR(static_cast<double>(x.p[i][j]), p[i][j],
                        50 * std::numeric_limits<T>::epsilon() * std::max(1.0, std::abs(p[i][j])))
                << "slice " << i << " element " << j << " step " << t;
          }
        }
      }
    }
  }

 private:
  int threads_ = threads();
  cpu::Isa isa_ = cpu::isa();
};

using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(OptimKernelTest, Types);

TYPED_TEST(OptimKernelTest, Sgd) {
  for (double momentum : {0.0, 0.9})
    for (bool nesterov : {false, true})
      this->check(
          [&](int, auto& x) {
            const SgdStep step{.momentum = momentum, .nesterov = nesterov, .gradient_scale = 0.5};
            if (momentum == 0)
              for (auto& s : x.slices) s.m = nullptr;
            for (auto& s : x.slices) s.v = nullptr;
            cpu::sgd(x.slices.data(), x.count(), step);
          },
          [&](int t, double& p, double g, double& m, double&, const auto& s) {
            double d = 0.5 * g + s.weight_decay * p;
            if (momentum != 0) {
              m = t == 1 ? d : momentum * m + d;
              d = nesterov ? d + momentum * m : m;
            }
            p -= s.learning_rate * d;
          });
}

TYPED_TEST(OptimKernelTest, Adam) {
  for (bool decoupled : {false, true})
    this->check(
        [&](int t, auto& x) {
          const AdamStep step{.beta1 = 0.8,
                              .beta2 = 0.95,
                              .eps = 1e-6,
                              .decoupled = decoupled,
                              .step = t,
                              .gradient_scale = 2};
          cpu::adam(x.slices.data(), x.count(), step);
        },
        [&](int t, double& p, double g, double& m, double& v, const auto& s) {
          double d = 2 * g;
          if (decoupled)
            p *= 1 - s.learning_rate * s.weight_decay;
          else
            d += s.weight_decay * p;
          m = 0.8 * m + 0.2 * d;
          v = 0.95 * v + 0.05 * d * d;
          const double m_hat = m / (1 - std::pow(0.8, t)), v_hat = v / (1 - std::pow(0.95, t));
          p -= s.learning_rate * m_hat / (std::sqrt(v_hat) + 1e-6);
        });
}

TYPED_TEST(OptimKernelTest, AdamStaysPutWithoutGradients) {
  Parameters<TypeParam> x(this->sizes);
  const auto before = x.p;
  for (auto& s : x.slices) s.weight_decay = 0;
  cpu::adam(x.slices.data(), x.count(), AdamStep{});
  EXPECT_EQ(x.p, before);
}

TYPED_TEST(OptimKernelTest, MovingAverage) {
  this->check(
      [](int, auto& x) {
        for (auto& s : x.slices) s.m = s.v = nullptr;
        cpu::moving_average(x.slices.data(), x.count(), 0.9);
      },
      [](int, double& p, double g, double&, double&, const auto&) { p = 0.9 * p + 0.1 * g; });
}

template <class T>
double squares(const Parameters<T>& x) {
  std::vector<double> scratch(static_cast<std::size_t>(sum_of_squares_scratch(x.elements())) /
                              sizeof(double));
  double sum = -1;
  cpu::sum_of_squares(x.slices.data(), x.count(), scratch.data(), &sum);
  return sum;
}

TYPED_TEST(OptimKernelTest, SumOfSquares) {
  Parameters<TypeParam> x(this->sizes);
  x.randomise(x.g, 5);
  long double expected = 0;
  for (const auto& s : x.slices)
    for (int64_t i = 0; i < s.n; ++i)
      expected += static_cast<long double>(s.gradient[i]) * s.gradient[i];
  for (cpu::Isa set : {cpu::Isa::baseline, cpu::Isa::avx2, cpu::Isa::avx512}) {
    if (!cpu::set_isa(set)) continue;
    EXPECT_NEAR(static_cast<double>(squares(x) / expected), 1,
                4 * std::numeric_limits<TypeParam>::epsilon());
  }
  EXPECT_EQ(squares(Parameters<TypeParam>({})), 0);
  EXPECT_EQ(squares(Parameters<TypeParam>({0, 0})), 0);
  x.g[4][7] = std::numeric_limits<TypeParam>::quiet_NaN();
  EXPECT_TRUE(std::isnan(squares(x)));
}

TYPED_TEST(OptimKernelTest, TheSameBitsForAnyNumberOfThreadsAndAnySlicing) {
  using T = TypeParam;
  std::vector<std::vector<T>> first;
  double first_squares = 0;
  for (int t : {1, 2, 3, 5}) {
    set_threads(t);
    Parameters<T> x({1000, 70000, 5, 40000});
    x.randomise(x.g, 3);
    for (int step = 1; step <= 3; ++step) {
      cpu::adam(x.slices.data(), x.count(), AdamStep{.step = step});
      cpu::sgd(x.slices.data(), x.count(), SgdStep{.momentum = 0.9});
      cpu::moving_average(x.slices.data(), x.count(), 0.99);
    }
    if (first.empty()) first = x.p, first_squares = squares(x);
    EXPECT_EQ(x.p, first) << t << " threads";
    EXPECT_EQ(squares(x), first_squares) << t << " threads";

    // One slice cut in many: an element's step does not depend on its place.
    Parameters<T> y({1000, 70000, 5, 40000});
    y.randomise(y.g, 3);
    std::vector<Slice<T>> pieces;
    for (const Slice<T>& s : y.slices)
      for (int64_t i = 0, n; i < s.n; i += n) {
        n = std::min<int64_t>(s.n - i, 777);
        Slice<T> piece = s;
        piece.parameter += i, piece.gradient += i, piece.m += i, piece.v += i;
        piece.n = n;
        pieces.push_back(piece);
      }
    const auto count = static_cast<int64_t>(pieces.size());
    for (int step = 1; step <= 3; ++step) {
      cpu::adam(pieces.data(), count, AdamStep{.step = step});
      cpu::sgd(pieces.data(), count, SgdStep{.momentum = 0.9});
      cpu::moving_average(pieces.data(), count, 0.99);
    }
    EXPECT_EQ(y.p, first) << t << " threads, in pieces";
  }
}

}  // namespace
}  // namespace gradus
