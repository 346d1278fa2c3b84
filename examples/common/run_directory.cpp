#include "examples/common/run_directory.h"

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "examples/common/errors.h"

namespace gradus::examples {
namespace {

namespace fs = std::filesystem;

void check_name(const std::string& name) {
  const auto plain = [](unsigned char c) { return std::isalnum(c) || std::strchr("._-", c); };
  if (name.size() > 100 || name[0] == '.' || name[0] == '-' ||
      !std::all_of(name.begin(), name.end(), plain)) {
    refuse<UsageError>(
        "--name: must be at most 100 letters, digits, . _ or -, and begin with a letter or "
        "digit: is ",
        name);
  }
}

// False if it is there already.
bool make_folder(const Path& folder) {
  std::error_code error;
  fs::create_directories(folder.parent_path(), error);
  // A plain file in its place is "taken" too, but with an error that a number at the end will not
  // cure.
  if (!error && fs::create_directory(folder, error)) return true;
  if (error && !fs::exists(folder)) {
    refuse<DataError>(folder.string(), ": cannot make the run directory: ", error.message());
  }
  return false;
}

}  // namespace

RunDirectory RunDirectory::create(const std::string& program, const std::string& name,
                                  const Json& config) {
  const Path runs = "runs";
  Path folder = runs / (name.empty() ? program : name);
  if (name.empty()) {
    for (int number = 2; !make_folder(folder); ++number) {
      folder = runs / (program + "-" + std::to_string(number));
    }
  } else {
    check_name(name);
    if (!make_folder(folder)) {
      refuse<UsageError>(folder.string(),
                         ": exists: give another --name, or continue it with --resume ", name);
    }
  }
  RunDirectory run(folder);
  write_file(run.file("config.json"), config.dump(2) + "\n");
  return run;
}

RunDirectory RunDirectory::open(const std::string& run) {
  const Path folder = run.find('/') == std::string::npos ? Path("runs") / run : Path(run);
  if (!fs::is_directory(folder)) refuse<DataError>("--resume: no run at ", folder.string());
  remove_abandoned_temporaries(folder.string());
  return RunDirectory(folder);
}

std::string RunDirectory::name() const {
  return folder_.parent_path() == "runs" ? folder_.filename().string() : folder_.string();
}

void RunDirectory::log(const Json& metrics) {
  const Path path = file("metrics.jsonl");
  errno = 0;
  if (!log_.is_open()) log_.open(path, std::ios::app | std::ios::binary);
  log_ << metrics.dump() << '\n' << std::flush;
  if (!log_) refuse_write(path.string());

  const auto step = metrics.find("step");
  if (step == metrics.end() || !step->is_number()) return;
  step_ = step->get<std::int64_t>();
  std::vector<std::pair<std::string, double>> numbers;
  for (const auto& [key, value] : metrics.items()) {
    if (key != "step" && value.is_number()) numbers.emplace_back(key, value.get<double>());
  }
  events_.scalars(step_, numbers);
}

void RunDirectory::log_picture(const std::string& name, const Bytes& png) {
  events_.image(step_, name, png);
}

std::vector<Json> RunDirectory::metrics() const {
  std::vector<Json> lines;
  const Path path = file("metrics.jsonl");
  if (!fs::exists(path)) return lines;
  std::istringstream text(read_text(path));
  for (std::string line; std::getline(text, line) && !text.eof();) {
    Json values = Json::parse(line, nullptr, false);
    if (values.is_object()) lines.push_back(std::move(values));
  }
  return lines;
}

void RunDirectory::rewind(std::int64_t step) {
  std::string kept;
  for (const Json& line : metrics()) {
    const auto at = line.find("step");
    if (at != line.end() && at->is_number() && *at <= step) kept += line.dump() + "\n";
  }
  log_.close();
  write_file(file("metrics.jsonl"), kept);
  events_.resume_after(step);
  step_ = step;
}

}  // namespace gradus::examples
