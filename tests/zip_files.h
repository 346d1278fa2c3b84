// ZIP archives for tests, byte by byte, so that every field can be wrong.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gradus::test::zip {

inline std::string field(int bytes, std::uint64_t value) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 255);
  return text;
}

inline std::uint32_t checksum(std::string_view bytes) {
  return static_cast<std::uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

// An .npy file of this shape and so many zero bytes of data.
inline std::string array(std::string_view shape = "(2,)", std::size_t bytes = 8,
                         std::string_view descr = "<f4") {
  const std::string text = "{'descr': '" + std::string(descr) +
                           "', 'fortran_order': False, 'shape': " + std::string(shape) + ", }\n";
  return "\x93NUMPY\1" + field(1, 0) + field(2, text.size()) + text + std::string(bytes, '\0');
}

inline std::string deflated(const std::string& bytes) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

// What the directory or a local header says of an entry.
struct Facts {
  std::string name = "x.npy";
  unsigned flags = 0, method = 0;
  std::uint32_t checksum = 0;
  std::uint64_t packed = 0, size = 0;
  std::string extra = "";
  std::string text() const {
    return field(2, flags) + field(2, method) + field(4, 0) + field(4, checksum) +
           field(4, packed) + field(4, size) + field(2, name.size()) + field(2, extra.size());
  }
};
struct Entry {
  Facts local, listed;
  std::string contents, after, comment;
  std::optional<std::uint64_t> at = {};  // where the directory says it is
  unsigned disk = 0;
};

inline Entry entry(const std::string& name = "x.npy", const std::string& contents = array(),
                   unsigned method = 0) {
  Entry entry;
  entry.contents = method == Z_DEFLATED ? deflated(contents) : contents;
  entry.local = entry.listed = {
      name, 0, method, checksum(contents), entry.contents.size(), contents.size(), ""};
  return entry;
}
// The same change in both places.
inline Entry with(Entry entry, auto&& change) {
  change(entry.local);
  change(entry.listed);
  return entry;
}

struct End {
  unsigned disk = 0, begins_on = 0;
  std::optional<std::uint64_t> here = {}, all = {}, size = {}, begin = {};
  std::string before = "", comment = "";
  std::optional<std::uint64_t> comment_bytes = {};
};

inline std::string archive(const std::vector<Entry>& entries, const End& end = {},
                           const std::string& front = "") {
  std::string bytes = front, directory;
  for (const Entry& e : entries) {
    const std::uint64_t at = e.at.value_or(bytes.size());
    bytes += "PK\3\4" + field(2, 20) + e.local.text() + e.local.name + e.local.extra + e.contents +
             e.after;
    directory += "PK\1\2" + field(2, 20) + field(2, 20) + e.listed.text() +
                 field(2, e.comment.size()) + field(2, e.disk) + field(6, 0) + field(4, at) +
                 e.listed.name + e.listed.extra + e.comment;
  }
  return bytes + directory + end.before + "PK\5\6" + field(2, end.disk) + field(2, end.begins_on) +
         field(2, end.here.value_or(end.all.value_or(entries.size()))) +
         field(2, end.all.value_or(entries.size())) +
         field(4, end.size.value_or(directory.size())) +
         field(4, end.begin.value_or(bytes.size())) +
         field(2, end.comment_bytes.value_or(end.comment.size())) + end.comment;
}
inline const std::vector<Entry> nothing;
inline std::string archive(const Entry& one, const End& end = {}) {
  return archive(std::vector{one}, end);
}

}  // namespace gradus::test::zip
