// How training goes, for the one who waits.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace gradus::examples {

// Shows a bar with a measured number, the speed and the remaining time on standard error while that
// is a terminal; otherwise only the lines of say() appear, on standard output.
class Progress {
 public:
  // Steps count from 1 to `total` over the whole run; `first` steps were done earlier.
  Progress(std::int64_t first, std::int64_t total);
  ~Progress() { clear(); }

  void step(std::int64_t step, const std::string& name, double value);
  // Prints a line on standard output, above the bar.
  void say(const std::string& line);

 private:
  using Clock = std::chrono::steady_clock;
  void clear();

  bool terminal_;
  std::int64_t first_, total_;
  Clock::time_point start_ = Clock::now(), drawn_ = {};
};

}  // namespace gradus::examples
