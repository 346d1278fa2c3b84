// Disks that fail: every system call of an atomic write goes wrong in turn.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "gradus/tensor/safetensors.h"
#include "gradus/tests/files.h"

namespace {

// The call that brings `left` down to 0 fails with `error`, or writes half of what it is given.
int left = 0, error = 0;
bool half = false, fired = false;

bool fails() {
  if (left == 0 || --left > 0) return false;
  fired = true;
  errno = error;
  return true;
}

}  // namespace

// The linker directs the library's calls here (--wrap).
extern "C" {
ssize_t __real_write(int file, const void* bytes, std::size_t count);
ssize_t __wrap_write(int file, const void* bytes, std::size_t count) {
  if (!fails()) return __real_write(file, bytes, count);
  return half ? __real_write(file, bytes, (count + 1) / 2) : -1;
}
int __real_fsync(int file);
int __wrap_fsync(int file) { return fails() ? -1 : __real_fsync(file); }
int __real_renameat(int from, const char* old_name, int to, const char* new_name);
int __wrap_renameat(int from, const char* old_name, int to, const char* new_name) {
  return fails() ? -1 : __real_renameat(from, old_name, to, new_name);
}
int __real_renameat2(int from, const char* old_name, int to, const char* new_name, unsigned flags);
int __wrap_renameat2(int from, const char* old_name, int to, const char* new_name, unsigned flags) {
  return fails() ? -1 : __real_renameat2(from, old_name, to, new_name, flags);
}
int __real_openat(int directory, const char* name, int flags, mode_t mode);
int __wrap_openat(int directory, const char* name, int flags, mode_t mode) {
  return fails() ? -1 : __real_openat(directory, name, flags, mode);
}
}

namespace gradus::test {
namespace {

class FileFaults : public testing::Test {
 protected:
  void arm(int number, int with) {
    left = number;
    error = with;
    half = with == 0;
    fired = false;
  }
  void TearDown() override { left = 0; }
  void save() {
    const NamedTensors tensors{{"weight", full({3, 4}, 0.5)}, {"bias", full({3}, 2.0)}};
    try {
      save_safetensors(file_.string(), tensors, {{"step", "7"}});
    } catch (...) {
      left = 0;
      throw;
    }
    left = 0;
  }
  // What a save without faults writes.
  std::string whole() {
    save();
    const std::string bytes = read_bytes(file_);
    std::filesystem::remove(file_);
    return bytes;
  }

  TemporaryDirectory directory_;
  std::filesystem::path file_ = directory_ / "checkpoint";
};

TEST_F(FileFaults, LeaveTheOldFileAndNothingElse) {
  for (const bool old : {true, false}) {
    for (const int code : {EIO, ENOSPC, EDQUOT, EROFS, ENOMEM}) {
      if (old) write_bytes(file_, "old");
      int number = 0;
      do {
        arm(++number, code);
        SCOPED_TRACE(testing::Message() << "call " << number << ": " << std::strerror(code));
        try {
          save();
          EXPECT_FALSE(fired);
          continue;
        } catch (const Error& failure) {
          const std::string text = failure.what(), why = std::strerror(code);
          const bool memory = code == ENOMEM;
          EXPECT_TRUE(fired);
          EXPECT_EQ(dynamic_cast<const OutOfMemory*>(&failure) != nullptr, memory);
          EXPECT_EQ(dynamic_cast<const FileError*>(&failure) != nullptr, !memory);
          EXPECT_EQ(text.rfind("save_safetensors: " + file_.string() + ": cannot ", 0), 0U) << text;
          EXPECT_NE(text.find(memory ? "out of memory" : why), text.npos) << text;
        }
        EXPECT_EQ(read_bytes(file_), old ? "old" : "");
        EXPECT_EQ(directory_.count(), old ? 1U : 0U);
      } while (fired && !HasFailure());
      EXPECT_GT(number, 7);  // the temporary, four parts, two flushes, the renaming
      std::filesystem::remove(file_);
    }
  }
}

TEST_F(FileFaults, OfAMomentAreOvercome) {
  const std::string expected = whole();
  for (const int code : {EINTR, 0}) {
    int number = 0;
    do {
      write_bytes(file_, "old");
      arm(++number, code);
      SCOPED_TRACE(testing::Message() << "call " << number << (code ? ": EINTR" : ": half"));
      // A half may fall on a call that is none of writing, and then fails: both are a whole file.
      try {
        save();
        EXPECT_TRUE(read_bytes(file_) == expected);
      } catch (const FileError&) {
        EXPECT_EQ(read_bytes(file_), "old");
        EXPECT_TRUE(number > 6 || code == 0) << "not retried";
      }
      EXPECT_EQ(directory_.count(), 1U);
    } while (fired && !HasFailure());
    EXPECT_GT(number, 7);
  }
}

// File systems without the exchange of two names.
TEST_F(FileFaults, WithoutAnExchangeTheFileIsRenamed) {
  const std::string expected = whole();
  int exchanged = 0;
  for (int number = 1; number < 10; ++number) {
    write_bytes(file_, "old");
    arm(number, EINVAL);
    try {
      save();
      exchanged += fired;
      EXPECT_TRUE(read_bytes(file_) == expected);
    } catch (const FileError&) {
      EXPECT_EQ(read_bytes(file_), "old");
    }
    EXPECT_EQ(directory_.count(), 1U);
  }
  EXPECT_EQ(exchanged, 2);  // at the renaming and at the flush of the directory
}

}  // namespace
}  // namespace gradus::test
