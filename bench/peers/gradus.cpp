// Measures Gradus at the work that the peers beside this file do too.
#include <iostream>
#include <stdexcept>

#include "../limits.h"
#include "sampling.h"
#include "workload.h"

namespace {

constexpr const char* usage =
    R"(Usage: gradus_peers [--threads N] [--samples N] [--seconds S] [NAME...]
       gradus_peers --list | --export FOLDER | --start
A line of JSON for each workload named, or for all. NAME/ means all whose names begin so.
--export writes the numbers, weights and data for the peers; --start is a first gradient.
)";

struct Options {
  peers::Sampling sampling;
  int threads = gradus::threads();
  std::vector<std::string> names;
  std::string folder;
  bool list = false, start = false;
};

// The whole of `text` as a number, or std::invalid_argument.
double number(const std::string& text) {
  std::size_t end = 0;
  const double value = std::stod(text, &end);
  if (end != text.size() || !(value >= 0)) throw std::invalid_argument(text);
  return value;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&] { return std::string(++i < argc ? argv[i] : ""); };
    if (word == "--threads")
      options.threads = static_cast<int>(number(value()));
    else if (word == "--samples")
      options.sampling.samples = static_cast<int>(number(value()));
    else if (word == "--seconds")
      options.sampling.seconds = number(value());
    else if (word == "--export")
      options.folder = value();
    else if (word == "--list")
      options.list = true;
    else if (word == "--start")
      options.start = true;
    else if (word.starts_with("-"))
      throw std::invalid_argument(word);
    else
      options.names.push_back(word);
  }
  return options;
}

bool wanted(const std::string& name, const Options& options) {
  if (options.names.empty()) return true;
  for (const std::string& word : options.names)
    if (word.ends_with('/') ? name.starts_with(word) : name == word) return true;
  return false;
}

double limit(const peers::Workload& workload) {
  using namespace gradus::bench;
  if (workload.flops > 0) return workload.flops / fma_peak();
  if (workload.bytes > 0)
    return static_cast<double>(workload.bytes) / copy_bandwidth(4 * workload.floats);
  return 0;
}

int run(const Options& options) {
  gradus::set_threads(options.threads);
  if (options.start) {
    const double start = peers::now();
    const peers::Job job = peers::perceptron();
    peers::print_line("start", "gradus", options.threads, {{peers::now() - start}, 0}, job.check);
    return 0;
  }
  if (!options.folder.empty()) {
    std::filesystem::create_directories(options.folder);
    peers::export_numbers(options.folder);
    peers::export_models(options.folder);
    return 0;
  }
  std::vector<peers::Workload> all = peers::trainings();
  for (auto list : {peers::operations(), peers::overheads()})
    all.insert(all.end(), list.begin(), list.end());
  bool any = false;
  for (const peers::Workload& workload : all) {
    if (!wanted(workload.name, options)) continue;
    any = true;
    if (options.list) {
      std::cout << workload.name << '\n';
      continue;
    }
    const peers::Job job = workload.make();
    const peers::Measured measured = peers::measure(options.sampling, job.call);
    peers::print_line(workload.name, "gradus", options.threads, measured, job.check,
                      limit(workload));
  }
  if (!any) std::cerr << "gradus_peers: no workload has that name; --list shows them\n";
  return any ? 0 : 2;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(parse(argc, argv));
  } catch (const std::logic_error& error) {
    std::cerr << "gradus_peers: " << error.what() << '\n' << usage;
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "gradus_peers: " << error.what() << '\n';
    return 3;
  }
}
