// What makes beta_1, ..., beta_N a schedule.
#include <cmath>
#include <sstream>

#include "gradus/nn/diffusion.h"

namespace gradus::diffusion {
namespace {

// The quantity that a beta outside of (0, 1) breaks; empty for one inside.
std::string fault(std::int64_t n, std::int64_t steps, double beta, const ScheduleOptions& options) {
  if (beta > 0 && beta < 1) return {};
  if (std::isnan(beta)) return "is not a number";
  std::ostringstream text;
  if (beta < 0) {
    text << "is below 0: the variance of step " << n << ", beta_n itself, is negative";
  } else if (beta == 0) {
    text << "is 0: step " << n << " adds no noise, and ";
    text << (n == 1 ? "1 - alphabar_1 = 0, which the posterior divides by"
                    : "the posterior variance, which the loss divides by, is 0");
  } else if (beta > 1) {
    text << "is above 1: alpha_n = " << 1 - beta << " makes alphabar_" << n
         << " negative under the square root of sqrt(alphabar_n) x_0";
  } else if (beta == 1 && n < steps) {
    text << "is 1 before the last step " << steps
         << ": alphabar_n = 0 from there on, and nothing of"
         << " x_0 is left to learn from";
  } else if (beta == 1 && options.predicts == Predicts::noise) {
    text << "is 1: alphabar_" << n << " = 0, and x_0 = (z_n - sqrt(1 - alphabar_n) eps) /"
         << " sqrt(alphabar_n) divides by 0; only a network that predicts data or velocity may end"
         << " in pure noise";
  } else if (beta == 1 && !options.ends_in_pure_noise) {
    text << "is 1: alphabar_" << n << " = 0, and nothing of x_0 is left; that a network that"
         << " predicts " << options.predicts << " may end so is asked for by ends_in_pure_noise";
  }
  return text.str();
}

bool underflows(double log_alpha_bar, DType dtype) {
  const double alpha_bar = std::exp(log_alpha_bar);
  return dtype == DType::f32 ? static_cast<float>(alpha_bar) == 0 : alpha_bar == 0;
}

}  // namespace

Verdict validate(const std::vector<double>& betas, ScheduleOptions options) {
  require(is_floating(options.dtype), "diffusion: samples must be f32 or f64, got ", options.dtype);
  using Kind = Verdict::Kind;
  const std::int64_t steps = std::ssize(betas);
  if (steps == 0) return {Kind::invalid, 0, 0, "a schedule needs at least one step"};
  Verdict verdict;
  double log_alpha_bar = 0;
  for (std::int64_t n = 1; n <= steps; ++n) {
    const double beta = betas[static_cast<std::size_t>(n - 1)];
    if (const std::string wrong = fault(n, steps, beta, options); !wrong.empty()) {
      std::ostringstream reason;
      reason.precision(12);
      reason << "beta_" << n << " = " << beta << ' ' << wrong;
      return {Kind::invalid, n, beta, reason.str()};
    }
    log_alpha_bar += std::log1p(-beta);
    if (beta < 1 && verdict.kind == Kind::valid && underflows(log_alpha_bar, options.dtype)) {
      std::ostringstream reason;
      reason << "valid, not representable in " << options.dtype << ": alphabar_" << n << " = exp("
             << log_alpha_bar << ") is 0 there from step " << n << " on";
      verdict = {Kind::unrepresentable, n, beta, reason.str()};
    }
  }
  return verdict;
}

}  // namespace gradus::diffusion
