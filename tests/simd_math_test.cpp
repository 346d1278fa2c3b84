// Vector mathematics against the C library in the next wider type, for every instruction set.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "gradus/kernels/cpu/simd.h"

namespace {

using gradus::cpu::Isa;
using gradus::cpu::with_isa;

template <class T>
using Wider = std::conditional_t<sizeof(T) == 4, double, long double>;

template <class T>
constexpr T infinity = std::numeric_limits<T>::infinity();
template <class T>
constexpr T nan = std::numeric_limits<T>::quiet_NaN();

// Runs body(set name) under every instruction set of this machine.
template <class Body>
void for_each_isa(Body body) {
  const Isa before = gradus::cpu::isa();
  for (Isa set : {Isa::baseline, Isa::avx2, Isa::avx512})
    if (gradus::cpu::set_isa(set)) body(gradus::cpu::name(set));
  gradus::cpu::set_isa(before);
}

template <class T, class F>
std::vector<T> evaluate(const std::vector<T>& x, F f) {
  std::vector<T> y(x.size());
  with_isa([&](auto set) {
    using L = typename decltype(set)::template Lane<T>;
    const std::int64_t n = static_cast<std::int64_t>(x.size());
    std::int64_t i = 0;
    for (; i + L::size <= n; i += L::size) f(L::load(&x[i])).store(&y[i]);
    if (i < n) f(L::load(&x[i], n - i)).store(&y[i], n - i);
  });
  return y;
}

template <class T>
struct Version {
  std::vector<T> (*evaluate)(const std::vector<T>&);
  Wider<T> (*reference)(Wider<T>);
};

struct Function {
  const char* name;
  double range;  // sampled evenly, beside bit patterns of every exponent
  double ulp;    // promised
  Version<float> f32;
  Version<double> f64;

