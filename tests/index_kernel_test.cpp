// Copies, conversions and indexing on raw memory against plain loops.
#include "gradus/kernels/index.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "gradus/kernels/copy.h"
#include "gradus/tests/windows.h"

namespace gradus::test {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

template <class T>
Strided<T> view(std::vector<std::remove_const_t<T>>& memory, const Window& w) {
  Strided<T> s{memory.data() + w.first};
  std::copy_n(w.stride, w.extents.rank, s.stride);
  return s;
}

template <class U>
void check_copy(Random& random, const std::vector<std::int64_t>& sizes) {
  const Window from = random_window(random, sizes, true), to = random_window(random, sizes, false);
  SCOPED_TRACE("from " + from.text() + "to " + to.text());
  std::vector<U> x(static_cast<std::size_t>(from.memory)), y(static_cast<std::size_t>(to.memory));
  for (U& v : x) v = static_cast<U>(random());
  for (U& v : y) v = static_cast<U>(random());
  std::vector<U> expected = y;
  for (std::int64_t p = 0; p < from.extents.count(); ++p)
    expected[static_cast<std::size_t>(to.offset(p))] = x[static_cast<std::size_t>(from.offset(p))];
  cpu::copy_strided(from.extents, view<const U>(x, from), view<U>(y, to));
  ASSERT_EQ(y, expected);
}

TEST(CopyKernel, FollowsAnyStrides) {
  for_each_isa([] {
    Random random(4);
    const std::int64_t sizes[] = {1, 2, 3, 5, 7, 8, 9, 16, 17, 33, 64, 65, 130, 260, 700};
    for (int round = 0; round < 150; ++round) {
      std::vector<std::int64_t> shape;
      std::int64_t count = 1;
      for (std::int64_t rank = pick(random, 0, 5); rank > 0; --rank) {
        const std::int64_t n = sizes[pick(random, 0, 14)];
        if (count * n > 20000) continue;
        shape.push_back(pick(random, 0, 60) == 0 ? 0 : n);
        count *= n;
      }
      check_copy<std::uint8_t>(random, shape);
      check_copy<std::uint16_t>(random, shape);
      check_copy<std::uint32_t>(random, shape);
      check_copy<std::uint64_t>(random, shape);
    }
  });
}

TEST(CopyKernel, LargeOnesArriveWhole) {
  const std::int64_t n = 9'000'001;
  std::vector<std::uint32_t> x(static_cast<std::size_t>(n + 3)), y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<std::uint32_t>(i) * 2654435761u;
  for_each_isa([&] {
    std::fill(y.begin(), y.end(), 0u);
    cpu::copy_strided(Extents{1, {n}}, Strided<const std::uint32_t>{x.data() + 1, {1}},
                      Strided<std::uint32_t>{y.data() + 2, {1}});
    EXPECT_TRUE(std::equal(x.begin() + 1, x.begin() + 1 + n, y.begin() + 2));
    EXPECT_EQ(y[1], 0u);
    EXPECT_EQ(y.back(), 0u);
  });
}

TEST(CopyKernel, FillWritesItsRangeAlone) {
  for (const std::int64_t n : {0, 1, 7, 63, 64, 65, 1000, 500000}) {
    std::vector<std::uint16_t> y(static_cast<std::size_t>(n + 2), 1);
    cpu::fill<std::uint16_t>(4711, n, y.data() + 1);
    EXPECT_EQ(y.front(), 1);
    EXPECT_EQ(y.back(), 1);
    EXPECT_EQ(std::count(y.begin(), y.end(), 4711), n);
  }
}

template <class To, class From>
std::vector<To> converted(const std::vector<From>& x) {
  const auto y = std::make_unique<To[]>(x.size() + 1);
  cpu::convert(x.data(), static_cast<std::int64_t>(x.size()), y.get());
  return std::vector<To>(y.get(), y.get() + x.size());
}

TEST(ConvertKernel, FloatsBecomeIntegersByTruncation) {
  const std::vector<double> x = {0.9,          -0.9,     2.5,          -2.5,         255.7,
                                 256,          -1,       3e9,          -3e9,         1e300,
                                 -infinity,    infinity, std::nan(""), 2147483647.0, -2147483648.0,
                                 -2147483649.0};
  for_each_isa([&] {
    EXPECT_EQ(
        converted<std::int32_t>(x),
        (std::vector<std::int32_t>{0, 0, 2, -2, 255, 256, -1, INT32_MAX, INT32_MIN, INT32_MAX,
                                   INT32_MIN, INT32_MAX, 0, INT32_MAX, INT32_MIN, INT32_MIN}));
    EXPECT_EQ(
        converted<std::uint8_t>(x),
        (std::vector<std::uint8_t>{0, 0, 2, 0, 255, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 0}));
    EXPECT_EQ(converted<std::int64_t>(x)[9], INT64_MAX);
    EXPECT_EQ(converted<std::int64_t>(x)[10], INT64_MIN);
    EXPECT_EQ(converted<std::int64_t>(x)[7], 3'000'000'000);
    EXPECT_EQ(converted<bool>(x),
              (std::vector<bool>{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}));
    EXPECT_EQ(converted<bool>(std::vector<float>{0.0f, -0.0f, 1e-45f}),
              (std::vector<bool>{0, 0, 1}));
  });
}

TEST(ConvertKernel, IntegersRoundToNearest) {
  for_each_isa([] {
    const std::vector<std::int64_t> x = {0,         1,        -1, (1 << 24) + 1, (1 << 24) + 3,
                                         INT64_MAX, INT64_MIN};
    EXPECT_EQ(converted<float>(x),
              (std::vector<float>{0, 1, -1, 16777216, 16777220, 0x1p63f, -0x1p63f}));
    EXPECT_EQ(converted<std::int32_t>(std::vector<std::int64_t>{(std::int64_t{1} << 32) + 5, -1}),
              (std::vector<std::int32_t>{5, -1}));
    EXPECT_EQ(converted<float>(std::vector<std::uint8_t>{0, 7, 255}),
              (std::vector<float>{0, 7, 255}));
  });
}

// Nearest of the 2^16, by search; ties to even.
float nearest_bf16(long double x) {
  bf16 best(static_cast<float>(x));
  for (int d = -1; d <= 1; ++d) {
    bf16 candidate = bf16(static_cast<float>(x));
    candidate.bits = static_cast<std::uint16_t>(candidate.bits + d);
    const long double old = std::abs(float(best) - x), now = std::abs(float(candidate) - x);
    if (now < old || (now == old && candidate.bits % 2 == 0)) best = candidate;
  }
  return float(best);
}

TEST(ConvertKernel, BrainFloatsAreRoundedOnce) {
  Random random(8);
  std::vector<double> x;
  std::vector<std::int64_t> whole;
  std::vector<std::int32_t> half;
  for (int i = 0; i < 3000; ++i) {
    // Near the middle of two neighbours, where a first rounding would decide for the second.
    const double middle = std::ldexp(static_cast<double>(2 * pick(random, 128, 255) + 1),
                                     static_cast<int>(pick(random, 0, 54)));
    x.push_back(std::nextafter(middle, i % 2 ? infinity : 0.0));
    x.push_back(middle);
    const auto m = static_cast<std::int64_t>(middle);
    for (const std::int64_t d : {-1, 0, 1}) {
      whole.push_back((i % 2 ? -1 : 1) * (m + d));
      half.push_back(static_cast<std::int32_t>((m >> 33) + d));
    }
  }
  for_each_isa([&] {
    const std::vector<bf16> a = converted<bf16>(x), b = converted<bf16>(whole),
                            c = converted<bf16>(half);
    for (std::size_t i = 0; i < x.size(); ++i) ASSERT_EQ(float(a[i]), nearest_bf16(x[i])) << x[i];
    for (std::size_t i = 0; i < whole.size(); ++i) {
      ASSERT_EQ(float(b[i]), nearest_bf16(whole[i])) << whole[i];
      ASSERT_EQ(float(c[i]), nearest_bf16(half[i])) << half[i];
    }
    EXPECT_EQ(float(converted<bf16>(std::vector<double>{1e300})[0]), infinity);
    EXPECT_EQ(float(converted<bf16>(std::vector<double>{-3.39e38})[0]), -3.3895313892515355e38f);
    EXPECT_TRUE(std::isnan(float(converted<bf16>(std::vector<double>{std::nan("")})[0])));
    EXPECT_EQ(converted<double>(std::vector<bf16>{bf16(1.5f)})[0], 1.5);
    EXPECT_EQ(converted<std::int32_t>(std::vector<bf16>{bf16(-7.5f)})[0], -7);
  });
}

TEST(ConvertKernel, EveryLengthIsWhole) {
  Random random(9);
  for_each_isa([&] {
    for (const std::int64_t n : {0, 1, 63, 64, 65, 127, 1000, 200000}) {
      const std::vector<float> x = random_values<float>(random, n, -1000, 1000);
      const std::vector<double> y = converted<double>(x);
      EXPECT_EQ(converted<float>(y), x);
      EXPECT_EQ(converted<float>(x), x);
      EXPECT_TRUE(std::equal(x.begin(), x.end(), y.begin()));
    }
  });
}

TEST(IndexKernel, TheFirstBadIndexIsNamed) {
  std::vector<std::int64_t> index(300000, 4);
  EXPECT_EQ(cpu::find_out_of_range("test", index.data(), 300000, 5), -1);
  EXPECT_EQ(cpu::find_out_of_range("test", index.data(), 0, 0), -1);
  index[299999] = 5;
  EXPECT_EQ(cpu::find_out_of_range("test", index.data(), 300000, 5), 299999);
  index[70000] = -1;
  EXPECT_EQ(cpu::find_out_of_range("test", index.data(), 300000, 5), 70000);
  EXPECT_EQ(cpu::find_out_of_range("test", index.data(), 300000, 4), 0);
}

IndexShape random_shape(Random& random) {
  const std::int64_t inner[] = {1, 1, 2, 3, 16, 64, 65, 200};
  return {pick(random, 1, 4), pick(random, 1, 50), pick(random, 0, 400), inner[pick(random, 0, 7)]};
}

TEST(IndexKernel, GatherAndScatterFollowTheirDefinitions) {
  for_each_isa([] {
    Random random(6);
    for (int round = 0; round < 100; ++round) {
      const IndexShape s = random_shape(random);
      const std::int64_t n = s.outer * s.axis * s.inner, m = s.outer * s.picks * s.inner;
      const std::vector<float> start = random_values<float>(random, n),
                               g = random_values<float>(random, m);
      std::vector<std::uint32_t> x(start.size()), gathered(g.size()), selected(g.size());
      for (auto& v : x) v = static_cast<std::uint32_t>(random());
      std::vector<std::int64_t> index(g.size()), ids(static_cast<std::size_t>(s.picks));
      for (auto& i : index) i = pick(random, 0, s.axis - 1);
      for (auto& i : ids) i = pick(random, 0, s.axis - 1);
      std::vector<float> scattered = start, added = start, scattered_here = start,
                         added_here = start;
      cpu::gather(x.data(), index.data(), s, gathered.data());
      cpu::index_select(x.data(), ids.data(), s, selected.data());
      cpu::scatter_add(g.data(), index.data(), s, scattered.data());
      cpu::index_add(g.data(), ids.data(), s, added.data());
      for (std::int64_t o = 0; o < s.outer; ++o)
        for (std::int64_t j = 0; j < s.picks; ++j)
          for (std::int64_t i = 0; i < s.inner; ++i) {
            const auto at = static_cast<std::size_t>((o * s.picks + j) * s.inner + i);
            const auto a = static_cast<std::size_t>((o * s.axis + index[at]) * s.inner + i);
            const auto b = static_cast<std::size_t>(
                (o * s.axis + ids[static_cast<std::size_t>(j)]) * s.inner + i);
            ASSERT_EQ(gathered[at], x[a]);
            ASSERT_EQ(selected[at], x[b]);
            scattered_here[a] += g[at];
            added_here[b] += g[at];
          }
      ASSERT_EQ(scattered, scattered_here);
      ASSERT_EQ(added, added_here);
    }
  });
}

TEST(IndexKernel, AddingIsTheSameForAnyThreads) {
  Random random(10);
  for (const IndexShape s : {IndexShape{1, 1000, 200000, 1}, IndexShape{1, 500, 3000, 300},
                             IndexShape{3, 7, 5000, 20}}) {
    const std::vector<double> g = random_values<double>(random, s.outer * s.picks * s.inner);
    std::vector<std::int64_t> index(g.size());
    for (auto& i : index) i = pick(random, 0, s.axis - 1);
    const auto size = static_cast<std::size_t>(s.outer * s.axis * s.inner);
    expect_same_for_any_threads([&] {
      std::vector<double> y(size);
      cpu::scatter_add(g.data(), index.data(), s, y.data());
      cpu::index_add(g.data(), index.data(), s, y.data());
      return y;
    });
  }
}

TEST(IndexKernel, OneHotMarksItsClass) {
  const std::vector<std::int64_t> ids = {2, 0, 1, 2};
  std::vector<float> y(12, 9.0f);
  cpu::one_hot(ids.data(), 4, 3, y.data());
  EXPECT_EQ(y, (std::vector<float>{0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1}));
}

}  // namespace
}  // namespace gradus::test
