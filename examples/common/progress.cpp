#include "examples/common/progress.h"

#include <unistd.h>

#include <cstdio>

namespace gradus::examples {
namespace {

using Seconds = std::chrono::duration<double>;

constexpr int bar_width = 30;

}  // namespace

Progress::Progress(std::int64_t first, std::int64_t total)
    : terminal_(::isatty(STDERR_FILENO)), first_(first), total_(total) {}

void Progress::step(std::int64_t step, const std::string& name, double value) {
  const auto now = Clock::now();
  if (!terminal_ || Seconds(now - drawn_).count() < 0.1) return;
  drawn_ = now;
  const double speed = static_cast<double>(step - first_) / Seconds(now - start_).count();
  const auto left = static_cast<std::int64_t>(static_cast<double>(total_ - step) / speed + 0.5);
  const auto filled = static_cast<int>(bar_width * step / total_);
  std::fprintf(stderr, "\r\033[K[%.*s%*s] %lld/%lld  %s %.4g  %.0f steps/s  %lld:%02lld left",
               filled, "##############################", bar_width - filled, "",
               static_cast<long long>(step), static_cast<long long>(total_), name.c_str(), value,
               speed, static_cast<long long>(left / 60), static_cast<long long>(left % 60));
  std::fflush(stderr);
}

void Progress::say(const std::string& line) {
  clear();
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

void Progress::clear() {
  if (terminal_) std::fputs("\r\033[K", stderr);
}

}  // namespace gradus::examples
