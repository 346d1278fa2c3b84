#include "gradus/tensor/zip.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace gradus::detail {
namespace {

enum Signature : std::uint32_t {
  local_signature = 0x04034b50,
  descriptor_signature = 0x08074b50,
  entry_signature = 0x02014b50,
  end_signature = 0x06054b50,
  end64_signature = 0x06064b50,
  locator_signature = 0x07064b50,
};
constexpr std::uint64_t local_bytes = 30, entry_bytes = 46, end_bytes = 22, end64_bytes = 56,
                        locator_bytes = 20;
// What a field holds whose value stands in the ZIP64 part instead.
constexpr std::uint32_t in_zip64 = 0xffffffff;
constexpr std::uint16_t zip64_extra = 1;

constexpr unsigned encrypted_flags = 1u << 0 | 1u << 6 | 1u << 13;
constexpr unsigned descriptor_flag = 1u << 3, utf8_flag = 1u << 11;
constexpr unsigned known_flags = 3u << 1 | descriptor_flag | utf8_flag;  // 1, 2: how hard it tried

// A match of 258 bytes takes two bits at least.
constexpr std::uint64_t most_inflated = 1032;

// Little-endian fields of a record, one after the other.
class Record {
 public:
  Record(const InputFile& file, std::uint64_t begin, std::uint64_t size, const char* what)
      : bytes_(size, '\0'), file_(file), begin_(begin), what_(what) {
    file.read(begin, std::as_writable_bytes(std::span(bytes_)));
  }
  std::uint64_t left() const { return bytes_.size() - at_; }
  std::string_view text(std::uint64_t size) {
    if (size > left()) fail_here("is cut", "ends ", size - left(), " bytes early");
    at_ += size;
    return std::string_view(bytes_).substr(at_ - size, size);
  }
  std::uint64_t number(int size) {
    std::uint64_t value = 0;
    const std::string_view bytes = text(static_cast<std::uint64_t>(size));
    for (int i = 0; i < size; ++i)
      value |= std::uint64_t{static_cast<unsigned char>(bytes[static_cast<std::size_t>(i)])}
               << (8 * i);
    return value;
  }
  std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
  std::uint64_t u64() { return number(8); }
  void expect(Signature signature) {
    if (const std::uint32_t got = u32(); got != signature)
      fail_here("has a wrong signature", std::hex, got);
  }
  void skip(std::uint64_t size) { text(size); }
  template <class... Facts>
  [[noreturn]] void fail_here(std::string_view rule, const Facts&... facts) const {
    fail_file(file_.context(), ": ", what_, " ", rule, ": ", facts..., std::dec, " at byte ",
              begin_ + at_);
  }

