// find_noninvertibility: a search for two points with one image.
#include <cmath>
#include <sstream>

#include "gradus/autograd/linalg.h"
#include "gradus/nn/flows.h"

namespace gradus::flows {
namespace {

using Verdict = Finding::Verdict;
constexpr double eps = 2.220446049250313e-16;

double largest(const Tensor& x) { return x.numel() ? max(abs(x)).item() : 0; }

// A direction that the Jacobian maps to 0, undefined where it has full column rank. Rows and
// columns are scaled first, so that units of x and f, or a saturated output, do not decide.
Tensor null_direction(const Tensor& jacobian) {
  const auto scale = [](const Tensor& norms) {
    return where(equal(norms, 0), 1.0, reciprocal(norms));
  };
  const Tensor rows = scale(max(abs(jacobian), 1, true));
  const Tensor columns = scale(max(abs(jacobian * rows), 0, true));
  const std::int64_t n = jacobian.size(1);
  // As many rows as columns at least: svd then gives all directions.
  const std::int64_t missing = std::max<std::int64_t>(0, n - jacobian.size(0));
  const auto [u, s, vh] = linalg::svd(pad(jacobian * rows * columns, {{0, missing}, {0, 0}}));
  const double small = s[-1].item(), great = s[0].item();
  if (great > 0 && small > static_cast<double>(n) * 1e-12 * great) return {};
  const Tensor direction = vh[-1] * columns.reshape({n});
  return direction / max(abs(direction));
}

class Search {
 public:
  Search(const TensorFunction& f, std::int64_t size, const SearchOptions& options)
      : f_(f), size_(size), options_(options), generator_(options.seed) {}

  Finding run() {
    for (std::int64_t i = 0; i < options_.starts; ++i) {
      const Tensor x = random_point();
      if (Finding found = along_null_direction(x); found.verdict == Verdict::refuted) return found;
      for (const Tensor& y : partners(x))
        if (Finding found = towards(x, y); found.verdict == Verdict::refuted) return found;
    }
    std::ostringstream reason;
    reason << "no two points with one image found from " << options_.starts << " starts in ["
           << options_.low << ", " << options_.high << "]^" << size_;
    return {Verdict::unknown, {}, {}, reason.str()};
  }

 private:
  Tensor value(const Tensor& x) const {
    const NoGrad off;
    const Tensor y = f_(x).detach();
    require(y.dim() == 1 && y.dtype() == DType::f64,
            "find_noninvertibility: f must give a vector of f64, gave ", y.shape(), ' ', y.dtype());
    return y;
  }
  Tensor slope(const Tensor& x) const { return jacobian(f_, x).detach(); }
  double width() const { return options_.high - options_.low; }
  Tensor random_point() { return options_.low + width() * rand({size_}, generator_, DType::f64); }

  // Where the other point may lie: mirrored in one or all axes, with two coordinates exchanged, or
  // anywhere.
  std::vector<Tensor> partners(const Tensor& x) {
    std::vector<Tensor> list{-x};
    const Tensor unit = eye(size_, -1, DType::f64);
    for (std::int64_t i = 0; i < size_ && size_ > 1; ++i) list.push_back(x * (1.0 - 2.0 * unit[i]));
    for (std::int64_t i = 0; i + 1 < size_; ++i) {
      const Tensor change = (x[i + 1] - x[i]) * (unit[i] - unit[i + 1]);
      list.push_back(x + change);
    }
    list.push_back(random_point());
    return list;
  }

  // Gauss-Newton steps of y to f(y) = f(x).
  Tensor corrected(const Tensor& image, Tensor y) const {
    for (int i = 0; i < 30; ++i) {
      const Tensor gap = image - value(y), j = slope(y);
      if (largest(gap) == 0 || !all(isfinite(j)).item<bool>()) break;
      const Tensor step = linalg::lstsq(j, gap);
      if (!all(isfinite(step)).item<bool>() || largest(y + step) > 1e3 * width()) break;
      y = y + step;
      if (largest(step) <= eps * largest(y)) break;
    }
    return y;
  }

  // An output that does not move at all may only be saturated, unless it is 0.
  static Tensor saturated(const Tensor& image, const Tensor& j) {
    return logical_and(equal(max(abs(j), 1), 0), not_equal(image, 0));
  }

