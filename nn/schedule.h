// Learning rates as pure functions of the step, which counts from 0:
//
//   adam.set_learning_rate(optim::cosine(step, 1e-3, {.steps = 10000, .warmup = 500}));
//
// `rate` is the highest one. Steps after the last keep the last rate. Errors: a negative step,
// sizes that contradict each other, rates that are not finite.
#pragma once

#include <cstdint>

#include "gradus/kernels/export.h"

namespace gradus::optim {

GRADUS_API double constant(std::int64_t step, double rate);

// Step s of the first `warmup` gets rate (s + 1) / warmup, the others rate.
GRADUS_API double linear_warmup(std::int64_t step, double rate, std::int64_t warmup);

struct CosineOptions {
  std::int64_t steps = 0;   // of the whole run, warm-up included
  std::int64_t warmup = 0;  // linear
  double final_rate = 0;    // reached at `steps`
};
// final + (rate - final) (1 + cos(pi t)) / 2, t from 0 after the warm-up to 1 at `steps`.
GRADUS_API double cosine(std::int64_t step, double rate, CosineOptions options);

// rate factor^floor(step / every).
GRADUS_API double step_decay(std::int64_t step, double rate, std::int64_t every,
                             double factor = 0.1);

// rate factor^step.
GRADUS_API double exponential(std::int64_t step, double rate, double factor);

struct OneCycleOptions {
  std::int64_t steps = 0;     // of the whole run
  double rise = 0.3;          // part of it that the rate rises for
  double start_divisor = 25;  // the first rate is rate / start_divisor
  double end_divisor = 1e4;   // the last is the first / end_divisor
};
// Up along half a cosine, down along another (Smith and Topin, 2018). The peak is at
// rise * steps - 1, the end at steps - 1.
GRADUS_API double one_cycle(std::int64_t step, double rate, OneCycleOptions options);

}  // namespace gradus::optim
