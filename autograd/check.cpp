#include "gradus/autograd/check.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <sstream>

#include "gradus/autograd/ops.h"

namespace gradus {
namespace {

using Tensors = std::vector<Tensor>;
using Values = std::vector<double>;

constexpr double epsilon = std::numeric_limits<double>::epsilon();
const double step = std::pow(epsilon, 0.2);
constexpr int shown = 8;  // failures in the text

class Report {
 public:
  // NaN fails: everything is written as !(error <= tolerance).
  template <class... Where>
  void compare(double ours, double witness, double tolerance, const Where&... where) {
    ++result_.comparisons;
    const double error = std::abs(ours - witness);
    const double units = tolerance > 0 ? error / tolerance : (error == 0 ? 0 : INFINITY);
    if (!std::isnan(result_.worst) && !(units <= result_.worst)) result_.worst = units;
    if (!(error <= tolerance))
      failure(where..., ": rule ", ours, ", witness ", witness, ", tolerance ", tolerance);
  }
  template <class... Parts>
  void failure(const Parts&... parts) {
    if (++failures_ > shown) return;
    line(parts...);
  }
  template <class... Parts>
  void line(const Parts&... parts) {
    (text_ << ... << parts) << '\n';
  }
  bool failed() const { return failures_ > 0; }

  CheckResult finish() {
    if (failures_ > shown) line("... and ", failures_ - shown, " more");
    if (result_.comparisons == 0) line("nothing was compared");
    result_.ok = failures_ == 0 && result_.comparisons > 0;
    result_.text = text_.str();
    return result_;
  }

 private:
  CheckResult result_;
  std::ostringstream text_ = [] {
    std::ostringstream s;
    s.precision(17);
    return s;
  }();
  int failures_ = 0;
};

// The inputs as vectors, and functions of them.
struct Point {
  std::vector<Shape> shapes;
  std::vector<Values> x;
  Device device;

  explicit Point(const Tensors& inputs) {
    for (const Tensor& t : inputs) {
      device = t.device();
      shapes.push_back(t.shape());
      x.push_back(t.to_vector<double>());
    }
  }
  Tensor tensor(const Values& values, const Shape& shape) const {
    return from_vector(values, shape).to(device);
  }
  Tensors tensors(bool leaves) const {
    Tensors list;
    for (std::size_t i = 0; i < x.size(); ++i) {
      list.push_back(tensor(x[i], shapes[i]));
      if (leaves) list.back().requires_grad_();
    }
    return list;
  }
  Point moved(double t, const std::vector<Values>& v) const {
    Point p = *this;
    for (std::size_t i = 0; i < x.size(); ++i)
      for (std::size_t e = 0; e < x[i].size(); ++e) p.x[i][e] += t * v[i][e];
    return p;
  }
};

double product(const std::vector<Values>& a, const std::vector<Values>& b,
               bool magnitudes = false) {
  double s = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t e = 0; e < a[i].size(); ++e)
      s += magnitudes ? std::abs(a[i][e] * b[i][e]) : a[i][e] * b[i][e];
  return s;
}

// sum_k u_k d/dt y_k along a path, and what its error is measured in.
struct Derivative {
  double value = 0;
  double terms = 0;     // sum of |u_k dy_k/dt|
  double rounding = 0;  // of the differences: sum of eps |u_k y_k| / h over what moves
  double tolerance(double relative) const { return relative * terms + 32 * rounding; }
};

// (8 (y(h) - y(-h)) - (y(2h) - y(-2h))) / 12h. An output that does not move adds exactly nothing,
// so that its rounding does not hide the others.
template <class Path>
Derivative difference(const Path& path, const Values& u, double h) {
  const Values a = path(h), b = path(-h), c = path(2 * h), d = path(-2 * h);
  Derivative r;
  for (std::size_t k = 0; k < u.size(); ++k) {
    if (a[k] == b[k] && c[k] == d[k] && a[k] == c[k]) continue;
    const double dy = (8 * (a[k] - b[k]) - (c[k] - d[k])) / (12 * h);
    r.value += u[k] * dy;
    r.terms += std::abs(u[k] * dy);
    r.rounding += epsilon * std::abs(u[k] * a[k]) / h;
  }
  return r;
}

class Checker {
 public:
  Checker(const TensorsFunction& f, const Tensors& inputs, const CheckOptions& options)
      : f_(f), options_(options), random_(options.seed), point_(inputs) {}

  CheckResult run() {
    y_ = forward(point_);
    u_ = random_values(y_.size());
    gradient_ = gradient(point_, u_);
    first_order();
    if (options_.order == 2 && !report_.failed()) second_order();
    return report_.finish();
  }

 private:
  Values forward(const Point& p) {
    const NoGrad off;
    const Tensor y = f_(p.tensors(false));
    require(y.dtype() == f64, "check_gradients: the function must return f64, it returned ",
            y.dtype());
    shape_ = y.shape();
    return y.to_vector<double>();
  }

