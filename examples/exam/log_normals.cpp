// D2: normal and log-normal latents.
#include <cmath>

#include "examples/exam/problems.h"
#include "examples/exam/witness.h"

namespace gradus::exam {
namespace {

using namespace distributions;

double log_normal_density(double z, double mu, double sigma) {
  const double x = (std::log(z) - mu) / sigma;
  return std::exp(-x * x / 2) / (z * sigma * std::sqrt(2 * M_PI));
}

double normal_density(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * M_PI); }

void push_forward(Exam& exam) {
  examples::Chart chart{"The push-forward: N(0,1) before, log N(0,1) after e^ε",
                        "",
                        "density",
                        {{"N(0,1)", {}}, {"log N(0,1)", {}}, {"log N(0.5, 0.25)", {}}}};
  for (const double x : grid(-3, 6, 361)) {
    chart.series[0].points.emplace_back(x, normal_density(x));
    if (x <= 0) continue;
    chart.series[1].points.emplace_back(x, log_normal_density(x, 0, 1));
    chart.series[2].points.emplace_back(x, log_normal_density(x, 0.5, 0.5));
  }
  exam.show(chart);
}

void exponential(Exam& exam) {
  push_forward(exam);
  const std::vector<double> points = grid(-4, 4, 17);
  const Tensor e = exam.tensor(points).requires_grad_();
  const Tensor z = exp(e);
  const LogNormal target{0., exam.seeded("another sigma", 1., 1.1)};
  exam.compare("Q(T(ε)) = F(ε)", {.autodiff = target.cdf(z), .closed = each_of(points, normal_cdf)},
               derivative());
  const Tensor slope = grad(sum(z), {e})[0];
  const auto density = [](double x) { return log_normal_density(std::exp(x), 0, 1); };
  exam.compare("the density, by change of variables",
               {.autodiff = Values(exp(Normal{0., 1.}.log_prob(e)) / slope),
                .closed = Values(exp(target.log_prob(z))),
                .independent = each_of(points, density)},
               derivative());
  Generator generator(1);
  const std::int64_t n = exam.quick ? 4'000 : 100'000;
  const Tensor noise = randn({n}, generator, DType::f64, exam.device);
  const double distance =
      kolmogorov(Values(exp(noise)), [](double x) { return normal_cdf(std::log(x)); });
  exam.compare("Kolmogorov-Smirnov: D √n of samples", {.autodiff = distance, .closed = 0.},
               kolmogorov_smirnov());
}

void scaling(Exam& exam) {
  const std::vector<double> points = grid(0.1, 6, 13);
  for (const double mu : {-1., 0., 0.5})
    for (const double sigma : {0.3, 1., 2.}) {
      const Tensor z = exam.tensor(points).requires_grad_();
      const double power = exam.seeded("the reciprocal power", sigma, 1 / sigma + 0.1);
      const Tensor y = pow(z, power) * std::exp(mu);
      const LogNormal target{mu, sigma};
      const std::string at = " at μ = " + std::to_string(mu).substr(0, 4) +
                             ", σ = " + std::to_string(sigma).substr(0, 3);
      exam.compare("the law of M(z)" + at,
                   {.autodiff = target.cdf(y),
                    .closed = each_of(points, [](double x) { return normal_cdf(std::log(x)); })},
                   derivative());
      const Tensor slope = grad(sum(y), {z})[0];
      const Values there = y;
      exam.compare("its density" + at,
                   {.autodiff = Values(exp(LogNormal{0., 1.}.log_prob(z)) / slope),
                    .closed = Values(exp(target.log_prob(y))),
                    .independent =
                        each_of(there, [&](double x) { return log_normal_density(x, mu, sigma); })},
                   derivative());
    }
  const Tensor z = exam.tensor({1});
  exam.refuses("σ = 0", [&] { LogNormal{0., 0.}.log_prob(z); }, {"LogNormal", "sigma"});
  exam.refuses("z = -1", [&] { LogNormal{0., 1.}.log_prob(-z); }, {"LogNormal", "-1"});
}

void reparameterised(Exam& exam) {
  const std::vector<double> noise = grid(-3, 3, 13);
  const double m = 0.3, s = 0.8;
  const Tensor e = exam.tensor(noise);
  const Tensor mu = exam.tensor({m}).requires_grad_(), sigma = exam.tensor({s}).requires_grad_();
  // One row for each parameter's own copy: d C_i / d mu_i.
  const Tensor mus = expand(mu, e.shape()).detach().contiguous().requires_grad_();
  const Tensor sigmas = expand(sigma, e.shape()).detach().contiguous().requires_grad_();
  const Tensor c = exp(sigmas * e + mus);
  const std::vector<Tensor> slopes = grad(sum(c), {mus, sigmas});
  const auto value = [&](double x) { return std::exp(s * x + m); };
  exam.compare("C = M ∘ T",
               {.autodiff = c,
                .closed = each_of(noise, value),
                .independent = each_of(
                    noise, [&](double x) { return std::pow(std::exp(x), s) * std::exp(m); })},
               derivative());
  exam.compare("∂C/∂μ = C",
               {.autodiff = slopes[0],
                .closed = each_of(noise, value),
                .independent = each_of(noise,
                                       [&](double x) {
                                         return difference_of(
                                             [&](double t) { return std::exp(s * x + t); }, m);
                                       })},
               derivative(), difference());
  const double sign = exam.seeded("a wrong sign", 1., -1.);
  const Values terms =
      each_of(noise, [&](double x) { return value(x) * std::max(1., std::abs(x)); });
  exam.compare("∂C/∂σ = ε C",
               {.autodiff = slopes[1],
                .closed = each_of(noise, [&](double x) { return sign * x * value(x); }),
                .independent = each_of(noise,
                                       [&](double x) {
                                         return difference_of(
                                             [&](double t) { return std::exp(t * x + m); }, s);
                                       })},
               derivative(), difference(4, terms));

  // E[z] by the rule of 400 equal steps, exact for this integrand beyond f64.
  const std::vector<double> nodes = grid(-12, 12, 401);
  const Tensor at = exam.tensor(nodes);
  const Tensor weight = exp(Normal{0., 1.}.log_prob(at)) * (nodes[1] - nodes[0]);
  const Tensor mean = sum(weight * exp(sigma * at + mu));
  const std::vector<Tensor> pathwise = grad(mean, {mu, sigma});
  const double expected = std::exp(m + s * s / 2);
  exam.compare("E[z] = exp(μ + σ²/2)",
               {.autodiff = mean,
                .closed = expected,
                .independent = integral(
                    [&](double x) { return value(x) * std::exp(-x * x / 2) / std::sqrt(2 * M_PI); },
                    -12, 12)},
               quadrature());
  exam.compare("its pathwise gradient",
               {.autodiff = {pathwise[0].item<double>(), pathwise[1].item<double>()},
                .closed = {expected, s * expected}},
               quadrature());
}

void divergences(Exam& exam) {
  const double m = 0.3, s = 0.8;
  const Tensor mu = exam.tensor({m}).requires_grad_(), sigma = exam.tensor({s}).requires_grad_();
  const Divergence infinite = kl(Normal{mu, sigma}, LogNormal{0., 1.});
  exam.compare("KL(N ‖ log N)", {.autodiff = infinite.value, .closed = INFINITY}, exactly());
  exam.holds("the reason names the mass outside of z > 0",
             infinite.reason.find("0.3538") != std::string::npos, infinite.reason);
  exam.refuses("as a loss",
               [&] {
                 kl_divergence(Normal{mu, sigma}, LogNormal{0., 1.});
               },
               {"infinite", "LogNormal", "z > 0"});

  const Tensor same = kl_divergence(LogNormal{mu, sigma}, LogNormal{0., 1.});
  const std::vector<Tensor> slopes = grad(sum(same), {mu, sigma});
  const double sign = exam.seeded("a wrong sign", 1., -1.);
  // Of both densities at exp(x), in x: finite wherever they are.
  const auto expectation = [&](const std::function<double(double)>& log_q) {
    return integral(
        [&](double x) {
          const double t = (x - m) / s;
          const double log_p = -t * t / 2 - x - std::log(s * std::sqrt(2 * M_PI));
          return std::exp(log_p + x) * (log_p - log_q(x));
        },
        m - 12 * s, m + 12 * s);
  };
  exam.compare("KL(log N(μ,σ²) ‖ log N(0,1))",
               {.autodiff = same,
                .closed = (m * m + s * s - 1 - sign * std::log(s * s)) / 2,
                .independent = expectation(
                    [](double x) { return -x * x / 2 - x - std::log(std::sqrt(2 * M_PI)); })},
               derivative(), quadrature());
  exam.compare(
      "its gradient: μ, σ - 1/σ",
      {.autodiff = {slopes[0].item<double>(), slopes[1].item<double>()}, .closed = {m, s - 1 / s}},
      derivative());
  const Tensor other = kl_divergence(LogNormal{mu, sigma}, Normal{0., 1.});
  exam.compare("KL(log N(μ,σ²) ‖ N(0,1)), the finite direction",
               {.autodiff = other,
                .closed = std::exp(2 * m + 2 * s * s) / 2 - m - 0.5 - std::log(s),
                .independent = expectation(
                    [](double x) { return -std::exp(2 * x) / 2 - std::log(std::sqrt(2 * M_PI)); })},
               derivative(), quadrature());
  exam.holds("log p(1e-300) is finite",
             std::isfinite(LogNormal{0., 1.}.log_prob(exam.tensor({1e-300})).item<double>()));
}

}  // namespace

