#include "gradus/nn/diffusion.h"

#include <cmath>
#include <limits>
#include <numbers>
#include <ostream>
#include <sstream>

namespace gradus::diffusion {
namespace {

Tensor per_sample_sum(const Tensor& x) {
  const std::int64_t count = x.size(0);
  return sum(reshape(x, {count, count > 0 ? x.numel() / count : 1}), 1);
}

void check_samples(const char* operation, const Tensor& z) {
  require(is_floating(z.dtype()), operation, ": samples must be f32 or f64, got ", z.dtype());
  require(z.dim() >= 1, operation, ": samples must be (batch, ...), got one number");
}

void check_pair(const char* operation, const Tensor& z, const Tensor& other, const char* name) {
  check_samples(operation, z);
  require(z.shape() == other.shape(), operation, ": shapes differ: samples ", z.shape(), ", ", name,
          ' ', other.shape());
}

double largest(DType t) {
  return t == DType::f32 ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
}

}  // namespace

std::ostream& operator<<(std::ostream& out, Predicts p) {
  return out << (p == Predicts::noise ? "noise" : p == Predicts::data ? "data" : "velocity");
}

Tensor Steps::map(const char* operation, const Tensor& z, std::int64_t last,
                  const std::function<double(std::int64_t)>& f) const {
  const auto checked = [&](std::int64_t n) {
    require(n >= 1 && n <= last, operation, ": step n = ", n, " lies outside of [1, ", last, ']');
    return f(n);
  };
  if (!each_.defined()) return full({}, checked(all_), z.dtype(), z.device());
  require(each_.dtype() == DType::i64 && each_.dim() == 1 && each_.size(0) == z.size(0), operation,
          ": steps must be i64, one for each of ", z.size(0), " samples, got ", each_.shape(), ' ',
          each_.dtype());
  std::vector<double> values;
  for (const std::int64_t n : each_.to_vector<std::int64_t>()) values.push_back(checked(n));
  Shape shape{std::ssize(values)};
  while (shape.size() < z.dim()) shape.push_back(1);
  return from_vector(values, shape).to(z.dtype()).to(z.device());
}

// ---- the schedule -------------------------------------------------------------------------------

Schedule::Schedule(const std::vector<double>& betas, ScheduleOptions options)
    : steps_(std::ssize(betas)),
      options_(options),
      verdict_(validate(betas, options)),
      beta_{0},
      log_alpha_bar_{0} {
  require(verdict_.valid(), "diffusion: ", verdict_.reason);
  for (const double beta : betas) {
    beta_.push_back(beta);
    log_alpha_bar_.push_back(log_alpha_bar_.back() + std::log1p(-beta));
  }
}

Schedule Schedule::from_betas(const std::vector<double>& betas, ScheduleOptions options) {
  return {betas, options};
}

Schedule Schedule::from_function(const std::function<double(std::int64_t, std::int64_t)>& f,
                                 std::int64_t steps, ScheduleOptions options) {
  std::vector<double> betas;
  for (std::int64_t n = 1; n <= steps; ++n) betas.push_back(f(n, steps));
  return {betas, options};
}

Schedule Schedule::linear(std::int64_t steps, LinearOptions betas, ScheduleOptions options) {
  const auto beta = [&](std::int64_t n, std::int64_t N) {
    const double t = N > 1 ? static_cast<double>(n - 1) / static_cast<double>(N - 1) : 0;
    return betas.first + t * (betas.last - betas.first);
  };
  return from_function(beta, steps, options);
}

Schedule Schedule::cosine(std::int64_t steps, CosineOptions shape, ScheduleOptions options) {
  const auto beta = [&](std::int64_t n, std::int64_t N) {
    const auto root = [&](std::int64_t m) {
      const double t = static_cast<double>(m) / static_cast<double>(N);
      return std::cos((t + shape.offset) / (1 + shape.offset) * std::numbers::pi / 2);
    };
    const double ratio = root(n) / root(n - 1);
    return std::min(1 - ratio * ratio, shape.largest);
  };
  return from_function(beta, steps, options);
}

double Schedule::beta(std::int64_t n) const {
  require(n >= 1 && n <= steps_, "diffusion: step n = ", n, " lies outside of [1, ", steps_, ']');
  return beta_[static_cast<std::size_t>(n)];
}
double Schedule::alpha(std::int64_t n) const { return 1 - beta(n); }
double Schedule::log_alpha_bar(std::int64_t n) const {
  require(n >= 0 && n <= steps_, "diffusion: step n = ", n, " lies outside of [0, ", steps_, ']');
  return log_alpha_bar_[static_cast<std::size_t>(n)];
}
double Schedule::alpha_bar(std::int64_t n) const { return std::exp(log_alpha_bar(n)); }
double Schedule::noise_variance(std::int64_t n) const { return -std::expm1(log_alpha_bar(n)); }
double Schedule::posterior_variance(std::int64_t n) const {
  return noise_variance(n - 1) / noise_variance(n) * beta(n);
}
double Schedule::kl_weight(std::int64_t n) const {
  require(n != 1,
          "reverse_kl: at n = 1 the posterior variance is 0: the decoder's term takes its place");
  return beta(n) * beta(n) / (2 * posterior_variance(n) * alpha(n) * noise_variance(n));
}
double Schedule::signal(std::int64_t n) const { return std::exp(0.5 * log_alpha_bar(n)); }
double Schedule::spread(std::int64_t n) const { return std::sqrt(noise_variance(n)); }

Tensor Schedule::at(const char* operation, const Tensor& z, const Steps& n,
                    const Coefficient& f) const {
  check_samples(operation, z);
  return n.map(operation, z, steps_, f);
}

Tensor Schedule::inverse_signal(const char* operation, const Tensor& z, const Steps& n) const {
  return at(operation, z, n, [&](std::int64_t m) {
    const double inverse = 1 / signal(m);
    require(inverse <= largest(z.dtype()), operation, ": at n = ", m,
            " it divides by sqrt(alphabar_n)", " = ", signal(m), ", whose inverse ", z.dtype(),
            " cannot hold");
    return inverse;
  });
}

// ---- the process --------------------------------------------------------------------------------

distributions::Normal Schedule::transition(At z_before, Steps n) const {
  const char* name = "diffusion.transition";
  const Tensor scale = at(name, *z_before, n, [&](auto m) { return std::sqrt(alpha(m)); });
  return {scale * *z_before, at(name, *z_before, n, [&](auto m) { return std::sqrt(beta(m)); })};
}

distributions::Normal Schedule::marginal(At x0, Steps n) const {
  const char* name = "diffusion.marginal";
  return {at(name, *x0, n, [&](auto m) { return signal(m); }) * *x0,
          at(name, *x0, n, [&](auto m) { return spread(m); })};
}

Tensor Schedule::diffuse(At x0, Steps n, At noise) const {
  const char* name = "diffusion.diffuse";
  check_pair(name, *x0, *noise, "noise");
  return at(name, *x0, n, [&](auto m) { return signal(m); }) * *x0 +
         at(name, *x0, n, [&](auto m) { return spread(m); }) * *noise;
}

Gaussian Schedule::posterior(At z, Steps n, At x0) const {
  const char* name = "diffusion.posterior";
  check_pair(name, *z, *x0, "x0");
  const Tensor of_z = at(name, *z, n, [&](auto m) {
    return std::sqrt(alpha(m)) * noise_variance(m - 1) / noise_variance(m);
  });
  const Tensor of_x0 = at(name, *z, n, [&](auto m) {
    return m == 1 ? 1 : signal(m - 1) * beta(m) / noise_variance(m);
  });
  return {of_z * *z + of_x0 * *x0, at(name, *z, n, [&](auto m) { return posterior_variance(m); })};
}

Tensor Schedule::data(At z, Steps n, At output, Predicts kind) const {
  const char* name = "diffusion.data";
  check_pair(name, *z, *output, "output");
  if (kind == Predicts::data) return *output;
  const Tensor b = at(name, *z, n, [&](auto m) { return spread(m); });
  if (kind == Predicts::noise) return (*z - b * *output) * inverse_signal(name, *z, n);
  return at(name, *z, n, [&](auto m) { return signal(m); }) * *z - b * *output;
}

Tensor Schedule::noise(At z, Steps n, At output, Predicts kind) const {
  const char* name = "diffusion.noise";
  check_pair(name, *z, *output, "output");
  if (kind == Predicts::noise) return *output;
  const Tensor a = at(name, *z, n, [&](auto m) { return signal(m); });
  const Tensor b = at(name, *z, n, [&](auto m) { return spread(m); });
  if (kind == Predicts::data) return (*z - a * *output) / b;
  return b * *z + a * *output;
}

Tensor Schedule::velocity(At z, Steps n, At output, Predicts kind) const {
  const char* name = "diffusion.velocity";
  check_pair(name, *z, *output, "output");
  if (kind == Predicts::velocity) return *output;
  const Tensor b = at(name, *z, n, [&](auto m) { return spread(m); });
  if (kind == Predicts::noise) return (*output - b * *z) * inverse_signal(name, *z, n);
  return (at(name, *z, n, [&](auto m) { return signal(m); }) * *z - *output) / b;
}

Gaussian Schedule::reverse(At z, Steps n, At output, Predicts kind) const {
  const char* name = "diffusion.reverse";
  check_pair(name, *z, *output, "output");
  if (kind != Predicts::noise) return posterior(z, n, data(z, n, output, kind));
  const Tensor part = at(name, *z, n, [&](auto m) { return beta(m) / spread(m); });
  const Tensor scale = at(name, *z, n, [&](auto m) {
    require(alpha(m) > 0, name, ": at n = ", m, " it divides by sqrt(alpha_n) = 0");
    return 1 / std::sqrt(alpha(m));
  });
  return {scale * (*z - part * *output),
          at(name, *z, n, [&](auto m) { return posterior_variance(m); })};
}

Tensor Schedule::step(At z, Steps n, At output, Predicts kind, Generator& generator) const {
  const Gaussian p = reverse(z, n, output, kind);
  return p.mean + sqrt(p.variance) * randn(z->shape(), generator, z->dtype(), z->device());
}

Tensor Schedule::sample(const std::function<Tensor(const Tensor&, std::int64_t)>& network,
                        const Shape& shape, Generator& generator, Device device) const {
  const NoGrad off;
  Tensor z = randn(shape, generator, options_.dtype, device);
  for (std::int64_t n = steps_; n >= 1; --n)
    z = step(z, n, network(z, n), options_.predicts, generator);
  return z;
}

Tensor Schedule::reverse_kl(At noise, At predicted, Steps n) const {
  const char* name = "diffusion.reverse_kl";
  check_pair(name, *noise, *predicted, "predicted");
  const Tensor squares = per_sample_sum(square(*noise - *predicted));
  return at(name, squares, n, [&](auto m) { return kl_weight(m); }) * squares;
}

}  // namespace gradus::diffusion
