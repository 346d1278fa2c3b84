#include "examples/exam/witness.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>

namespace gradus::exam {
namespace {

double step_at(double x) { return std::pow(0x1p-52, 0.2) * std::max(1.0, std::abs(x)); }

// Nodes and weights of Gauss and Legendre's rule on [-1, 1], by Newton's method on the polynomial.
struct Rule {
  static constexpr int points = 20;
  double node[points], weight[points];
  Rule() {
    for (int i = 0; i < points; ++i) {
      double x = std::cos(M_PI * (i + 0.75) / (points + 0.5)), slope = 0;
      for (int round = 0; round < 20; ++round) {
        double p = 1, before = 0;
        for (int k = 0; k < points; ++k) {
          const double next = ((2 * k + 1) * x * p - k * before) / (k + 1);
          before = std::exchange(p, next);
        }
        slope = points * (x * p - before) / (x * x - 1);
        x -= p / slope;
      }
      node[i] = x;
      weight[i] = 2 / ((1 - x * x) * slope * slope);
    }
  }
};

}  // namespace

double difference_of(const Function& f, double x) {
  const double h = step_at(x);
  return (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h);
}

Values gradient_of(const Field& f, const std::vector<double>& x) {
  Values gradient;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto along = [&](double t) {
      std::vector<double> moved = x;
      moved[i] = t;
      return f(moved);
    };
    gradient.push_back(difference_of(along, x[i]));
  }
  return gradient;
}

Values jacobian_of(const std::function<Tensor(const Tensor&)>& f, const Tensor& x) {
  const Values at = x;
  std::vector<Values> columns;
  for (std::size_t i = 0; i < at.size(); ++i) {
    const double h = step_at(at[i]);
    const auto moved = [&](double by) {
      Values values = at;
      values[i] += by * h;
      return Values(f(from_vector(values).reshape(x.shape()).to(x.device())));
    };
    const Values a = moved(1), b = moved(-1), c = moved(2), d = moved(-2);
    Values column(a);
    for (std::size_t j = 0; j < a.size(); ++j)
      column[j] = (8 * (a[j] - b[j]) - (c[j] - d[j])) / (12 * h);
    columns.push_back(column);
  }
  Values rows;
  for (std::size_t j = 0; j < columns[0].size(); ++j)
    for (const Values& column : columns) rows.push_back(column[j]);
  return rows;
}

double integral(const Function& f, double a, double b, int parts) {
  static const Rule rule;
  const auto by = [&](int n) {
    double sum = 0, magnitude = 0;
    const double half = (b - a) / (2 * n);
    for (int p = 0; p < n; ++p)
      for (int i = 0; i < Rule::points; ++i) {
        const double y = rule.weight[i] * f(a + half * (2 * p + 1 + rule.node[i]));
        sum += half * y, magnitude += half * std::abs(y);
      }
    return std::pair(sum, magnitude);
  };
  const auto [coarse, magnitude] = by(parts);
  const double fine = by(2 * parts).first;
  if (!(std::abs(fine - coarse) <= 1e-10 * magnitude)) {
    std::ostringstream text;
    text << "integral: two sizes of the rule must agree: " << coarse << " and " << fine;
    throw Error(text.str());
  }
  return fine;
}

double determinant(std::vector<double> m, int n) {
  const auto at = [&](int i, int j) -> double& { return m[static_cast<std::size_t>(i * n + j)]; };
  double product = 1;
  for (int k = 0; k < n; ++k) {
    int pivot = k;
    for (int i = k + 1; i < n; ++i)
      if (std::abs(at(i, k)) > std::abs(at(pivot, k))) pivot = i;
    if (at(pivot, k) == 0) return 0;
    if (pivot != k) product = -product;
    for (int j = 0; j < n; ++j) std::swap(at(k, j), at(pivot, j));
    product *= at(k, k);
    for (int i = k + 1; i < n; ++i) {
      const double factor = at(i, k) / at(k, k);
      for (int j = k; j < n; ++j) at(i, j) -= factor * at(k, j);
    }
  }
  return product;
}

double kolmogorov(std::vector<double> samples, const Function& cdf) {
  std::sort(samples.begin(), samples.end());
  const auto n = static_cast<double>(samples.size());
  double worst = 0, below = 0;
  for (const double sample : samples) {
    const double p = cdf(sample);
    worst = std::max({worst, p - below / n, (below + 1) / n - p});
    ++below;
  }
  return worst * std::sqrt(n);
}

Mean mean_of(const std::vector<double>& samples) {
  const auto n = static_cast<double>(samples.size());
  const double mean = std::accumulate(samples.begin(), samples.end(), 0.0) / n;
  double squares = 0;
  for (const double sample : samples) squares += (sample - mean) * (sample - mean);
  return {mean, std::sqrt(squares / (n - 1) / n)};
}

std::vector<double> grid(double a, double b, int n) {
  std::vector<double> x;
  for (int i = 0; i < n; ++i) x.push_back(n == 1 ? a : a + (b - a) * i / (n - 1));
  return x;
}

Values each_of(const std::vector<double>& x, const Function& f) {
  Values y;
  for (const double value : x) y.push_back(f(value));
  return y;
}

double normal_cdf(double x) { return std::erfc(-x / std::sqrt(2.0)) / 2; }

}  // namespace gradus::exam
