// Reductions on raw memory against their definitions in long double.
#include "gradus/kernels/reduce.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "gradus/tests/windows.h"

namespace gradus::test {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
const double not_a_number = std::nan("");

// A window with its axes split, and for each output the offsets of its terms, in order.
struct Case {
  Window window;
  unsigned axes = 0;
  ReduceShape shape;
  std::vector<std::vector<std::int64_t>> terms;

  Case(const Window& w, unsigned reduced) : window(w), axes(reduced) {
    shape = reduce_shape(w.extents, w.stride, axes);
    std::int64_t outputs = 1;
    for (int i = 0; i < w.extents.rank; ++i)
      if (!(axes >> i & 1)) outputs *= w.extents.size[i];
    terms.resize(static_cast<std::size_t>(outputs));
    for (std::int64_t p = 0; p < w.extents.count(); ++p) {
      std::int64_t output = 0, rest = p, scale = 1;
      for (int i = w.extents.rank - 1; i >= 0; --i) {
        const std::int64_t at = rest % w.extents.size[i];
        rest /= w.extents.size[i];
        if (axes >> i & 1) continue;
        output += at * scale;
        scale *= w.extents.size[i];
      }
      terms[static_cast<std::size_t>(output)].push_back(w.offset(p));
    }
  }
};

Case random_case(Random& random) {
  const std::int64_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 33, 64, 70, 130, 300, 1100};
  std::vector<std::int64_t> shape;
  std::int64_t count = 1;
  for (std::int64_t rank = pick(random, 0, 4); rank > 0; --rank) {
    const std::int64_t n = sizes[pick(random, 0, 15)];
    if (count * n > 20000) continue;
    shape.push_back(pick(random, 0, 60) == 0 ? 0 : n);
    count *= n;
  }
  return {random_window(random, shape, true), static_cast<unsigned>(pick(random, 0, 15))};
}

template <class T>
double bound(double k, double size) {
  return (4 + 2 * std::sqrt(k)) * std::numeric_limits<T>::epsilon() / 2 * size;
}

template <class T>
void check_against_definitions(int cases) {
  Random random(7);
  for (int round = 0; round < cases; ++round) {
    const Case c = random_case(random);
    SCOPED_TRACE(c.window.text() + "axes " + std::to_string(c.axes));
    std::vector<T> memory = random_values<T>(random, c.window.memory, -1, 1);
    if (round % 2)  // many equal ones
      for (T& v : memory) v = std::round(4 * v) / 4;
    const T* x = memory.data() + c.window.first;
    const std::size_t n = c.terms.size();
    std::vector<T> sum(n), prod(n), mean(n), var(n), lse(n), max(n), min(n), highs(n), lows(n);
    std::vector<std::int64_t> arg(n);
    const bool empty = n > 0 && c.terms[0].empty();
    cpu::sum(x, c.shape, sum.data());
    cpu::prod(x, c.shape, prod.data());
    cpu::variance(x, c.shape, 1.0, mean.data(), var.data());
    cpu::logsumexp(x, c.shape, lse.data());
    if (!empty) {
      cpu::max(x, c.shape, max.data());
      cpu::min(x, c.shape, min.data());
      cpu::count_max(x, c.shape, highs.data());
      cpu::count_min(x, c.shape, lows.data());
      cpu::argmax(x, c.shape, arg.data());
    }
    for (std::size_t o = 0; o < n; ++o) {
      SCOPED_TRACE(o);
      const double k = static_cast<double>(c.terms[o].size());
      long double s = 0, a = 0, p = 1, e = 0;
      double high = -infinity, low = infinity;
      std::int64_t place = 0, i = 0;
      for (const std::int64_t at : c.terms[o]) {
        const double v = memory[static_cast<std::size_t>(at)];
        s += v, a += std::abs(v), p *= v, e += std::exp(v);
        if (v > high) high = v, place = i;
        low = std::min(low, v);
        ++i;
      }
      ASSERT_LE(std::abs(sum[o] - s), bound<T>(k, static_cast<double>(a)));
      ASSERT_LE(std::abs(prod[o] - p), k * std::numeric_limits<T>::epsilon() * std::abs(p) +
                                           std::numeric_limits<T>::min());
      if (k == 0) {
        ASSERT_EQ(lse[o], -infinity);
        ASSERT_TRUE(std::isnan(mean[o]) && std::isnan(var[o]));
        continue;
      }
      ASSERT_EQ(max[o], high);
      ASSERT_EQ(min[o], low);
      const auto count = [&](double value) {
        return std::count_if(c.terms[o].begin(), c.terms[o].end(), [&](std::int64_t at) {
          return memory[static_cast<std::size_t>(at)] == value;
        });
      };
      ASSERT_EQ(highs[o], static_cast<T>(count(high)));
      ASSERT_EQ(lows[o], static_cast<T>(count(low)));
      ASSERT_EQ(arg[o], place);
      ASSERT_NEAR(lse[o], static_cast<double>(std::log(e)),
                  20 * std::numeric_limits<T>::epsilon() * (2 + std::log(k)));
      long double d = 0;
      const long double m = s / k;
      for (const std::int64_t at : c.terms[o])
        d +=
            (memory[static_cast<std::size_t>(at)] - m) * (memory[static_cast<std::size_t>(at)] - m);
      ASSERT_LE(std::abs(mean[o] - m), bound<T>(k, static_cast<double>(a / k)) + 1e-30);
      if (k == 1)
        ASSERT_TRUE(std::isnan(var[o]));
      else
        ASSERT_LE(std::abs(var[o] - d / (k - 1)),
                  4 * bound<T>(k, static_cast<double>(d / (k - 1))) + 1e-13);
    }
  }
}

