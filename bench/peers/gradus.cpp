// Measures Gradus at the work that the peers beside this file do too.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <iostream>
#include <sstream>
#include <stdexcept>

#include "../limits.h"
#include "examples/common/nearest.h"
#include "sampling.h"
#include "workload.h"

namespace {

constexpr const char* usage =
    R"(Usage: gradus_peers [--threads N] [--samples N] [--seconds S] [NAME...]
       gradus_peers --list | --export FOLDER | --start | --help
A line of JSON for each workload named, or for all. NAME/ means all whose names begin so.
--export writes the numbers, weights and data for the peers; --start is a first gradient.
)";

struct Options {
  peers::Sampling sampling;
  int threads = gradus::threads();
  std::vector<std::string> names;
  std::string folder;
  bool list = false, start = false, help = false;
};

struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

double number(const std::string& flag, const std::string& text, double low, double high) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || !(value >= low && value <= high)) {
    std::ostringstream range;
    range << low << " to " << high;
    throw UsageError(flag + ": takes a number from " + range.str() + ", got '" + text + "'");
  }
  return value;
}
int count(const std::string& flag, const std::string& text, int high) {
  const double value = number(flag, text, 1, high);
  if (value != std::floor(value)) throw UsageError(flag + ": takes a whole number, got " + text);
  return static_cast<int>(value);
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&] {
      if (++i == argc || !*argv[i]) throw UsageError(word + ": takes a value");
      return std::string(argv[i]);
    };
    if (word == "--threads")
      options.threads = count(word, value(), 256);
    else if (word == "--samples")
      options.sampling.samples = count(word, value(), 1'000'000);
    else if (word == "--seconds")
      options.sampling.seconds = number(word, value(), 0, 1e6);
    else if (word == "--export")
      options.folder = value();
    else if (word == "--list")
      options.list = true;
    else if (word == "--start")
      options.start = true;
    else if (word == "--help")
      options.help = true;
    else if (word.starts_with("-"))
      throw UsageError("unknown flag " + word +
                       gradus::examples::hint(word, {"--threads", "--samples", "--seconds",
                                                     "--export", "--list", "--start", "--help"}));
    else
      options.names.push_back(word);
  }
  return options;
}

bool fits(const std::string& word, const std::string& name) {
  return word.ends_with('/') ? name.starts_with(word) : name == word;
}

// Those asked for; each word must choose one at least.
std::vector<peers::Workload> chosen(const std::vector<std::string>& words) {
  std::vector<peers::Workload> all = peers::trainings(), list;
  for (auto more : {peers::operations(), peers::overheads()})
    all.insert(all.end(), more.begin(), more.end());
  if (words.empty()) return all;
  std::vector<std::string> names;
  for (const peers::Workload& workload : all) names.push_back(workload.name);
  for (const std::string& word : words)
    if (std::none_of(names.begin(), names.end(), [&](auto& name) { return fits(word, name); }))
      throw UsageError("no workload has the name " + word + gradus::examples::hint(word, names) +
                       "; --list shows them");
  for (const peers::Workload& workload : all)
    if (std::any_of(words.begin(), words.end(), [&](auto& w) { return fits(w, workload.name); }))
      list.push_back(workload);
  return list;
}

double limit(const peers::Workload& workload) {
  using namespace gradus::bench;
  if (workload.flops > 0) return workload.flops / fma_peak();
  if (workload.bytes > 0)
    return static_cast<double>(workload.bytes) / copy_bandwidth(4 * workload.floats);
  return 0;
}

int run(const Options& options) {
  if (options.help) {
    std::cout << usage;
    return 0;
  }
  gradus::set_threads(options.threads);
  if (options.start) {
    const double start = peers::now();
    const peers::Job job = peers::perceptron();
    peers::print_line("start", "gradus", options.threads, {{peers::now() - start}, 0, 0},
                      job.check);
    return 0;
  }
  if (!options.folder.empty()) {
    std::filesystem::create_directories(options.folder);
    peers::export_numbers(options.folder);
    peers::export_models(options.folder);
    return 0;
  }
  for (const peers::Workload& workload : chosen(options.names)) {
    if (options.list) {
      std::cout << workload.name << '\n';
      continue;
    }
    const peers::Job job = workload.make();
    const peers::Measured measured = peers::measure(options.sampling, job.call);
    peers::print_line(workload.name, "gradus", options.threads, measured, job.check,
                      limit(workload));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(parse(argc, argv));
  } catch (const UsageError& error) {
    std::cerr << "gradus_peers: " << error.what() << '\n' << usage;
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "gradus_peers: " << error.what() << '\n';
    return 3;
  }
}
