// TensorBoard's event files: numbers and pictures by step, for `tensorboard --logdir runs`.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "examples/common/file.h"

namespace gradus::examples {

// One file, events.out.tfevents.<seconds>.<host>.<process>.<number>, begun by the first record.
// Records are only ever appended and handed to the system one by one: a crash can cut the last one,
// and readers stop there. A run that is continued writes another file beside the first;
// TensorBoard merges them, and forgets what the first held from the new one's first step on.
class EventLog {
 public:
  explicit EventLog(Path folder) : folder_(std::move(folder)) {}

  // The next file says that what earlier files hold after `step` no longer counts.
  void resume_after(std::int64_t step);

  // Throw DataError if the disk is full. A PNG's size is read from its header.
  void scalars(std::int64_t step, const std::vector<std::pair<std::string, double>>& values);
  void image(std::int64_t step, const std::string& name, const Bytes& png);

 private:
  void add(std::int64_t step, const std::string& summary);
  void begin();
  void write(const std::string& event);

  Path folder_, path_;
  std::ofstream file_;
  std::int64_t first_step_ = 0;
};

// The checksum of its records: CRC-32C, rotated and shifted so that checksums of checksums work.
std::uint32_t masked_crc32c(std::string_view bytes);

}  // namespace gradus::examples
