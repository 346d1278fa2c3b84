// report.html: one file with everything in it, for any browser, without a network.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "examples/common/page.h"
#include "examples/common/run_directory.h"

namespace gradus::examples {

struct Figure {
  std::string name, caption;  // the name is also that of its file in the run directory
  Bytes png;
};

struct Report {
  std::string title, summary;
  std::vector<std::pair<std::string, std::string>> numbers;  // the headline: name and value
  std::vector<Chart> charts;
  std::vector<Figure> figures;
  Json config;
};

// The points (line["step"], line[key]) of all lines that have both.
Series series_of(const std::string& name, const std::vector<Json>& metrics, const std::string& key);

std::string html(const Report& report);

// Writes report.html, and each figure as <name>.png and to the events.
void write_report(RunDirectory& run, const Report& report);

std::string base64(const Bytes& bytes);

}  // namespace gradus::examples