  template <class T>
  const Version<T>& version() const {
    if constexpr (sizeof(T) == 4)
      return f32;
    else
      return f64;
  }
};

template <class Wide>
Wide softplus_reference(Wide x) {
  return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}

#define GRADUS_VERSION(T, f, reference)                                               \
  {                                                                                   \
    [](const std::vector<T>& v) { return evaluate(v, [](auto x) { return f(x); }); }, \
        [](Wider<T> x) -> Wider<T> { return reference; }                              \
  }
#define GRADUS_ROW(f, reference, range, ulp) \
  { #f, range, ulp, GRADUS_VERSION(float, f, reference), GRADUS_VERSION(double, f, reference) }
const Function functions[] = {
    GRADUS_ROW(exp, std::exp(x), 110, 1.1),
    GRADUS_ROW(expm1, std::expm1(x), 20, 1.5),
    GRADUS_ROW(log, std::log(x), 10, 1),
    GRADUS_ROW(log1p, std::log1p(x), 10, 1.5),
    GRADUS_ROW(tanh, std::tanh(x), 10, 1.5),
    GRADUS_ROW(sigmoid, 1 / (1 + std::exp(-x)), 110, 2.5),
    GRADUS_ROW(softplus, softplus_reference(x), 110, 2),
    GRADUS_ROW(erf, std::erf(x), 6, 2.5),
    GRADUS_ROW(erfc, std::erfc(x), 28, 4),
    GRADUS_ROW(sin, std::sin(x), 1000, 2),
    GRADUS_ROW(cos, std::cos(x), 1000, 2),
    GRADUS_ROW(tan, std::tan(x), 1000, 4),
    GRADUS_ROW(floor, std::floor(x), 100, 0),
    GRADUS_ROW(ceil, std::ceil(x), 100, 0),
    GRADUS_ROW(round, std::nearbyint(x), 100, 0),
    GRADUS_ROW(rsqrt, 1 / std::sqrt(x), 10, 1.5),
};
#undef GRADUS_ROW
#undef GRADUS_VERSION

// Distance in units in the last place of the reference; infinite where one is NaN, or where a zero
// has the wrong sign.
template <class T>
double ulp_error(T got, Wider<T> reference) {
  using Limits = std::numeric_limits<T>;
  if (std::isnan(got) && std::isnan(reference)) return 0;
  if (std::isnan(got) || std::isnan(reference)) return infinity<double>;
  if ((got == 0 || reference == 0) && std::signbit(got) != std::signbit(reference))
    return infinity<double>;
  if (std::isinf(got) && got == static_cast<T>(reference)) return 0;
  // An infinite result counts as the power of two past the largest number.
  const Wider<T> value = std::isinf(got)
                             ? std::copysign(std::ldexp(Wider<T>(1), Limits::max_exponent), got)
                             : Wider<T>(got);
  const int exponent = reference == 0
                           ? Limits::min_exponent - 1
                           : std::min(std::max(std::ilogb(reference), Limits::min_exponent - 1),
                                      Limits::max_exponent - 1);
  return static_cast<double>(
      std::ldexp(std::fabs(value - reference), Limits::digits - 1 - exponent));
}

template <class T>
T from_bits(std::uint64_t bits) {
  const gradus::cpu::integer_like<T> b = static_cast<gradus::cpu::integer_like<T>>(bits);
  T x;
  std::memcpy(&x, &b, sizeof x);
  return x;
}

// Every exponent and sign alike; moderate sizes; and evenly within the range.
template <class T>
std::vector<T> samples(double range) {
  const int n = sizeof(T) == 4 ? 350'000 : 1 << 16;
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> even(-range, range), exponent(-30, 12);
  std::vector<T> x;
  for (int i = 0; i < n; ++i) {
    x.push_back(from_bits<T>(sizeof(T) == 4 ? std::uint64_t(i) * 12271 : random()));
    x.push_back(static_cast<T>(even(random)));
    x.push_back(static_cast<T>(std::copysign(std::exp2(exponent(random)), even(random))));
  }
  return x;
}

template <class T>
void expect_within_promise(const Function& f, const std::vector<T>& x) {
  const Version<T>& version = f.version<T>();
  std::vector<Wider<T>> expected;
  for (T t : x) expected.push_back(version.reference(t));
  for_each_isa([&](const char* set) {
    const std::vector<T> y = version.evaluate(x);
    double worst = 0;
    std::size_t at = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double error = ulp_error(y[i], expected[i]);
      if (error > worst) worst = error, at = i;
    }
    std::ostringstream text;
    text << worst;
    testing::Test::RecordProperty(std::string(f.name) + (sizeof(T) == 4 ? "_f32_" : "_f64_") + set,
                                  text.str());
    EXPECT_LE(worst, f.ulp) << f.name << ' ' << set << " at x = " << std::hexfloat << x[at] << ": "
                            << y[at] << ", exactly " << expected[at];
  });
}

TEST(SimdMath, ErrorInFloat) {
  for (const Function& f : functions) expect_within_promise(f, samples<float>(f.range));
}

TEST(SimdMath, ErrorInDouble) {
  for (const Function& f : functions) expect_within_promise(f, samples<double>(f.range));
}

// Random samples of all arguments seldom meet the few that are hardest.
TEST(SimdMath, ErrorOfErfcWhereItIsLargest) {
  const auto erfc = std::find_if(std::begin(functions), std::end(functions),
                                 [](const Function& f) { return f.name == std::string("erfc"); });
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> falling(0.84, 2.2), vanishing(22, 26.5);
  std::vector<double> x;
  for (int i = 0; i < 200'000; ++i) {
    x.push_back(falling(random));
    x.push_back(vanishing(random));
  }
  expect_within_promise(*erfc, x);
}

// Every float about the place where the polynomial ends.
TEST(SimdMath, ErrorOfTanhWhereItIsLargest) {
  const auto tanh = std::find_if(std::begin(functions), std::end(functions),
                                 [](const Function& f) { return f.name == std::string("tanh"); });
  std::vector<float> x;
  for (float t = 0.53f; t < 0.65f; t = std::nextafter(t, 1.0f)) x.push_back(t);
  expect_within_promise(*tanh, x);
}

TEST(SimdMath, ErrorOfEveryFloat) {
  if (!std::getenv("GRADUS_FULL")) GTEST_SKIP() << "GRADUS_FULL=1 runs it, for an hour";
  std::vector<float> x(1 << 20);
  for (const Function& f : functions)
    for (std::uint64_t first = 0; first < std::uint64_t(1) << 32; first += x.size()) {
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = from_bits<float>(first + i);
      expect_within_promise(f, x);
    }
}

template <class T>
void expect_same(T got, T expected, const std::string& what) {
  if (std::isnan(expected))
    EXPECT_TRUE(std::isnan(got)) << what << " = " << got << ", not NaN";
  else
    EXPECT_TRUE(got == expected && std::signbit(got) == std::signbit(expected))
        << what << " = " << got << ", not " << expected;
}

template <class T>
void edges() {
  const T inf = infinity<T>, none = nan<T>, tiny = std::numeric_limits<T>::denorm_min(),
          half = T(0.5), huge = std::numeric_limits<T>::max(),
          normal = std::numeric_limits<T>::min();
  const bool single = sizeof(T) == 4;
  struct Row {
    std::string name;
    std::vector<std::pair<T, T>> points;
  };
  const std::vector<Row> rows = {
      {"exp",
       {{T(0), T(1)},
        {T(-0.0), T(1)},
        {inf, inf},
        {-inf, T(0)},
        {none, none},
        {huge, inf},
        {-huge, T(0)},
        {single ? T(88.72284) : T(709.782712893385), inf},
        {single ? T(-103.97) : T(-745.13), tiny},
        {single ? T(-103.98) : T(-745.14), T(0)}}},
      {"expm1",
       {{T(0), T(0)},
        {T(-0.0), T(-0.0)},
        {inf, inf},
        {-inf, T(-1)},
        {none, none},
        {tiny, tiny},
        {-3 * tiny, -3 * tiny},
        {huge, inf},
        {-huge, T(-1)}}},
      {"log",
       {{T(1), T(0)},
        {T(0), -inf},
        {T(-0.0), -inf},
        {inf, inf},
        {-inf, none},
        {none, none},
        {T(-1), none},
        {-tiny, none},
        {tiny, static_cast<T>(std::log(Wider<T>(tiny)))},
        {normal, static_cast<T>(std::log(Wider<T>(normal)))}}},
      {"log1p",
       {{T(0), T(0)},
        {T(-0.0), T(-0.0)},
        {T(-1), -inf},
        {T(-1.5), none},
        {inf, inf},
        {-inf, none},
        {none, none},
        {tiny, tiny},
        {-tiny, -tiny},
        {huge, static_cast<T>(std::log1p(Wider<T>(huge)))}}},
      {"tanh",
       {{T(0), T(0)},
        {T(-0.0), T(-0.0)},
        {inf, T(1)},
        {-inf, T(-1)},
        {none, none},
        {tiny, tiny},
        {-tiny, -tiny},
        {huge, T(1)}}},
      {"sigmoid",
       {{T(0), half}, {T(-0.0), half}, {inf, T(1)}, {-inf, T(0)}, {none, none}, {-huge, T(0)}}},
      {"softplus", {{inf, inf}, {-inf, T(0)}, {none, none}, {huge, huge}, {-huge, T(0)}}},
      {"erf", {{T(0), T(0)}, {T(-0.0), T(-0.0)}, {inf, T(1)}, {-inf, T(-1)}, {none, none}}},
      {"erfc", {{T(0), T(1)}, {T(-0.0), T(1)}, {inf, T(0)}, {-inf, T(2)}, {none, none}}},
      {"sin",
       {{T(0), T(0)}, {T(-0.0), T(-0.0)}, {inf, none}, {-inf, none}, {none, none}, {tiny, tiny}}},
      {"cos", {{T(0), T(1)}, {T(-0.0), T(1)}, {inf, none}, {-inf, none}, {none, none}}},
      {"tan", {{T(0), T(0)}, {T(-0.0), T(-0.0)}, {inf, none}, {-inf, none}, {none, none}}},
      {"floor",
       {{T(-0.0), T(-0.0)}, {-half, T(-1)}, {half, T(0)}, {inf, inf}, {-inf, -inf}, {none, none}}},
      {"ceil",
       {{T(-0.0), T(-0.0)},
        {-half, T(-0.0)},
        {half, T(1)},
        {inf, inf},
        {-inf, -inf},
        {none, none}}},
      {"round",
       {{T(-0.0), T(-0.0)},
        {-half, T(-0.0)},
        {half, T(0)},
        {T(1.5), T(2)},
        {T(2.5), T(2)},
        {inf, inf},
        {-inf, -inf},
        {none, none}}},
      {"rsqrt", {{T(0), inf}, {T(-0.0), -inf}, {inf, T(0)}, {T(-1), none}, {none, none}}},
  };
  std::size_t visited = 0;
  for (const Function& f : functions)
    for (const Row& row : rows) {
      if (row.name != f.name) continue;
      ++visited;
      std::vector<T> x;
      for (const auto& point : row.points) x.push_back(point.first);
      for_each_isa([&](const char* set) {
        const std::vector<T> y = f.version<T>().evaluate(x);
        for (std::size_t i = 0; i < x.size(); ++i) {
          std::ostringstream what;
          what << set << ' ' << row.name << '(' << x[i] << ')';
          expect_same(y[i], row.points[i].second, what.str());
        }
      });
    }
  EXPECT_EQ(visited, rows.size());
}

TEST(SimdMath, Edges) {
  edges<float>();
  edges<double>();
  const Function& exp = functions[0];
  for_each_isa([&](const char* set) {
    EXPECT_TRUE(std::isfinite(exp.f32.evaluate({88.72283f})[0])) << set;
    EXPECT_TRUE(std::isfinite(exp.f64.evaluate({709.78271289338397})[0])) << set;
  });
}

template <class T>
void two_arguments() {
  const T values[] = {T(-0.0), T(0), T(1), T(-2.5), T(3), infinity<T>, -infinity<T>, nan<T>};
  for (T b : values) {
    const std::vector<T> x(std::begin(values), std::end(values));
    for_each_isa([&](const char* set) {
      const std::vector<T> low = evaluate(x, [b](auto a) { return minimum(a, b); });
      const std::vector<T> high = evaluate(x, [b](auto a) { return maximum(a, b); });
      const std::vector<T> power = evaluate(x, [b](auto a) { return pow(a, b); });
      for (std::size_t i = 0; i < x.size(); ++i) {
        const T a = x[i];
        std::ostringstream what;
        what << set << " of " << a << " and " << b;
        if (std::isnan(a) || std::isnan(b)) {
          EXPECT_TRUE(std::isnan(low[i]) && std::isnan(high[i])) << what.str();
        } else {
          EXPECT_EQ(low[i], std::min(a, b)) << what.str();
          EXPECT_EQ(high[i], std::max(a, b)) << what.str();
        }
        expect_same(power[i], std::pow(a, b), what.str());
      }
    });
  }
}

TEST(SimdMath, TwoArguments) {
  two_arguments<float>();
  two_arguments<double>();
}

// An element's bits are the same alone, in a tail and in any position of a full register.
template <class T>
void positions() {
  std::vector<T> x = samples<T>(20);
  x.resize(331);
  for (T special : {infinity<T>, nan<T>, T(-0.0), T(1e7), std::numeric_limits<T>::denorm_min()})
    x.push_back(special);
  // Which NaN comes out of two is up to the order in which the compiler adds them: any NaN is one.
  const auto bits = [](T t) {
    if (t != t) t = nan<T>;
    gradus::cpu::integer_like<T> b;
    std::memcpy(&b, &t, sizeof b);
    return b;
  };
  for (const Function& f : functions)
    for_each_isa([&](const char* set) {
      const auto evaluate = f.version<T>().evaluate;
      const std::vector<T> whole = evaluate(x);
      const std::vector<T> shifted = evaluate(std::vector<T>(x.begin() + 1, x.end()));
      for (std::size_t i = 1; i < x.size(); ++i) {
        const T alone = evaluate({x[i]})[0];
        EXPECT_EQ(bits(whole[i]), bits(alone)) << set << ' ' << f.name << '(' << x[i] << ')';
        EXPECT_EQ(bits(whole[i]), bits(shifted[i - 1])) << set << ' ' << f.name;
      }
    });
}

TEST(SimdMath, PositionDoesNotMatter) {
  positions<float>();
  positions<double>();
}

}  // namespace
