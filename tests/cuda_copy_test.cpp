// Copies, fills and conversions on the emulated device against the CPU twins: the same bits.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <sstream>

#include "gradus/kernels/copy.h"
#include "gradus/tests/emulated.h"

namespace gradus::test {
namespace {

using std::int64_t;

struct Layout {
  std::vector<int64_t> sizes, x, y;  // y holds each of its elements once
};

// The elements below and above the first one that a layout reaches.
std::pair<int64_t, int64_t> range(const std::vector<int64_t>& sizes,
                                  const std::vector<int64_t>& stride) {
  int64_t low = 0, high = 0;
  for (std::size_t a = 0; a < sizes.size(); ++a)
    (stride[a] < 0 ? low : high) += stride[a] * std::max<int64_t>(sizes[a] - 1, 0);
  return {low, high};
}

template <class U>
void check_copy(const Layout& l, int64_t skip) {
  Extents e;
  Strided<const U> x;
  Strided<U> y;
  for (std::size_t a = 0; a < l.sizes.size(); ++a) {
    x.stride[e.rank] = l.x[a], y.stride[e.rank] = l.y[a];
    e.size[e.rank++] = l.sizes[a];
  }
  const auto of_x = range(l.sizes, l.x), of_y = range(l.sizes, l.y);
  std::mt19937_64 random(3);
  std::vector<U> from, to(static_cast<std::size_t>(of_y.second - of_y.first + 1), U(17));
  for (int64_t i = of_x.first; i <= of_x.second; ++i) from.push_back(static_cast<U>(random()));

  const auto on = [&](auto copy, const U* a, U* b) {
    Strided<const U> from_x = x;
    Strided<U> to_y = y;
    from_x.data = a - of_x.first, to_y.data = b - of_y.first;
    copy(e, from_x, to_y);
  };
  const auto device = on_every_schedule([&] {
    const EmulatedArray<U> a(from, skip), b(to, skip);
    on(emulated::copy_strided<U>, a.data(), b.data());
    return b.values();
  });
  on(cpu::copy_strided<U>, from.data(), to.data());
  EXPECT_EQ(device, to);
}

TEST(CudaCopy, AnyStrides) {
  for (const Layout& l : {
           Layout{{1}, {1}, {1}},
           {{1000}, {1}, {1}},            // contiguous
           {{1001}, {1}, {1}},            // in units of one element
           {{37}, {0}, {1}},              // one element
           {{37}, {-1}, {1}},             // flipped
           {{37}, {3}, {1}},              // every third
           {{37}, {1}, {2}},              // to every second
           {{9, 16}, {24, 1}, {16, 1}},   // rows of a wider matrix
           {{9, 16}, {16, 1}, {18, 1}},   // to rows of a wider one
           {{5, 7}, {1, 5}, {7, 1}},      // small transposition
           {{40, 65}, {1, 40}, {65, 1}},  // by tiles
           {{33, 31}, {1, 33}, {-40, 1}},
           {{3, 70, 34}, {2380, 1, 70}, {2380, 34, 1}},
           {{34, 3, 20}, {1, 34, 102}, {60, 20, 1}},
           {{4, 3, 5}, {0, 5, 1}, {15, 5, 1}},  // broadcast
           {{2, 3, 2, 3, 2}, {1, 2, 6, 12, 36}, {36, 12, 6, 2, 1}},
           {{4, 0}, {1, 1}, {1, 1}},
       })
    for (int64_t skip : {0, 1, 2}) {
      std::ostringstream text;
      text << "sizes " << ::testing::PrintToString(l.sizes) << ", skip " << skip;
      SCOPED_TRACE(text.str());
      check_copy<std::uint8_t>(l, skip);
      check_copy<std::uint16_t>(l, skip);
      check_copy<std::uint32_t>(l, skip);
      check_copy<std::uint64_t>(l, skip);
    }
}

template <class U>
void check_fill() {
  for (int64_t n : {0, 1, 15, 16, 33, 5000})
    for (int64_t skip : {0, 1, 3}) {
      const EmulatedArray<U> y(n, skip);
      emulated::fill(static_cast<U>(0xa1b2c3d4e5f60718), n, y.data());
      const std::vector<U> expected(static_cast<std::size_t>(n),
                                    static_cast<U>(0xa1b2c3d4e5f60718));
      EXPECT_EQ(y.values(), expected) << n << " after " << skip;
    }
}

TEST(CudaCopy, Fills) {
  check_fill<std::uint8_t>();
  check_fill<std::uint16_t>();
  check_fill<std::uint32_t>();
  check_fill<std::uint64_t>();
}

// What std::vector cannot hold as such.
template <class T>
using Stored = std::conditional_t<std::is_same_v<T, bool>, std::uint8_t, T>;

// The ends of every type, halves between numbers of narrower ones, and bits drawn by chance.
template <class T>
std::vector<Stored<T>> elements() {
  std::vector<Stored<T>> x;
  if constexpr (std::is_same_v<T, bool>) {
    for (int i = 0; i < 70; ++i) x.push_back(static_cast<std::uint8_t>(i * i % 3 == 1));
  } else if constexpr (std::is_integral_v<T>) {
    using Limits = std::numeric_limits<T>;
    for (T v : {T(0), T(1), Limits::min(), Limits::max(), static_cast<T>(Limits::max() - 1)})
      x.push_back(v);
    std::mt19937_64 random(5);
    for (int i = 0; i < 300; ++i) x.push_back(static_cast<T>(random() >> random() % 64));
  } else {
    constexpr double inf = std::numeric_limits<double>::infinity();
    for (double v : {0.0,           -0.0,
                     0.5,           -0.5,
                     1.5,           2.5,
                     255.0,         256.0,
                     -1.0,          2147483647.0,
                     2147483648.0,  -2147483648.0,
                     -2147483649.0, 0x1p63,
                     -0x1p63,       0x1p64,
                     3.4e38,        3.5e38,
                     1e300,         1e-45,
                     1e-320,        1.00390625,
                     1.01171875,    inf,
                     -inf,          std::numeric_limits<double>::quiet_NaN()})
      x.push_back(static_cast<T>(static_cast<computed<T>>(v)));
    std::mt19937_64 random(5);
    for (int i = 0; i < 300; ++i) {
      const std::uint64_t bits = random();
      T v;
      std::memcpy(static_cast<void*>(&v), &bits, sizeof v);
      x.push_back(v);
    }
  }
  return x;
}

template <class To, class From>
void check_convert(const std::vector<Stored<From>>& x) {
  for (int64_t skip : {0, 1}) {
    const auto n = std::ssize(x) - skip;  // ragged with and without
    const EmulatedArray<Stored<From>> from(std::vector<Stored<From>>(x.begin(), x.end() - skip),
                                           skip);
    const EmulatedArray<Stored<To>> to(n, 2 * skip);
    emulated::convert(reinterpret_cast<const From*>(from.data()), n,
                      reinterpret_cast<To*>(to.data()));
    std::vector<Stored<To>> expected(static_cast<std::size_t>(n));
    cpu::convert(reinterpret_cast<const From*>(x.data()), n,
                 reinterpret_cast<To*>(expected.data()));
    const std::vector<Stored<To>> got = to.values();
    for (std::size_t i = 0; i < got.size(); ++i)
      EXPECT_EQ(std::memcmp(&got[i], &expected[i], sizeof(To)), 0)
          << "element " << i << " of " << n << ", from a type of " << sizeof(From) << " to one of "
          << sizeof(To) << " bytes";
  }
}

template <class From>
void check_conversions() {
  const auto x = elements<From>();
  check_convert<float, From>(x);
  check_convert<double, From>(x);
  check_convert<bf16, From>(x);
  check_convert<std::int32_t, From>(x);
  check_convert<std::int64_t, From>(x);
  check_convert<std::uint8_t, From>(x);
  check_convert<bool, From>(x);
}

TEST(CudaCopy, Conversions) {
  check_conversions<float>();
  check_conversions<double>();
  check_conversions<bf16>();
  check_conversions<std::int32_t>();
  check_conversions<std::int64_t>();
  check_conversions<std::uint8_t>();
  check_conversions<bool>();
}

TEST(CudaCopy, NothingIsConverted) {
  emulated::convert<float, double>(nullptr, 0, nullptr);
  emulated::fill<std::uint32_t>(1, 0, nullptr);
}

}  // namespace
}  // namespace gradus::test
