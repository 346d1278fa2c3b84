#include "examples/common/idx.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

#include "examples/common/errors.h"

namespace gradus::examples {
namespace {

constexpr std::uint64_t max_values = std::uint64_t{1} << 32;

// The bytes of a file in order, unpacked on the way if they are gzipped.
class Source {
 public:
  Source(std::span<const std::uint8_t> bytes, const std::string& name) : rest_(bytes), name_(name) {
    if (!at_member()) return;
    constexpr int gzip_only = 16 + MAX_WBITS;
    if (inflateInit2(&stream_, gzip_only) != Z_OK) throw std::bad_alloc();
    gzipped_ = true;
  }
  ~Source() {
    if (gzipped_) inflateEnd(&stream_);
  }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  // Fills `out` as far as there are bytes and returns how many there were.
  std::size_t read(std::span<std::uint8_t> out) {
    if (gzipped_) return unpack(out);
    const std::size_t count = std::min(out.size(), rest_.size());
    std::copy_n(rest_.begin(), count, out.begin());
    rest_ = rest_.subspan(count);
    return count;
  }

 private:
  bool at_member() const { return rest_.size() >= 2 && rest_[0] == 0x1f && rest_[1] == 0x8b; }

  std::size_t unpack(std::span<std::uint8_t> out) {
    std::size_t count = 0;
    while (count < out.size() && !ended_) count += inflate_some(out.subspan(count));
    return count;
  }

  std::size_t inflate_some(std::span<std::uint8_t> out) {
    // zlib counts in 32 bits.
    constexpr std::size_t most = std::numeric_limits<uInt>::max();
    const auto given = static_cast<uInt>(std::min(rest_.size(), most));
    const auto wanted = static_cast<uInt>(std::min(out.size(), most));
    stream_.next_in = const_cast<Bytef*>(rest_.data());
    stream_.avail_in = given;
    stream_.next_out = out.data();
    stream_.avail_out = wanted;
    const int status = inflate(&stream_, Z_NO_FLUSH);
    rest_ = rest_.subspan(given - stream_.avail_in);
    if (status == Z_STREAM_END) {
      next_member();
    } else if (status == Z_BUF_ERROR) {
      refuse<DataError>(name_, ": gzip data ends too early");
    } else if (status == Z_MEM_ERROR) {
      throw std::bad_alloc();
    } else if (status != Z_OK) {
      refuse<DataError>(name_, ": gzip data is damaged: ", stream_.msg ? stream_.msg : "no reason");
    }
    return wanted - stream_.avail_out;
  }

  void next_member() {
    ended_ = rest_.empty();
    if (ended_) return;
    if (!at_member()) {
      refuse<DataError>(name_, ": ", rest_.size(), " bytes of something else follow the gzip data");
    }
    inflateReset(&stream_);
  }

  std::span<const std::uint8_t> rest_;
  const std::string& name_;
  bool gzipped_ = false;
  bool ended_ = false;
  z_stream stream_{};
};

std::vector<std::int64_t> read_shape(Source& source, const std::string& name) {
  std::uint8_t magic[4];
  if (source.read(magic) != 4) refuse<DataError>(name, ": ends inside the magic number");
  if (magic[0] != 0 || magic[1] != 0)
    refuse<DataError>(name, ": not an IDX file: wrong magic number");
  if (magic[2] != 0x08) {
    refuse<DataError>(name, ": element type must be unsigned byte (8), is ", int{magic[2]});
  }
  if (magic[3] != 1 && magic[3] != 3) {
    refuse<DataError>(name, ": rank must be 1 (labels) or 3 (images), is ", int{magic[3]});
  }
  std::vector<std::int64_t> shape;
  for (int axis = 0; axis < magic[3]; ++axis) {
    std::uint8_t size[4];
    if (source.read(size) != 4) refuse<DataError>(name, ": ends inside the sizes");
    shape.push_back(std::int64_t{size[0]} << 24 | size[1] << 16 | size[2] << 8 | size[3]);
  }
  return shape;
}

std::int64_t count_values(const std::vector<std::int64_t>& shape, const std::string& name) {
  std::uint64_t count = 1;
  for (const std::int64_t size : shape) {
    // Both factors are at most 2^32 and one of them less, so 64 bits hold the product.
    count *= static_cast<std::uint64_t>(size);
    if (count > max_values) refuse<DataError>(name, ": sizes promise more than 4 GiB of values");
  }
  return static_cast<std::int64_t>(count);
}

}  // namespace

Idx decode_idx(std::span<const std::uint8_t> bytes, const std::string& name) {
  Source source(bytes, name);
  Idx idx;
  idx.shape = read_shape(source, name);
  const std::int64_t count = count_values(idx.shape, name);
  constexpr std::int64_t step = 1 << 20;
  while (std::ssize(idx.values) < count) {
    const std::size_t before = idx.values.size();
    idx.values.resize(before + std::min<std::int64_t>(step, count - std::ssize(idx.values)));
    const std::size_t wanted = idx.values.size() - before;
    const std::size_t got = source.read(std::span(idx.values).subspan(before));
    if (got < wanted) {
      refuse<DataError>(name, ": sizes promise ", count, " values, file holds ", before + got);
    }
  }
  std::uint8_t extra;
  if (source.read({&extra, 1}) != 0) {
    refuse<DataError>(name, ": more data than the ", count, " values that the sizes promise");
  }
  return idx;
}

Idx read_idx(const Path& path) { return decode_idx(read_file(path), path.string()); }

}  // namespace gradus::examples
