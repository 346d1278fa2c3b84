// The folder of one training run: runs/<name>/ with config.json, metrics.jsonl, TensorBoard events,
// checkpoint, pictures, report.
#pragma once

#include <fstream>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "examples/common/events.h"
#include "examples/common/file.h"

namespace gradus::examples {

using Json = nlohmann::ordered_json;

class RunDirectory {
 public:
  // Makes runs/<name>; without a name the first free one of <program>, <program>-2, ... Throws
  // UsageError if the name is taken or no plain file name, DataError if the folder cannot be made
  // or written.
  static RunDirectory create(const std::string& program, const std::string& name,
                             const Json& config);

  // An existing run: a name under runs/ or, with a slash in it, a folder. Throws DataError if there
  // is none.
  static RunDirectory open(const std::string& run);

  Path file(const std::string& name) const { return folder_ / name; }
  const Path& folder() const { return folder_; }
  // What --resume takes to find this run.
  std::string name() const;

  // Appends one line to metrics.jsonl, its numbers to the events, and hands both to the system.
  // Throws DataError if the disk is full.
  void log(const Json& metrics);
  // Adds a picture to the events, at the step of the last line.
  void log_picture(const std::string& name, const Bytes& png);
  // The lines of metrics.jsonl. A last line cut off by a crash is left out.
  std::vector<Json> metrics() const;
  // Forgets the lines after `step`, which a run resumed from there will write again.
  void rewind(std::int64_t step);

 private:
  explicit RunDirectory(Path folder) : folder_(std::move(folder)), events_(folder_) {}

  Path folder_;
  std::ofstream log_;
  EventLog events_;
  std::int64_t step_ = 0;
};

}  // namespace gradus::examples
