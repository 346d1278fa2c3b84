// Schedules at their corners, against numbers worked out by hand.
#include "gradus/nn/schedule.h"

#include "gradus/tests/support.h"

namespace gradus::test {
namespace {

using namespace optim;

TEST(Schedule, ConstantAndWarmup) {
  EXPECT_EQ(constant(0, 0.5), 0.5);
  EXPECT_EQ(constant(1000000, 0.5), 0.5);
  EXPECT_EQ(linear_warmup(0, 1.0, 4), 0.25);
  EXPECT_EQ(linear_warmup(3, 1.0, 4), 1.0);
  EXPECT_EQ(linear_warmup(9, 1.0, 4), 1.0);
  EXPECT_EQ(linear_warmup(0, 1.0, 0), 1.0);
}

TEST(Schedule, Cosine) {
  const CosineOptions o{.steps = 110, .warmup = 10, .final_rate = 0.2};
  EXPECT_DOUBLE_EQ(cosine(0, 1.0, o), 0.1);
  EXPECT_DOUBLE_EQ(cosine(9, 1.0, o), 1.0);
  EXPECT_DOUBLE_EQ(cosine(10, 1.0, o), 1.0);
  EXPECT_DOUBLE_EQ(cosine(60, 1.0, o), 0.6);
  EXPECT_DOUBLE_EQ(cosine(35, 1.0, o), 0.2 + 0.8 * (1 + std::sqrt(0.5)) / 2);
  EXPECT_DOUBLE_EQ(cosine(110, 1.0, o), 0.2);
  EXPECT_DOUBLE_EQ(cosine(5000, 1.0, o), 0.2);
}

TEST(Schedule, StepsAndPowers) {
  EXPECT_DOUBLE_EQ(step_decay(29, 1.0, 30), 1.0);
  EXPECT_DOUBLE_EQ(step_decay(30, 1.0, 30), 0.1);
  EXPECT_DOUBLE_EQ(step_decay(60, 1.0, 30, 0.5), 0.25);
  EXPECT_DOUBLE_EQ(exponential(0, 2.0, 0.9), 2.0);
  EXPECT_DOUBLE_EQ(exponential(3, 2.0, 0.5), 0.25);
}

TEST(Schedule, OneCycle) {
  const OneCycleOptions o{.steps = 101, .rise = 0.3, .start_divisor = 25, .end_divisor = 100};
  const double first = 1.0 / 25;
  EXPECT_DOUBLE_EQ(one_cycle(0, 1.0, o), first);
  EXPECT_DOUBLE_EQ(one_cycle(100, 1.0, o), first / 100);
  EXPECT_DOUBLE_EQ(one_cycle(900, 1.0, o), first / 100);
  const OneCycleOptions whole{.steps = 110, .rise = 0.1};  // the peak is step 10
  EXPECT_DOUBLE_EQ(one_cycle(10, 1.0, whole), 1.0);
  EXPECT_DOUBLE_EQ(one_cycle(5, 1.0, whole), (1 + 1.0 / 25) / 2);
  for (std::int64_t s = 0; s < 10; ++s)
    EXPECT_LT(one_cycle(s, 1, whole), one_cycle(s + 1, 1, whole));
  for (std::int64_t s = 10; s < 109; ++s)
    EXPECT_GT(one_cycle(s, 1, whole), one_cycle(s + 1, 1, whole));
  EXPECT_EQ(one_cycle(0, 1.0, {.steps = 1}), 1.0 / 25 / 1e4);
}

TEST(Schedule, RefusesWhatMakesNoSense) {
  EXPECT_TRUE(throws("constant", "count from 0", [] { constant(-1, 1.0); }));
  EXPECT_TRUE(throws("constant", "finite", [] { constant(0, inf); }));
  EXPECT_TRUE(throws("linear_warmup", "-3", [] { linear_warmup(0, 1.0, -3); }));
  EXPECT_TRUE(throws("cosine", "warmup < steps: 5 and 5",
                     [] { cosine(0, 1.0, {.steps = 5, .warmup = 5}); }));
  EXPECT_TRUE(throws("cosine", "warmup < steps", [] { cosine(0, 1.0, {}); }));
  EXPECT_TRUE(throws("step_decay", "every > 0", [] { step_decay(0, 1.0, 0); }));
  EXPECT_TRUE(throws("exponential", "factor > 0", [] { exponential(0, 1.0, -1); }));
  EXPECT_TRUE(
      throws("one_cycle", "0 < rise < 1", [] { one_cycle(0, 1.0, {.steps = 5, .rise = 1.5}); }));
  EXPECT_TRUE(
      throws("one_cycle", "divisors", [] { one_cycle(0, 1.0, {.steps = 5, .end_divisor = 0}); }));
}

}  // namespace
}  // namespace gradus::test