  // J^T u by the rules.
  std::vector<Values> gradient(const Point& p, const Values& u) {
    const Vjp<Tensors> v = vjp(f_, p.tensors(false));
    std::vector<Values> g;
    for (const Tensor& t : v.pullback(p.tensor(u, v.y.shape()))) {
      const std::size_t i = g.size();
      require(t.shape() == p.shapes[i], "check_gradients: the gradient of input ", i, " has shape ",
              t.shape(), ", the input ", p.shapes[i]);
      g.push_back(t.to_vector<double>());
    }
    return g;
  }

  // Magnitudes in [1/2, 1]: no direction is blind to an element.
  Values random_values(std::size_t n) {
    std::uniform_real_distribution<double> draw(0.5, 1);
    Values v(n);
    for (double& e : v) e = random_() % 2 ? draw(random_) : -draw(random_);
    return v;
  }
  // Of length one over all inputs, so that a step is as small as an element's own.
  std::vector<Values> random_direction() {
    std::vector<Values> v;
    for (const Values& x : point_.x) v.push_back(random_values(x.size()));
    const double length = std::sqrt(product(v, v));
    for (Values& part : v)
      for (double& e : part) e /= length;
    return v;
  }
  std::vector<Values> zero_direction() const {
    std::vector<Values> v;
    for (const Values& x : point_.x) v.emplace_back(x.size(), 0.0);
    return v;
  }

  void first_order() {
    const auto path = [&](const std::vector<Values>& v) {
      return [this, &v](double t) { return forward(point_.moved(t, v)); };
    };
    if (options_.elementwise) {
      std::vector<Values> v = zero_direction();
      each_element([&](std::size_t i, std::size_t e, double h) {
        v[i][e] = 1;
        const Derivative d = difference(path(v), u_, h);
        v[i][e] = 0;
        report_.compare(gradient_[i][e], d.value, d.tolerance(options_.difference), "input ", i,
                        " of shape ", point_.shapes[i], ", element ", e, " (x = ", point_.x[i][e],
                        ")");
      });
    }
    for (int n = 0; n < directions(); ++n) {
      const std::vector<Values> v = random_direction();
      Derivative d = difference(path(v), u_, step);
      d.terms = std::max(d.terms, product(gradient_, v, true));
      report_.compare(product(gradient_, v), d.value, d.tolerance(options_.difference),
                      "random direction ", n);
      slope(2, n, [](const std::vector<Values>&) { return 0.0; });
    }
  }

  // The gradients of <J^T u, w>: H w, of the inputs, and J w, of u.
  struct Second {
    std::vector<Values> hw;
    Values jw;
  };
  Second second(const std::vector<Values>& w) const {
    Tensors x = point_.tensors(true);
    Tensor u = point_.tensor(u_, shape_);
    u.requires_grad_();
    Tensor total = sum(mul(u, 0.0));
    const Tensor y = f_(x);
    if (y.requires_grad()) {
      const Tensors g = grad(y, x, {.grad_output = u, .create_graph = true, .allow_unused = true});
      for (std::size_t i = 0; i < g.size(); ++i)
        if (g[i].requires_grad())
          total = total + sum(mul(g[i], point_.tensor(w[i], point_.shapes[i])));
    }
    x.push_back(u);
    Second result;
    for (const Tensor& t : grad(total, x, {.allow_unused = true}))
      result.hw.push_back(t.to_vector<double>());
    result.jw = std::move(result.hw.back());
    result.hw.pop_back();
    return result;
  }

  void second_order() {
    const std::vector<Values> w = random_direction();
    const Second along = second(w);  // by name: clang 14 lets no lambda see a structured binding
    Values weights;
    for (const Values& part : w) weights.insert(weights.end(), part.begin(), part.end());
    const auto path = [&](const std::vector<Values>& v) {
      return [this, &v](double t) {
        Values all;
        for (const Values& part : gradient(point_.moved(t, v), u_))
          all.insert(all.end(), part.begin(), part.end());
        return all;
      };
    };
    if (options_.elementwise) {
      std::vector<Values> v = zero_direction();
      each_element([&](std::size_t i, std::size_t e, double h) {
        v[i][e] = 1;
        const Derivative d = difference(path(v), weights, h);
        v[i][e] = 0;
        report_.compare(along.hw[i][e], d.value, d.tolerance(options_.difference),
                        "second order, input ", i, " of shape ", point_.shapes[i], ", element ", e,
                        " (x = ", point_.x[i][e], ")");
      });
      // J w has the forward as its witness.
      for (std::size_t k = 0; k < u_.size(); ++k) {
        Values one(u_.size(), 0.0);
        one[k] = 1;
        Derivative d = difference([&](double t) { return forward(point_.moved(t, w)); }, one, step);
        d.terms += std::abs(y_[k]);
        report_.compare(along.jw[k], d.value, d.tolerance(options_.difference),
                        "second order, the gradient's derivative by u, element ", k);
      }
    }
    for (int n = 0; n < directions(); ++n) {
      const std::vector<Values> v = random_direction();
      Derivative d = difference(path(v), weights, step);
      d.terms = std::max(d.terms, product(along.hw, v, true));
      report_.compare(product(along.hw, v), d.value, d.tolerance(options_.difference),
                      "second order, random direction ", n);
    }
    if (directions() > 0)
      slope(3, 0, [&](const std::vector<Values>& v) { return product(second(v).hw, v); });
  }

