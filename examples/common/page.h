// Pages of one file for any browser, with everything in it and without a network.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace gradus::examples {

struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;  // those that are not finite are left out
};

struct Chart {
  std::string title, x_label, y_label;
  std::vector<Series> series;
};

// Numbers in rows, each a square between white at 0 and full colour at the largest magnitude.
struct Cells {
  std::string title;
  int columns = 1;
  std::vector<double> values;
};

std::string escape(const std::string& text);  // for HTML

std::string svg(const Chart& chart);
std::string svg(const Cells& cells);

// A page in the style of all; its body is HTML.
std::string page(const std::string& title, const std::string& body);

}  // namespace gradus::examples
