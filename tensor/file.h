// Files: reading that trusts no size, and writing that leaves the old file or the new one, never a
// mixture. Used by the tensor formats and by anything else that must survive a crash.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "gradus/tensor/error.h"

namespace gradus {

// A file that cannot be opened, read, understood or written. The text reads
// "operation: path: rule: facts", the facts of a failed system call being those of errno. Where
// memory is what the system lacks, OutOfMemory is thrown instead.
class GRADUS_API FileError : public Error {
 public:
  using Error::Error;
};

// Throws FileError with the parts written one after the other.
template <class... Parts>
[[noreturn, gnu::cold, gnu::noinline]] void fail_file(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw FileError(text.str());
}

// A regular file open for reading. Its size is taken once; a file that shrinks afterwards is an
// error of the read that meets it.
class GRADUS_API InputFile {
 public:
  // `operation` opens the text of every error.
  InputFile(std::string_view operation, const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  std::uint64_t size() const noexcept { return size_; }
  // "operation: path", as errors about the content begin.
  const std::string& context() const noexcept { return context_; }
  // Fills `into` from the bytes at `offset`. Safe from several threads at once.
  void read(std::uint64_t offset, std::span<std::byte> into) const;

 private:
  std::string context_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

// Writes the parts one after the other to a temporary in the same directory, flushes it to the disk
// and renames it to `path`. On failure the temporary is gone, what was at `path` is as it was, and
// FileError is thrown. Only regular files are replaced; of a symbolic link the link itself.
GRADUS_API void write_file_atomically(const std::string& path,
                                      std::span<const std::span<const std::byte>> parts,
                                      std::string_view operation = "write_file_atomically");

// Removes the temporaries of writers that were killed. Those being written stay, whichever process
// or machine writes them (they are locked; where a file system has no locks, all stay). What cannot
// be removed stays, too.
GRADUS_API void remove_abandoned_temporaries(const std::string& directory) noexcept;

// Text found in a file as an error message may show it: in quotes, on one line, cut when long.
GRADUS_API std::string printable(std::string_view text);

// A name that occurs twice. By sorting: a hash table's worst case would be the file's to choose.
std::optional<std::string_view> repeated(std::vector<std::string_view> names);

// Bytes of a tensor of these sizes and `item` bytes an element, or -1 above 2^62. Zeros are left
// out of the test, so an empty tensor's strides fit as well.
GRADUS_API std::int64_t bytes_or_overflow(std::span<const std::uint64_t> sizes, std::int64_t item);

// Throws unless every byte is 0 or 1: no other may become a bool. `offset` is where they lie in the
// file.
GRADUS_API void check_booleans(std::span<const std::byte> bytes, std::uint64_t offset,
                               std::string_view context);

}  // namespace gradus
