// Vector mathematics against the C library in the next wider type: the promised errors.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <string>

#include "gradus/tests/simd_functions.h"

namespace gradus::test {
namespace {

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
void expect_within_promise(const Function& f, const std::vector<T>& x) {
  const Version<T>& version = f.version<T>();
  std::vector<Wider<T>> expected;
  for (T t : x) expected.push_back(version.reference(t));
  for_each_isa([&](const char* set) {
    const std::vector<T> y = version.evaluate(x);
    double worst = 0;
    std::size_t at = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      // What is rounded correctly errs by half a unit at most.
      if (worst >= 0.5 && y[i] != 0 && y[i] == static_cast<T>(expected[i])) continue;
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

TEST(SimdError, InFloat) {
  for (const Function& f : functions) expect_within_promise(f, samples<float>(f.range));
}

TEST(SimdError, InDouble) {
  for (const Function& f : functions) expect_within_promise(f, samples<double>(f.range));
}

// Random samples of all arguments seldom meet the few that are hardest.
TEST(SimdError, ErfcWhereItIsLargest) {
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> falling(0.84, 2.2), vanishing(22, 26.5);
  std::vector<double> x;
  for (int i = 0; i < 200'000; ++i) {
    x.push_back(falling(random));
    x.push_back(vanishing(random));
  }
  expect_within_promise(function("erfc"), x);
}

TEST(SimdError, NdtrWhereItIsLargest) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> center(-1.2, 1.2), falling(-3, -1.1),
      vanishing(-38.5, -30);
  std::vector<double> x;
  for (int i = 0; i < 200'000; ++i) {
    x.push_back(center(random));
    x.push_back(falling(random));
    x.push_back(vanishing(random));
  }
  expect_within_promise(function("ndtr"), x);
}

// Every float about the place where the polynomial ends.
TEST(SimdError, TanhWhereItIsLargest) {
  std::vector<float> x;
  for (float t = 0.53f; t < 0.65f; t = std::nextafter(t, 1.0f)) x.push_back(t);
  expect_within_promise(function("tanh"), x);
}

class SimdEveryFloatSlow : public testing::TestWithParam<Function> {};

TEST_P(SimdEveryFloatSlow, IsWithinItsPromise) {
  if (!std::getenv("GRADUS_FULL")) GTEST_SKIP() << "GRADUS_FULL=1 runs it, for minutes";
  std::vector<float> x(1 << 20);
  for (std::uint64_t first = 0; first < std::uint64_t(1) << 32; first += x.size()) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = from_bits<float>(first + i);
    expect_within_promise(GetParam(), x);
  }
}

INSTANTIATE_TEST_SUITE_P(, SimdEveryFloatSlow, testing::ValuesIn(functions),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace gradus::test