 private:
  std::string bytes_;
  const InputFile& file_;
  std::uint64_t begin_, at_ = 0;
  const char* what_;
};

struct Directory {
  std::uint64_t count = 0, begin = 0, size = 0;
};

void check_disks(const Record& record, std::uint64_t disk, std::uint64_t begins_on,
                 std::uint64_t here, std::uint64_t all) {
  if (disk != 0 || begins_on != 0 || here != all)
    record.fail_here("speaks of several disks", disk, ", ", begins_on, ", ", here, " of ", all,
                     " entries");
}

Directory read_end64(const InputFile& file, std::uint64_t locator_at) {
  Record locator(file, locator_at, locator_bytes, "ZIP64 locator");
  locator.expect(locator_signature);
  const std::uint64_t disk = locator.u32(), begin = locator.u64(), disks = locator.u32();
  if (disk != 0 || disks > 1) locator.fail_here("speaks of several disks", disk, " of ", disks);
  if (locator_at < end64_bytes || begin != locator_at - end64_bytes)
    locator.fail_here("does not point to the record in front of it", begin);

  Record record(file, begin, end64_bytes, "ZIP64 end record");
  record.expect(end64_signature);
  if (const auto size = record.u64(); size != end64_bytes - 12)
    record.fail_here("has an unknown size", size);
  record.skip(4);  // versions
  const std::uint64_t this_disk = record.u32(), begins_on = record.u32();
  const std::uint64_t here = record.u64(), all = record.u64();
  check_disks(record, this_disk, begins_on, here, all);
  const std::uint64_t size = record.u64();
  return {all, record.u64(), size};
}

Directory find_directory(const InputFile& file) {
  if (file.size() < end_bytes)
    fail_file(file.context(), ": file is too short: ", file.size(), " bytes, an empty archive has ",
              end_bytes);
  const std::uint64_t end_at = file.size() - end_bytes;
  Record end(file, end_at, end_bytes, "end record");
  if (end.u32() != end_signature)
    fail_file(file.context(), ": not a ZIP archive, cut, or with a comment: no end record at byte ",
              end_at);
  const std::uint64_t disk = end.u16(), begins_on = end.u16(), here = end.u16();
  Directory directory;
  directory.count = end.u16();
  check_disks(end, disk, begins_on, here, directory.count);
  directory.size = end.u32();
  directory.begin = end.u32();
  if (const auto comment = end.u16(); comment != 0)
    end.fail_here("claims a comment that is not there", comment, " bytes");

  std::uint64_t directory_end = end_at;
  const bool has_locator =
      end_at >= locator_bytes &&
      Record(file, end_at - locator_bytes, 4, "locator").u32() == locator_signature;
  if (has_locator) {
    const Directory wide = read_end64(file, end_at - locator_bytes);
    const auto agree = [](std::uint64_t narrow, std::uint64_t full, std::uint64_t limit) {
      return narrow == full || narrow == limit;
    };
    if (!agree(directory.count, wide.count, 0xffff) ||
        !agree(directory.size, wide.size, in_zip64) ||
        !agree(directory.begin, wide.begin, in_zip64))
      end.fail_here("contradicts the ZIP64 end record", directory.count, " entries, ",
                    directory.size, " bytes from ", directory.begin);
    directory = wide;
    directory_end -= locator_bytes + end64_bytes;
  }
  if (directory.begin > directory_end || directory.size != directory_end - directory.begin)
    end.fail_here("does not point to the directory in front of it", directory.size, " bytes from ",
                  directory.begin, ", it must end at ", directory_end);
  if (directory.count > directory.size / entry_bytes)
    end.fail_here("claims more entries than fit", directory.count, " in ", directory.size,
                  " bytes");
  return directory;
}

// Replaces those of `fields` that stand in the ZIP64 part of the extra field, in its order.
void read_extra(Record& record, std::uint64_t size, std::initializer_list<std::uint64_t*> fields) {
  bool seen = false;
  while (size > 0) {
    if (size < 4) record.fail_here("has an extra field that is cut", size, " bytes left");
    const std::uint64_t id = record.u16(), length = record.u16();
    size -= 4;
    if (length > size)
      record.fail_here("has an extra field that is cut", length, " bytes of ", size);
    size -= length;
    if (id != zip64_extra) {
      record.skip(length);
      continue;
    }
    if (std::exchange(seen, true)) record.fail_here("has two ZIP64 fields", length, " bytes");
    std::uint64_t left = length;
    for (std::uint64_t* field : fields) {
      if (*field != in_zip64) continue;
      if (left < 8) record.fail_here("has a ZIP64 field that is too short", length, " bytes");
      *field = record.u64();
      left -= 8;
    }
    record.skip(left);
  }
}

struct Located {
  ZipEntry entry;
  unsigned flags = 0, method = 0;
  std::uint64_t local = 0;  // where its local header begins
};

Located read_entry(Record& record) {
  Located located;
  ZipEntry& entry = located.entry;
  record.expect(entry_signature);
  record.skip(4);  // versions
  located.flags = record.u16();
  located.method = record.u16();
  record.skip(4);  // time
  entry.checksum = record.u32();
  entry.packed = record.u32();
  entry.size = record.u32();
  const std::uint64_t name_bytes = record.u16(), extra_bytes = record.u16();
  const std::uint64_t comment_bytes = record.u16(), disk = record.u16();
  record.skip(6);  // attributes
  located.local = record.u32();
  entry.name = record.text(name_bytes);
  const std::string name = printable(entry.name);
  if (disk != 0) record.fail_here("speaks of several disks", disk, " for ", name);
  read_extra(record, extra_bytes, {&entry.size, &entry.packed, &located.local});
  record.skip(comment_bytes);

  if (located.flags & encrypted_flags) record.fail_here("is of an encrypted file", name);
  if (located.flags & ~known_flags)
    record.fail_here("has unknown flags", std::hex, located.flags, " for ", name);
  if (located.method != 0 && located.method != Z_DEFLATED)
    record.fail_here("has a method that is neither stored (0) nor deflated (8)", located.method,
                     " for ", name);
  entry.utf8 = located.flags & utf8_flag;
  entry.deflated = located.method == Z_DEFLATED;
  const bool too_dense = entry.size / most_inflated >= entry.packed &&
                         entry.size > entry.packed * most_inflated;  // does not overflow then
  if (entry.deflated ? too_dense : entry.size != entry.packed)
    record.fail_here("has sizes that cannot be", entry.packed, " bytes for ", entry.size, " of ",
                     name);
  return located;
}

// What stands in front of the contents must say the same as the directory: other readers go by it.
void check_local(const InputFile& file, Located& located, std::uint64_t end) {
  ZipEntry& entry = located.entry;
  if (located.local > end || end - located.local < local_bytes)
    fail_file(file.context(), ": entry begins beyond the data: ", printable(entry.name),
              " at byte ", located.local, " of ", end);
  Record fixed(file, located.local, local_bytes, "local header");
  fixed.expect(local_signature);
  fixed.skip(2);  // version
  const unsigned flags = fixed.u16(), method = fixed.u16();
  fixed.skip(4);  // time
  const std::uint32_t checksum = fixed.u32();
  std::uint64_t packed = fixed.u32(), size = fixed.u32();
  const std::uint64_t name_bytes = fixed.u16(), extra_bytes = fixed.u16();
  const std::uint64_t names_at = located.local + local_bytes;
  if (name_bytes + extra_bytes > end - names_at)
    fixed.fail_here("ends beyond the data", name_bytes + extra_bytes, " bytes from ", names_at);
  Record names(file, names_at, name_bytes + extra_bytes, "local header");
  const std::string_view name = names.text(name_bytes);
  read_extra(names, extra_bytes, {&size, &packed});

  // With a descriptor the numbers follow the contents; here they may still be unknown.
  const auto agree = [&](std::uint64_t here, std::uint64_t there) {
    return here == there || (flags & descriptor_flag && here == 0);
  };
  if (name != entry.name || flags != located.flags || method != located.method ||
      !agree(checksum, entry.checksum) || !agree(packed, entry.packed) || !agree(size, entry.size))
    fixed.fail_here("contradicts the directory", printable(name), " for ", printable(entry.name));
  entry.begin = names_at + name_bytes + extra_bytes;
  if (entry.packed > end - entry.begin)
    fail_file(file.context(), ": contents end beyond the data: ", printable(entry.name), ": ",
              entry.packed, " bytes from ", entry.begin, " of ", end);
}

// Checksum and sizes again, with 4 or 8 bytes a size, after a signature or none.
void check_descriptor(const InputFile& file, const ZipEntry& entry, std::uint64_t bytes) {
  Record record(file, entry.begin + entry.packed, bytes, "data descriptor");
  if (bytes % 8 == 0) record.expect(descriptor_signature);
  const int width = bytes < 20 ? 4 : 8;
  const std::uint64_t checksum = record.u32(), packed = record.number(width);
  if (checksum != entry.checksum || packed != entry.packed || record.number(width) != entry.size)
    record.fail_here("contradicts the directory", printable(entry.name));
}

// The entries must fill the file up to the directory, each byte once: a file that could hold
// anything else could also be read as something else, and shared bytes unpack without limit.
void check_layout(const InputFile& file, const std::vector<Located>& entries, std::uint64_t end) {
  std::vector<const Located*> sorted;
  for (const Located& located : entries) sorted.push_back(&located);
  std::sort(sorted.begin(), sorted.end(),
            [](const auto* a, const auto* b) { return a->local < b->local; });
  if (const std::uint64_t first = sorted.empty() ? end : sorted.front()->local; first != 0)
    fail_file(file.context(), ": bytes in front of the first entry: ", first);
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const ZipEntry& entry = sorted[i]->entry;
    const std::uint64_t ends = entry.begin + entry.packed;
    const std::uint64_t next = i + 1 < sorted.size() ? sorted[i + 1]->local : end;
    if (next < ends)
      fail_file(file.context(), ": entries overlap: ", printable(entry.name), " ends at byte ",
                ends, ", the next begins at ", next);
    const std::uint64_t gap = next - ends;
    if (sorted[i]->flags & descriptor_flag) {
      if (gap != 12 && gap != 16 && gap != 20 && gap != 24)
        fail_file(file.context(), ": no data descriptor: ", gap, " bytes after ",
                  printable(entry.name));
      check_descriptor(file, entry, gap);
    } else if (gap != 0) {
      fail_file(file.context(), ": hole between entries: ", gap, " bytes after ",
                printable(entry.name));
    }
  }
}

}  // namespace