  // Two points, their images, and how far f would move from one to the other if nothing cancelled.
  struct Pair {
    Tensor gap, move, size;  // of each output
    bool apart, saturated;
  };
  Pair compare(const Tensor& x, const Tensor& y) const {
    const Tensor a = value(x), b = value(y), j = slope(x), k = slope(y), distance = abs(x - y);
    const Tensor move = maximum(matmul(abs(j), distance), matmul(abs(k), distance));
    const Tensor flat = logical_or(saturated(a, j), saturated(b, k));
    return {abs(a - b), move, maximum(abs(a), abs(b)), largest(distance) >= 1e-3 * width(),
            any(flat).item<bool>()};
  }
  static bool holds(const Tensor& each) { return all(each).item<bool>(); }

  Finding towards(const Tensor& x, const Tensor& start) const {
    const Tensor image = value(x), y = corrected(image, start);
    if (!holds(isfinite(image)) || !holds(isfinite(value(y)))) return {};
    const Pair p = compare(x, y);
    if (!p.apart || p.saturated || !(largest(p.move) > 0)) return {};
    // An output either does not depend on what differs, or moves far more than it rounds.
    const Tensor still = logical_and(equal(p.move, 0), less_equal(p.gap, 4 * eps * p.size));
    const Tensor resolved = greater_equal(p.move, 1e6 * eps * p.size);
    const Tensor meets = logical_and(resolved, less_equal(p.gap, 1e-9 * p.move));
    if (!holds(logical_or(still, logical_and(meets, greater(p.move, 0))))) return {};
    return refuted(x, y, "");
  }

  // Along what a singular Jacobian maps to 0, if it is singular on the way, too.
  Finding along_null_direction(const Tensor& x) const {
    const Tensor image = value(x), j = slope(x);
    if (!holds(isfinite(image)) || !holds(isfinite(j))) return {};
    const Tensor v = null_direction(j);
    if (!v.defined()) return {};
    const Tensor y = corrected(image, x + 0.1 * width() * v);
    const Pair p = compare(x, y);
    const Tensor bound = maximum(1e-9 * p.move, 4 * eps * p.size);
    if (!p.apart || p.saturated || !holds(isfinite(value(y))) || !holds(less_equal(p.gap, bound)))
      return {};
    for (const Tensor& z : {y, 0.5 * (x + y)})
      if (!null_direction(slope(z)).defined()) return {};
    return refuted(x, y, "; the Jacobian is singular there and between");
  }

  static Finding refuted(const Tensor& x, const Tensor& y, const char* also) {
    std::ostringstream reason;
    reason << "f(x) = f(y) for x = " << x << ", y = " << y << also;
    return {Verdict::refuted, x, y, reason.str()};
  }

  const TensorFunction& f_;
  std::int64_t size_;
  SearchOptions options_;
  Generator generator_;
};

}  // namespace

Finding find_noninvertibility(const TensorFunction& f, std::int64_t size, SearchOptions options) {
  require(size > 0, "find_noninvertibility: size must be positive, got ", size);
  require(options.low < options.high && options.starts > 0,
          "find_noninvertibility: needs low < high and starts > 0, got [", options.low, ", ",
          options.high, "], ", options.starts);
  return Search(f, size, options).run();
}

Finding find_noninvertibility(const Transform& transform, std::int64_t size,
                              SearchOptions options) {
  if (const std::string proof = transform.proof(); !proof.empty())
    return {Verdict::certified, {}, {}, proof};
  const TensorFunction f = [&](const Tensor& x) { return transform.forward(x); };
  return find_noninvertibility(f, size, options);
}

Finding find_noninvertibility(const Tensor& a) {
  const std::int64_t r = rank(a), n = a.size(1);
  std::ostringstream reason;
  reason << "rank " << r << " of " << n;
  if (r == n) return {Verdict::certified, {}, {}, reason.str()};
  const std::int64_t missing = std::max<std::int64_t>(0, n - a.size(0));
  const Tensor square = pad(a.detach().to(Device::cpu).to(DType::f64), {{0, missing}, {0, 0}});
  const Tensor null_vector = linalg::svd(square).vh[-1];
  reason << ": A x = A y = 0 for x = 0, y = " << null_vector;
  return {Verdict::refuted, zeros({n}, DType::f64), null_vector, reason.str()};
}

}  // namespace gradus::flows
