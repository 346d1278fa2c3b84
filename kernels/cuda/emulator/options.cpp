#include <charconv>
#include <cstdlib>
#include <string>
#include <string_view>

#include "gradus/kernels/cuda/emulator/engine.h"

namespace gradus::emulator {
namespace {

template <class T>
T number(std::string_view text, const char* variable) {
  T value{};
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (wrong != std::errc{} || end != text.data() + text.size())
    throw Error(std::string(variable) + ": not a number: " + std::string(text));
  return value;
}

Options from_environment() {
  Options options;
  const char* const schedule = "GRADUS_EMULATOR_SCHEDULE";
  if (const char* const value = std::getenv(schedule)) {
    std::string_view text = value;
    constexpr std::string_view random = "random";
    if (text == "forward") {
      options.schedule = Schedule::forward;
    } else if (text == "reverse") {
      options.schedule = Schedule::reverse;
    } else if (text.starts_with(random) && (text == random || text.starts_with("random:"))) {
      options.schedule = Schedule::random;
      if (text != random)
        options.seed = number<std::uint64_t>(text.substr(random.size() + 1), schedule);
    } else {
      throw Error(std::string(schedule) + ": forward, reverse, random or random:SEED, not " +
                  value);
    }
  }
  const char* const threads = "GRADUS_EMULATOR_THREADS";
  if (const char* const value = std::getenv(threads)) {
    options.os_threads = number<int>(value, threads);
    if (options.os_threads < 1) throw Error(std::string(threads) + ": at least 1, not " + value);
  }
  return options;
}

}  // namespace

Options& options() {
  static Options options = from_environment();
  return options;
}

}  // namespace gradus::emulator
