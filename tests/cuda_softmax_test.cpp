// Softmax and its kin on the emulated device against the CPU's, in double.
#include "gradus/kernels/softmax.h"

#include <cmath>
#include <limits>

#include "gradus/tests/emulated_bits.h"
#include "gradus/tests/windows.h"

namespace gradus::test {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }
template <class T>
double as_double(T x) {
  return static_cast<double>(static_cast<computed<T>>(x));
}

template <class T>
std::vector<double> doubles(const std::vector<T>& x) {
  std::vector<double> y;
  for (const T v : x) y.push_back(as_double(v));
  return y;
}

template <class T>
std::vector<T> values(std::int64_t n, double low, double high, unsigned seed) {
  Random random(seed);
  std::vector<T> x;
  for (const float v : random_values<float>(random, n, low, high)) x.push_back(static_cast<T>(v));
  return x;
}

// |y - expected| within `ulps` roundings of 1 + |expected|; NaN and infinities where expected.
template <class T>
void expect_close(const std::vector<T>& y, const std::vector<double>& expected, double ulps,
                  const char* what) {
  const double eps =
      sizeof(T) == 2 ? 1.0 / 256 : double(std::numeric_limits<computed<T>>::epsilon());
  ASSERT_EQ(y.size(), expected.size());
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double v = as_double(y[i]), e = expected[i];
    if (std::isnan(e) || std::isinf(e))
      ASSERT_TRUE(std::isnan(e) ? std::isnan(v) : v == e) << what << " " << i << ": " << v;
    else
      ASSERT_LE(std::abs(v - e), ulps * eps * (1 + std::abs(e))) << what << " " << i;
  }
}

// y = kernel(a, b), in place of a where asked for.
template <class T, class Kernel>
std::vector<T> on_device(const Kernel& kernel, const std::vector<T>& a, const std::vector<T>& b,
                         std::int64_t skip, bool in_place) {
  return same_bits([&] {
    const EmulatedArray<T> x(a, skip), w(b, skip), y(std::ssize(a), skip);
    T* const to = in_place ? x.data() : y.data();
    kernel(x.data(), w.data(), to);
    return in_place ? x.values() : y.values();
  });
}

template <class T>
void check(std::int64_t rows, std::int64_t n, const std::vector<T>& x, std::int64_t skip,
           bool in_place) {
  SCOPED_TRACE(testing::Message() << rows << " x " << n << " skip " << skip);
  const std::vector<T> g = values<T>(rows * n, -1, 1, 5);
  const std::vector<double> xd = doubles(x), gd = doubles(g);
  std::vector<double> e(x.size());
  const auto run = [&](auto kernel, const std::vector<T>& a) {
    return on_device<T>([&](const T* p, const T* q, T* y) { kernel(p, q, rows, n, y); }, a, g, skip,
                        in_place);
  };
  const auto unary = [](auto kernel) {
    return [kernel](const T* p, const T*, std::int64_t r, std::int64_t k, T* y) {
      kernel(p, r, k, y);
    };
  };
  const auto y = run(unary(emulated::softmax<T>), x);
  cpu::softmax(xd.data(), rows, n, e.data());
  expect_close(y, e, 4, "softmax");
  const auto dy = doubles(y);
  cpu::softmax_vjp(dy.data(), gd.data(), rows, n, e.data());
  expect_close(run(emulated::softmax_vjp<T>, y), e, 4, "softmax_vjp");

  const auto log_y = run(unary(emulated::log_softmax<T>), x);
  cpu::log_softmax(xd.data(), rows, n, e.data());
  expect_close(log_y, e, 4, "log_softmax");
  const auto log_dy = doubles(log_y);
  cpu::log_softmax_vjp(log_dy.data(), gd.data(), rows, n, e.data());
  expect_close(run(emulated::log_softmax_vjp<T>, log_y), e, 30, "log_softmax_vjp");
}

template <class T>
void check_cross_entropy(std::int64_t rows, std::int64_t n, const std::vector<T>& x,
                         std::int64_t skip, std::int64_t g_stride) {
  SCOPED_TRACE(testing::Message() << rows << " x " << n << " skip " << skip);
  using C = computed<T>;
  Random random(3);
  std::vector<std::int64_t> target;
  for (std::int64_t r = 0; r < rows; ++r) target.push_back(pick(random, 0, n - 1));
  const std::vector<C> g = values<C>(rows, -2, 2, 9);
  const std::vector<double> xd = doubles(x), gd = doubles(g);
  std::vector<double> loss(at(rows)), lse(at(rows)), dx(x.size());
  cpu::cross_entropy(xd.data(), target.data(), rows, n, loss.data(), lse.data());

  const EmulatedArray<std::int64_t> t(target);
  const EmulatedArray<C> gain(g);
  std::vector<C> lses;
  const auto losses = same_bits([&] {
    const EmulatedArray<T> from(x, skip);
    const EmulatedArray<C> l(rows), s(rows);
    emulated::cross_entropy(from.data(), t.data(), rows, n, l.data(), s.data());
    lses = s.values();
    return l.values();
  });
  expect_close(losses, loss, 8, "loss");
  expect_close(lses, lse, 8, "lse");
  const auto exact = doubles(lses);
  cpu::cross_entropy_vjp(xd.data(), target.data(), exact.data(), gd.data(), g_stride, rows, n,
                         dx.data());
  for (const bool in_place : {false, true})
    expect_close(same_bits([&] {
                   const EmulatedArray<T> from(x, skip), to(rows * n, skip);
                   const EmulatedArray<C> s(lses);
                   T* const y = in_place ? from.data() : to.data();
                   emulated::cross_entropy_vjp(from.data(), t.data(), s.data(), gain.data(),
                                               g_stride, rows, n, y);
                   return in_place ? from.values() : to.values();
                 }),
                 dx, 30, "cross_entropy_vjp");
}

