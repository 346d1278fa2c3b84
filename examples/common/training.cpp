#include "examples/common/training.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "examples/common/errors.h"
#include "examples/common/program.h"
#include "examples/common/progress.h"
#include "gradus/kernels/cpu/pool.h"

namespace gradus::examples {

void TrainingFlags::declare(Options& options) {
  options.add("seed", &seed, "of all random numbers");
  options.add("device", &device,
              "where to compute (emulated: the CUDA kernels on the CPU, for tests)",
              {.choices = {"cpu", "cuda", "emulated"}});
  options.add("dtype", &dtype, "of the numbers", {.choices = {"f32", "f64"}});
  options.add("threads", &threads, "of the CPU, 0 for all; results do not depend on it",
              {.low = 0, .high = 256, .may_change = true});
  options.add("max-steps", &max_steps, "stop there if it comes before the last epoch, 0 for never",
              {.low = 0, .may_change = true});
  options.add_unsaved("name", &name, "of the run directory under runs/");
}

void TrainingFlags::apply() const {
  try {
    require_available(where());
  } catch (const Error& error) {
    refuse<UsageError>("--device ", error.what());
  }
  if (threads > 0) set_threads(static_cast<int>(threads));
}

void Checkpoint::put(const std::string& part, const NamedTensors& values) {
  for (const auto& [name, tensor] : values) tensors.emplace_back(part + '.' + name, tensor);
}

NamedTensors Checkpoint::get(const std::string& part) const {
  NamedTensors values;
  for (const auto& [name, tensor] : tensors) {
    if (name.rfind(part + '.', 0) == 0) values.emplace_back(name.substr(part.size() + 1), tensor);
  }
  return values;
}

void Checkpoint::count(const std::string& name, std::uint64_t value) {
  counters[name] = std::to_string(value);
}

std::uint64_t Checkpoint::counter(const std::string& name) const {
  const auto found = counters.find(name);
  if (found == counters.end()) refuse<DataError>("has no counter ", name);
  const std::string& text = found->second;
  std::uint64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop != text.data() + text.size()) {
    refuse<DataError>("counter ", name, " is no number: ", quoted(text));
  }
  return value;
}

namespace {

Json take_step(const Trainee& trainee) {
  try {
    return trainee.step();
  } catch (const NumericError& error) {
    refuse<NumericError>("step ", trainee.steps_done(), ": ", error.what(), "; try a smaller --lr");
  }
}

}  // namespace

bool train(const Trainee& trainee, RunDirectory& run, std::int64_t max_steps) {
  using Clock = std::chrono::steady_clock;
  std::int64_t last = trainee.epochs * trainee.steps_an_epoch;
  if (max_steps > 0) last = std::min(last, max_steps);
  const Interrupt interrupt;
  const auto save = [&] {
    const Checkpoint checkpoint = trainee.save();
    save_safetensors(run.file("checkpoint.safetensors"), checkpoint.tensors, checkpoint.counters);
  };
  if (trainee.steps_done() == 0) save();  // whenever the run is killed, it can be resumed
  Progress progress(trainee.steps_done(), last);
  Clock::time_point start = Clock::now();
  for (std::int64_t step = trainee.steps_done(); step < last;) {
    Json measured = take_step(trainee);
    step = trainee.steps_done();
    progress.step(step, measured.begin().key(), measured.begin()->get<double>());
    measured["step"] = step;
    run.log(measured);

    const bool epoch_ends = step % trainee.steps_an_epoch == 0;
    if (epoch_ends) {
      const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
      measured = trainee.epoch();
      std::string line =
          text("epoch %2lld/%lld", static_cast<long long>(step / trainee.steps_an_epoch),
               static_cast<long long>(trainee.epochs));
      for (const auto& [key, value] : measured.items()) {
        line += text("  %s %.2f", key.c_str(), value.get<double>());
      }
      progress.say(line + text("  %.1f s", seconds));
      measured["step"] = step;
      measured["seconds"] = seconds;
      run.log(measured);
      start = Clock::now();
    }
    const bool stop = interrupt.requested();
    if (epoch_ends || stop || step == last) save();
    if (stop) {
      progress.say(text("stopped at step %lld; continue with --resume %s",
                        static_cast<long long>(step), run.name().c_str()));
      return false;
    }
  }
  return true;
}

std::string text(const char* format, ...) {
  std::va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  std::string written(static_cast<std::size_t>(std::vsnprintf(nullptr, 0, format, arguments)), ' ');
  std::vsnprintf(written.data(), written.size() + 1, format, again);
  va_end(again);
  va_end(arguments);
  return written;
}

}  // namespace gradus::examples
