#include "gradus/kernels/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <numbers>
#include <numeric>
#include <set>
#include <vector>

#include "gradus/kernels/cpu/isa.h"
#include "gradus/kernels/cpu/pool.h"

namespace gradus {
namespace {

using std::int64_t;
using std::uint32_t;
using std::uint64_t;

class RandomTest : public testing::Test {
 protected:
  void TearDown() override {
    set_threads(threads_);
    cpu::set_isa(isa_);
  }

 private:
  int threads_ = threads();
  cpu::Isa isa_ = cpu::isa();
};

constexpr PhiloxKey key{0x0123456789abcdef, 7};

// The definition, a block at a time.
std::array<uint32_t, 4> block(PhiloxKey k, uint64_t index) {
  std::array<uint32_t, 4> c{static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
                            static_cast<uint32_t>(k.stream), static_cast<uint32_t>(k.stream >> 32)};
  uint32_t key0 = static_cast<uint32_t>(k.seed), key1 = static_cast<uint32_t>(k.seed >> 32);
  for (int round = 0; round < 10; ++round, key0 += 0x9E3779B9, key1 += 0xBB67AE85) {
    const uint64_t a = uint64_t{0xD2511F53} * c[0], b = uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<uint32_t>(b >> 32) ^ c[1] ^ key0, static_cast<uint32_t>(b),
         static_cast<uint32_t>(a >> 32) ^ c[3] ^ key1, static_cast<uint32_t>(a)};
  }
  return c;
}
uint32_t word32(PhiloxKey k, uint64_t i) { return block(k, i / 4)[i % 4]; }
uint64_t word64(PhiloxKey k, uint64_t i) {
  const auto b = block(k, i / 2 | uint64_t{1} << 63);
  return b[2 * (i % 2)] | uint64_t{b[2 * (i % 2) + 1]} << 32;
}

// Every kernel as a function of (offset, n), its numbers as bytes.
using Bytes = std::vector<unsigned char>;
template <class T, class F>
Bytes bytes(int64_t n, F fill) {
  std::vector<T> y(static_cast<std::size_t>(n) + 1);
  T* p = y.data() + 1;  // aligned to nothing but the element
  fill(p);
  Bytes b(static_cast<std::size_t>(n) * sizeof(T));
  std::memcpy(b.data(), p, b.size());
  return b;
}
std::vector<Bytes> everything(uint64_t offset, int64_t n) {
  const float pf = 0.3f;
  const std::vector<double> pd(static_cast<std::size_t>(n), 0.6);
  struct Flag {
    bool value;
  };
  return {
      bytes<uint32_t>(n, [&](auto* y) { cpu::random_bits(key, offset, n, y); }),
      bytes<float>(n, [&](auto* y) { cpu::random_uniform(key, offset, n, y); }),
      bytes<double>(n, [&](auto* y) { cpu::random_uniform(key, offset, n, y); }),
      bytes<float>(n, [&](auto* y) { cpu::random_normal(key, offset, n, y); }),
      bytes<double>(n, [&](auto* y) { cpu::random_normal(key, offset, n, y); }),
      bytes<Flag>(n, [&](auto* y) { cpu::random_bernoulli(key, offset, n, &pf, 0, &y->value); }),
      bytes<Flag>(n,
                  [&](auto* y) { cpu::random_bernoulli(key, offset, n, pd.data(), 1, &y->value); }),
      bytes<int64_t>(n, [&](auto* y) { cpu::random_integers(key, offset, n, -5, 1000, y); }),
  };
}

TEST_F(RandomTest, KnownAnswers) {
  struct Known {
    uint64_t block, stream, seed;
    uint32_t words[4];
  };
  const uint64_t all = ~uint64_t{0};
  for (const Known& k : {
           Known{0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
           Known{all, all, all, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
           Known{0x85a308d3243f6a88,
                 0x0370734413198a2e,
                 0x299f31d0a4093822,
                 {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
       }) {
    const auto words = block({k.seed, k.stream}, k.block);
    EXPECT_TRUE(std::equal(words.begin(), words.end(), k.words));
  }
  uint32_t y[4];
  cpu::random_bits({0, 0}, 0, 4, y);
  EXPECT_EQ(y[0], 0x6627e8d5);
  EXPECT_EQ(y[3], 0x9b00dbd8);
}

TEST_F(RandomTest, NumbersAreTheirDefinitions) {
  const uint64_t largest = ~uint64_t{0};
  for (uint64_t offset : {uint64_t{0}, uint64_t{5}, uint64_t{1} << 34, largest - 30}) {
    constexpr int64_t n = 100;
    uint32_t bits[n];
    float f[n], zf[n];
    double d[n], zd[n];
    int64_t k[n];
    cpu::random_bits(key, offset, n, bits);
    cpu::random_uniform(key, offset, n, f);
    cpu::random_uniform(key, offset, n, d);
    cpu::random_normal(key, offset, n, zf);
    cpu::random_normal(key, offset, n, zd);
    cpu::random_integers(key, offset, n, -7, 12, k);
    for (int i = 0; i < n; ++i) {
      const uint64_t at = offset + static_cast<uint64_t>(i), pair = at / 2 * 2;
      ASSERT_EQ(bits[i], word32(key, at));
      ASSERT_EQ(f[i], static_cast<float>(word32(key, at) >> 8) * 0x1p-24f);
      ASSERT_EQ(d[i], static_cast<double>(word64(key, at) >> 11) * 0x1p-53);
      const double fraction = static_cast<double>(word64(key, at) >> 11) * 0x1p-53;
      ASSERT_NEAR(static_cast<double>(k[i]), std::floor(-7 + 19 * fraction), 0);

      const auto normal = [&](double u, double v) {
        const double angle = 2 * std::numbers::pi * v;
        return std::sqrt(-2 * std::log(u)) * (at % 2 == 0 ? std::cos(angle) : std::sin(angle));
      };
      ASSERT_NEAR(zf[i],
                  normal((word32(key, pair) + 0.5) * 0x1p-32, word32(key, pair + 1) * 0x1p-32),
                  2e-6);
      ASSERT_NEAR(zd[i],
                  normal(static_cast<double>(word64(key, pair) >> 11) * 0x1p-53 + 0x1p-54,
                         static_cast<double>(word64(key, pair + 1)) * 0x1p-64),
                  4e-15);
    }
  }
}

TEST_F(RandomTest, TheSameBitsForAllThreadsInstructionSetsAndSplits) {
  constexpr int64_t n = 50021;
  const uint64_t offset = 12345;
  set_threads(1);
  ASSERT_TRUE(cpu::set_isa(cpu::Isa::baseline));
  const auto expected = everything(offset, n);
  for (cpu::Isa set : {cpu::Isa::baseline, cpu::Isa::avx2, cpu::Isa::avx512}) {
    if (!cpu::set_isa(set)) continue;
    for (int t : {1, 2, 3, 5}) {
      set_threads(t);
      EXPECT_EQ(everything(offset, n), expected) << cpu::name(set) << ", " << t << " threads";
    }
    for (int64_t cut : {1, 2, 3, 17, 64, 16384, 30001}) {
      auto joined = everything(offset, cut);
      const auto rest = everything(offset + static_cast<uint64_t>(cut), n - cut);
      for (std::size_t i = 0; i < joined.size(); ++i)
        joined[i].insert(joined[i].end(), rest[i].begin(), rest[i].end());
      EXPECT_EQ(joined, expected) << cpu::name(set) << ", cut at " << cut;
    }
  }
}

TEST_F(RandomTest, SeedsAndStreamsDiffer) {
  std::set<uint32_t> seen;
  for (PhiloxKey k :
       {PhiloxKey{0, 0}, {1, 0}, {0, 1}, {uint64_t{1} << 32, 0}, {0, uint64_t{1} << 32}, {1, 1}}) {
    uint32_t y[64];
    cpu::random_bits(k, 0, 64, y);
    seen.insert(y, y + 64);
  }
  EXPECT_GE(seen.size(), 6u * 64 - 1);
}

// The largest distance between the distribution of x and cdf, in units of its standard scale;
// above 2.7 with probability 1e-6.
template <class T, class Cdf>
double kolmogorov_smirnov(std::vector<T> x, Cdf cdf) {
  std::sort(x.begin(), x.end());
  const double n = static_cast<double>(x.size());
  double distance = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double p = cdf(static_cast<double>(x[i]));
    distance =
        std::max({distance, p - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - p});
  }
  return distance * std::sqrt(n);
}

template <class T>
void check_distributions() {
  constexpr int64_t n = 1000000;
  std::vector<T> x(n);
  const auto moment = [&](int k) {
    double sum = 0;
    for (T v : x) sum += std::pow(static_cast<double>(v), k);
    return sum / n;
  };
  const auto near = [&](double value, double expected, double variance) {
    EXPECT_NEAR(value, expected, 5 * std::sqrt(variance / n));
  };

  cpu::random_uniform(key, 0, n, x.data());
  EXPECT_GE(*std::min_element(x.begin(), x.end()), T(0));
  EXPECT_LT(*std::max_element(x.begin(), x.end()), T(1));
  for (int k = 1; k <= 4; ++k)
    near(moment(k), 1.0 / (k + 1), 1.0 / (2 * k + 1) - 1.0 / ((k + 1) * (k + 1)));
  EXPECT_LT(kolmogorov_smirnov(x, [](double v) { return v; }), 2.7);

  cpu::random_normal(key, 0, n, x.data());
  const double moments[] = {1, 0, 1, 0, 3, 0, 15, 0, 105, 0, 945, 0, 10395};
  for (int k = 1; k <= 6; ++k)
    near(moment(k), moments[k], moments[2 * k] - moments[k] * moments[k]);
  EXPECT_LT(kolmogorov_smirnov(x, [](double v) { return std::erfc(-v / std::sqrt(2.0)) / 2; }),
            2.7);
  double neighbours = 0, next = 0;
  for (int64_t i = 0; i + 2 < n; ++i) {
    neighbours += static_cast<double>(x[i]) * x[i + 1];
    next += static_cast<double>(x[i]) * x[i] * x[i + 1] * x[i + 1];
  }
  near(neighbours / n, 0, 1);
  near(next / n, 1, 3 * 8);
}
TEST_F(RandomTest, DistributionsFloat) { check_distributions<float>(); }
TEST_F(RandomTest, DistributionsDouble) { check_distributions<double>(); }

TEST_F(RandomTest, Bernoulli) {
  constexpr int64_t n = 200000;
  const auto y = std::make_unique<bool[]>(n);
  for (double p : {0.0, 1e-3, 0.25, 0.5, 0.9, 1.0}) {
    const auto share = [&] {
      return static_cast<double>(std::count(y.get(), y.get() + n, true)) / n;
    };
    const float pf = static_cast<float>(p);
    cpu::random_bernoulli(key, 3, n, &pf, 0, y.get());
    EXPECT_NEAR(share(), p, 5 * std::sqrt(p * (1 - p) / n));
    cpu::random_bernoulli(key, 3, n, &p, 0, y.get());
    EXPECT_NEAR(share(), p, 5 * std::sqrt(p * (1 - p) / n));
  }
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double each[] = {0, 1, 0, 1, nan, 1};
  for (uint64_t offset = 0; offset < 100; ++offset) {
    cpu::random_bernoulli(key, offset, 6, each, 1, y.get());
    EXPECT_TRUE(!y[0] && y[1] && !y[2] && y[3] && !y[4] && y[5]);
  }
}

TEST_F(RandomTest, Integers) {
  constexpr int64_t n = 100000;
  std::vector<int64_t> y(n);
  cpu::random_integers(key, 0, n, -3, 7, y.data());
  std::array<int, 10> count{};
  for (int64_t v : y) {
    ASSERT_TRUE(v >= -3 && v < 7);
    ++count[static_cast<std::size_t>(v + 3)];
  }
  double chi2 = 0;
  for (int c : count) chi2 += (c - n / 10.0) * (c - n / 10.0) / (n / 10.0);
  EXPECT_LT(chi2, 46);  // 1e-6 for 9 degrees of freedom: 45.1

  cpu::random_integers(key, 0, n, 5, 6, y.data());
  EXPECT_TRUE(std::all_of(y.begin(), y.end(), [](int64_t v) { return v == 5; }));
  const auto low = std::numeric_limits<int64_t>::min(), high = std::numeric_limits<int64_t>::max();
  cpu::random_integers(key, 0, n, low, high, y.data());
  EXPECT_LT(*std::min_element(y.begin(), y.end()), low / 1000 * 999);
  EXPECT_GT(*std::max_element(y.begin(), y.end()), high / 1000 * 999);
}

std::vector<int64_t> permutation(uint64_t offset, int64_t n) {
  std::vector<int64_t> y(static_cast<std::size_t>(n));
  std::vector<std::max_align_t> scratch(
      static_cast<std::size_t>(random_permutation_scratch(n)) / sizeof(std::max_align_t) + 1);
  cpu::random_permutation(key, offset, n, y.data(), scratch.data());
  return y;
}

TEST_F(RandomTest, Permutation) {
  for (int64_t n : {0, 1, 2, 3, 10, 1000, 60000}) {
    auto y = permutation(11, n);
    EXPECT_EQ(y, permutation(11, n));
    if (n >= 10) {
      EXPECT_NE(y, permutation(12, n));
    }
    std::sort(y.begin(), y.end());
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(y[static_cast<std::size_t>(i)], i);
  }
  // All 24 orders of four are equally likely.
  std::array<int, 256> count{};
  constexpr int rounds = 48000;
  for (int r = 0; r < rounds; ++r) {
    const auto y = permutation(static_cast<uint64_t>(r) * 4, 4);
    ++count[static_cast<std::size_t>(y[0] + 4 * y[1] + 16 * y[2] + 64 * y[3])];
  }
  double chi2 = 0;
  int orders = 0;
  for (int c : count)
    if (c > 0) ++orders, chi2 += (c - rounds / 24.0) * (c - rounds / 24.0) / (rounds / 24.0);
  EXPECT_EQ(orders, 24);
  EXPECT_LT(chi2, 70);  // 1e-6 for 23 degrees of freedom: 69.1
}

}  // namespace
}  // namespace gradus
