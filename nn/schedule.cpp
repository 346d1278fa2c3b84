#include "gradus/nn/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "gradus/tensor/error.h"

namespace gradus::optim {
namespace {

void check(const char* name, std::int64_t step, double rate) {
  require(step >= 0, name, ": steps count from 0: ", step);
  require(rate >= 0 && std::isfinite(rate), name,
          ": the rate must be finite and at least 0: ", rate);
}

// From a at t = 0 to b at t = 1, exactly so at both ends.
double half_cosine(double a, double b, double t) {
  const double weight = 0.5 * (1 + std::cos(std::numbers::pi * t));
  return a * weight + b * (1 - weight);
}

}  // namespace

double constant(std::int64_t step, double rate) {
  check("constant", step, rate);
  return rate;
}

double linear_warmup(std::int64_t step, double rate, std::int64_t warmup) {
  check("linear_warmup", step, rate);
  require(warmup >= 0, "linear_warmup: warmup must be at least 0: ", warmup);
  if (step >= warmup) return rate;
  return rate * static_cast<double>(step + 1) / static_cast<double>(warmup);
}

double cosine(std::int64_t step, double rate, CosineOptions options) {
  check("cosine", step, rate);
  check("cosine", step, options.final_rate);
  require(options.warmup >= 0 && options.warmup < options.steps,
          "cosine: needs 0 <= warmup < steps: ", options.warmup, " and ", options.steps);
  if (step < options.warmup) return linear_warmup(step, rate, options.warmup);
  const double t = static_cast<double>(step - options.warmup) /
                   static_cast<double>(options.steps - options.warmup);
  return half_cosine(rate, options.final_rate, std::min(t, 1.0));
}

double step_decay(std::int64_t step, double rate, std::int64_t every, double factor) {
  check("step_decay", step, rate);
  require(every > 0 && factor > 0 && std::isfinite(factor),
          "step_decay: needs every > 0 and factor > 0: ", every, " and ", factor);
  return rate * std::pow(factor, static_cast<double>(step / every));
}

double exponential(std::int64_t step, double rate, double factor) {
  check("exponential", step, rate);
  require(factor > 0 && std::isfinite(factor), "exponential: needs factor > 0: ", factor);
  return rate * std::pow(factor, static_cast<double>(step));
}

double one_cycle(std::int64_t step, double rate, OneCycleOptions options) {
  check("one_cycle", step, rate);
  require(options.steps > 0 && options.rise > 0 && options.rise < 1,
          "one_cycle: needs steps > 0 and 0 < rise < 1: ", options.steps, " and ", options.rise);
  require(options.start_divisor >= 1 && options.end_divisor >= 1,
          "one_cycle: divisors must be at least 1: ", options.start_divisor, " and ",
          options.end_divisor);
  const double first = rate / options.start_divisor, last = first / options.end_divisor;
  const double peak = std::max(options.rise * static_cast<double>(options.steps) - 1, 0.0);
  const double end = static_cast<double>(options.steps - 1);
  const double at = std::min(static_cast<double>(step), end);
  if (at < peak) return half_cosine(first, rate, at / peak);
  return half_cosine(rate, last, end > peak ? (at - peak) / (end - peak) : 1.0);
}

}  // namespace gradus::optim
