#include "gradus/tensor/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "gradus/tests/files.h"

namespace gradus {
namespace {

using namespace test;

void write(const std::filesystem::path& path, std::string_view text) {
  const std::span<const std::byte> parts[] = {as_bytes(text)};
  write_file_atomically(path, parts);
}

// A file is as it was and stands alone in its directory.
void expect_untouched(const TemporaryDirectory& directory, const std::filesystem::path& path) {
  EXPECT_EQ(read_bytes(path), "old");
  EXPECT_EQ(directory.count(), 1U);
}

TEST(WriteFileAtomically, WritesPartsInOrder) {
  TemporaryDirectory directory;
  const auto path = directory / "file";
  const std::span<const std::byte> parts[] = {as_bytes("one "), {}, as_bytes("two")};
  write_file_atomically(path, parts);
  EXPECT_EQ(read_bytes(path), "one two");
  write_file_atomically(path, {});
  EXPECT_EQ(read_bytes(path), "");
  EXPECT_EQ(directory.count(), 1U);
}

TEST(WriteFileAtomically, GivesTheModeOfTheUmask) {
  TemporaryDirectory directory;
  const mode_t old = ::umask(027);
  write(directory / "file", "text");
  ::umask(old);
  struct stat status;
  ASSERT_EQ(::stat((directory / "file").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640U);
}

TEST(WriteFileAtomically, TakesNamesWithoutDirectoryAndOfFullLength) {
  TemporaryDirectory directory;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(directory.path());
  write("file", "text");
  std::filesystem::current_path(before);
  EXPECT_EQ(read_bytes(directory / "file"), "text");
  write(directory / std::string(255, 'n'), "text");
  EXPECT_EQ(read_bytes(directory / std::string(255, 'n')), "text");
}

TEST(WriteFileAtomically, AMissingDirectoryIsAnError) {
  TemporaryDirectory directory;
  const auto path = directory / "missing/file";
  expect_error<FileError>([&] { write(path, "new"); },
                          "write_file_atomically: " + path.string() +
                              ": cannot open the directory: No such file or directory");
  EXPECT_EQ(directory.count(), 0U);
}

TEST(WriteFileAtomically, ADirectoryIsNotReplaced) {
  TemporaryDirectory directory;
  std::filesystem::create_directory(directory / "target");
  expect_error<FileError>([&] { write(directory / "target", "new"); }, "target",
                          "cannot write: Is a directory");
  expect_error<FileError>([&] { write(directory / "target/", "new"); }, "names no file");
  EXPECT_TRUE(std::filesystem::is_directory(directory / "target"));
  EXPECT_EQ(directory.count(), 1U);
}

TEST(WriteFileAtomically, APipeIsNotReplaced) {
  TemporaryDirectory directory;
  ASSERT_EQ(::mkfifo((directory / "pipe").c_str(), 0600), 0);
  expect_error<FileError>([&] { write(directory / "pipe", "new"); }, "not a regular file");
  EXPECT_TRUE(std::filesystem::is_fifo(directory / "pipe"));
  EXPECT_EQ(directory.count(), 1U);
}

TEST(WriteFileAtomically, OfALinkTheLinkIsReplaced) {
  TemporaryDirectory directory;
  write_bytes(directory / "file", "old");
  std::filesystem::create_symlink("file", directory / "link");
  write(directory / "link", "new");
  EXPECT_EQ(read_bytes(directory / "file"), "old");
  EXPECT_EQ(read_bytes(directory / "link"), "new");
}

// For its life this process may not write where only its user could.
class WithoutRights {
 public:
  explicit WithoutRights(const TemporaryDirectory& directory) : directory_(directory) {
    std::filesystem::permissions(directory_.path(), std::filesystem::perms(0555));
    if (root_ && ::seteuid(65534) != 0) throw std::runtime_error("seteuid failed");
  }
  ~WithoutRights() {
    if (root_ && ::seteuid(0) != 0) ADD_FAILURE() << "seteuid failed";
    std::filesystem::permissions(directory_.path(), std::filesystem::perms(0755));
  }

 private:
  const TemporaryDirectory& directory_;
  const bool root_ = ::geteuid() == 0;
};

TEST(WriteFileAtomically, AnUnwritableDirectoryIsAnError) {
  TemporaryDirectory directory;
  const auto path = directory / "file";
  write_bytes(path, "old");
  {
    WithoutRights rights(directory);
    expect_error<FileError>([&] { write(path, "new"); }, path.string(),
                            "cannot create a temporary beside it: Permission denied");
  }
  expect_untouched(directory, path);
}

// A disk that fills up in the middle of a part: the kernel writes what fits, then refuses.
TEST(WriteFileAtomically, AFullDiskIsAnError) {
  TemporaryDirectory directory;
  const auto path = directory / "file";
  write_bytes(path, "old");
  const std::string large(100'000, 'x');
  rlimit old;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit small = old;
  small.rlim_cur = 4096;
  std::string text;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  try {
    write(path, large);
  } catch (const FileError& error) {
    text = error.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &old);
  ::signal(SIGXFSZ, handler);
  EXPECT_EQ(text, "write_file_atomically: " + path.string() + ": cannot write: File too large");
  expect_untouched(directory, path);
}

TEST(WriteFileAtomically, FromSeveralThreadsOneOfThemWins) {
  TemporaryDirectory directory;
  const auto path = directory / "file";
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&, i] {
      for (int j = 0; j < 20; ++j) write(path, std::string(10'000, static_cast<char>('a' + i)));
    });
  for (auto& thread : threads) thread.join();
  const std::string text = read_bytes(path);
  EXPECT_EQ(text, std::string(10'000, text.empty() ? '?' : text.front()));
  EXPECT_EQ(directory.count(), 1U);
}

// Killed at any moment, a writer leaves a whole file.
TEST(WriteFileAtomically, SurvivesKill) {
  TemporaryDirectory directory;
  const auto path = directory / "file";
  const std::string texts[] = {std::string(1 << 20, 'a'), std::string(1 << 20, 'b')};
  write(path, texts[0]);
  for (int round = 0; round < 10; ++round) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0)
      for (int i = 0;; ++i) write(path, texts[i % 2]);
    std::this_thread::sleep_for(std::chrono::microseconds(500 + 1500 * round));
    ::kill(child, SIGKILL);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    const std::string text = read_bytes(path);
    ASSERT_TRUE(text == texts[0] || text == texts[1]) << text.size() << " bytes";
  }
  // What the killed ones left does not stand in the way.
  write(path, "new");
  remove_abandoned_temporaries(directory.path());
  EXPECT_EQ(read_bytes(path), "new");
  EXPECT_EQ(directory.count(), 1U);
}

TEST(RemoveAbandonedTemporaries, TakesNothingElse) {
  TemporaryDirectory directory;
  for (const char* name : {".gradus-1-0.tmp", ".gradus-2-0.tmp", "x.tmp", ".gradus", "model"})
    write_bytes(directory / name, "x");
  std::filesystem::create_directory(directory / ".gradus-3-0.tmp");
  std::filesystem::create_symlink("model", directory / ".gradus-4-0.tmp");
  const int used = ::open((directory / ".gradus-2-0.tmp").c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(::flock(used, LOCK_EX), 0);
  remove_abandoned_temporaries(directory.path());
  EXPECT_FALSE(std::filesystem::exists(directory / ".gradus-1-0.tmp"));
  EXPECT_EQ(directory.count(), 6U);
  ::close(used);
  remove_abandoned_temporaries(directory.path());
  EXPECT_EQ(directory.count(), 5U);
  remove_abandoned_temporaries(directory / "missing");
}

TEST(RemoveAbandonedTemporaries, AWriterNeverMissesItsOwn) {
  TemporaryDirectory directory;
  std::atomic<bool> done{false};
  std::thread remover([&] {
    while (!done) remove_abandoned_temporaries(directory.path());
  });
  for (int i = 0; i < 500; ++i) EXPECT_NO_THROW(write(directory / "file", "text")) << i;
  done = true;
  remover.join();
  EXPECT_EQ(directory.count(), 1U);
}

TEST(InputFile, ReadsAnyPart) {
  TemporaryDirectory directory;
  write_bytes(directory / "file", "0123456789");
  const InputFile file("load", directory / "file");
  EXPECT_EQ(file.size(), 10U);
  std::string text(4, ' ');
  file.read(3, std::as_writable_bytes(std::span(text)));
  EXPECT_EQ(text, "3456");
  file.read(10, {});
}

TEST(InputFile, WhatCannotBeReadIsAnError) {
  TemporaryDirectory directory;
  const auto open = [&](const char* name) { InputFile("load", directory / name); };
  expect_error<FileError>([&] { open("none"); }, "load: " + (directory / "none").string() +
                                                     ": cannot open: No such file or directory");
  expect_error<FileError>([&] { open("."); }, "Is a directory");
  ASSERT_EQ(::mkfifo((directory / "pipe").c_str(), 0600), 0);
  expect_error<FileError>([&] { open("pipe"); }, "not a regular file");
}

TEST(InputFile, AFileThatShrinksIsAnError) {
  TemporaryDirectory directory;
  write_bytes(directory / "file", "0123456789");
  const InputFile file("load", directory / "file");
  std::filesystem::resize_file(directory / "file", 5);
  std::string text(8, ' ');
  expect_error<FileError>([&] { file.read(0, std::as_writable_bytes(std::span(text))); },
                          "file ends early: no byte at 5 of 10");
}

TEST(Printable, KeepsTextOnOneShortLine) {
  EXPECT_EQ(printable("weight"), "'weight'");
  EXPECT_EQ(printable(std::string_view("a\n\0\x7f", 4)), "'a\\x0a\\x00\\x7f'");
  EXPECT_EQ(printable(std::string(1'000'000, 'n')), "'" + std::string(80, 'n') + "...'");
}

TEST(BytesOrOverflow, ChecksEmptySizesToo) {
  constexpr std::uint64_t large = std::uint64_t{1} << 62;
  const auto bytes = [](std::vector<std::uint64_t> sizes, std::int64_t item) {
    return bytes_or_overflow(sizes, item);
  };
  EXPECT_EQ(bytes({}, 8), 8);
  EXPECT_EQ(bytes({2, 3}, 4), 24);
  EXPECT_EQ(bytes({0, 3}, 4), 0);
  EXPECT_EQ(bytes({large}, 1), std::int64_t{1} << 62);
  EXPECT_EQ(bytes({large, 0}, 1), 0);
  EXPECT_EQ(bytes({large}, 2), -1);
  EXPECT_EQ(bytes({large + 1}, 1), -1);
  EXPECT_EQ(bytes({0, large, 2}, 1), -1);
  EXPECT_EQ(bytes({large, 2, 0}, 1), -1);
  EXPECT_EQ(bytes({large, 4}, 4), -1);
  EXPECT_EQ(bytes({~std::uint64_t{0}, ~std::uint64_t{0}}, 1), -1);
}

TEST(CheckBooleans, NamesTheByte) {
  check_booleans(as_bytes(std::string_view("\0\1\1", 3)), 0, "load");
  expect_error<FileError>([] { check_booleans(as_bytes(std::string_view("\0\2", 2)), 10, "load"); },
                          "load: boolean is neither 0 nor 1: 2 at byte 11");
}

}  // namespace
}  // namespace gradus
