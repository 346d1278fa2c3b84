// D4: denoising diffusion and its noise schedules.
#include <cmath>

#include "examples/exam/problems.h"
#include "examples/exam/witness.h"

namespace gradus::exam {
namespace {

using namespace diffusion;

Schedule some_schedule(std::int64_t steps, double last = 0.3) {
  return Schedule::linear(steps, {.first = 1e-3, .last = last}, {.dtype = DType::f64});
}

// KL of a reverse step over |ε - ε_θ|²: β_n² / (2 β̃_n α_n (1 - ᾱ_n)).
double weight_of_kl(const std::vector<double>& betas, int n) {
  double before = 1;
  for (int i = 1; i < n; ++i) before *= 1 - betas[static_cast<std::size_t>(i - 1)];
  const double beta = betas[static_cast<std::size_t>(n - 1)], bar = before * (1 - beta);
  const double posterior = (1 - before) / (1 - bar) * beta;
  return beta * beta / (2 * posterior * (1 - beta) * (1 - bar));
}

void forward_process(Exam& exam) {
  const int steps = 20;
  const Schedule schedule = some_schedule(steps, exam.seeded("a perturbed schedule", 0.3, 0.31));
  const std::vector<double> betas = grid(1e-3, 0.3, steps);
  // A mean and a variance pushed through the steps one at a time.
  Values mean, variance, mean_closed, variance_closed;
  double m = 1, v = 0, alpha_bar = 1;
  const Tensor one = exam.tensor({1});
  for (int n = 1; n <= steps; ++n) {
    const double beta = betas[static_cast<std::size_t>(n - 1)];
    m *= std::sqrt(1 - beta), v = (1 - beta) * v + beta, alpha_bar *= 1 - beta;
    mean_closed.push_back(std::sqrt(alpha_bar)), variance_closed.push_back(1 - alpha_bar);
    mean.push_back(m), variance.push_back(v);
  }
  Values from_library, spread;
  for (int n = 1; n <= steps; ++n) {
    from_library.push_back(Values(schedule.marginal(one, n).mean.tensor(one))[0]);
    spread.push_back(
        std::pow(Values(schedule.marginal(one, n).standard_deviation.tensor(one))[0], 2));
  }
  exam.compare("n steps compose: the mean's factor √ᾱ_n",
               {.autodiff = from_library, .closed = mean_closed, .independent = mean},
               derivative());
  exam.compare("n steps compose: the variance 1 - ᾱ_n",
               {.autodiff = spread, .closed = variance_closed, .independent = variance},
               derivative());

  // Bayes' rule: log q(z_{n-1} | z_n, x_0) is quadratic in z_{n-1}; its derivatives give the law.
  for (const int n : {2, 7, 20}) {
    const double x0 = 0.8, z = -0.4;
    const auto log_joint = [&](const Tensor& before) {
      return sum(schedule.transition(before, n).log_prob(exam.tensor({z})) +
                 schedule.marginal(exam.tensor({x0}), n - 1).log_prob(before));
    };
    const Tensor at = exam.tensor({0.3});
    const double slope = Values(vjp(log_joint, at).pullback(ones({}, DType::f64, exam.device)))[0];
    const double curvature = Values(hessian(log_joint, at))[0];
    const Gaussian posterior = schedule.posterior(exam.tensor({z}), n, exam.tensor({x0}));
    const double beta = betas[static_cast<std::size_t>(n - 1)];
    const double bar = std::pow(mean_closed[static_cast<std::size_t>(n - 1)], 2),
                 before = bar / (1 - beta);
    const std::string name = "the posterior at n = " + std::to_string(n);
    exam.compare(name,
                 {.autodiff = {Values(posterior.mean)[0], Values(posterior.variance)[0]},
                  .closed = {std::sqrt(1 - beta) * (1 - before) / (1 - bar) * z +
                                 std::sqrt(before) * beta / (1 - bar) * x0,
                             (1 - before) / (1 - bar) * beta},
                  .independent = {0.3 - slope / curvature, -1 / curvature}},
                 derivative());
  }
  Generator generator(4);
  const Tensor x0 = randn({64}, generator, DType::f64).to(exam.device);
  const Tensor noise = randn({64}, generator, DType::f64).to(exam.device);
  const Tensor z = schedule.diffuse(x0, 13, noise);
  exam.compare("x₀ → z_n → x₀",
               {.autodiff = schedule.data(z, 13, noise, Predicts::noise), .closed = x0},
               derivative());
  // The Kullback-Leibler divergence of a reverse step.
  const int n = 9;
  const Tensor guess = noise + 0.1;
  const Gaussian truth = schedule.posterior(z, n, schedule.data(z, n, noise, Predicts::noise));
  const Gaussian model = schedule.reverse(z, n, guess, Predicts::noise);
  const double deviates = std::sqrt(schedule.posterior_variance(n));
  exam.compare(
      "KL of a reverse step",
      {.autodiff = sum(distributions::kl_divergence(distributions::Normal{truth.mean, deviates},
                                                    distributions::Normal{model.mean, deviates})),
       .closed = 64 * 0.01 * weight_of_kl(betas, n)},
      derivative());
}

void bound(Exam& exam) {
  // A model in which everything is normal: x_0 ~ N(0, s^2), so the marginal of z_N and log p(x_0)
  // are known, and so is the true reverse process.
  const int steps = 6;
  const Schedule schedule = some_schedule(steps);
  const double s2 = 1.7;
  const auto variance_at = [&](int n) {
    return schedule.alpha_bar(n) * s2 + 1 - schedule.alpha_bar(n);
  };
  // p(z_{n-1} | z_n) = N(c z_n, v), right for c and v by regression; `off` spoils c.
  const auto terms = [&](double off, double x) {
    double total = 0;  // of the bound: -KL(q(z_N|x) || p(z_N)) - sum KL + E log p(x | z_1)
    const auto kl = [](double m1, double v1, double m2, double v2) {
      return (v1 / v2 + (m1 - m2) * (m1 - m2) / v2 - 1 - std::log(v1 / v2)) / 2;
    };
    const double last = schedule.alpha_bar(steps);
    total -= kl(std::sqrt(last) * x, 1 - last, 0, variance_at(steps));
    for (int n = steps; n >= 1; --n) {
      const double alpha = schedule.alpha(n), beta = schedule.beta(n);
      const double c = std::sqrt(alpha) * variance_at(n - 1) / variance_at(n) + off;
      const double v =
          variance_at(n - 1) - alpha * variance_at(n - 1) * variance_at(n - 1) / variance_at(n);
      const double bar = schedule.alpha_bar(n), before = schedule.alpha_bar(n - 1);
      // Over z_n ~ N(sqrt(bar) x, 1 - bar).
      const double mean = std::sqrt(bar) * x, var = 1 - bar;
      if (n == 1) {
        const double gap = x - c * mean;
        total += -std::log(2 * M_PI * v) / 2 - (gap * gap + c * c * var) / (2 * v);
      } else {
        const double a = std::sqrt(alpha) * (1 - before) / var, b = std::sqrt(before) * beta / var;
        const double gap = (a - c) * mean + b * x;
        const double own = schedule.posterior_variance(n);
        total -= (own / v - 1 - std::log(own / v) + (gap * gap + (a - c) * (a - c) * var) / v) / 2;
      }
    }
    return total;
  };
  const std::vector<double> points = {-1.5, 0.2, 0.9};
  const Tensor x = exam.tensor(points);
  const Values log_p = distributions::Normal{0., std::sqrt(s2)}.log_prob(x);
  exam.compare(
      "ELBO = log p(x) for the true reverse process",
      {.autodiff = log_p,
       .closed = each_of(points,
                         [&](double p) { return -p * p / (2 * s2) - std::log(2 * M_PI * s2) / 2; }),
       .independent = each_of(
           points,
           [&](double p) { return terms(exam.seeded("another reverse process", 0., 0.05), p); })},
      derivative());
  // Another reverse process is another model: over the data its bound is what falls.
  const double entropy = std::log(2 * M_PI * std::exp(1.0) * s2) / 2;
  for (const double off : {-0.2, -0.01, 0.01, 0.2}) {
    const double mean = integral(
        [&](double p) {
          return terms(off, p) * std::exp(-p * p / (2 * s2)) / std::sqrt(2 * M_PI * s2);
        },
        -16, 16);
    exam.holds("E[ELBO] < E[log p(x)] for any other, off by " + std::to_string(off),
               mean < -entropy, std::to_string(mean) + " < " + std::to_string(-entropy));
  }
  // The terms of the bound as the library has them, averaged over noise.
  Generator generator(5);
  const std::int64_t n = exam.quick ? 2'000 : 100'000;
  const Tensor data = full({n}, 0.9, DType::f64, exam.device);
  std::vector<double> sum(static_cast<std::size_t>(n));
  double expected = 0;
  for (int step = 2; step <= steps; ++step) {
    const Tensor noise = randn({n}, generator, DType::f64, exam.device);
    const Tensor guess = 0.5 * noise;
    const Values kl = schedule.reverse_kl(noise, guess, step);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += kl[i];
    expected += 0.25 * weight_of_kl(grid(1e-3, 0.3, steps), step);
  }
  const Mean mean = mean_of(sum);
  exam.compare("the KL terms of ε_θ = ε/2 sum up", {.autodiff = mean.value, .closed = expected},
               simulation(mean.standard_error));
}

void beta_above_one(Exam& exam) {
  const double beta = exam.seeded("a beta below 1", 1.3, 0.3);
  exam.refuses("β₃ = 1.3",
               [&] {
                 Schedule::from_betas({0.1, 0.2, beta, 0.4});
               },
               {"beta_3 = 1.3", "alphabar_3 negative"});
  exam.refuses("two of them, so that ᾱ is positive again",
               [&] {
                 Schedule::from_betas({0.1, 1.2, beta, 0.4});
               },
               {"beta_2 = 1.2"});
  exam.holds("below 1 it is accepted", validate({0.1, 0.2, 0.3, 0.4}).valid());
}

void beta_of_one(Exam& exam) {
  const double beta = exam.seeded("a beta below 1", 1., 0.5);
  exam.refuses("β₂ = 1 with ε-prediction",
               [&] {
                 Schedule::from_betas({0.1, beta, 0.3}, {.ends_in_pure_noise = true});
               },
               {"beta_2 = 1"});
  exam.refuses("β_N = 1 with ε-prediction",
               [&] {
                 Schedule::from_betas({0.1, 0.3, beta}, {.ends_in_pure_noise = true});
               },
               {"beta_3 = 1"});
  exam.refuses("β_N = 1 with v-prediction, not asked for",
               [&] {
                 Schedule::from_betas({0.1, 0.3, beta}, {.predicts = Predicts::velocity});
               },
               {"beta_3 = 1"});
  for (const Predicts kind : {Predicts::data, Predicts::velocity}) {
    const Verdict verdict = validate(
        {0.1, 0.3, beta}, {.predicts = kind, .dtype = DType::f64, .ends_in_pure_noise = true});
    exam.holds("β_N = 1 where it is asked for", verdict.valid(), verdict.reason);
  }
  const Schedule schedule = Schedule::from_betas(
      {0.1, 0.3, beta},
      {.predicts = Predicts::data, .dtype = DType::f64, .ends_in_pure_noise = true});
  exam.compare("nothing of x₀ is left: ᾱ_N", {.autodiff = schedule.alpha_bar(3), .closed = 0.},
               exactly());
}

std::vector<double> betas_of(const std::function<double(double, double)>& f, int steps) {
  std::vector<double> betas;
  for (int n = 1; n <= steps; ++n) betas.push_back(f(n, steps));
  return betas;
}

void four_schedules(Exam& exam) {
  const double shift = exam.seeded("a shifted sine", 0., -1.);
  const auto sine = [&](double n, double N) { return std::sin((n + shift) / N); };
  const auto logarithm = [](double n, double N) { return std::log(1 + n / N); };
  const auto harmonic = [](double n, double) { return 1 - 1 / n; };
  const auto cosine = [](double n, double N) { return -std::cos(M_PI * n / N); };
  int valid[2] = {}, invalid[2] = {}, underflow[2] = {};
  std::string reasons[4];
  const int most = exam.quick ? 200 : 1000;
  for (int N = 1; N <= most; ++N) {
    int i = 0;
    for (const std::function<double(double, double)>& f :
         {std::function<double(double, double)>(sine),
          std::function<double(double, double)>(logarithm)}) {
      const Verdict verdict = validate(betas_of(f, N));
      valid[i] += verdict.valid();
      if (verdict.kind == Verdict::Kind::unrepresentable && !underflow[i])
        underflow[i] = N, reasons[i] = verdict.reason;
      ++i;
    }
    i = 0;
    for (const std::function<double(double, double)>& f :
         {std::function<double(double, double)>(harmonic),
          std::function<double(double, double)>(cosine)}) {
      const Verdict verdict = validate(betas_of(f, N));
      invalid[i] += !verdict.valid();
      if (N == 100) reasons[2 + i] = verdict.reason;
      ++i;
    }
  }
  exam.compare(
      "sin(n/N) and ln(1 + n/N) are valid for every N",
      {.autodiff = {double(valid[0]), double(valid[1])}, .closed = {double(most), double(most)}},
      exactly());
  exam.compare("from here on ᾱ_N is not representable in f32",
               {.autodiff = {double(underflow[0]), double(underflow[1])}, .closed = {140, 191}},
               exactly());
  exam.holds("and the validator says so",
             reasons[0].find("not representable in f32") != std::string::npos, reasons[0]);
  exam.compare("1 - 1/n and -cos(πn/N) are not, for any N",
               {.autodiff = {double(invalid[0]), double(invalid[1])},
                .closed = {double(most), double(most)}},
               exactly());
  exam.holds("1 - 1/n: β₁ = 0", reasons[2].find("beta_1 = 0") != std::string::npos, reasons[2]);
  exam.holds("-cos(πn/N): β₁ < 0", reasons[3].find("beta_1 = -0.99") != std::string::npos,
             reasons[3]);
  const Verdict two = validate(betas_of(cosine, 2));
  exam.holds("at N = 2 β₁ = -6.1e-17 is refused without an epsilon", !two.valid() && two.n == 1,
             two.reason);

  Values found,
      expected = {-8.32289279513089, -739.115475723778, -6.021575731701896, -543.1550470423318};
  for (const auto& [f, N] : {std::pair<std::function<double(double, double)>, int>(sine, 10),
                             {sine, 1000},
                             {logarithm, 10},
                             {logarithm, 1000}}) {
    const Schedule schedule = Schedule::from_betas(betas_of(f, N), {.dtype = DType::f64});
    found.push_back(schedule.log_alpha_bar(N));
  }
  exam.compare("log ᾱ_N of both at N = 10 and 1000", {.autodiff = found, .closed = expected},
               derivative());
  exam.compare(
      "ᾱ₁₀₀₀ of the linear schedule",
      {.autodiff = Schedule::linear(1000).alpha_bar(1000), .closed = 4.035829765375687e-05},
      derivative());

  examples::Chart chart{"log₁₀ ᾱ_n at N = 1000: f32 ends at -45",
                        "n",
                        "log₁₀ ᾱ_n",
                        {{"sin(n/N)", {}}, {"ln(1 + n/N)", {}}, {"linear", {}}, {"f32", {}}}};
  const Schedule curves[] = {Schedule::from_betas(betas_of(sine, 1000), {.dtype = DType::f64}),
                             Schedule::from_betas(betas_of(logarithm, 1000), {.dtype = DType::f64}),
                             Schedule::linear(1000)};
  for (int n = 0; n <= 1000; n += 10) {
    for (std::size_t i = 0; i < 3; ++i)
      chart.series[i].points.emplace_back(n, curves[i].log_alpha_bar(n) / std::log(10.0));
    chart.series[3].points.emplace_back(n, -45);
  }
  exam.show(chart);
}

}  // namespace

std::vector<Statement> noise_schedules() {
  return {
      {"D4", "z_n | x₀ ~ N(√ᾱ_n x₀, 1-ᾱ_n), and its posterior",
       "Single steps of noise compose to one; Bayes' rule turns them around; and a noise known is "
       "a sample known.",
       "q(z_n | x_0) = N(\\sqrt{\\over{α}_n} x_0, (1 - \\over{α}_n) I) , \\over{α}_n = ∏_{i ≤ n} "
       "α_i",
       forward_process},
      {"D4a", "ELBO ≤ log p(x), equal for the true reverse process",
       "The likelihood of a diffusion model is intractable, so a bound of it is trained. Where all "
       "is normal both are known.",
       "log p(x) ≥ E_q [ log p(x | z_1) - ∑_n KL(q(z_{n-1} | z_n, x) ‖ p(z_{n-1} | z_n)) - "
       "KL(q(z_N | x) ‖ p(z_N)) ]",
       bound},
      {"D4b", "β_n > 1 is refused: ᾱ_n is negative under a root",
       "The schedule names the step, the value, and what it breaks.", "β_n > 1 ⇒ \\over{α}_n < 0",
       beta_above_one,
       "What breaks is the first β above 1, not a sign that stays: two of them make ᾱ positive "
       "again."},
      {"D4c", "β_n = 1 is refused: nothing of x₀ is left",
       "With ε-prediction x₀ could not be recovered without a division by 0; with x₀- or "
       "v-prediction the last step may end in pure noise, where that is asked for by name.",
       "x_0 = \\frac{z_n - \\sqrt{1 - \\over{α}_n} ε}{\\sqrt{\\over{α}_n}}", beta_of_one,
       "It fails only where the model predicts the noise."},
      {"D4d", "sin(n/N), ln(1+n/N) are schedules; 1-1/n, -cos(πn/N) not",
       "Of four candidates two stay within (0, 1) for every length; one begins at 0, one below.",
       "0 < β_n < 1", four_schedules,
       "The fourth also has β_N = 1, at N = 1 its only fault. Both valid ones underflow in f32 "
       "when long, so schedules keep log ᾱ."},
  };
}

}  // namespace gradus::exam