template <class T>
void check_sizes(const std::vector<std::pair<std::int64_t, std::int64_t>>& sizes) {
  std::int64_t round = 0;
  for (const auto& [rows, n] : sizes) {
    const std::vector<T> x = values<T>(rows * n, -6, 6, 1);
    check<T>(rows, n, x, round % 3, round % 2 == 1);
    if (n > 0) check_cross_entropy<T>(rows, n, x, round % 3, round % 2);
    if (::testing::Test::HasFatalFailure()) return;
    ++round;
  }
}

// Rows of a few lanes, a warp, several warps; held in shared memory, and beyond it.
TEST(CudaSoftmax, Float) {
  check_sizes<float>({{0, 5},
                      {3, 0},
                      {5, 1},
                      {3, 2},
                      {9, 31},
                      {9, 33},
                      {7, 63},
                      {8, 64},
                      {5, 65},
                      {5, 130},
                      {3, 700},
                      {2, 1030},
                      {2, 2500},
                      {2, 4100},
                      {1, 9001},
                      {1, 41000}});
}
TEST(CudaSoftmax, Double) {
  check_sizes<double>(
      {{5, 1}, {9, 31}, {9, 33}, {5, 130}, {3, 600}, {1, 2100}, {1, 4200}, {1, 21000}});
}
TEST(CudaSoftmax, Bf16) {
  check_sizes<bf16>({{5, 1}, {9, 31}, {9, 64}, {5, 130}, {3, 700}, {1, 2100}, {1, 8300}});
}

// Rows with infinities and NaN, short and long.
TEST(CudaSoftmax, SpecialRows) {
  const double nan = std::nan("");
  for (const std::int64_t n : {3, 40, 9000})
    for (const std::vector<double>& special :
         {std::vector<double>{infinity}, {nan}, {-infinity}, {infinity, infinity}, {1000, -1000}}) {
      std::vector<float> x(at(n), 0.5f);
      for (std::size_t i = 0; i < special.size(); ++i) x[i] = static_cast<float>(special[i]);
      check_cross_entropy<float>(1, n, x, 0, 1);
      const auto y = on_device<float>(
          [&](const float* p, const float*, float* q) { emulated::softmax(p, 1, n, q); }, x, x, 0,
          false);
      const auto l = on_device<float>(
          [&](const float* p, const float*, float* q) { emulated::log_softmax(p, 1, n, q); }, x, x,
          0, false);
      const auto xd = doubles(x);
      std::vector<double> e(x.size());
      cpu::softmax(xd.data(), 1, n, e.data());
      expect_close(y, e, 4, "softmax");
      cpu::log_softmax(xd.data(), 1, n, e.data());
      expect_close(l, e, 4, "log_softmax");
    }
  const std::vector<float> x(9, -std::numeric_limits<float>::infinity());
  for (const float v : on_device<float>(
           [&](const float*p, const float*, float*q) { emulated::softmax(p, 1, 9, q); }, x, x, 0,
           false))
    EXPECT_TRUE(std::isnan(v));
}

TEST(CudaSoftmax, TargetsOutOfRangeAreNotRead) {
  const std::vector<float> x = values<float>(3 * 5, -1, 1, 1);
  const EmulatedArray<float> from(x), loss(3), lse(3), g(std::vector<float>(3, 1.0f)), dx(15);
  const EmulatedArray<std::int64_t> target(std::vector<std::int64_t>{1, 5, -1});
  emulated::cross_entropy(from.data(), target.data(), 3, 5, loss.data(), lse.data());
  emulated::cross_entropy_vjp(from.data(), target.data(), lse.data(), g.data(), 1, 3, 5, dx.data());
  const auto l = loss.values(), d = dx.values();
  EXPECT_TRUE(std::isfinite(l[0]) && std::isnan(l[1]) && std::isnan(l[2]));
  EXPECT_LT(d[1], 0);
  for (std::size_t i = 5; i < 15; ++i) EXPECT_GT(d[i], 0);
}

}  // namespace
}  // namespace gradus::test