  // |<u, f(x + tv)> - <u, f> - t <g, v> - t^2/2 bend(v)| = O(t^order) along a random v. Where the
  // leading coefficient happens to be small the slope comes late: other directions are tried then.
  template <class Bend>
  void slope(int order, int direction, const Bend& bend) {
    constexpr int attempts = 4;
    for (int attempt = 1;; ++attempt) {
      const std::vector<Values> v = random_direction();
      const Values slopes = slopes_along(v, product(gradient_, v), bend(v));
      if (slopes.size() < 4) {
        report_.line("slope ", order, ", direction ", direction,
                     ": skipped, the remainder meets the rounding of f after ", slopes.size(),
                     " halvings: f is nearly of degree ", order - 1, " there");
        return;
      }
      // The last four: nearest to the limit, and all above the rounding.
      const auto last = slopes.end() - 4;
      const bool good = std::all_of(
          last, slopes.end(), [&](double s) { return std::abs(s - order) <= options_.slope; });
      if (!good && attempt < attempts) continue;
      for (auto s = last; s != slopes.end(); ++s)
        report_.compare(*s, order, options_.slope, "Taylor slope ", order, ", direction ",
                        direction, ", halving ", s - slopes.begin() + 1, " of ", slopes.size());
      return;
    }
  }

  // log2 of the ratios of the remainders as t is halved, as long as they stand above the rounding.
  Values slopes_along(const std::vector<Values>& v, double first, double second) {
    double terms = 0, previous = 0;
    for (std::size_t k = 0; k < u_.size(); ++k) terms += std::abs(u_[k] * y_[k]);
    Values slopes;
    for (int n = 6; n <= 24; ++n) {
      const double t = std::ldexp(1.0, -n);
      const Values y = forward(point_.moved(t, v));
      double r = 0;
      for (std::size_t k = 0; k < u_.size(); ++k) r += u_[k] * (y[k] - y_[k]);
      r = std::abs(r - t * first - 0.5 * t * t * second);
      if (r <= 1024 * epsilon * (terms + std::abs(t * first))) break;
      if (n > 6) slopes.push_back(std::log2(previous / r));  // a NaN stays, and fails
      previous = r;
    }
    return slopes;
  }

  template <class Body>
  void each_element(const Body& body) {
    for (std::size_t i = 0; i < point_.x.size(); ++i)
      for (std::size_t e = 0; e < point_.x[i].size(); ++e)
        body(i, e, step * std::max(1.0, std::abs(point_.x[i][e])));
  }
  int directions() const {
    std::size_t elements = 0;
    for (const Values& x : point_.x) elements += x.size();
    return elements && !y_.empty() ? options_.directions : 0;
  }

  const TensorsFunction& f_;
  const CheckOptions& options_;
  std::mt19937_64 random_;
  Point point_;
  Shape shape_;
  Values y_, u_;
  std::vector<Values> gradient_;
  Report report_;
};

}  // namespace

CheckResult check_gradients(const TensorsFunction& f, const Tensors& inputs,
                            const CheckOptions& options) {
  require(options.order == 1 || options.order == 2, "check_gradients: the order is 1 or 2, got ",
          options.order);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    require(inputs[i].defined(), "check_gradients: input ", i, " is undefined");
    require(inputs[i].dtype() == f64, "check_gradients: takes f64 inputs, input ", i, " is ",
            inputs[i].dtype());
  }
  return Checker(f, inputs, options).run();
}

namespace detail {

CheckResult check_formula(const FormulaReading& formula,
                          const std::vector<std::vector<double>>& points, double tolerance) {
  Report report;
  for (const Values& point : points) {
    require(static_cast<int>(point.size()) == formula.inputs, "check_formula: a point has ",
            point.size(), " numbers, the formula takes ", formula.inputs);
    for (int k = 0; k < formula.inputs; ++k) {
      const double h = step * std::max(1.0, std::abs(point[static_cast<std::size_t>(k)]));
      const auto path = [&](double t) {
        Values x = point;
        x[static_cast<std::size_t>(k)] += t;
        return Values{formula.value(x.data())};
      };
      const double dual = formula.dual(point.data(), k);
      const Derivative d = difference(path, {1.0}, h);
      std::ostringstream where;
      where << "argument " << k << " at (";
      for (double x : point) where << ' ' << x;
      where << " )";
      report.compare(dual, d.value, d.tolerance(tolerance), where.str());
      if (formula.stated) {
        const double stated = formula.stated(point.data(), k);
        report.compare(stated, dual, 1e-14 * std::abs(dual), "df of ", where.str());
      }
    }
  }
  return report.finish();
}

}  // namespace detail
}  // namespace gradus
