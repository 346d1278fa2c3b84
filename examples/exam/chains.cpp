// M39 to M42: a chain that forgets, walked back by its score.
#include <cmath>

#include "examples/exam/problems.h"
#include "examples/exam/witness.h"

namespace gradus::exam {
namespace {

using namespace diffusion;
using namespace distributions;

double squared(double x) { return x * x; }
void forgets(Exam& exam) {
  const double alpha = 0.9, used = exam.seeded("another alpha", alpha, 0.91), x0 = 1.4;
  const Chain chain(used);
  const Tensor start = exam.tensor({x0});
  Values mean, deviation, composed, spread, closed_mean, closed_deviation;
  double m = x0, v = 0;
  for (int t = 1; t <= 40; ++t) {
    m = alpha * m, v = alpha * alpha * v + 1 - alpha * alpha;
    const Normal law = chain.marginal(start, t);
    mean.push_back(Values(law.mean.tensor(start))[0]);
    deviation.push_back(Values(law.standard_deviation.tensor(start))[0]);
    composed.push_back(m), spread.push_back(std::sqrt(v));
    closed_mean.push_back(std::pow(alpha, t) * x0);
    closed_deviation.push_back(std::sqrt(1 - std::pow(alpha, 2 * t)));
  }
  exam.compare("the mean α^t x₀",
               {.autodiff = mean, .closed = closed_mean, .independent = composed}, derivative());
  exam.compare("the deviation √(1 - α^2t)",
               {.autodiff = deviation, .closed = closed_deviation, .independent = spread},
               derivative());
  const int T = 25;
  const double a = std::pow(alpha, 2 * T);
  const Normal law = chain.marginal(exam.tensor({x0}), T);
  exam.compare("KL(p(x_T | x₀) ‖ N(0, 1))",
               {.autodiff = kl_divergence(law, Normal{0., 1.}),
                .closed = (a * x0 * x0 - a - std::log1p(-a)) / 2,
                .independent = integral(
                    [&](double x) {
                      const double mm = std::pow(alpha, T) * x0, vv = 1 - a;
                      const double log_p =
                          -squared(x - mm) / (2 * vv) - std::log(2 * M_PI * vv) / 2;
                      return std::exp(log_p) * (log_p + x * x / 2 + std::log(2 * M_PI) / 2);
                    },
                    -12, 12)},
               derivative(), quadrature());
  // From anywhere: the moments after many steps of draws.
  Generator generator(6);
  Tensor x = full({exam.quick ? 4'000 : 100'000}, 5, DType::f64, exam.device);
  for (int t = 0; t < 60; ++t) x = chain.transition(x).rsample(generator);
  const Values ends = x;
  const Mean first = mean_of(ends), second = mean_of(each_of(ends, squared));
  const double left = std::pow(alpha, 60) * 5;
  exam.compare("E[X₆₀] from x₀ = 5", {.autodiff = first.value, .closed = left},
               simulation(first.standard_error));
  exam.compare("E[X₆₀²]",
               {.autodiff = second.value, .closed = 1 - std::pow(alpha, 120) + left * left},
               simulation(second.standard_error));
  for (const double wrong : {0., 1., -0.5, 1.5})
    exam.refuses("α = " + std::to_string(wrong).substr(0, 4), [&] { Chain{wrong}; }, {"alpha"});

  examples::Chart chart{"KL(p(x_t | x₀) ‖ N(0, 1)) from x₀ = 1.4: log₁₀",
                        "t",
                        "log₁₀ KL",
                        {{"α = 0.5", {}}, {"α = 0.8", {}}, {"α = 0.9", {}}, {"α = 0.97", {}}}};
  std::size_t i = 0;
  for (const double rate : {0.5, 0.8, 0.9, 0.97}) {
    for (int t = 1; t <= 60; ++t) {
      const double s = std::pow(rate, 2 * t), kl = (s * x0 * x0 - s - std::log1p(-s)) / 2;
      if (kl > 1e-14) chart.series[i].points.emplace_back(t, std::log10(kl));
    }
    ++i;
  }
  exam.show(chart);
}

struct Atoms {
  std::vector<double> at = {-1.3, .4, 2.1}, weight = {.2, .5, .3};
};

// The density of the atoms after t steps, and its score.
struct Mixed {
  Atoms atoms;
  double signal, variance;
  double part(std::size_t k, double x) const {
    const double d = x - signal * atoms.at[k];
    return atoms.weight[k] * std::exp(-d * d / (2 * variance)) / std::sqrt(2 * M_PI * variance);
  }
  double density(double x) const { return part(0, x) + part(1, x) + part(2, x); }
  double score(double x) const {
    double slope = 0;
    for (std::size_t k = 0; k < 3; ++k) slope += part(k, x) * (signal * atoms.at[k] - x) / variance;
    return slope / density(x);
  }
};

Mixture<Normal> library_law(Exam& exam, const Chain& chain, int t) {
  const Atoms atoms;
  return chain.marginal(log(exam.tensor(atoms.weight)), exam.tensor(atoms.at), t);
}

void backwards(Exam& exam) {
  const double alpha = 0.9;
  const Chain chain(alpha);
  const int t = 3;
  const Mixed mixed{{}, std::pow(alpha, t), 1 - std::pow(alpha, 2 * t)};
  const std::vector<double> points = grid(-3, 3, 25);
  const Tensor x = exam.tensor(points);
  const double sign = exam.seeded("a wrong sign", 1., -1.);
  exam.compare("∇log p_t of a mixture",
               {.autodiff = score(library_law(exam, chain, t), x),
                .closed = each_of(points, [&](double p) { return sign * mixed.score(p); }),
                .independent = each_of(
                    points,
                    [&](double p) {
                      return difference_of([&](double y) { return std::log(mixed.density(y)); }, p);
                    })},
               derivative(), difference());
  // On stationary data, score -x, the mean should be alpha x: it is off by (1 - alpha)^2 x.
  Values errors, closed;
  for (const double a : {0.9, 0.95, 0.975, 0.9875, 0.99375}) {
    const Tensor at = exam.tensor({1.3});
    errors.push_back(std::log2(Values(Chain(a).backward(at, -at).mean.tensor())[0] - a * 1.3));
    closed.push_back(std::log2(squared(1 - a) * 1.3));
  }
  exam.compare("the backward mean is off by (1 - α)² x (log₂)",
               {.autodiff = errors, .closed = closed}, derivative());
  Values slopes;
  for (std::size_t i = 1; i < errors.size(); ++i) slopes.push_back(errors[i - 1] - errors[i]);
  exam.compare("of order 2 in 1 - α", {.autodiff = slopes, .closed = 2.}, slope());

  // Ancestral sampling with the exact score gives the data back, to first order in 1 - alpha.
  const double fine = 0.995;
  const Chain slow(fine);
  const int steps = exam.quick ? 100 : 500;
  Generator generator(7);
  const Mixture<Normal> data{log(exam.tensor({.4, .6})),
                             Normal{exam.tensor({-1, 1.2}), exam.tensor({.5, .4})}};
  const std::int64_t n = exam.quick ? 500 : 4'000;
  Tensor z = slow.marginal(data, steps).sample(generator, {n});
  for (int step = steps; step >= 1; --step)
    z = slow.backward(z, score(slow.marginal(data, step), z).detach()).rsample(generator).detach();
  const auto cdf = [&](double y) {
    return .4 * normal_cdf((y + 1) / .5) + .6 * normal_cdf((y - 1.2) / .4);
  };
  const Mean mean = mean_of(Values(z));
  exam.compare("the data's mean after the way back", {.autodiff = mean.value, .closed = .32},
               simulation(mean.standard_error));
  exam.compare("Kolmogorov-Smirnov: D √n of the way back",
               {.autodiff = kolmogorov(Values(z), cdf), .closed = 0.}, kolmogorov_smirnov());

  examples::Chart chart{"Scores of p_t: the field that leads back",
                        "x",
                        "∇log p_t",
                        {{"t = 1", {}}, {"t = 3", {}}, {"t = 8", {}}, {"t = 40", {}}}};
  std::size_t i = 0;
  for (const int time : {1, 3, 8, 40}) {
    const Mixed law{{}, std::pow(alpha, time), 1 - std::pow(alpha, 2 * time)};
    for (const double y : grid(-3, 3, 121)) chart.series[i].points.emplace_back(y, law.score(y));
    ++i;
  }
  exam.show(chart);
}

// Nodes and weights for expectations over the noise and over the atoms, by a rule of equal steps.
struct Expectation {
  std::vector<double> noise, weight, start;
  Expectation() {
    const Atoms atoms;
    const std::vector<double> nodes = grid(-9, 9, 241);
    for (std::size_t k = 0; k < 3; ++k)
      for (const double e : nodes) {
        noise.push_back(e), start.push_back(atoms.at[k]);
        weight.push_back(atoms.weight[k] * std::exp(-e * e / 2) / std::sqrt(2 * M_PI) *
                         (nodes[1] - nodes[0]));
      }
  }
};

struct Losses {
  Tensor denoising, explicit_one, noise;
};
// Both losses of the model s(x) = a tanh(b x) + c, under the law after t steps.
Losses losses(Exam& exam, const Chain& chain, int t, const std::vector<Tensor>& theta) {
  static const Expectation e;
  const TensorFunction model = [&](const Tensor& x) {
    return theta[0] * tanh(theta[1] * x) + theta[2];
  };
  const Tensor weight = exam.tensor(e.weight), x0 = exam.tensor(e.start),
               noise = exam.tensor(e.noise);
  const Tensor x = chain.diffuse(x0, t, noise);
  const double deviation = std::sqrt(chain.variance(t));
  const TensorFunction model_noise = [&](const Tensor& y) { return -deviation * model(y); };
  return {sum(weight * denoising_score_matching(model, chain, x0, t, noise)),
          sum(weight * explicit_score_matching(model, x, score(library_law(exam, chain, t), x))),
          sum(weight * noise_matching(model_noise, chain, x0, t, noise))};
}

void constant_apart(Exam& exam) {
  const Chain chain(0.9);
  const int t = 3;
  const double reference = 0.6352394768335 + exam.seeded("another constant", 0., 1e-7);
  const Mixed mixed{{}, chain.signal(t), chain.variance(t)};
  // E|score given x_0|^2 / 2 = 1 / (2 variance), less E|score|^2 / 2.
  const double by_quadrature =
      1 / (2 * mixed.variance) -
      integral([&](double x) { return squared(mixed.score(x)) * mixed.density(x) / 2; }, -8, 8);
  for (const std::vector<double>& at :
       {std::vector<double>{-1, .7, .1}, {.3, 1.2, -.4}, {0, 1, 0}}) {
    std::vector<Tensor> theta;
    for (const double value : at) theta.push_back(exam.tensor({value}).requires_grad_());
    const Losses both = losses(exam, chain, t, theta);
    exam.compare("L_DSM - L_ESM at θ = (" + std::to_string(at[0]).substr(0, 4) + ", ...)",
                 {.autodiff = both.denoising - both.explicit_one,
                  .closed = reference,
                  .independent = by_quadrature},
                 quadrature());
    Values denoising, explicit_one;
    for (const Tensor& g : grad(both.denoising, theta)) denoising.push_back(Values(g)[0]);
    for (const Tensor& g : grad(both.explicit_one, theta)) explicit_one.push_back(Values(g)[0]);
    exam.compare("equal gradients in θ", {.autodiff = denoising, .closed = explicit_one},
                 quadrature());
  }
}

void noise_prediction(Exam& exam) {
  const Chain chain(0.9);
  const std::vector<double> noise = grid(-3, 3, 13);
  const double sign = exam.seeded("a wrong sign", 1., -1.);
  for (const int t : {1, 3, 10}) {
    const Tensor x0 = full({13}, 0.6, DType::f64, exam.device);
    const Tensor x = chain.diffuse(x0, t, exam.tensor(noise));
    const double deviation = std::sqrt(1 - std::pow(0.9, 2 * t));
    const auto log_density = [&](double y) {
      return -squared(y - std::pow(0.9, t) * 0.6) / (2 * squared(deviation));
    };
    exam.compare("∇log p(x_t | x₀) = -ξ / √(1 - α^2t), t = " + std::to_string(t),
                 {.autodiff = score(chain.marginal(x0, t), x),
                  .closed = each_of(noise, [&](double e) { return -sign * e / deviation; }),
                  .independent =
                      each_of(Values(x), [&](double y) { return difference_of(log_density, y); })},
                 derivative(), difference());
    std::vector<Tensor> theta;
    for (const double value : {-1., .7, .1}) theta.push_back(exam.tensor({value}));
    const Losses both = losses(exam, chain, t, theta);
    exam.compare("the ratio of the losses is 1 / (1 - α^2t), t = " + std::to_string(t),
                 {.autodiff = both.denoising / both.noise, .closed = 1 / squared(deviation)},
                 derivative());
  }
}

}  // namespace

std::vector<Statement> chains() {
  return {
      {"M39", "x_{t+1} ~ N(αx_t, 1-α²) forgets its start: X_∞ ~ N(0, I)",
       "For 0 < α < 1 the chain keeps the standard normal law and tends to it from anywhere.",
       "p(x_t | x_0) = N(α^t x_0, (1 - α^{2t}) I) → N(0, I)", forgets, "It needs 0 < α < 1."},
      {"M40", "a backward step is N((2-α)x + (1-α²)∇log p, 1-α²)",
       "To first order in 1 - α the chain is walked back by the score of the law it has reached. "
       "For a mixture that score is known.",
       "p(x_t | x_{t+1} = x) ≈ N((2 - α) x + (1 - α^2) ∇ log p(x), (1 - α^2) I)", backwards,
       "In general the score is intractable. On stationary data the mean is off by (1-α)² x."},
      {"M41", "explicit and denoising score matching differ by a constant",
       "The score of the whole law may be replaced by that given the start: no gradient changes.",
       "L_{DSM}(θ) - L_{ESM}(θ) = const", constant_apart},
      {"M42", "∇log p(x_t|x₀) = -ξ/√(1-α^2t): scores predict noise",
       "Matching the denoising score is predicting the noise, up to a factor for each t.",
       "∇ log p(x_t | x_0) = - \\frac{ξ}{\\sqrt{1 - α^{2t}}}", noise_prediction,
       "The losses are equal per t up to 1/(1-α^2t); summed over t they are not proportional."},
  };
}

}  // namespace gradus::exam