TEST(ReduceKernel, FloatFollowsTheDefinitions) {
  for_each_isa([] { check_against_definitions<float>(300); });
}
TEST(ReduceKernel, DoubleFollowsTheDefinitions) {
  for_each_isa([] { check_against_definitions<double>(200); });
}

TEST(ReduceKernel, LoopsMergeAndOnesVanish) {
  Extents e{4, {2, 3, 1, 5}};
  const std::int64_t stride[] = {15, 5, 99, 1};
  const ReduceShape all = reduce_shape(e, stride, 0b1111);
  EXPECT_EQ(all.kept.rank, 0);
  ASSERT_EQ(all.reduced.rank, 1);
  EXPECT_EQ(all.reduced.size[0], 30);
  EXPECT_EQ(all.reduced_stride[0], 1);
  const ReduceShape rows = reduce_shape(e, stride, 0b1000);
  ASSERT_EQ(rows.kept.rank, 1);
  EXPECT_EQ(rows.kept.size[0], 6);
  EXPECT_EQ(rows.kept_stride[0], 5);
}

ReduceShape rows_of(std::int64_t rows, std::int64_t n) {
  const std::int64_t stride[] = {n, 1};
  return reduce_shape(Extents{2, {rows, n}}, stride, 0b10);
}
ReduceShape columns_of(std::int64_t rows, std::int64_t n) {
  const std::int64_t stride[] = {n, 1};
  return reduce_shape(Extents{2, {rows, n}}, stride, 0b01);
}

// The worst series for an accumulator that runs along: equal terms, all rounded the same way.
TEST(ReduceKernel, LongSumsKeepTheirDigits) {
  const std::int64_t k = 10'000'000;
  const std::vector<float> x(static_cast<std::size_t>(k), 0.1f);
  const double exact = static_cast<double>(0.1f) * static_cast<double>(k);
  for_each_isa([&] {
    for (const std::int64_t columns : {std::int64_t{1}, std::int64_t{10}}) {
      std::vector<float> y(static_cast<std::size_t>(columns));
      const double n = static_cast<double>(k / columns);
      cpu::sum(x.data(), columns_of(k / columns, columns), y.data());
      for (const float v : y)
        EXPECT_LE(std::abs(v - exact / columns), bound<float>(n, exact / columns));
      cpu::sum(x.data(), rows_of(columns, k / columns), y.data());
      for (const float v : y)
        EXPECT_LE(std::abs(v - exact / columns), bound<float>(n, exact / columns));
    }
  });
}

TEST(ReduceKernel, VarianceOfFarNumbersIsCentred) {
  std::vector<float> x;
  for (int i = 0; i < 10000; ++i) x.push_back(10000.0f + static_cast<float>(i % 2));
  float mean = 0, var = 0;
  cpu::variance(x.data(), rows_of(1, 10000), 0.0, &mean, &var);
  EXPECT_NEAR(var, 0.25, 1e-5);
}

