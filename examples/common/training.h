// What all trainers have: some flags, a loop, and checkpoints that hold all that a run needs to go
// on.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "examples/common/options.h"
#include "examples/common/run_directory.h"
#include "gradus/tensor/safetensors.h"

namespace gradus::examples {

struct TrainingFlags {
  std::string name, device = "cpu", dtype = "f32";
  std::uint64_t seed = 0;
  std::int64_t threads = 0, max_steps = 0;

  void declare(Options& options);
  // Sets the number of threads. Throws UsageError for a device that is not there.
  void apply() const;
  Device where() const { return device_named(device); }
  DType type() const { return dtype == "f64" ? DType::f64 : DType::f32; }
};

// Tensors and counters of a run, as one safetensors file.
struct Checkpoint {
  NamedTensors tensors;
  std::map<std::string, std::string> counters;

  // Adds the tensors as "part.name"; gives them back without the part.
  void put(const std::string& part, const NamedTensors& values);
  NamedTensors get(const std::string& part) const;
  void count(const std::string& name, std::uint64_t value);
  std::uint64_t counter(const std::string& name) const;  // throws DataError if it is not there
};

// What the loop needs to know of a model in training. Numbers measured have names.
struct Trainee {
  std::int64_t epochs = 0, steps_an_epoch = 0;
  std::function<std::int64_t()> steps_done;
  std::function<Json()> step;   // trains; the first number is shown
  std::function<Json()> epoch;  // measures after an epoch
  std::function<Checkpoint()> save;
};

// Trains to the end of the epochs, or up to `max_steps` if that is not 0, and writes metrics.jsonl
// and checkpoint.safetensors before the first step, after every epoch and at the end. False: a
// signal came; the step it met is finished, everything is saved, and the way to go on has been
// printed.
bool train(const Trainee& trainee, RunDirectory& run, std::int64_t max_steps);

// printf's formatting.
[[gnu::format(printf, 1, 2)]] std::string text(const char* format, ...);

}  // namespace gradus::examples
