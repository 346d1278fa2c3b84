#include "examples/common/report.h"

#include <nlohmann/json.hpp>
#include <sstream>

namespace gradus::examples {
namespace {

void numbers(std::ostream& out, const Report& report) {
  out << "<dl class=\"numbers\">\n";
  for (const auto& [name, value] : report.numbers) {
    out << "<div><dt>" << escape(name) << "</dt><dd>" << escape(value) << "</dd></div>\n";
  }
  out << "</dl>\n";
}

void figures(std::ostream& out, const Report& report) {
  out << "<h2>Pictures</h2>\n";
  for (const Figure& figure : report.figures) {
    out << "<figure><figcaption>" << escape(figure.name) << "<small>" << escape(figure.caption)
        << "</small></figcaption>\n<img alt=\"" << escape(figure.name)
        << "\" src=\"data:image/png;base64," << base64(figure.png) << "\"></figure>\n";
  }
}

void configuration(std::ostream& out, const Report& report) {
  out << "<h2>Configuration</h2>\n<table>\n";
  for (const auto& [key, value] : report.config.items()) {
    out << "<tr><td>" << escape(key) << "</td><td>"
        << escape(value.is_string() ? value.get<std::string>() : value.dump()) << "</td></tr>\n";
  }
  out << "</table>\n";
}

}  // namespace

Series series_of(const std::string& name, const std::vector<Json>& metrics,
                 const std::string& key) {
  Series series{name, {}};
  for (const Json& line : metrics) {
    const auto x = line.find("step"), y = line.find(key);
    if (x == line.end() || y == line.end() || !x->is_number() || !y->is_number()) continue;
    series.points.emplace_back(x->get<double>(), y->get<double>());
  }
  return series;
}

std::string html(const Report& report) {
  std::ostringstream out;
  out << "<p>" << escape(report.summary) << "</p>\n";
  numbers(out, report);
  if (!report.charts.empty()) out << "<h2>Training</h2>\n";
  for (const Chart& chart : report.charts) out << svg(chart);
  if (!report.figures.empty()) figures(out, report);
  configuration(out, report);
  return page(report.title, out.str());
}

void write_report(RunDirectory& run, const Report& report) {
  for (const Figure& figure : report.figures) {
    write_file(run.file(figure.name + ".png"), figure.png);
    run.log_picture(figure.name, figure.png);
  }
  write_file(run.file("report.html"), html(report));
}

std::string base64(const Bytes& bytes) {
  constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t block = 0;
    for (std::size_t j = 0; j < 3; ++j)
      block = block << 8 | (i + j < bytes.size() ? bytes[i + j] : 0u);
    for (std::size_t j = 0; j < 4; ++j) {
      text += i + j > bytes.size() ? '=' : digits[block >> (18 - 6 * j) & 63];
    }
  }
  return text;
}

}  // namespace gradus::examples