std::vector<Statement> log_normals() {
  return {
      {"D2a", "T(ε) = e^ε maps N(0,1) to log N(0,1)",
       "The exponential of a standard normal number has the log-normal law: distribution functions "
       "and densities agree through the map.",
       "Q_{0,1}(e^ε) = F_{0,1}(ε)", exponential},
      {"D2b", "M(z) = z^σ e^μ maps log N(0,1) to log N(μ,σ²)",
       "A power and a factor carry the standard log-normal law to any other.",
       "Q_{μ,σ}(z^σ e^μ) = Q_{0,1}(z)", scaling,
       "It needs σ > 0: at 0 everything meets in one point."},
      {"D2c", "C(ε) = exp(σε + μ): ∂C/∂μ = C and ∂C/∂σ = ε C",
       "The reparameterised sample, its derivatives, and through them the gradient of an "
       "expectation.",
       "C = M∘T , \\frac{∂C}{∂μ} = C , \\frac{∂C}{∂σ} = ε C", reparameterised},
      {"D2d", "KL(N ‖ log N) = ∞; of two log-normals it is finite",
       "A normal posterior has mass where a log-normal prior has none; a log-normal one has not.",
       "KL(log N(μ,σ^2) ‖ log N(0,1)) = \\frac{1}{2}(μ^2 + σ^2 - 1 - ln σ^2)", divergences,
       "The other direction, log-normal from normal, is finite."},
  };
}

}  // namespace gradus::exam