TEST(ReduceKernel, VarianceWithoutFreedomIsNotFinite) {
  const double x[] = {1, 2, 3};
  double mean = 0, var = 0;
  cpu::variance(x, rows_of(1, 3), 3.0, &mean, &var);
  EXPECT_EQ(var, infinity);
  cpu::variance(x, rows_of(1, 3), 5.0, &mean, &var);
  EXPECT_EQ(var, infinity);
}

TEST(ReduceKernel, NotANumberPropagates) {
  for_each_isa([] {
    for (const std::int64_t n : {1, 3, 16, 17, 100, 513, 2000, 200000})
      for (const std::int64_t at : {std::int64_t{0}, n / 3, n - 1})
        for (const bool columns : {false, true}) {
          std::vector<float> x(static_cast<std::size_t>(n * 3), 1.0f), y(3);
          const ReduceShape s = columns ? columns_of(n, 3) : rows_of(3, n);
          x[static_cast<std::size_t>(columns ? at * 3 + 1 : n + at)] = NAN;
          for (auto* reduce :
               {&cpu::max<float>, &cpu::min<float>, &cpu::sum<float>, &cpu::logsumexp<float>}) {
            reduce(x.data(), s, y.data());
            ASSERT_TRUE(std::isnan(y[1])) << n << ' ' << at;
            ASSERT_FALSE(std::isnan(y[0]) || std::isnan(y[2])) << n << ' ' << at;
          }
          for (auto* count : {&cpu::count_max<float>, &cpu::count_min<float>}) {
            count(x.data(), s, y.data());
            const auto all = static_cast<float>(n);
            ASSERT_EQ(y, (std::vector<float>{all, 0, all})) << n << ' ' << at;
          }
          std::vector<std::int64_t> place(3);
          cpu::argmax(x.data(), s, place.data());
          ASSERT_EQ(place, (std::vector<std::int64_t>{0, at, 0})) << n << ' ' << at;
        }
  });
}

TEST(ReduceKernel, ArgmaxTakesTheFirst) {
  for_each_isa([] {
    for (const std::int64_t n : {5, 40, 600, 300000}) {
      std::vector<double> x(static_cast<std::size_t>(n), 1.0);
      for (const std::int64_t i : {n / 2, n - 2}) x[static_cast<std::size_t>(i)] = 2.0;
      std::int64_t place = -1;
      cpu::argmax(x.data(), rows_of(1, n), &place);
      EXPECT_EQ(place, n / 2);
      for (const std::int64_t i : {n / 2, n - 2}) x[static_cast<std::size_t>(i)] = not_a_number;
      x[static_cast<std::size_t>(n - 1)] = infinity;
      cpu::argmax(x.data(), rows_of(1, n), &place);
      EXPECT_EQ(place, n / 2);
      std::fill(x.begin(), x.end(), -infinity);
      cpu::argmax(x.data(), rows_of(1, n), &place);
      EXPECT_EQ(place, 0);
    }
  });
}

TEST(ReduceKernel, LogsumexpHoldsItsEdges) {
  for_each_isa([] {
    const double rows[][3] = {
        {-infinity, -infinity, -infinity}, {-infinity, 3.0, -infinity}, {1.0, infinity, 2.0},
        {infinity, infinity, -infinity},   {1000.0, 1000.0, 1000.0},    {-1e300, -1e300, -1e300},
        {not_a_number, infinity, 1.0}};
    const double expected[] = {-infinity, 3.0,         infinity, infinity, 1000.0 + std::log(3.0),
                               -1e300,    not_a_number};
    std::vector<double> y(7);
    cpu::logsumexp(&rows[0][0], rows_of(7, 3), y.data());
    for (std::size_t i = 0; i < 6; ++i) EXPECT_DOUBLE_EQ(y[i], expected[i]) << i;
    EXPECT_TRUE(std::isnan(y[6]));
  });
}

