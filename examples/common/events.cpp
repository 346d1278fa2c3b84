#include "examples/common/events.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <chrono>

#include "examples/common/errors.h"

namespace gradus::examples {
namespace {

constexpr std::array<std::uint32_t, 256> crc_table = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    // The polynomial of Castagnoli, lowest bit first.
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0x82f63b78u : 0);
    table[i] = value;
  }
  return table;
}();

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string little_endian(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 255);
  return text;
}

// Protocol buffers: a key, which is the field's number and its wire type, and the value.
std::string varint(std::uint64_t value) {
  std::string text;
  for (; value > 127; value >>= 7) text += static_cast<char>(value | 128);
  return text + static_cast<char>(value);
}
std::string key(int number, int wire_type) {
  return varint(static_cast<std::uint64_t>(number << 3 | wire_type));
}
std::string integer(int number, std::int64_t value) {
  return key(number, 0) + varint(static_cast<std::uint64_t>(value));
}
std::string float64(int number, double value) {
  return key(number, 1) + little_endian(std::bit_cast<std::uint64_t>(value), 8);
}
std::string float32(int number, float value) {
  return key(number, 5) + little_endian(std::bit_cast<std::uint32_t>(value), 4);
}
std::string bytes(int number, std::string_view value) {
  return key(number, 2) + varint(value.size()) + std::string(value);
}

// tensorflow/core/util/event.proto and framework/summary.proto.
enum Event { wall_time = 1, step_number = 2, file_version = 3, summary_message = 5, session = 7 };
enum SessionLog { status = 1, start = 1 };
enum Summary { value = 1 };
enum Value { tag = 1, simple_value = 2, image_message = 4 };
enum Image { height = 1, width = 2, colorspace = 3, encoded = 4 };

std::int64_t big_endian(const Bytes& png, std::size_t at) {
  return std::int64_t{png[at]} << 24 | png[at + 1] << 16 | png[at + 2] << 8 | png[at + 3];
}

}  // namespace

std::uint32_t masked_crc32c(std::string_view bytes) {
  std::uint32_t crc = ~0u;
  for (const char c : bytes)
    crc = crc >> 8 ^ crc_table[(crc ^ static_cast<unsigned char>(c)) & 255];
  return std::rotr(~crc, 15) + 0xa282ead8u;
}

void EventLog::resume_after(std::int64_t step) {
  file_.close();
  first_step_ = step + 1;
}

void EventLog::scalars(std::int64_t step,
                       const std::vector<std::pair<std::string, double>>& values) {
  std::string summary;
  for (const auto& [name, number] : values)
    summary += bytes(Summary::value, bytes(Value::tag, name) +
                                         float32(Value::simple_value, static_cast<float>(number)));
  if (!summary.empty()) add(step, summary);
}

void EventLog::image(std::int64_t step, const std::string& name, const Bytes& png) {
  constexpr std::size_t header = 26;  // signature, then IHDR: width, height, depth, kind
  if (png.size() < header) refuse<DataError>(name, ": is no PNG: ", png.size(), " bytes");
  const bool grey = png[header - 1] == 0;
  const std::string image =
      integer(Image::height, big_endian(png, 20)) + integer(Image::width, big_endian(png, 16)) +
      integer(Image::colorspace, grey ? 1 : 3) +
      bytes(Image::encoded, {reinterpret_cast<const char*>(png.data()), png.size()});
  add(step, bytes(Summary::value, bytes(Value::tag, name) + bytes(Value::image_message, image)));
}

void EventLog::add(std::int64_t step, const std::string& summary) {
  errno = 0;
  if (!file_.is_open()) begin();
  write(float64(Event::wall_time, seconds_now()) + integer(Event::step_number, step) +
        bytes(Event::summary_message, summary));
}

// The version that every reader asks for, then the word that steps from here on come anew.
void EventLog::begin() {
  static std::atomic<int> number{0};
  char host[256] = "localhost";
  ::gethostname(host, sizeof host - 1);
  const double now = seconds_now();
  const std::string seconds = std::to_string(static_cast<std::int64_t>(now));
  path_ = folder_ / ("events.out.tfevents." + seconds + "." + host + "." +
                     std::to_string(::getpid()) + "." + std::to_string(number++));
  file_.open(path_, std::ios::app | std::ios::binary);
  write(float64(Event::wall_time, now) + bytes(Event::file_version, "brain.Event:2"));
  write(float64(Event::wall_time, now) + integer(Event::step_number, first_step_) +
        bytes(Event::session, integer(SessionLog::status, SessionLog::start)));
}

// A TFRecord: length, its checksum, the bytes, their checksum.
void EventLog::write(const std::string& event) {
  const std::string length = little_endian(event.size(), 8);
  const std::string record = length + little_endian(masked_crc32c(length), 4) + event +
                             little_endian(masked_crc32c(event), 4);
  file_.write(record.data(), std::ssize(record));
  file_.flush();
  if (!file_) refuse_write(path_.string());
}

}  // namespace gradus::examples
