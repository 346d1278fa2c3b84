// ZIP archives, as far as .npz files need them: contents stored or deflated, ZIP64, nothing else.
// A reader trusts nothing in the file and takes it in one way only: entries fill it from its first
// byte to the directory, the directory reaches to the end record, and that ends the file.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gradus/tensor/file.h"

namespace gradus::detail {

struct ZipEntry {
  std::string name;
  bool utf8 = false;  // the name is said to be; otherwise it is of an old code page
  bool deflated = false;
  std::uint32_t checksum = 0;  // CRC-32 of the contents
  std::uint64_t packed = 0;    // bytes of the contents in the file
  std::uint64_t size = 0;      // bytes of the contents, at most what so many packed ones can hold
  std::uint64_t begin = 0;     // where the packed contents lie
};

// CRC-32 of bytes that follow those whose checksum is `before`.
std::uint32_t checksum(std::uint32_t before, std::span<const std::byte> bytes);

// The entries in the order of the directory. No two share a byte or a name.
std::vector<ZipEntry> read_zip_directory(const InputFile& file);

// Hands out the contents of an entry from the first byte to the last. Errors begin with `context`.
class ZipContents {
 public:
  ZipContents(const InputFile& file, const ZipEntry& entry, std::string context);
  ~ZipContents();
  ZipContents(const ZipContents&) = delete;
  ZipContents& operator=(const ZipContents&) = delete;

  const std::string& context() const noexcept { return context_; }
  void read(std::span<std::byte> into);  // of all reads together, no more than the entry's size
  void finish();                         // all was read: nothing is left, and the checksum holds

 private:
  // Fills as much of `into` as there is, and returns how much that was.
  std::size_t inflate_some(std::span<std::byte> into);
  [[noreturn]] void fail_memory() const;

  const InputFile& file_;
  const ZipEntry& entry_;
  std::string context_;
  std::uint64_t at_, end_;  // what was not yet read of the file
  std::uint32_t checksum_ = 0;
  std::vector<std::byte> buffer_;
  z_stream stream_{};
  bool ended_ = false;
};

// Collects an archive and writes it, in the way of Python's zipfile as NumPy uses it: every entry
// with ZIP64 sizes, of 1980-01-01. The contents given must live until then.
class ZipWriter {
 public:
  void add(const std::string& name, std::string head, std::span<const std::byte> rest,
           bool deflated);
  void write(const std::string& path, std::string_view operation);

 private:
  void append(std::string text);
  void append(std::span<const std::byte> bytes);

  std::deque<std::string> texts_;
  std::vector<std::span<const std::byte>> parts_;
  std::uint64_t size_ = 0, count_ = 0;
  std::string directory_;
};

}  // namespace gradus::detail
