#include <algorithm>
#include <utility>

#include "gradus/tensor/zip.h"

namespace gradus::detail {
namespace {

// Beyond it Python's zipfile uses the ZIP64 fields of the directory.
constexpr std::uint64_t narrow_limit = (std::uint64_t{1} << 31) - 1;
constexpr std::uint64_t in_zip64 = 0xffffffff;

// The value in so many bytes, the lowest first.
std::string field(int bytes, std::uint64_t value) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 255);
  return text;
}

struct Deflate : z_stream {
  Deflate() : z_stream{} {
    if (deflateInit2(this, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) !=
        Z_OK)
      throw OutOfMemory("zip: no memory to compress");
  }
  ~Deflate() { deflateEnd(this); }
};

std::string deflated_bytes(std::string_view head, std::span<const std::byte> rest) {
  constexpr std::size_t step = 1 << 18;
  Deflate stream;
  std::string packed;
  const auto take = [&](std::span<const std::byte> bytes, int flush) {
    stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    do {
      const std::size_t before = packed.size();
      packed.resize(before + step);
      stream.next_out = reinterpret_cast<Bytef*>(packed.data() + before);
      stream.avail_out = step;
      deflate(&stream, flush);  // cannot fail: the stream is sound and there is room
      packed.resize(before + step - stream.avail_out);
    } while (stream.avail_out == 0);
  };
  take(std::as_bytes(std::span(head)), Z_NO_FLUSH);
  for (; rest.size() > step; rest = rest.subspan(step)) take(rest.first(step), Z_NO_FLUSH);
  take(rest, Z_FINISH);
  return packed;
}

}  // namespace

void ZipWriter::append(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  parts_.push_back(bytes);
  size_ += bytes.size();
}

void ZipWriter::append(std::string text) {
  texts_.push_back(std::move(text));
  append(std::as_bytes(std::span(texts_.back())));
}

void ZipWriter::add(const std::string& name, std::string head, std::span<const std::byte> rest,
                    bool deflated) {
  const std::uint64_t local = size_, size = head.size() + rest.size();
  const std::uint32_t sum = checksum(checksum(0, std::as_bytes(std::span(head))), rest);
  std::string packed = deflated ? deflated_bytes(head, rest) : std::string();
  const std::uint64_t packed_size = deflated ? packed.size() : size;

  const bool ascii = std::all_of(name.begin(), name.end(), [](unsigned char c) { return c < 128; });
  // Version 4.5, flags (bit 11: the name is UTF-8), method, time 0 of 1980-01-01, checksum.
  const std::string common = field(2, 45) + field(2, ascii ? 0 : 1 << 11) +
                             field(2, deflated ? Z_DEFLATED : 0) + field(2, 0) + field(2, 0x21) +
                             field(4, sum);
  append("PK\3\4" + common + field(4, in_zip64) + field(4, in_zip64) + field(2, name.size()) +
         field(2, 20) + name + field(2, 1) + field(2, 16) + field(8, size) + field(8, packed_size));
  if (deflated) {
    append(std::move(packed));
  } else {
    append(std::move(head));
    append(rest);
  }

  std::string wide;
  const bool wide_sizes = std::max(size, packed_size) > narrow_limit;
  const bool wide_local = local > narrow_limit;
  if (wide_sizes) wide += field(8, size) + field(8, packed_size);
  if (wide_local) wide += field(8, local);
  if (!wide.empty()) wide = field(2, 1) + field(2, wide.size()) + wide;
  // By Unix, 4.5; then comment, disk and attributes: a file of mode 0600.
  directory_ +=
      "PK\1\2" + field(2, 3 << 8 | 45) + common + field(4, wide_sizes ? in_zip64 : packed_size) +
      field(4, wide_sizes ? in_zip64 : size) + field(2, name.size()) + field(2, wide.size()) +
      field(2, 0) + field(2, 0) + field(2, 0) + field(4, std::uint64_t{0600} << 16) +
      field(4, wide_local ? in_zip64 : local) + name + wide;
  ++count_;
}

void ZipWriter::write(const std::string& path, std::string_view operation) {
  const std::uint64_t begin = size_, bytes = directory_.size();
  append(std::move(directory_));
  if (count_ > 0xffff || begin > narrow_limit || bytes > narrow_limit) {
    const std::uint64_t at = size_;
    append("PK\6\6" + field(8, 44) + field(2, 45) + field(2, 45) + field(4, 0) + field(4, 0) +
           field(8, count_) + field(8, count_) + field(8, bytes) + field(8, begin));
    append("PK\6\7" + field(4, 0) + field(8, at) + field(4, 1));
  }
  const std::string count = field(2, std::min<std::uint64_t>(count_, 0xffff));
  append("PK\5\6" + field(2, 0) + field(2, 0) + count + count +
         field(4, std::min(bytes, in_zip64)) + field(4, std::min(begin, in_zip64)) + field(2, 0));
  write_file_atomically(path, parts_, operation);
}

}  // namespace gradus::detail
