// TensorBoard's events, read back by a reader that shares nothing with the writer.
#include "examples/common/events.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "examples/common/errors.h"
#include "examples/common/picture.h"
#include "examples/common/report.h"
#include "examples/common/run_directory.h"
#include "gradus/tests/examples_support.h"

namespace gradus::examples {
namespace {

// ---- a reader ----

// CRC-32C bit by bit, then masked.
std::uint32_t slow_masked_crc(std::string_view bytes) {
  std::uint32_t crc = 0xffffffff;
  for (const unsigned char c : bytes) {
    crc ^= c;
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc / 2 ^ 0x82f63b78 : crc / 2;
  }
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xa282ead8;
}

template <class T>
T take(std::string_view& bytes) {
  if (bytes.size() < sizeof(T)) throw std::runtime_error("cut");
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  bytes.remove_prefix(sizeof(T));
  return value;
}

// The records of a file up to one that is cut off or damaged.
std::vector<std::string> records(std::string_view file) {
  std::vector<std::string> found;
  try {
    while (!file.empty()) {
      const std::string_view head = file.substr(0, 8);
      const auto length = take<std::uint64_t>(file);
      if (take<std::uint32_t>(file) != slow_masked_crc(head) || length > file.size()) break;
      const std::string_view body = file.substr(0, length);
      file.remove_prefix(length);
      if (take<std::uint32_t>(file) != slow_masked_crc(body)) break;
      found.emplace_back(body);
    }
  } catch (const std::runtime_error&) {
  }
  return found;
}

// Fields of a message: numbers as their bits, the rest as bytes.
struct Fields : std::multimap<int, std::string> {
  explicit Fields(std::string_view message) {
    while (!message.empty()) {
      const std::uint64_t key = varint(message);
      std::string value;
      if ((key & 7) == 0) {
        const std::uint64_t number = varint(message);
        value.assign(reinterpret_cast<const char*>(&number), 8);
      } else {
        const std::uint64_t size = (key & 7) == 1 ? 8 : (key & 7) == 5 ? 4 : varint(message);
        if (size > message.size()) throw std::runtime_error("cut");
        value = message.substr(0, size);
        message.remove_prefix(size);
      }
      emplace(static_cast<int>(key >> 3), value);
    }
  }
  static std::uint64_t varint(std::string_view& bytes) {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = take<std::uint8_t>(bytes);
      value |= std::uint64_t{byte & 127u} << shift;
      if (byte < 128) return value;
    }
  }
  std::string text(int field) const { return count(field) ? find(field)->second : ""; }
  Fields message(int field) const { return Fields(text(field)); }
  template <class T>
  T number(int field) const {
    std::string_view bytes = count(field) ? std::string_view(find(field)->second)
                                          : std::string_view("\0\0\0\0\0\0\0\0", 8);
    return take<T>(bytes);
  }
};

std::vector<Path> event_files(const Path& folder) {
  std::vector<Path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (contains(entry.path().filename().string(), "tfevents")) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<Fields> events_in(const Path& file) {
  std::vector<Fields> events;
  for (const std::string& record : records(read_text(file))) events.emplace_back(record);
  return events;
}

// ---- the tests ----

using Events = InFolder;

TEST(EventChecksums, AreMaskedCrc32c) {
  const auto unmasked = [](std::string_view text) {
    const std::uint32_t rotated = masked_crc32c(text) - 0xa282ead8;
    return rotated << 15 | rotated >> 17;
  };
  EXPECT_EQ(unmasked("123456789"), 0xe3069283u);            // the check value of CRC-32C
  EXPECT_EQ(unmasked(std::string(32, '\0')), 0x8a9136aau);  // RFC 3720, B.4
  EXPECT_EQ(unmasked(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(unmasked(""), 0u);
}

TEST_F(Events, BeginWithTheVersionAndAStart) {
  EventLog log(".");
  EXPECT_TRUE(event_files(".").empty());
  log.scalars(3, {{"loss", 0.5}});
  const auto files = event_files(".");
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0].filename().string().rfind("events.out.tfevents.1", 0), 0u) << files[0];
  const auto events = events_in(files[0]);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].text(3), "brain.Event:2");
  EXPECT_GT(events[0].number<double>(1), 1.7e9);
  EXPECT_EQ(events[1].message(7).number<std::int64_t>(1), 1);
  EXPECT_EQ(events[1].number<std::int64_t>(2), 0);
}

