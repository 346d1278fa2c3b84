#include <charconv>
#include <cstdlib>
#include <string>
#include <string_view>

#include "gradus/kernels/cuda/emulator/engine.h"
#include "gradus/kernels/cuda/emulator/host.h"

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
constexpr const char* streams_variable = "GRADUS_EMULATOR_STREAMS";
constexpr const char* threads_variable = "GRADUS_EMULATOR_THREADS";

// "random" or "random:SEED"; the seed stays as it is where none is given.
bool is_random(std::string_view text, const char* variable, std::uint64_t& seed) {
  constexpr std::string_view random = "random";
  if (!text.starts_with(random)) return false;
  text.remove_prefix(random.size());
  if (text.empty()) return true;
  if (text.front() != ':') return false;
  seed = number<std::uint64_t>(text.substr(1), variable);
  return true;
}

void parse_schedule(std::string_view text, Options& options) {
  if (text == "forward")
    options.schedule = Schedule::forward;
  else if (text == "reverse")
    options.schedule = Schedule::reverse;
  else if (is_random(text, schedule_variable, options.seed))
    options.schedule = Schedule::random;
  else
    throw Error(std::string(schedule_variable) + ": forward, reverse, random or random:SEED, not " +
                std::string(text));
}

}  // namespace

Options parse_options(const char* schedule, const char* threads) {
  Options options;
  if (schedule) parse_schedule(schedule, options);
  if (threads) options.os_threads = number<int>(threads, threads_variable);
  if (options.os_threads < 1 || options.os_threads > 256)
    throw Error(std::string(threads_variable) + ": 1 to 256, not " + threads);
  return options;
}

StreamOrder parse_stream_order(const char* order, std::uint64_t& seed) {
  const std::string text = order ? order : "lazy";
  if (text == "lazy") return StreamOrder::lazy;
  if (text == "eager") return StreamOrder::eager;
  if (is_random(text, streams_variable, seed)) return StreamOrder::random;
  throw Error(std::string(streams_variable) + ": lazy, eager, random or random:SEED, not " + text);
}

Options& options() {
  static Options options =
      parse_options(std::getenv(schedule_variable), std::getenv(threads_variable));
  return options;
}

}  // namespace gradus::emulator
