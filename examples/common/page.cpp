#include "examples/common/page.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <sstream>

namespace gradus::examples {
namespace {

std::string brief(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

struct Axis {
  double low = 0, high = 1, step = 0.25;

  // The range of the values widened to round numbers, about five steps of 1, 2 or 5 times a power
  // of ten.
  static Axis around(double least, double most) {
    if (!(least <= most)) return {};
    if (least == most) most = least + std::max(1e-9, std::abs(least) * 1e-3);
    const double rough = (most - least) / 5, power = std::pow(10.0, std::floor(std::log10(rough)));
    const double factor = rough / power;
    const double step = power * (factor < 1.5 ? 1 : factor < 3.5 ? 2 : factor < 7.5 ? 5 : 10);
    return {std::floor(least / step) * step, std::ceil(most / step) * step, step};
  }
  int ticks() const { return static_cast<int>(std::lround((high - low) / step)); }
  double place(double value) const { return (value - low) / (high - low); }
};

class Plot {
 public:
  explicit Plot(const Chart& chart) : chart_(chart) {
    double least[2] = {INFINITY, INFINITY}, most[2] = {-INFINITY, -INFINITY};
    for (const Series& series : chart.series) {
      for (const auto& [x, y] : series.points) {
        if (!std::isfinite(x) || !std::isfinite(y)) continue;
        least[0] = std::min(least[0], x), most[0] = std::max(most[0], x);
        least[1] = std::min(least[1], y), most[1] = std::max(most[1], y);
      }
    }
    x_ = Axis::around(least[0], most[0]);
    y_ = Axis::around(least[1], most[1]);
  }

  std::string svg() {
    out_ << "<figure class=\"chart\"><figcaption>" << escape(chart_.title) << legend()
         << "</figcaption>\n<svg viewBox=\"0 0 " << width << ' ' << height << "\" role=\"img\">\n";
    axes();
    for (std::size_t i = 0; i < chart_.series.size(); ++i) line(chart_.series[i], i);
    out_ << "</svg></figure>\n";
    return out_.str();
  }

 private:
  static constexpr int width = 640, height = 320, left = 70, right = 16, top = 12, bottom = 46;
  static constexpr std::size_t max_points = 800;

  double across(double x) const { return left + x_.place(x) * (width - left - right); }
  double down(double y) const { return height - bottom - y_.place(y) * (height - top - bottom); }

  std::string legend() const {
    if (chart_.series.size() < 2) return "";
    std::string text;
    for (std::size_t i = 0; i < chart_.series.size(); ++i) {
      text += " <span class=\"key s" + std::to_string(i % 4) + "\">" +
              escape(chart_.series[i].name) + "</span>";
    }
    return text;
  }

  void text(double x, double y, const char* anchor, const std::string& words) {
    out_ << "<text x=\"" << brief(x) << "\" y=\"" << brief(y) << "\" text-anchor=\"" << anchor
         << "\">" << escape(words) << "</text>\n";
  }

  void axes() {
    for (int i = 0; i <= y_.ticks(); ++i) {
      const double value = y_.low + i * y_.step, y = down(value);
      out_ << "<path class=\"grid\" d=\"M" << left << ' ' << brief(y) << "H" << width - right
           << "\"/>\n";
      text(left - 8, y + 4, "end", brief(std::abs(value) < 1e-9 * y_.step ? 0 : value));
    }
    for (int i = 0; i <= x_.ticks(); ++i) {
      const double value = x_.low + i * x_.step;
      text(across(value), height - bottom + 18, "middle", brief(value));
    }
    text((left + width - right) / 2.0, height - 6, "middle", chart_.x_label);
    out_ << "<text transform=\"translate(14 " << (height - bottom + top) / 2
         << ") rotate(-90)\" text-anchor=\"middle\">" << escape(chart_.y_label) << "</text>\n";
  }

  // Long series are averaged over runs of neighbours: the eye cannot follow more points than
  // pixels.
  void line(const Series& series, std::size_t index) {
    std::vector<std::pair<double, double>> finite;
    for (const auto& point : series.points) {
      if (std::isfinite(point.first) && std::isfinite(point.second)) finite.push_back(point);
    }
    const std::size_t run = (finite.size() + max_points - 1) / max_points;
    out_ << "<polyline class=\"line s" << index % 4 << "\" points=\"";
    for (std::size_t i = 0; i < finite.size(); i += run) {
      const std::size_t end = std::min(i + run, finite.size());
      double x = 0, y = 0;
      for (std::size_t j = i; j < end; ++j) x += finite[j].first, y += finite[j].second;
      const auto count = static_cast<double>(end - i);
      out_ << brief(across(x / count)) << ',' << brief(down(y / count)) << ' ';
    }
    out_ << "\"/>\n";
  }

  const Chart& chart_;
  Axis x_, y_;
  std::ostringstream out_;
};

constexpr const char* style = R"(
:root { color-scheme: light dark; --ink: #1d2430; --soft: #667085; --line: #e3e6eb; --paper: #fff;
  --card: #f7f8fa; --s0: #2563eb; --s1: #e07b1a; --s2: #16935a; --s3: #b0379a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #98a2b3; --line: #2f3643;
  --paper: #14181f; --card: #1c222c; --s0: #6ea0ff; --s1: #f3a55a; --s2: #4cc38a; --s3: #e07fd0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 980px; padding: 40px 24px 80px; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 28px; margin: 0 0 4px; letter-spacing: -.01em; }
h2 { font-size: 19px; margin: 44px 0 14px; }
p { color: var(--soft); margin: 0 0 20px; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 12px; }
.numbers div { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 12px 16px; }
.numbers dt { color: var(--soft); font-size: 13px; }
.numbers dd { margin: 0; font-size: 22px; font-variant-numeric: tabular-nums; }
figure { margin: 0 0 26px; }
figcaption { font-weight: 600; margin-bottom: 8px; }
figcaption::first-letter { text-transform: uppercase; }
figcaption small { display: block; font-weight: 400; font-size: 14px; color: var(--soft); }
img { max-width: 100%; border: 1px solid var(--line); border-radius: 8px;
  image-rendering: pixelated; }
svg { width: 100%; height: auto; background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; }
svg text { font: 12px system-ui, sans-serif; fill: var(--soft); }
.cells { display: inline-block; margin-right: 36px; }
.cell { fill: var(--s0); stroke: var(--line); }
.grid { stroke: var(--line); fill: none; }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.line.s0 { stroke: var(--s0); } .line.s1 { stroke: var(--s1); }
.line.s2 { stroke: var(--s2); } .line.s3 { stroke: var(--s3); }
.key { font-weight: 400; font-size: 14px; margin-left: 14px; }
.key.s0 { color: var(--s0); } .key.s1 { color: var(--s1); }
.key.s2 { color: var(--s2); } .key.s3 { color: var(--s3); }
table { border-collapse: collapse; font-size: 15px; }
td { padding: 5px 28px 5px 0; border-bottom: 1px solid var(--line); }
td:first-child { color: var(--soft); } td:last-child { font-family: ui-monospace, monospace; }
)";

}  // namespace

std::string escape(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string svg(const Chart& chart) { return Plot(chart).svg(); }

std::string svg(const Cells& cells) {
  double largest = 0;
  for (const double value : cells.values) largest = std::max(largest, std::abs(value));
  constexpr int side = 24;
  const auto columns = static_cast<std::size_t>(cells.columns);
  const std::size_t rows = (cells.values.size() + columns - 1) / columns;
  std::ostringstream out;
  out << "<figure class=\"cells\"><figcaption>" << escape(cells.title)
      << "</figcaption>\n<svg viewBox=\"0 0 " << side * columns << ' ' << side * rows
      << "\" style=\"width: " << side * columns << "px\" role=\"img\">\n";
  for (std::size_t i = 0; i < cells.values.size(); ++i)
    out << "<rect class=\"cell\" x=\"" << side * (i % columns) + 1 << "\" y=\""
        << side * (i / columns) + 1 << "\" width=\"" << side - 2 << "\" height=\"" << side - 2
        << "\" fill-opacity=\"" << brief(largest > 0 ? std::abs(cells.values[i]) / largest : 0)
        << "\"/>\n";
  out << "</svg></figure>\n";
  return out.str();
}

std::string page(const std::string& title, const std::string& body) {
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" +
         escape(title) + "</title>\n<style>" + style + "</style></head><body>\n<h1>" +
         escape(title) + "</h1>\n" + body + "</body></html>\n";
}

}  // namespace gradus::examples