TEST_F(Events, HoldScalars) {
  EventLog log(".");
  log.scalars(0, {{"loss", 0.5}, {"accuracy/test", -1e30}});
  log.scalars(std::int64_t{1} << 40, {{"loss", NAN}});
  log.scalars(7, {});
  const auto events = events_in(event_files(".")[0]);
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[2].number<std::int64_t>(2), 0);
  const Fields summary = events[2].message(5);
  ASSERT_EQ(summary.count(1), 2u);
  const Fields loss(summary.find(1)->second), accuracy(std::next(summary.find(1))->second);
  EXPECT_EQ(loss.text(1), "loss");
  EXPECT_EQ(loss.number<float>(2), 0.5f);
  EXPECT_EQ(accuracy.text(1), "accuracy/test");
  EXPECT_EQ(accuracy.number<float>(2), -1e30f);
  EXPECT_EQ(events[3].number<std::int64_t>(2), std::int64_t{1} << 40);
  EXPECT_TRUE(std::isnan(events[3].message(5).message(1).number<float>(2)));
}

TEST_F(Events, HoldPictures) {
  const Bytes grey = encode_png({3, 500, 1, std::vector<std::uint8_t>(1500, 9)});
  const Bytes coloured = encode_png({2, 1, 3, std::vector<std::uint8_t>(6, 200)});
  EventLog log(".");
  log.image(12, "samples", grey);
  log.image(13, "latents", coloured);
  const auto events = events_in(event_files(".")[0]);
  ASSERT_EQ(events.size(), 4u);
  const Fields samples = events[2].message(5).message(1);
  EXPECT_EQ(samples.text(1), "samples");
  const Fields image = samples.message(4);
  EXPECT_EQ(image.number<std::int64_t>(1), 3);
  EXPECT_EQ(image.number<std::int64_t>(2), 500);
  EXPECT_EQ(image.number<std::int64_t>(3), 1);
  EXPECT_EQ(image.text(4), std::string(grey.begin(), grey.end()));
  EXPECT_EQ(events[3].message(5).message(1).message(4).number<std::int64_t>(3), 3);
  EXPECT_THROW(log.image(14, "none", {}), DataError);
}

TEST_F(Events, ATornTailCostsTheLastRecordOnly) {
  EventLog log(".");
  for (int step = 0; step < 3; ++step) log.scalars(step, {{"loss", step}});
  const Path file = event_files(".")[0];
  const std::string whole = read_text(file);
  const std::size_t last = whole.size() / 5;  // a record's length, more or less
  for (std::size_t size = whole.size() - last / 2; size < whole.size(); ++size)
    EXPECT_EQ(records(std::string_view(whole).substr(0, size)).size(), 4u) << size;
  EXPECT_EQ(records(whole).size(), 5u);
}

// Every number of metrics.jsonl is there, by name and step; a resumed run goes on in a file of its
// own, which takes back what came after the checkpoint.
TEST_F(Events, FollowTheRun) {
  RunDirectory run = RunDirectory::create("vae", "", Json::object());
  for (int step = 1; step <= 4; ++step)
    run.log({{"elbo", -1.0 * step}, {"kl", 2}, {"step", step}, {"note", "no number"}});
  auto files = event_files("runs/vae");
  ASSERT_EQ(files.size(), 1u);
  auto events = events_in(files[0]);
  ASSERT_EQ(events.size(), 6u);
  EXPECT_EQ(events[5].number<std::int64_t>(2), 4);
  EXPECT_EQ(events[5].message(5).count(1), 2u);
  EXPECT_EQ(events[5].message(5).message(1).number<float>(2), -4.0f);

  RunDirectory resumed = RunDirectory::open("vae");
  resumed.rewind(2);
  resumed.log({{"elbo", -3.5}, {"step", 3}});
  files = event_files("runs/vae");
  ASSERT_EQ(files.size(), 2u);
  events = events_in(files[1]);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[1].message(7).number<std::int64_t>(1), 1);
  EXPECT_EQ(events[1].number<std::int64_t>(2), 3);
  EXPECT_EQ(events[2].number<std::int64_t>(2), 3);

  Report report;
  report.config = Json::object();
  report.figures = {{"samples", "", encode_png({1, 1, 1, {0}})}};
  write_report(resumed, report);
  events = events_in(files[1]);
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[3].number<std::int64_t>(2), 3);
  EXPECT_EQ(events[3].message(5).message(1).text(1), "samples");
}

TEST_F(Events, AFolderThatIsGoneIsADataError) {
  EventLog log("nowhere");
  const auto message = message_of<DataError>([&] { log.scalars(0, {{"loss", 1}}); });
  EXPECT_TRUE(contains(message, "cannot be written: No such file or directory")) << message;
}

}  // namespace
}  // namespace gradus::examples