TEST(ReduceKernel, BitsDoNotDependOnThreads) {
  Random random(3);
  const std::vector<float> x = random_values<float>(random, 3'000'000);
  const std::int64_t shapes[][2] = {{1, 3000000}, {10, 300000}, {300000, 10},
                                    {3000, 1000}, {1000, 3000}, {2, 1500000}};
  for (const auto& shape : shapes)
    for (const bool columns : {false, true}) {
      SCOPED_TRACE(std::to_string(shape[0]) + (columns ? " columns" : " rows"));
      const ReduceShape s = columns ? columns_of(shape[0], shape[1]) : rows_of(shape[0], shape[1]);
      expect_same_for_any_threads([&] {
        const auto n = static_cast<std::size_t>(s.kept.count());
        std::vector<float> y(5 * n);
        cpu::sum(x.data(), s, y.data());
        cpu::max(x.data(), s, y.data() + n);
        cpu::variance(x.data(), s, 0.0, y.data() + 2 * n, y.data() + 3 * n);
        cpu::logsumexp(x.data(), s, y.data() + 4 * n);
        return y;
      });
      expect_same_for_any_threads([&] {
        std::vector<std::int64_t> y(static_cast<std::size_t>(s.kept.count()));
        cpu::argmax(x.data(), s, y.data());
        return y;
      });
    }
}

TEST(ReduceKernel, IntegersAreExact) {
  Random random(11);
  for (int round = 0; round < 300; ++round) {
    const Case c = random_case(random);
    SCOPED_TRACE(c.window.text() + "axes " + std::to_string(c.axes));
    const auto memory = static_cast<std::size_t>(c.window.memory);
    std::vector<std::int32_t> a(memory);
    std::vector<std::int64_t> b(memory);
    std::vector<std::uint8_t> d(memory);
    const auto flags = std::make_unique<bool[]>(memory);
    for (std::size_t i = 0; i < memory; ++i) {
      a[i] = static_cast<std::int32_t>(random());
      b[i] = static_cast<std::int64_t>(random()) >> 20;
      d[i] = static_cast<std::uint8_t>(random());
      flags[i] = round % 3 == 0 ? false : round % 3 == 1 ? true : (random() & 1) != 0;
    }
    const std::size_t n = c.terms.size();
    std::vector<std::int64_t> sa(n), sb(n), sd(n), count(n);
    const auto any = std::make_unique<bool[]>(n), all = std::make_unique<bool[]>(n);
    cpu::sum_integers(a.data() + c.window.first, c.shape, sa.data());
    cpu::sum_integers(b.data() + c.window.first, c.shape, sb.data());
    cpu::sum_integers(d.data() + c.window.first, c.shape, sd.data());
    cpu::sum_integers(flags.get() + c.window.first, c.shape, count.data());
    cpu::any(flags.get() + c.window.first, c.shape, any.get());
    cpu::all(flags.get() + c.window.first, c.shape, all.get());
    for (std::size_t o = 0; o < n; ++o) {
      std::int64_t ea = 0, eb = 0, ed = 0, ec = 0;
      for (const std::int64_t t : c.terms[o]) {
        const auto at = static_cast<std::size_t>(t);
        ea += a[at], eb += b[at], ed += d[at], ec += flags[at];
      }
      ASSERT_EQ(sa[o], ea);
      ASSERT_EQ(sb[o], eb);
      ASSERT_EQ(sd[o], ed);
      ASSERT_EQ(count[o], ec);
      ASSERT_EQ(any[o], ec > 0);
      ASSERT_EQ(all[o], ec == static_cast<std::int64_t>(c.terms[o].size()));
    }
  }
  const std::vector<std::uint8_t> ones(1'000'003, 255);
  std::int64_t y = 0;
  cpu::sum_integers(ones.data(), rows_of(1, 1'000'003), &y);
  EXPECT_EQ(y, 255 * std::int64_t{1'000'003});
}

TEST(ReduceKernel, CumsumRunsAlongItsAxis) {
  Random random(5);
  for (int round = 0; round < 100; ++round) {
    const std::int64_t outer = pick(random, 0, 5), n = pick(random, 0, 300),
                       inner = pick(random, 0, 1) ? 1 : pick(random, 1, 150);
    std::vector<float> x = random_values<float>(random, outer * n * inner), y(x.size());
    cpu::cumsum(x.data(), outer, n, inner, y.data());
    for (std::int64_t o = 0; o < outer; ++o)
      for (std::int64_t i = 0; i < inner; ++i) {
        double total = 0;
        for (std::int64_t j = 0; j < n; ++j) {
          const auto at = static_cast<std::size_t>((o * n + j) * inner + i);
          total += x[at];
          ASSERT_EQ(y[at], static_cast<float>(total));
        }
      }
    cpu::cumsum(x.data(), outer, n, inner, x.data());
    EXPECT_EQ(x, y);
  }
}

}  // namespace
}  // namespace gradus::test
