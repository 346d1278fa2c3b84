// Reductions on the emulated device against the CPU's, in double.
#include <cmath>
#include <limits>

#include "gradus/kernels/bf16.h"
#include "gradus/kernels/reduce.h"
#include "gradus/tests/emulated_bits.h"
#include "gradus/tests/windows.h"

namespace gradus::test {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

ReduceShape shape_of(const Window& w, unsigned axes) {
  return reduce_shape(w.extents, w.stride, axes);
}
// Contiguous loops.
Window window(const std::vector<std::int64_t>& sizes) {
  Window w;
  w.extents.rank = static_cast<int>(sizes.size());
  w.memory = 1;
  for (int i = w.extents.rank - 1; i >= 0; --i) {
    w.extents.size[i] = sizes[at(i)], w.stride[i] = w.memory;
    w.memory *= sizes[at(i)];
  }
  return w;
}

template <class T>
double as_double(T x) {
  return static_cast<double>(static_cast<computed<T>>(x));
}

// The twins agree as far as T's roundings allow. x: the window's memory.
template <class T>
void check(const std::vector<T>& memory, const Window& w, unsigned axes, std::int64_t skip = 0) {
  SCOPED_TRACE(w.text() + "axes " + std::to_string(axes) + " skip " + std::to_string(skip));
  const ReduceShape s = shape_of(w, axes);
  const std::int64_t outputs = s.kept.count(), terms = s.reduced.count();
  std::vector<double> x, magnitude;
  for (const T v : memory) x.push_back(as_double(v)), magnitude.push_back(std::abs(x.back()));
  const double *p = x.data() + w.first, *m = magnitude.data() + w.first;
  std::vector<double> sum(at(outputs)), size(sum), mean(sum), var(sum), lse(sum), max(sum);
  std::vector<double> min(sum), prod(sum);
  cpu::sum(p, s, sum.data());
  cpu::sum(m, s, size.data());
  cpu::variance(p, s, 1.0, mean.data(), var.data());
  cpu::logsumexp(p, s, lse.data());
  cpu::prod(p, s, prod.data());

  const EmulatedArray<T> d(memory, skip);
  const T* from = d.data() + w.first;
  const auto on_device = [&](auto reduce) {
    return same_bits([&] {
      const EmulatedArray<T> y(outputs);
      reduce(from, s, y.data());
      return y.values();
    });
  };
  const double eps = std::numeric_limits<computed<T>>::epsilon();
  const double rounding = sizeof(T) == 2 ? 1.0 / 256 : eps;  // of a result
  const auto close = [&](T y, double exact, double tolerance) {
    const auto expected = static_cast<double>(static_cast<computed<T>>(exact));
    if (std::isnan(expected) || std::isinf(expected))
      return std::isnan(expected) ? std::isnan(as_double(y)) : as_double(y) == expected;
    return std::abs(as_double(y) - expected) <= tolerance + rounding * std::abs(expected);
  };
  const auto sums = on_device(emulated::sum<T, T>), lses = on_device(emulated::logsumexp<T>);
  std::vector<T> means;
  const auto vars = on_device([&](const T* a, const ReduceShape& shape, T* y) {
    const EmulatedArray<T> mu(outputs);
    emulated::variance(a, shape, 1.0, mu.data(), y);
    means = mu.values();
  });
  for (std::int64_t o = 0; o < outputs; ++o) {
    SCOPED_TRACE(o);
    ASSERT_TRUE(close(sums[at(o)], sum[at(o)], 3 * eps * size[at(o)]))
        << as_double(sums[at(o)]) << " " << sum[at(o)];
    ASSERT_TRUE(close(lses[at(o)], lse[at(o)], 12 * eps)) << as_double(lses[at(o)]);
    ASSERT_TRUE(close(means[at(o)], mean[at(o)], 4 * eps * size[at(o)] / double(terms)));
    ASSERT_TRUE(close(vars[at(o)], var[at(o)], 12 * eps * std::abs(var[at(o)])))
        << as_double(vars[at(o)]) << " " << var[at(o)];
  }
  if (terms == 0) return;
  cpu::max(p, s, max.data());
  cpu::min(p, s, min.data());
  const auto maxima = on_device(emulated::max<T>), minima = on_device(emulated::min<T>);
  for (std::int64_t o = 0; o < outputs; ++o) {
    ASSERT_TRUE(close(maxima[at(o)], max[at(o)], 0)) << o;
    ASSERT_TRUE(close(minima[at(o)], min[at(o)], 0)) << o;
  }
  if constexpr (sizeof(T) > 2) {
    std::vector<double> highs(max), lows(min);
    cpu::count_max(p, s, highs.data());
    cpu::count_min(p, s, lows.data());
    const auto high = on_device(emulated::count_max<T>), low = on_device(emulated::count_min<T>);
    for (std::int64_t o = 0; o < outputs; ++o)
      ASSERT_TRUE(high[at(o)] == highs[at(o)] && low[at(o)] == lows[at(o)]) << o;
    const auto prods = on_device(emulated::prod<T>);
    std::vector<std::int64_t> places(at(outputs));
    cpu::argmax(p, s, places.data());
    const auto found = same_bits([&] {
      const EmulatedArray<std::int64_t> y(outputs);
      emulated::argmax(from, s, y.data());
      return y.values();
    });
    ASSERT_EQ(found, places);
    for (std::int64_t o = 0; o < outputs; ++o)
      ASSERT_TRUE(
          close(prods[at(o)], prod[at(o)], double(terms) * eps * std::abs(prod[at(o)]) + 1e-37))
          << o;
  }
}

template <class T>
std::vector<T> values(std::int64_t n, unsigned seed = 1) {
  Random random(seed);
  std::vector<T> x;
  for (const float v : random_values<float>(random, n)) x.push_back(static_cast<T>(v));
  return x;
}

template <class T>
void check_random_windows(int cases) {
  Random random(7);
  const std::int64_t sizes[] = {1, 2, 3, 5, 8, 16, 31, 33, 63, 65, 130, 300};
  for (int round = 0; round < cases; ++round) {
    std::vector<std::int64_t> shape;
    std::int64_t count = 1;
    for (std::int64_t rank = pick(random, 0, 4); rank > 0; --rank) {
      const std::int64_t n = pick(random, 0, 40) == 0 ? 0 : sizes[pick(random, 0, 11)];
      if (count * n > 3000) continue;
      shape.push_back(n);
      count *= n;
    }
    const Window w = random_window(random, shape, true);
    check<T>(values<T>(w.memory), w, static_cast<unsigned>(pick(random, 0, 15)),
             pick(random, 0, 3));
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TEST(CudaReduce, FloatOverAnyLoops) { check_random_windows<float>(40); }
TEST(CudaReduce, DoubleOverAnyLoops) { check_random_windows<double>(25); }
TEST(CudaReduce, Bf16OverAnyLoops) { check_random_windows<bf16>(15); }

// Rows that a few lanes, a warp, a block, several blocks fold; columns, too, and both uneven.
TEST(CudaReduce, EveryWayToCut) {
  for (const std::int64_t n : {1, 31, 33, 130, 2047, 2500, 17000}) {
    const Window w = window({n > 3000 ? 2 : 9, n});
    check<float>(values<float>(w.memory), w, 0b10, n % 3);
  }
  check<double>(values<double>(17001), window({17001}), 0b1);
  check<bf16>(values<bf16>(17001), window({17001}), 0b1, 1);
  for (const std::int64_t width : {1, 3, 36, 130}) {
    const Window w = window({width > 36 ? 300 : 9000 / width, width});
    check<float>(values<float>(w.memory), w, 0b01, width % 2);
  }
  check<double>(values<double>(2 * 1100 * 8), window({2, 1100, 8}), 0b010);
}

TEST(CudaReduce, SpecialValues) {
  const double nan = std::nan("");
  for (const std::vector<double>& row : {std::vector<double>{1, nan, 2, infinity},
                                         {infinity, 1, -infinity},
                                         {-infinity, -infinity},
                                         {3, infinity, infinity},
                                         {1e30, 1e30},
                                         {nan, nan},
                                         {-3, -infinity, 7}}) {
    SCOPED_TRACE(testing::PrintToString(row));
    const std::int64_t n = std::ssize(row);
    check<double>(row, window({n}), 0b1);
    std::vector<float> columns, far(700, 1.0f);
    for (const double v : row) columns.insert(columns.end(), 5, static_cast<float>(v));
    check<float>(columns, window({n, 5}), 0b01);
    for (std::int64_t i = 0; i < n; ++i) far[at(i * 97 + 40)] = static_cast<float>(row[at(i)]);
    check<float>(far, window({700}), 0b1);
  }
}

TEST(CudaReduce, VarianceFarFromZero) {
  std::vector<float> x;
  for (int i = 0; i < 5000; ++i) x.push_back(1e6f + static_cast<float>(i % 7));
  check<float>(x, window({5000}), 0b1);
  check<float>(x, window({1250, 4}), 0b01);
}

TEST(CudaReduce, EqualMaxima) {
  std::vector<float> x(20000, 1.0f);
  x[4711] = x[12000] = 2;
  for (const Window& w : {window({20000}), window({5000, 4})}) {
    check<float>(x, w, 0b1);
    const ReduceShape s = shape_of(w, 0b1);
    std::vector<std::int64_t> expected(at(s.kept.count()));
    cpu::argmax(x.data(), s, expected.data());
    const EmulatedArray<float> d(x);
    EXPECT_EQ(same_bits([&] {
                const EmulatedArray<std::int64_t> y(s.kept.count());
                emulated::argmax(d.data(), s, y.data());
                return y.values();
              }),
              expected);
  }
}

template <class T>
void check_integers(const Window& w, unsigned axes) {
  Random random(5);
  std::vector<std::uint8_t> bytes(at(w.memory) * sizeof(T));
  for (auto& b : bytes)
    b = static_cast<std::uint8_t>(std::is_same_v<T, bool> ? random() % 2 : random());
  const T* x = reinterpret_cast<const T*>(bytes.data());
  const ReduceShape s = shape_of(w, axes);
  std::vector<std::int64_t> expected(at(s.kept.count()));
  cpu::sum_integers(x + w.first, s, expected.data());
  const EmulatedArray<std::uint8_t> d(bytes);
  EXPECT_EQ(same_bits([&] {
              const EmulatedArray<std::int64_t> y(s.kept.count());
              emulated::sum_integers(reinterpret_cast<const T*>(d.data()) + w.first, s, y.data());
              return y.values();
            }),
            expected);
}

TEST(CudaReduce, Integers) {
  for (const unsigned axes : {0b01u, 0b10u, 0b11u})
    for (const Window& w : {window({37, 67}), window({300, 8}), window({3, 0})}) {
      check_integers<std::int32_t>(w, axes);
      check_integers<std::int64_t>(w, axes);
      check_integers<std::uint8_t>(w, axes);
      check_integers<bool>(w, axes);
    }
}

TEST(CudaReduce, AnyAndAll) {
  for (const Window& w : {window({5, 300}), window({130, 8}), window({4, 0})})
    for (const unsigned axes : {0b01u, 0b10u}) {
      const ReduceShape s = shape_of(w, axes);
      for (const int kind : {0, 1, 2, 3}) {  // all false, all true, one true, one false
        std::vector<std::uint8_t> x(at(w.memory), kind & 1);
        if (kind > 1 && !x.empty()) x[x.size() / 2] ^= 1;
        const bool* host = reinterpret_cast<const bool*>(x.data());
        const EmulatedArray<std::uint8_t> d(x);
        for (const bool any : {true, false}) {
          std::vector<std::uint8_t> expected(at(s.kept.count()));
          (any ? cpu::any : cpu::all)(host, s, reinterpret_cast<bool*>(expected.data()));
          EXPECT_EQ(same_bits([&] {
                      const EmulatedArray<std::uint8_t> y(s.kept.count());
                      (any ? emulated::any : emulated::all)(reinterpret_cast<const bool*>(d.data()),
                                                            s, reinterpret_cast<bool*>(y.data()));
                      return y.values();
                    }),
                    expected);
        }
      }
    }
}

template <class T>
void check_cumsum(std::int64_t outer, std::int64_t n, std::int64_t inner, bool in_place) {
  SCOPED_TRACE(testing::Message() << outer << " " << n << " " << inner);
  std::vector<T> x, expected(at(outer * n * inner));
  for (const double v : values<double>(outer * n * inner)) x.push_back(static_cast<T>(v * 1000));
  cpu::cumsum(x.data(), outer, n, inner, expected.data());
  const auto y = same_bits([&] {
    const EmulatedArray<T> from(x), to(outer * n * inner);
    emulated::cumsum(from.data(), outer, n, inner, in_place ? from.data() : to.data());
    return in_place ? from.values() : to.values();
  });
  for (std::size_t i = 0; i < y.size(); ++i)
    ASSERT_NEAR(static_cast<double>(y[i]), static_cast<double>(expected[i]),
                std::is_integral_v<T> ? 0
                                      : std::numeric_limits<T>::epsilon() *
                                            (std::abs(static_cast<double>(expected[i])) + 1e5));
}

TEST(CudaReduce, Cumsum) {
  for (const bool in_place : {false, true}) {
    check_cumsum<float>(3, 130, 1, in_place);
    check_cumsum<float>(1, 20000, 1, in_place);  // chunks of a row
    check_cumsum<double>(2, 700, 3, in_place);   // chunks of columns
    check_cumsum<std::int32_t>(2, 31, 65, in_place);
    check_cumsum<std::int64_t>(1, 9000, 1, in_place);
    check_cumsum<double>(2, 0, 3, in_place);
  }
}

}  // namespace
}  // namespace gradus::test
