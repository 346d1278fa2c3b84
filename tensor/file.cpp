#include "gradus/tensor/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

namespace gradus {
namespace {

// System calls take at most 2 GiB at a time; larger transfers come back short and go round again.
constexpr std::size_t max_transfer = std::size_t{1} << 30;

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }
  int release() { return std::exchange(value_, -1); }
  explicit operator bool() const { return value_ >= 0; }

 private:
  int value_;
};

template <class Call>
auto retried(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

std::string context_of(std::string_view operation, const std::string& path) {
  return std::string(operation) + ": " + path;
}

[[noreturn]] void fail_errno(const std::string& context, const char* what, int error = errno) {
  if (error == ENOMEM) throw OutOfMemory(context + ": " + what + ": out of memory");
  fail_file(context, ": ", what, ": ", std::generic_category().message(error));
}

constexpr std::string_view prefix = ".gradus-", suffix = ".tmp";

// A file in the directory that unlinks itself, or what it has changed places with. As long as it is
// open it is locked, so that no other process takes it for abandoned.
class Temporary {
 public:
  Temporary(const Descriptor& directory, const std::string& context)
      : directory_(directory.get()), descriptor_(open(directory.get(), name_)) {
    if (!descriptor_) fail_errno(context, "cannot create a temporary beside it");
  }
  ~Temporary() {
    if (!name_.empty()) ::unlinkat(directory_, name_.c_str(), 0);
  }
  int descriptor() const { return descriptor_.get(); }
  // Puts it at `target`. An old file there lives on under the temporary's name until the end, where
  // the file system can do that.
  bool place(const std::string& target) {
    if (exchange(target)) return true;
    if (errno != ENOENT && errno != EINVAL && errno != ENOSYS) return false;
    fresh_ = errno == ENOENT;
    if (::renameat(directory_, name_.c_str(), directory_, target.c_str()) != 0) return false;
    name_.clear();
    return true;
  }
  void take_back(const std::string& target) noexcept {
    if (!name_.empty())
      exchange(target);
    else if (fresh_)
      ::unlinkat(directory_, target.c_str(), 0);
  }

 private:
  bool exchange(const std::string& target) noexcept {
    return ::renameat2(directory_, name_.c_str(), directory_, target.c_str(), RENAME_EXCHANGE) == 0;
  }

  // A name in use was left by a process that was killed, one that is gone was removed before it was
  // locked; the next number is tried.
  static int open(int directory, std::string& name) {
    static std::atomic<unsigned> counter{0};
    for (;;) {
      name = std::string(prefix) + std::to_string(::getpid()) + "-" + std::to_string(counter++);
      name += suffix;
      Descriptor file(retried([&] {
        return ::openat(directory, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      }));
      if (!file && errno == EEXIST) continue;
      if (!file) {
        name.clear();
        return -1;
      }
      retried([&] { return ::flock(file.get(), LOCK_EX); });
      struct stat status;
      if (::fstat(file.get(), &status) != 0 || status.st_nlink > 0) return file.release();
    }
  }

  int directory_;
  bool fresh_ = false;  // there was nothing at the target
  std::string name_;
  Descriptor descriptor_;
};

void write_all(int descriptor, std::span<const std::byte> bytes, const std::string& context) {
  while (!bytes.empty()) {
    const ssize_t n = retried(
        [&] { return ::write(descriptor, bytes.data(), std::min(bytes.size(), max_transfer)); });
    if (n <= 0) fail_errno(context, "cannot write", n == 0 ? EIO : errno);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

}  // namespace

InputFile::InputFile(std::string_view operation, const std::string& path)
    : context_(context_of(operation, path)) {
  // Without O_NONBLOCK opening a pipe would wait for a writer before it can be refused.
  Descriptor file(retried([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); }));
  if (!file) fail_errno(context_, "cannot open");
  struct stat status;
  if (::fstat(file.get(), &status) != 0) fail_errno(context_, "cannot stat");
  if (S_ISDIR(status.st_mode)) fail_errno(context_, "cannot read", EISDIR);
  if (!S_ISREG(status.st_mode)) fail_file(context_, ": cannot read: not a regular file");
  size_ = static_cast<std::uint64_t>(status.st_size);
  descriptor_ = file.release();
}

InputFile::~InputFile() { ::close(descriptor_); }

void InputFile::read(std::uint64_t offset, std::span<std::byte> into) const {
  while (!into.empty()) {
    const ssize_t n = retried([&] {
      return ::pread(descriptor_, into.data(), std::min(into.size(), max_transfer),
                     static_cast<off_t>(offset));
    });
    if (n < 0) fail_errno(context_, "cannot read");
    if (n == 0) fail_file(context_, ": file ends early: no byte at ", offset, " of ", size_);
    offset += static_cast<std::uint64_t>(n);
    into = into.subspan(static_cast<std::size_t>(n));
  }
}

void write_file_atomically(const std::string& path,
                           std::span<const std::span<const std::byte>> parts,
                           std::string_view operation) {
  const std::string context = context_of(operation, path);
  const std::filesystem::path whole = path;
  const std::string target = whole.filename().string();
  if (target.empty()) fail_file(context, ": cannot write: the path names no file");
  const std::filesystem::path parent = whole.has_parent_path() ? whole.parent_path() : ".";

  // Opened first: if it cannot be flushed to the disk in the end, nothing is to change.
  Descriptor directory(
      retried([&] { return ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (!directory) fail_errno(context, "cannot open the directory");
  struct stat status;
  if (::fstatat(directory.get(), target.c_str(), &status, 0) == 0) {
    if (S_ISDIR(status.st_mode)) fail_errno(context, "cannot write", EISDIR);
    if (!S_ISREG(status.st_mode)) fail_file(context, ": cannot write: not a regular file");
  }

  Temporary temporary(directory, context);
  for (const auto part : parts) write_all(temporary.descriptor(), part, context);
  if (retried([&] { return ::fsync(temporary.descriptor()); }) != 0)
    fail_errno(context, "cannot flush");
  if (!temporary.place(target)) fail_errno(context, "cannot rename the temporary");
  // EINVAL: a file system that cannot flush directories. The file itself is safe.
  if (retried([&] { return ::fsync(directory.get()); }) != 0 && errno != EINVAL) {
    const int error = errno;
    temporary.take_back(target);
    fail_errno(context, "cannot flush the directory", error);
  }
}

void remove_abandoned_temporaries(const std::string& directory) noexcept {
  const std::unique_ptr<DIR, int (*)(DIR*)> list(::opendir(directory.c_str()), ::closedir);
  if (!list) return;
  const int folder = ::dirfd(list.get());
  while (const dirent* entry = ::readdir(list.get())) {
    const std::string_view name = entry->d_name;
    if (!name.starts_with(prefix) || !name.ends_with(suffix)) continue;
    const Descriptor file(
        ::openat(folder, entry->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat opened, named;
    if (!file || ::fstat(file.get(), &opened) != 0 || !S_ISREG(opened.st_mode)) continue;
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) continue;
    // Its writer may have finished meanwhile, and the name be another's.
    if (::fstatat(folder, entry->d_name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
        named.st_dev == opened.st_dev && named.st_ino == opened.st_ino)
      ::unlinkat(folder, entry->d_name, 0);
  }
}

std::string printable(std::string_view text) {
  constexpr std::size_t longest = 80;
  constexpr char digits[] = "0123456789abcdef";
  std::string result = "'";
  for (const char c : text.substr(0, longest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      result += c;
    } else {
      result += "\\x";
      result += digits[byte >> 4];
      result += digits[byte & 15];
    }
  }
  return result + (text.size() > longest ? "...'" : "'");
}

std::optional<std::string_view> repeated(std::vector<std::string_view> names) {
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice == names.end()) return {};
  return *twice;
}

std::int64_t bytes_or_overflow(std::span<const std::uint64_t> sizes, std::int64_t item) {
  constexpr std::uint64_t limit = std::uint64_t{1} << 62;
  std::uint64_t bytes = static_cast<std::uint64_t>(item);
  bool empty = false;
  for (const std::uint64_t size : sizes) {
    empty |= size == 0;
    if (size != 0 && __builtin_mul_overflow(bytes, size, &bytes)) return -1;
    if (bytes > limit) return -1;
  }
  return empty ? 0 : static_cast<std::int64_t>(bytes);
}

void check_booleans(std::span<const std::byte> bytes, std::uint64_t offset,
                    std::string_view context) {
  const auto bad =
      std::find_if(bytes.begin(), bytes.end(), [](std::byte b) { return b > std::byte{1}; });
  if (bad != bytes.end())
    fail_file(context, ": boolean is neither 0 nor 1: ", std::to_integer<int>(*bad), " at byte ",
              offset + static_cast<std::uint64_t>(bad - bytes.begin()));
}

}  // namespace gradus
