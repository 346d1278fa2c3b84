// Printing like NumPy's: aligned columns, up to 8 digits after the point, long axes shortened.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ostream>

#include "gradus/tensor/copy.h"
#include "gradus/tensor/tensor.h"

namespace gradus {
namespace {

constexpr std::int64_t summarize_above = 1000;
constexpr std::int64_t edge = 3;
constexpr int precision = 8;

std::string printed(const char* format, int digits, double x) {
  char text[64];
  std::snprintf(text, sizeof text, format, digits, x);
  return text;
}

// Fewest decimals in %.*f or %.*e that say the same as `precision` of them, trailing zeros dropped.
int decimals(const char* format, double x) {
  const std::string all = printed(format, precision, x);
  const std::size_t mantissa_end = std::min(all.find('e'), all.size());
  std::size_t last = mantissa_end;
  while (last > 0 && all[last - 1] == '0') --last;
  return std::max(0, precision - static_cast<int>(mantissa_end - last));
}

// How all shown elements are written.
class Format {
 public:
  explicit Format(const std::vector<double>& shown, DType dtype) : dtype_(dtype) {
    if (is_floating(dtype)) choose(shown);
    for (double x : shown) width_ = std::max(width_, plain(x).size());
  }
  std::string operator()(double x) const {
    std::string text = plain(x);
    return std::string(width_ - std::min(width_, text.size()), ' ') + text;
  }

 private:
  void choose(const std::vector<double>& shown) {
    double low = INFINITY, high = 0;
    for (double x : shown) {
      if (!std::isfinite(x) || x == 0) continue;
      low = std::min(low, std::abs(x));
      high = std::max(high, std::abs(x));
    }
    scientific_ = high >= 1e8 || low < 1e-4 || (low < INFINITY && high / low > 1e3 && low < 1e-4);
    for (double x : shown)
      if (std::isfinite(x)) digits_ = std::max(digits_, decimals(scientific_ ? "%.*e" : "%.*f", x));
    if (dtype_ != DType::f64) digits_ = std::min(digits_, scientific_ ? 7 : 8);
  }
  std::string plain(double x) const {
    if (dtype_ == DType::boolean) return x != 0 ? "true" : "false";
    if (!is_floating(dtype_)) return printed("%.*f", 0, x);
    if (std::isnan(x)) return "nan";
    if (std::isinf(x)) return x < 0 ? "-inf" : "inf";
    std::string text = printed(scientific_ ? "%.*e" : "%.*f", digits_, x);
    if (digits_ == 0) text.insert(std::min(text.find('e'), text.size()), ".");
    return text;
  }

  DType dtype_;
  bool scientific_ = false;
  int digits_ = 0;
  std::size_t width_ = 0;
};

bool shortened(const Tensor& t, int axis) {
  return t.numel() > summarize_above && t.shape()[axis] > 2 * edge;
}

// Calls leaf(value) and gap() in printing order, begin/end around each axis.
template <class Visitor>
void visit(const Tensor& t, const double* x, int axis, Visitor& v) {
  if (axis == t.dim()) return v.leaf(*x);
  std::int64_t step = 1;
  for (int i = axis + 1; i < t.dim(); ++i) step *= t.shape()[i];
  const std::int64_t n = t.shape()[axis];
  v.begin();
  for (std::int64_t i = 0; i < n; ++i) {
    if (i) v.between(t.dim() - axis);
    if (shortened(t, axis) && i == edge) {
      v.gap(t.dim() - axis);
      i = n - edge;
    }
    visit(t, x + i * step, axis + 1, v);
  }
  v.end();
}

struct Collect {
  std::vector<double> values;
  void leaf(double x) { values.push_back(x); }
  void begin() {}
  void end() {}
  void between(int) {}
  void gap(int) {}
};

struct Write {
  const Format& format;
  std::string text;
  int depth = 0;
  void leaf(double x) { text += format(x); }
  void begin() {
    text += '[';
    ++depth;
  }
  void end() {
    text += ']';
    --depth;
  }
  void between(int levels) {
    text += levels == 1 ? ", "
                        : "," + std::string(static_cast<std::size_t>(levels - 1), '\n') +
                              std::string(static_cast<std::size_t>(depth), ' ');
  }
  void gap(int levels) {
    text += "...";
    between(levels);
  }
};

}  // namespace

std::string to_string(const Tensor& t) {
  if (!t.defined()) return "undefined";
  if (t.dtype() == DType::i64) {  // exact beyond 2^53 where a double is not
    if (t.dim() == 0) return std::to_string(t.item<std::int64_t>());
  }
  if (t.device() != Device::cpu) return to_string(detail::moved(t, Device::cpu));
  const Tensor x = detail::converted(t, DType::f64);
  const double* p = x.data<double>();
  if (t.numel() == 0 && t.dim() > 0) {
    std::ostringstream text;
    text << "[] of shape " << t.shape();
    return text.str();
  }
  Collect shown;
  visit(x, p, 0, shown);
  const Format format(shown.values, t.dtype());
  Write out{format, {}};
  visit(x, p, 0, out);
  return out.text;
}

std::ostream& operator<<(std::ostream& out, const Tensor& t) { return out << to_string(t); }

}  // namespace gradus