std::uint32_t checksum(std::uint32_t before, std::span<const std::byte> bytes) {
  if (bytes.empty()) return before;  // zlib takes a null pointer for a new beginning
  return static_cast<std::uint32_t>(
      crc32_z(before, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

std::vector<ZipEntry> read_zip_directory(const InputFile& file) {
  const Directory directory = find_directory(file);
  Record record(file, directory.begin, directory.size, "directory entry");
  std::vector<Located> located;
  std::vector<std::string_view> names;
  for (std::uint64_t i = 0; i < directory.count; ++i) {
    located.push_back(read_entry(record));
    check_local(file, located.back(), directory.begin);
  }
  if (record.left() > 0) record.fail_here("is not counted", record.left(), " bytes left");
  for (const Located& each : located) names.push_back(each.entry.name);
  if (const auto name = repeated(std::move(names)))
    fail_file(file.context(), ": duplicate name: ", printable(*name));
  check_layout(file, located, directory.begin);
  std::vector<ZipEntry> entries;
  for (Located& each : located) entries.push_back(std::move(each.entry));
  return entries;
}

ZipContents::ZipContents(const InputFile& file, const ZipEntry& entry, std::string context)
    : file_(file),
      entry_(entry),
      context_(std::move(context)),
      at_(entry.begin),
      end_(entry.begin + entry.packed) {
  if (!entry.deflated) return;
  buffer_.resize(std::min<std::uint64_t>(entry.packed, 1 << 16));
  if (inflateInit2(&stream_, -MAX_WBITS) != Z_OK) fail_memory();
}

void ZipContents::fail_memory() const {
  throw OutOfMemory(context_ + ": no memory to decompress it");
}

ZipContents::~ZipContents() {
  if (entry_.deflated) inflateEnd(&stream_);
}

void ZipContents::read(std::span<std::byte> into) {
  if (entry_.deflated) {
    if (const std::size_t got = inflate_some(into); got < into.size())
      fail_file(context_, ": compressed data ends too early: ", into.size() - got,
                " bytes are missing");
  } else {
    file_.read(at_, into);
    at_ += into.size();
  }
  checksum_ = checksum(checksum_, into);
}

std::size_t ZipContents::inflate_some(std::span<std::byte> into) {
  std::size_t count = 0;
  while (count < into.size() && !ended_) {
    if (stream_.avail_in == 0 && at_ < end_) {
      const std::span bytes = std::span(buffer_).first(std::min(buffer_.size(), end_ - at_));
      file_.read(at_, bytes);
      at_ += bytes.size();
      stream_.next_in = reinterpret_cast<Bytef*>(bytes.data());
      stream_.avail_in = static_cast<uInt>(bytes.size());
    }
    const std::size_t wanted = std::min<std::size_t>(into.size() - count, 1 << 30);
    stream_.next_out = reinterpret_cast<Bytef*>(into.data() + count);
    stream_.avail_out = static_cast<uInt>(wanted);
    const int status = inflate(&stream_, Z_NO_FLUSH);
    count += wanted - stream_.avail_out;
    if (status == Z_BUF_ERROR) break;  // wants input that is not there
    if (status == Z_MEM_ERROR) fail_memory();
    if (status != Z_OK && status != Z_STREAM_END)
      fail_file(context_,
                ": compressed data is damaged: ", stream_.msg ? stream_.msg : "no reason given");
    ended_ = status == Z_STREAM_END;
  }
  return count;
}

void ZipContents::finish() {
  if (entry_.deflated) {
    std::byte extra;
    if (inflate_some({&extra, 1}) > 0)
      fail_file(context_, ": compressed data is longer than its size: ", entry_.size, " bytes");
    const std::uint64_t unused = end_ - at_ + stream_.avail_in;
    if (!ended_ || unused > 0)
      fail_file(context_,
                ended_ ? ": bytes after the compressed data: " : ": compressed data has no end: ",
                unused, " left");
  }
  if (checksum_ != entry_.checksum)
    fail_file(context_, ": checksum is wrong: ", std::hex, checksum_, ", the file says ",
              entry_.checksum);
}

}  // namespace gradus::detail
