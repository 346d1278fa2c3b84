// Denoising diffusion (Ho et al., 2020): N steps add noise to data x_0 until only noise is left,
//
//   q(z_n | z_{n-1}) = N(sqrt(alpha_n) z_{n-1}, beta_n I),  alpha_n = 1 - beta_n
//   q(z_n | x_0) = N(sqrt(alphabar_n) x_0, (1 - alphabar_n) I),  alphabar_n = alpha_1 ... alpha_n
//
// and a network learns to undo them one by one. Steps count from 1 to N; alphabar_0 = 1, z_0 = x_0.
// Schedules are kept as log alphabar in f64, which does not underflow where alphabar does.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "gradus/nn/distributions.h"

namespace gradus::diffusion {

// What a network's output is: the noise eps, the data x_0, or the velocity
// v = sqrt(alphabar) eps - sqrt(1 - alphabar) x_0 (Salimans and Ho, 2022).
enum class Predicts { noise, data, velocity };
GRADUS_API std::ostream& operator<<(std::ostream&, Predicts);

// What a schedule has to serve.
struct ScheduleOptions {
  Predicts predicts = Predicts::noise;
  DType dtype = DType::f32;  // of the samples
  // Allows beta_N = 1: the last step leaves nothing of x_0. Not where noise is predicted, since
  // x_0 = (z_N - sqrt(1 - alphabar_N) eps) / sqrt(alphabar_N) would divide by 0.
  bool ends_in_pure_noise = false;
};

// Whether beta_1, ..., beta_N make a schedule: 0 < beta_n < 1 for all n, but for the last as above.
// `unrepresentable`: they do, but alphabar underflows to 0 in the dtype of the samples, from step n
// on. The reason reads "valid", "valid, not representable in f32: ..." or names n, beta_n and the
// quantity that breaks.
struct Verdict {
  enum class Kind { valid, unrepresentable, invalid };
  Kind kind = Kind::valid;
  std::int64_t n = 0;  // the first step at fault; 0 for none
  double beta = 0;     // of that step
  std::string reason = "valid";
  bool valid() const noexcept { return kind != Kind::invalid; }
};
GRADUS_API Verdict validate(const std::vector<double>& betas, ScheduleOptions options = {});

// One step number for a whole batch, or an i64 tensor of one a sample: shape (batch), along the
// first axis of the samples. Its values are read at once, so a tensor on a device is waited for.
class GRADUS_API Steps {
 public:
  Steps(int n) : all_(n) {}
  Steps(std::int64_t n) : all_(n) {}
  Steps(const Tensor& n) : each_(n) {}
  // f(n), computed in f64, in the dtype and on the device of z and broadcasting against it. Steps
  // must lie in [1, last].
  Tensor map(const char* operation, const Tensor& z, std::int64_t last,
             const std::function<double(std::int64_t)>& f) const;

 private:
  std::int64_t all_ = 0;
  Tensor each_;
};

struct LinearOptions {
  double first = 1e-4, last = 0.02;
};
struct CosineOptions {
  double offset = 0.008, largest = 0.999;
};
// A normal law with a variance that may be 0, as the posterior's is at n = 1.
struct Gaussian {
  Tensor mean, variance;
};

class GRADUS_API Schedule {
 public:
  // An invalid one is an Error: `diffusion: ` and the verdict's reason.
  static Schedule from_betas(const std::vector<double>& betas, ScheduleOptions options = {});
  // beta_n = f(n, N).
  static Schedule from_function(const std::function<double(std::int64_t, std::int64_t)>& f,
                                std::int64_t steps, ScheduleOptions options = {});
  // beta rises evenly from first to last (Ho et al., 2020).
  static Schedule linear(std::int64_t steps, LinearOptions betas = {},
                         ScheduleOptions options = {});
  // alphabar_n = f(n) / f(0), f(n) = cos^2((n / N + offset) / (1 + offset) pi / 2), and no beta
  // above `largest` (Nichol and Dhariwal, 2021).
  static Schedule cosine(std::int64_t steps, CosineOptions shape = {},
                         ScheduleOptions options = {});

  std::int64_t steps() const noexcept { return steps_; }
  const Verdict& verdict() const noexcept { return verdict_; }
  const ScheduleOptions& options() const noexcept { return options_; }
  double beta(std::int64_t n) const;
  double alpha(std::int64_t n) const;
  double log_alpha_bar(std::int64_t n) const;  // 0 for n = 0
  double alpha_bar(std::int64_t n) const;
  double noise_variance(std::int64_t n) const;  // 1 - alphabar_n
  double posterior_variance(
      std::int64_t n) const;  // (1 - alphabar_{n-1}) / (1 - alphabar_n) beta_n

  // Samples are (batch, ...).
  distributions::Normal transition(At z_before, Steps n) const;  // q(z_n | z_{n-1})
  distributions::Normal marginal(At x0, Steps n) const;          // q(z_n | x_0)
  Tensor diffuse(At x0, Steps n, At noise) const;  // sqrt(alphabar) x_0 + sqrt(1 - alphabar) noise
  Gaussian posterior(At z, Steps n,
                     At x0) const;  // q(z_{n-1} | z_n, x_0); at n = 1 it is x_0 alone

  // x_0, eps or v from z_n and an output of any of the three kinds. A division by an alphabar too
  // small for z's dtype is an error that names n.
  Tensor data(At z, Steps n, At output, Predicts kind) const;
  Tensor noise(At z, Steps n, At output, Predicts kind) const;
  Tensor velocity(At z, Steps n, At output, Predicts kind) const;

  // p(z_{n-1} | z_n): the posterior with the network's x_0, written without x_0 where it predicts
  // noise; and a draw from it, without noise at n = 1.
  Gaussian reverse(At z, Steps n, At output, Predicts kind) const;
  Tensor step(At z, Steps n, At output, Predicts kind, Generator& generator) const;
  // All steps from N to 1, from `shape` standard normal numbers, outside of any graph;
  // network(z, n) predicts what the options say.
  Tensor sample(const std::function<Tensor(const Tensor& z, std::int64_t n)>& network,
                const Shape& shape, Generator& generator, Device device = Device::cpu) const;

  // KL of the true posterior from a reverse step of the same variance, one number a sample:
  // kl_weight(n) |noise - predicted|^2. Refused at n = 1, where the variance is 0: the term of the
  // bound that belongs there is the decoder's, -log p(x_0 | z_1).
  double kl_weight(
      std::int64_t n) const;  // beta_n^2 / (2 posterior_variance alpha_n (1-alphabar_n))
  Tensor reverse_kl(At noise, At predicted, Steps n) const;

 private:
  Schedule(const std::vector<double>& betas, ScheduleOptions options);
  using Coefficient = std::function<double(std::int64_t)>;
  Tensor at(const char* operation, const Tensor& z, const Steps& n, const Coefficient& f) const;
  Tensor inverse_signal(const char* operation, const Tensor& z, const Steps& n) const;
  double signal(std::int64_t n) const;  // sqrt(alphabar_n)
  double spread(std::int64_t n) const;  // sqrt(1 - alphabar_n)

  std::int64_t steps_;
  ScheduleOptions options_;
  Verdict verdict_;
  std::vector<double> beta_, log_alpha_bar_;  // of n = 0, ..., N
};

}  // namespace gradus::diffusion
