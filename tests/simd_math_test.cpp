// Vector mathematics for every instruction set: special values, and the same bits in every
// position.
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <utility>

#include "gradus/tests/simd_functions.h"

namespace gradus::test {
namespace {

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
  const T inf = infinity<T>, none = not_a_number<T>, tiny = std::numeric_limits<T>::denorm_min(),
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
      {"ndtr", {{T(0), half}, {T(-0.0), half}, {inf, T(1)}, {-inf, T(0)}, {none, none}}},
      {"gelu",
       {{T(0), T(0)},
        {T(-0.0), T(-0.0)},
        {inf, inf},
        {-inf, T(-0.0)},
        {none, none},
        {huge, huge},
        {-huge, T(-0.0)}}},
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
  const Function& exp = function("exp");
  for_each_isa([&](const char* set) {
    EXPECT_TRUE(std::isfinite(exp.f32.evaluate({88.72283f})[0])) << set;
    EXPECT_TRUE(std::isfinite(exp.f64.evaluate({709.78271289338397})[0])) << set;
  });
}

template <class T>
void two_arguments() {
  const T values[] = {T(-0.0), T(0),        T(1),         T(-2.5),
                      T(3),    infinity<T>, -infinity<T>, not_a_number<T>};
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
  for (T special :
       {infinity<T>, not_a_number<T>, T(-0.0), T(1e7), std::numeric_limits<T>::denorm_min()})
    x.push_back(special);
  // Which NaN comes out of two is up to the order in which the compiler adds them: any NaN is one.
  const auto bits = [](T t) {
    if (t != t) t = not_a_number<T>;
    cpu::integer_like<T> b;
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
}  // namespace gradus::test
