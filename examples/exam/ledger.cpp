#include "examples/exam/ledger.h"

#include <algorithm>
#include <cmath>

namespace gradus::exam {
namespace {

constexpr double epsilon = 0x1p-52;

Values times(double factor, const Values& values) {
  Values product = values;
  for (double& value : product) value = factor * std::abs(value);
  return product;
}

double at(const Values& values, std::size_t i) { return values[values.size() == 1 ? 0 : i]; }

// Equal infinities do not differ; a NaN differs from everything.
double distance(double a, double b) {
  if (a == b) return 0;
  const double d = std::abs(a - b);
  return std::isnan(d) ? INFINITY : d;
}

}  // namespace

Values::Values(const Tensor& tensor) {
  const Tensor host = tensor.detach().to(f64).to(Device::cpu).contiguous();
  assign(host.data<double>(), host.data<double>() + host.numel());
}

double Tolerance::bound(const Values& closed, std::size_t i) const {
  if (!bounds.empty()) return at(bounds, i);
  if (relative == 0) return absolute;
  double size = std::abs(at(closed, i));
  if (of_largest)
    for (const double value : closed) size = std::max(size, std::abs(value));
  return absolute + relative * size;
}

Tolerance identity() { return {"identity", 16 * epsilon}; }
Tolerance identity(const Values& terms) { return {"identity", 0, 0, times(16 * epsilon, terms)}; }
Tolerance derivative() { return {"derivative", 1e-11, 1e-13}; }
Tolerance difference(int order) { return {"difference", order == 4 ? 1e-9 : 1e-7, 0, {}, true}; }
Tolerance difference(int order, const Values& terms) {
  return {"difference", 0, 0, times(order == 4 ? 1e-9 : 1e-7, terms)};
}
Tolerance single(double length, const Values& terms) {
  return {"single", 0, 0, times((4 + 2 * std::sqrt(length)) * 0x1p-24, terms)};
}
Tolerance quadrature() { return {"quadrature", 1e-10, 0, {}, true}; }
Tolerance vanishing() { return {"converged", 0, 1e-10}; }
Tolerance converged() { return {"converged", 1e-8}; }
Tolerance simulation(const Values& standard_errors) {
  return {"simulation", 0, 0, times(5, standard_errors)};
}
Tolerance kolmogorov_smirnov() { return {"simulation", 0, 1.95}; }
Tolerance ulps(double count, const Values& exact, DType dtype) {
  const int digits = dtype == DType::f32 ? 24 : 53, least = dtype == DType::f32 ? -149 : -1074;
  Values bounds;
  for (const double x : exact) {
    int exponent = 0;
    std::frexp(x, &exponent);
    bounds.push_back(count * std::ldexp(1.0, std::max(x == 0 ? least : exponent - digits, least)));
  }
  return {"ULP", 0, 0, bounds};
}
Tolerance slope() { return {"slope", 0, 0.1}; }
Tolerance exactly() { return {"exact"}; }
Tolerance stated(const std::string& name, const Values& bounds) { return {name, 0, 0, bounds}; }

Exam::Exam(Device where, bool is_quick, std::string fault)
    : device(where), quick(is_quick), fault_(std::move(fault)) {}

Tensor Exam::tensor(const std::vector<double>& values, DType dtype) const {
  return from_vector(values).to(dtype).to(device);
}
Tensor Exam::tensor(const std::vector<double>& values, const Shape& shape, DType dtype) const {
  return tensor(values, dtype).reshape(shape);
}

void Exam::compare(const std::string& what, const Numbers& numbers, const Tolerance& tolerance,
                   const Tolerance& of_independent) {
  Evidence found{what, numbers.autodiff, numbers.closed, numbers.independent};
  const Values& reference = found.closed.empty() ? found.independent : found.closed;
  double worst = -1;
  bool same_size = !reference.empty();
  const auto against = [&](const Values& values, const Tolerance& t) {
    if (values.empty() || &values == &reference) return;
    same_size = same_size && (values.size() == reference.size() || reference.size() == 1);
    for (std::size_t i = 0; same_size && i < values.size(); ++i) {
      const double closed = at(reference, i), error = distance(values[i], closed);
      const double bound = t.bound(reference, i), part = error == 0 ? 0 : error / bound;
      if (part <= worst) continue;
      worst = part;
      found.worst = i, found.error = error, found.bound = bound, found.tolerance = t.name;
    }
  };
  against(found.autodiff, tolerance);
  against(found.independent, of_independent.name.empty() ? tolerance : of_independent);
  found.ok = same_size && worst >= 0 && worst <= 1;
  if (!same_size) found.facts = "numbers of different sizes";
  evidence.push_back(std::move(found));
}

void Exam::holds(const std::string& what, bool truth, const std::string& facts) {
  evidence.push_back({what, {}, {}, {}, 0, 0, 0, "true", facts, truth});
}

void Exam::refuses(const std::string& what, const std::function<void()>& call,
                   const std::vector<std::string>& words) {
  std::string text;
  try {
    call();
    synchronize(device);  // where a kernel says what it found
  } catch (const Error& error) {
    text = error.what();
  }
  const bool all = std::all_of(words.begin(), words.end(), [&](const std::string& word) {
    return text.find(word) != std::string::npos;
  });
  evidence.push_back({what,
                      {},
                      {},
                      {},
                      0,
                      0,
                      0,
                      "refused",
                      text.empty() ? "accepted" : text,
                      !text.empty() && all});
}

bool Exam::passed() const {
  return !evidence.empty() && std::all_of(evidence.begin(), evidence.end(),
                                          [](const Evidence& found) { return found.ok; });
}

Exam examine(const Statement& statement, Device device, bool quick, const std::string& fault) {
  Exam exam(device, quick, fault);
  try {
    statement.check(exam);
  } catch (const std::exception& error) {
    exam.holds("the check runs to its end", false, error.what());
  }
  return exam;
}

}  // namespace gradus::exam
