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

constexpr const char* schedule_variable = "GRADUS_EMULATOR_SCHEDULE";
constexpr const char* threads_variable = "GRADUS_EMULATOR_THREADS";

void parse_schedule(std::string_view text, Options& options) {
  constexpr std::string_view random = "random";
  if (text == "forward") {
    options.schedule = Schedule::forward;
  } else if (text == "reverse") {
    options.schedule = Schedule::reverse;
  } else if (text == random) {
    options.schedule = Schedule::random;
  } else if (text.starts_with("random:")) {
    options.schedule = Schedule::random;
    options.seed = number<std::uint64_t>(text.substr(random.size() + 1), schedule_variable);
  } else {
    throw Error(std::string(schedule_variable) + ": forward, reverse, random or random:SEED, not " +
                std::string(text));
  }
}

}  // namespace

Options parse_options(const char* schedule, const char* threads) {
  Options options;
  if (schedule) parse_schedule(schedule, options);
  if (threads) options.os_threads = number<int>(threads, threads_variable);
  if (options.os_threads < 1)
    throw Error(std::string(threads_variable) + ": at least 1, not " + threads);
  return options;
}

Options& options() {
  static Options options =
      parse_options(std::getenv(schedule_variable), std::getenv(threads_variable));
  return options;
}

}  // namespace gradus::emulator
