// D3: the adversarial objective and what its best discriminator measures.
#include <cmath>

#include "examples/exam/problems.h"
#include "examples/exam/witness.h"

namespace gradus::exam {
namespace {

using namespace distributions;

double logistic(double x) {
  return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}
double soft(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

void saddle(Exam& exam) {
  const std::vector<double> real = {0.3, -1.2, 2.0}, fake = {-0.4, 0.8, 1.5};
  const Tensor r = exam.tensor(real).requires_grad_(), f = exam.tensor(fake).requires_grad_();
  const auto value = [&](const std::vector<double>& l) {
    double total = 0;
    for (std::size_t i = 0; i < 3; ++i) total -= (soft(-l[i]) + soft(l[3 + i])) / 6;
    return total;
  };
  std::vector<double> both = real;
  both.insert(both.end(), fake.begin(), fake.end());
  const Tensor v = gan::value(r, f);
  exam.compare("V", {.autodiff = v, .closed = value(both)}, derivative());
  const std::vector<Tensor> slopes = grad(v, {r, f});
  const double sign = exam.seeded("a wrong sign", 1., -1.);
  Values autodiff = slopes[0], closed;
  for (const double g : Values(slopes[1])) autodiff.push_back(g);
  for (const double l : real) closed.push_back(sign * logistic(-l) / 6);
  for (const double l : fake) closed.push_back(-logistic(l) / 6);
  exam.compare("∂V/∂l: above 0 at real points, below at generated ones",
               {.autodiff = autodiff, .closed = closed, .independent = gradient_of(value, both)},
               derivative(), difference());
  exam.compare("D and G move one number: the losses are V and -V",
               {.autodiff = grad(gan::discriminator_loss(r, f, gan::Loss::minimax), {f})[0],
                .closed = Values(-grad(gan::generator_loss(f, gan::Loss::minimax), {f})[0])},
               derivative());

  // Where the discriminator is sure, the saddle's gradient dies and the other one's does not.
  for (const DType dtype : {DType::f64, DType::f32})
    for (const double l : {0., 10., 18., 25., 30., 88., 800.}) {
      Values gradients, exact;
      for (const double logit : {-l, l})
        for (const gan::Loss loss : {gan::Loss::minimax, gan::Loss::non_saturating}) {
          const Tensor x = exam.tensor({logit}, dtype).requires_grad_();
          gradients.push_back(Values(grad(gan::generator_loss(x, loss), {x})[0])[0]);
          const double slope =
              -(loss == gan::Loss::minimax ? logistic(logit) : logistic(-logit)) / 2;
          exact.push_back(slope);
        }
      exam.compare(std::string(dtype == DType::f32 ? "f32" : "f64") + ", l = ±" +
                       std::to_string(static_cast<int>(l)) + ": saddle and non-saturating",
                   {.autodiff = gradients, .closed = exact}, ulps(2, exact, dtype));
    }
}

std::vector<double> softmax_of(const std::vector<double>& theta) {
  double sum = 0;
  std::vector<double> p;
  for (const double t : theta) sum += std::exp(t);
  for (const double t : theta) p.push_back(std::exp(t) / sum);
  return p;
}

double divergence(const std::vector<double>& p, const std::vector<double>& q) {
  double total = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double m = (p[i] + q[i]) / 2;
    if (p[i] > 0) total += p[i] * std::log(p[i] / m) / 2;
    if (q[i] > 0) total += q[i] * std::log(q[i] / m) / 2;
  }
  return total;
}

Tensor jsd(Exam& exam, const std::vector<double>& p, const std::vector<double>& q) {
  return jensen_shannon(Categorical{log(exam.tensor(p))}, Categorical{log(exam.tensor(q))});
}

// The objective of a discriminator with one logit for each outcome.
Tensor value_of(const Tensor& p, const Tensor& q, const Tensor& logits) {
  return -0.5 * sum(p * softplus(-logits) + q * softplus(logits));
}

void best_discriminator(Exam& exam) {
  const std::vector<double> p = {.1, .2, .7}, q = {.5, .3, .2};
  const Tensor tp = exam.tensor(p), tq = exam.tensor(q);
  exam.compare("JSD of (.1, .2, .7) and (.5, .3, .2)",
               {.autodiff = jsd(exam, p, q),
                .closed = 0.15135811157180 + exam.seeded("another divergence", 0., 1e-6),
                .independent = divergence(p, q)},
               stated("its 14 digits", 5e-15), derivative());
  // Newton's ascent on the concave objective, by the library's two derivatives.
  Tensor logits = zeros({3}, DType::f64, exam.device);
  for (int round = 0; round < 30; ++round) {
    const Tensor l = logits.detach().requires_grad_();
    const Tensor slope = grad(value_of(tp, tq, l), {l}, {.create_graph = true})[0];
    const Tensor bend = grad(sum(slope), {l})[0];
    logits = (l - slope / bend).detach();
  }
  const Tensor at = logits.detach().requires_grad_();
  const Tensor v = value_of(tp, tq, at);
  exam.compare("the gradient has vanished", {.autodiff = grad(v, {at})[0], .closed = 0.},
               vanishing());
  const Values best = {.1 / .6, .2 / .5, .7 / .9};
  exam.compare("D* = p / (p + q)", {.autodiff = sigmoid(logits), .closed = best}, converged());
  exam.compare("the library's own D*",
               {.autodiff = gan::optimal_discriminator(tp, tq), .closed = best}, derivative());
  exam.compare(
      "max V = JSD - log 2",
      {.autodiff = v, .closed = divergence(p, q) - std::log(2.0), .independent = -0.54178906898815},
      converged(), stated("its 14 digits", 5e-15));
  exam.compare(
      "p = q: V = -log 2",
      {.autodiff = value_of(tp, tp, zeros({3}, DType::f64, exam.device)), .closed = -std::log(2.0)},
      identity());
  exam.compare("disjoint supports: JSD = log 2",
               {.autodiff = jsd(exam, {.5, .5, 0, 0}, {0, 0, .25, .75}), .closed = std::log(2.0)},
               identity());
  exam.compare("JSD(p, p) = 0", {.autodiff = jsd(exam, p, p), .closed = 0.}, exactly());

  // The envelope theorem, for p = softmax(theta).
  const std::vector<double> theta = {0.2, -0.5, 1.1};
  const Tensor t = exam.tensor(theta).requires_grad_();
  const Tensor moving = softmax(t, 0);
  const Tensor fixed = gan::optimal_logits(log(moving), log(tq)).detach();
  const std::vector<double> now = softmax_of(theta);
  Values closed;
  double mean = 0;
  const auto g = [&](std::size_t k) { return 0.5 * std::log(2 * now[k] / (now[k] + q[k])); };
  for (std::size_t k = 0; k < 3; ++k) mean += now[k] * g(k);
  for (std::size_t k = 0; k < 3; ++k) closed.push_back(now[k] * (g(k) - mean));
  exam.compare(
      "∇_θ max V with D* held fixed = ∇_θ JSD",
      {.autodiff = grad(value_of(moving, tq, fixed), {t})[0],
       .closed = closed,
       .independent = gradient_of(
           [&](const std::vector<double>& x) { return divergence(softmax_of(x), q); }, theta)},
      derivative(), difference());

  // Two normal laws, by quadrature.
  const auto density = [](double x, double m) {
    return std::exp(-(x - m) * (x - m) / 2) / std::sqrt(2 * M_PI);
  };
  const double expected = integral(
      [&](double x) {
        const double a = density(x, 0), b = density(x, 1.5), m = (a + b) / 2;
        return (a * std::log(a / m) + b * std::log(b / m)) / 2;
      },
      -10, 12);
  const std::vector<double> nodes = grid(-10, 12, 1201);
  exam.compare(
      "JSD of N(0, 1) and N(1.5, 1)",
      {.autodiff = jensen_shannon_quadrature(Normal{0., 1.}, Normal{1.5, 1.}, exam.tensor(nodes)),
       .independent = expected},
      quadrature());
  examples::Chart chart{
      "D* and the two laws it tells apart", "x", "", {{"D*", {}}, {"p", {}}, {"q", {}}}};
  for (const double x : grid(-4, 5.5, 191)) {
    const double a = density(x, 0), b = density(x, 1.5);
    chart.series[0].points.emplace_back(x, a / (a + b));
    chart.series[1].points.emplace_back(x, a);
    chart.series[2].points.emplace_back(x, b);
  }
  exam.show(chart);
  examples::Chart apart{
      "JSD of N(0, 1) and N(m, 1): never above log 2", "m", "nats", {{"JSD", {}}, {"log 2", {}}}};
  for (const double m : grid(0, 7, 57)) {
    const auto term = [&](double x) {
      const double a = density(x, 0), b = density(x, m), both = (a + b) / 2;
      return (a > 0 ? a * std::log(a / both) : 0) / 2 + (b > 0 ? b * std::log(b / both) : 0) / 2;
    };
    apart.series[0].points.emplace_back(m, integral(term, -10, 17));
    apart.series[1].points.emplace_back(m, std::log(2.0));
  }
  exam.show(apart);
}

}  // namespace

std::vector<Statement> adversarial_games() {
  return {
      {"D3a", "G and D optimise one number in opposite directions",
       "The objective is a mean over data and one over samples; its gradient raises the logits of "
       "the first and lowers those of the second. Where D is sure, the saddle's gradient for G "
       "dies.",
       "V = \\frac{1}{2} E_{p^*}[ log D(x) ] + \\frac{1}{2} E_{p_θ}[ log(1 - D(x)) ]", saddle},
      {"D3b", "D* = p*/(p*+p_θ); max V = JSD - log 2; 0 ≤ JSD ≤ log 2",
       "The best discriminator is known in closed form, and with it the game is the Jensen-Shannon "
       "divergence.",
       "D^*(x) = \\frac{p^*(x)}{p^*(x) + p_θ(x)} , max_D V = JSD(p^*, p_θ) - log 2",
       best_discriminator},
  };
}

}  // namespace gradus::exam
