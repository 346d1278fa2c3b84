// CUDA's functions of one thread against definitions.
#include "gradus/tests/conformance.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace gradus::conformance {
namespace {

class EmulatorNumbers : public Conformance {};

TEST_P(EmulatorNumbers, Bits) {
  const Words in = random_words();
  expect(run(Primitive::bits, in), [&](int thread) {
    const Word x = in[static_cast<std::size_t>(thread)];
    const Word other = in[static_cast<std::size_t>((thread + 1) % conform_threads)];
    const auto count = [](Word v, int bits) {
      int n = 0;
      for (int i = 0; i < bits; ++i) n += static_cast<int>(v >> i & 1);
      return word(n);
    };
    const auto first = [](Word v, int bits) {
      for (int i = 0; i < bits; ++i)
        if (v >> i & 1) return word(i + 1);
      return Word{0};
    };
    const auto zeros_above = [](Word v, int bits) {
      int n = 0;
      for (int i = bits; i-- > 0 && !(v >> i & 1);) ++n;
      return word(n);
    };
    const auto reversed = [](Word v, int bits) {
      Word r = 0;
      for (int i = 0; i < bits; ++i) r = r << 1 | (v >> i & 1);
      return r;
    };
    Word permuted = 0;
    for (int i = 0; i < 4; ++i) permuted |= (x >> 8 * (other >> 4 * i & 7) & 0xff) << 8 * i;
    // By halves, as on paper.
    const auto upper = [](Word a, Word b) {
      const Word middle = (low(a) * Word(low(b)) >> 32) + low(a) * Word(high(b));
      return high(a) * Word(high(b)) + (middle >> 32) +
             ((Word(low(middle)) + high(a) * Word(low(b))) >> 32);
    };
    const Word signed_upper = upper(x, other) - (static_cast<std::int64_t>(x) < 0 ? other : 0) -
                              (static_cast<std::int64_t>(other) < 0 ? x : 0);
    return Words{count(x, 32),
                 count(x, 64),
                 first(low(x), 32),
                 first(x, 64),
                 zeros_above(x, 32),
                 zeros_above(x, 64),
                 reversed(x, 32),
                 reversed(x, 64),
                 permuted,
                 high(x << (other & 31)),
                 low(x >> (other & 31)),
                 low(x) * Word(high(x)) >> 32,
                 low(static_cast<Word>(std::int64_t(int(low(x))) * int(high(x)) >> 32)),
                 upper(x, other),
                 signed_upper,
                 low(x) & 0xff7fffff,
                 low(x) & 0xff7fffff,
                 (x & 0xffefffff00000000) | low(x),
                 high(x & 0xffefffffffffffff),
                 low(x)};
  });
}

// PTX: halves to even; what does not fit gives the nearest number that does. (Of NaN see below.)
template <class I, class F>
Word converted(F x, F (*round)(F)) {
  const long double r = round(x);
  const auto least = static_cast<long double>(std::numeric_limits<I>::min());
  const auto most = static_cast<long double>(std::numeric_limits<I>::max());
  if (std::isnan(x))
    return sizeof(I) == 4 && sizeof(F) == 4 ? 0
           : sizeof(I) == 4                 ? static_cast<Word>(static_cast<I>(0x80000000u))
                                            : Word{1} << 63;
  return static_cast<Word>(static_cast<I>(std::clamp(r, least, most)));
}

TEST_P(EmulatorNumbers, Conversions) {
  Words in(conform_threads);
  std::mt19937_64 generator(3);
  for (Word& w : in)
    w = word(std::ldexp(static_cast<double>(static_cast<std::int64_t>(generator())),
                        static_cast<int>(generator() % 80) - 75));
  const double inf = std::numeric_limits<double>::infinity();
  const double edges[] = {0.0,          -0.0,         0.5,           1.5,           2.5,
                          -0.5,         -1.5,         inf,           -inf,          std::nan(""),
                          2147483647.0, 2147483648.0, -2147483648.0, -2147483649.0, 4294967295.0,
                          4294967296.0, 0x1p63,       -0x1p63,       0x1p64,        0x1.fffffep31,
                          0x1.fffffep62};
  std::transform(std::begin(edges), std::end(edges), in.begin(), [](double x) { return word(x); });
  expect(run(Primitive::conversions, in), [&](int thread) {
    const double x = as_double(in[static_cast<std::size_t>(thread)]);
    const float f = static_cast<float>(x);
    Words words;
    const auto each = [&words](auto v, auto integer) {
      using I = decltype(integer);
      using F = decltype(v);
      F (*const roundings[])(F) = {std::nearbyint, std::trunc, std::ceil, std::floor};
      for (const auto round : roundings) words.push_back(converted<I>(v, round));
    };
    each(f, int{});
    each(f, unsigned{});
    each(f, std::int64_t{});
    each(f, std::uint64_t{});
    each(x, int{});
    each(x, unsigned{});
    each(x, std::int64_t{});
    each(x, std::uint64_t{});
    return words;
  });
}

bool same_number(double a, double b) { return std::isnan(a) ? std::isnan(b) : word(a) == word(b); }

TEST_P(EmulatorNumbers, Arithmetic) {
  Words in(conform_threads);
  std::mt19937_64 generator(5);
  std::normal_distribution<double> normal(0, 100);
  for (Word& w : in) w = word(normal(generator));
  const double inf = std::numeric_limits<double>::infinity();
  const double edges[] = {0.0,  1.0, inf,    1.0,   std::nan(""), 1.0,
                          -inf, 0.5, 1e-320, 1e-40, 1e300,        3.0};
  std::transform(std::begin(edges), std::end(edges), in.begin(), [](double x) { return word(x); });
  const Words out = run(Primitive::arithmetic, in);
  for (std::size_t i = 0; i < conform_threads; ++i) {
    const Word a = in[i], b = in[(i + 1) % conform_threads];
    const double x = as_double(a), y = as_double(b);
    const auto f = static_cast<float>(x), g = static_cast<float>(y);
    const float floats[] = {f + g, f - g, f * g, f / g, 1 / f, std::sqrt(f), std::fma(f, g, -f)};
    const double doubles[] = {x + y, x - y, x * y, x / y, 1 / x, std::sqrt(x), std::fma(x, y, -x)};
    const Word* const o = &out[i * conform_words];
    for (int k = 0; k < 7; ++k) {
      EXPECT_PRED2(same_number, as_float(o[k]), floats[k]) << x << " " << y << ", word " << k;
      EXPECT_PRED2(same_number, as_double(o[7 + k]), doubles[k]) << x << " " << y << ", word " << k;
    }
    EXPECT_PRED2(same_number, as_float(o[14]), std::fmin(f, g));
    EXPECT_PRED2(same_number, as_float(o[15]), std::fmax(f, g));
    EXPECT_PRED2(same_number, as_double(o[16]), std::fmin(x, y));
    EXPECT_PRED2(same_number, as_double(o[17]), std::fmax(x, y));
    const auto n = static_cast<std::int64_t>(a);
    EXPECT_EQ(o[18], word(static_cast<float>(static_cast<int>(n))));
    EXPECT_EQ(o[19], word(static_cast<float>(low(a))));
    EXPECT_EQ(o[20], word(static_cast<float>(n)));
    EXPECT_EQ(o[21], word(static_cast<float>(a)));
    EXPECT_EQ(o[22], word(static_cast<double>(n)));
    EXPECT_EQ(o[23], word(static_cast<double>(a)));
    EXPECT_EQ(o[24], word(std::min(static_cast<int>(a), static_cast<int>(b))));
    EXPECT_EQ(o[25], std::max(low(a), low(b)));
    EXPECT_EQ(as_float(o[26]), f > 0 ? std::min(f, 1.0f) : 0.0f);
  }
}

// Within the errors that NVIDIA states, in units of the last place.
TEST_P(EmulatorNumbers, Mathematics) {
  Words in(conform_threads);
  std::mt19937_64 generator(11);
  std::uniform_real_distribution<double> uniform(0, 6);
  for (Word& w : in) w = word(uniform(generator));
  for (std::size_t i = 0; i < 20; ++i) in[i] = word(0.25 * static_cast<double>(i + 1));
  const Words out = run(Primitive::mathematics, in);
  const auto near = [](double got, double want, double ulps, int digits) {
    const double unit = std::ldexp(1.0, std::ilogb(want == 0 ? 1e-300 : want) + 1 - digits);
    EXPECT_LE(std::abs(got - want), ulps * unit) << got << " for " << want;
  };
  // Exactly reduced, and then in more digits.
  const auto sine_of_pi_times = [](long double x) {
    const long double r = std::remainder(x, 2.0L);
    return static_cast<double>(std::sin(3.14159265358979323846264338327950288L *
                                        (std::abs(r) > 0.5L ? std::copysign(1.0L, r) - r : r)));
  };
  for (std::size_t i = 0; i < conform_threads; ++i) {
    const double x = as_double(in[i]), f = static_cast<float>(x);
    const Word* const o = &out[i * conform_words];
    near(as_float(o[0]), 1 / std::sqrt(f), 2, 24);
    near(as_float(o[1]), sine_of_pi_times(f), 2, 24);
    near(as_float(o[2]), sine_of_pi_times(static_cast<long double>(f) + 0.5L), 2, 24);
    near(as_float(o[3]), std::erf(f), 2, 24);
    near(as_float(o[4]), std::exp(f), 2, 24);
    near(as_double(o[5]), static_cast<double>(1 / std::sqrt(static_cast<long double>(x))), 2, 53);
    near(as_double(o[6]), sine_of_pi_times(x), 2, 53);
    near(as_double(o[7]), sine_of_pi_times(static_cast<long double>(x) + 0.5L), 2, 53);
    near(as_double(o[8]), static_cast<double>(std::erf(static_cast<long double>(x))), 2, 53);
    near(as_double(o[9]), static_cast<double>(std::exp(static_cast<long double>(x))), 2, 53);
    near(as_double(o[10]), static_cast<double>(std::log1p(static_cast<long double>(x))), 2, 53);
  }
}

INSTANTIATE_TEST_SUITE_P(, EmulatorNumbers, testing::ValuesIn(machines),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace gradus::conformance
