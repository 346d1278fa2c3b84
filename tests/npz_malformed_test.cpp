// Archives that load_npz must refuse, each by its own rule.
#include "gradus/tensor/npz.h"
#include "gradus/tests/files.h"
#include "gradus/tests/zip_files.h"

namespace gradus {
namespace {

using namespace std::literals;
using namespace test;
using namespace test::zip;

// ZIP64 records that replace the narrow ones of an archive of entry().
struct Wide {
  std::uint64_t bytes = 44, disk = 0, count = 1, size = 51, begin = 0;
  std::optional<std::uint64_t> record = {};
  std::uint64_t disks = 1;
  std::string signature = "PK\6\6";
};
const std::uint64_t directory_begin = 35 + array().size();
std::string records(const Wide& wide) {
  return wide.signature + field(8, wide.bytes) + field(4, 45 << 16 | 45) + field(4, wide.disk) +
         field(4, 0) + field(8, wide.count) + field(8, wide.count) + field(8, wide.size) +
         field(8, wide.begin) + "PK\6\7" + field(4, 0) +
         field(8, wide.record.value_or(directory_begin + 51)) + field(4, wide.disks);
}
std::string zip64(const Wide& wide,
                  End end = {.all = 0xffff, .size = 0xffffffff, .begin = 0xffffffff}) {
  end.before = records(wide);
  return archive(entry(), end);
}
std::string extra(const std::string& data, std::optional<std::uint64_t> bytes = {}) {
  return field(2, 1) + field(2, bytes.value_or(data.size())) + data;
}

std::vector<Malformed> malformed_ends() {
  const std::string good = archive(entry());
  const char* const none = "not a ZIP archive, cut, or with a comment";
  const char* const disks = "end record speaks of several disks";
  const char* const points = "end record does not point to the directory in front of it";
  End hidden;
  hidden.before = archive(nothing).substr(0, 21);
  return {
      {"no byte", "", "file is too short: 0 bytes"},
      {"21 bytes", archive(nothing).substr(0, 21), "file is too short: 21 bytes"},
      {"an .npy file", array(), none},
      {"a byte behind", good + "x", none},
      {"the last byte missing", good.substr(0, good.size() - 1), none},
      {"only the local entry", good.substr(0, directory_begin), none},
      {"a comment", archive(entry(), {.comment = "hello"}), none},
      {"a comment that is not there", archive(entry(), {.comment_bytes = 5}),
       "claims a comment that is not there: 5 bytes"},
      {"on disk 1", archive(entry(), {.disk = 1}), disks},
      {"a directory on disk 1", archive(entry(), {.begins_on = 1}), disks},
      {"a part of the entries here", archive(entry(), {.here = 0, .all = 1}), disks},
      {"the directory begins late", archive(entry(), {.begin = directory_begin + 1}), points},
      {"the directory begins early", archive(entry(), {.begin = 0}), points},
      {"the directory begins beyond the file", archive(entry(), {.begin = 0xfffffffe}), points},
      {"the directory is short", archive(entry(), {.size = 50}), points},
      {"the directory is larger than the file", archive(entry(), {.size = 0xfffffffe}), points},
      {"something between directory and end", archive(entry(), hidden), points},
      {"a script in front", "#!/bin/sh\n" + good, points},
      {"an archive in front", good + good, points},
      {"an entry too few", archive(entry(), {.all = 0}), "directory entry is not counted"},
      {"an entry too many", archive(entry(), {.all = 2}), "claims more entries than fit: 2"},
      {"65534 entries", archive(entry(), {.all = 65534}), "claims more entries than fit: 65534"},
      {"entries in no bytes", archive(nothing, {.all = 1}), "claims more entries than fit"},
  };
}

std::vector<Malformed> malformed_zip64() {
  const std::uint64_t begin = directory_begin;
  const char* const points = "end record does not point to the directory in front of it";
  const char* const contradicts = "end record contradicts the ZIP64 end record";
  const char* const locator = "ZIP64 locator does not point to the record in front of it";
  const auto listed = [](const std::string& extra, std::uint64_t size, std::uint64_t packed) {
    Entry e = entry();
    e.listed.extra = extra;
    e.listed.size = size;
    e.listed.packed = packed;
    return archive(e);
  };
  constexpr std::uint64_t wide = 0xffffffff;
  const std::uint64_t size = array().size();
  return {
      {"no records though the fields say so",
       archive(entry(), {.all = 0xffff, .size = wide, .begin = wide}), points},
      {"another record in its place", zip64({.begin = begin, .signature = "PK\6\5"}),
       "ZIP64 end record has a wrong signature: 5064b50"},
      {"a longer record", zip64({.bytes = 45, .begin = begin}), "has an unknown size: 45"},
      {"a record of 2^64-1 bytes", zip64({.bytes = ~0ull, .begin = begin}), "unknown size"},
      {"a record on disk 1", zip64({.disk = 1, .begin = begin}), "several disks"},
      {"two disks", zip64({.begin = begin, .disks = 2}), "several disks: 0 of 2"},
      {"the record elsewhere", zip64({.begin = begin, .record = 0}), locator},
      {"the record beyond the file", zip64({.begin = begin, .record = ~0ull}), locator},
      {"2^63 entries", zip64({.count = 1ull << 63, .begin = begin}), "more entries than fit"},
      {"a directory of 2^64-1 bytes", zip64({.size = ~0ull, .begin = begin}), points},
      {"sizes whose sum wraps", zip64({.size = begin + 102, .begin = 0 - 51ull}), points},
      {"another count", zip64({.begin = begin}, {.all = 2, .size = wide, .begin = wide}),
       contradicts},
      {"another size", zip64({.begin = begin}, {.all = 1, .size = 50}), contradicts},
      {"another begin", zip64({.begin = begin}, {.all = 1, .begin = 0}), contradicts},
      {"no field for the size", listed("", wide, size), "sizes that cannot be"},
      {"a field of 4 bytes", listed(extra(field(4, size)), wide, size), "field that is too short"},
      {"one size of two", listed(extra(field(8, size)), wide, wide), "field that is too short"},
      {"a field that ends beyond the header", listed(extra(field(8, size), 9), wide, size),
       "extra field that is cut: 9 bytes of 8"},
      {"half a field", listed("\1\0\1"s, size, size), "extra field that is cut: 3 bytes left"},
      {"two fields", listed(extra(field(8, size)) + extra(field(8, 0)), wide, size),
       "two ZIP64 fields"},
      {"a size of 2^64-1", listed(extra(field(8, ~0ull)), wide, size), "sizes that cannot be"},
  };
}

std::vector<Malformed> malformed_entries() {
  const std::uint64_t size = array().size();
  const auto changed = [](auto&& change) { return archive(with(entry(), change)); };
  const auto listed = [](auto&& change) {
    Entry e = entry();
    change(e.listed);
    return archive(e);
  };
  const auto flags = [&](unsigned bits) { return changed([=](Facts& f) { f.flags = bits; }); };
  const auto method = [&](unsigned number) {
    return changed([=](Facts& f) { f.method = number; });
  };
  const auto at = [](std::uint64_t offset) {
    Entry e = entry();
    e.at = offset;
    return archive(e);
  };
  const char* const contradicts = "local header contradicts the directory: 'x.npy'";
  const char* const methods = "a method that is neither stored (0) nor deflated (8): ";
  Entry second_disk = entry();
  second_disk.disk = 1;
  std::string wrong = archive(entry());
  wrong[directory_begin + 2] = '\3';
  std::string early = archive(entry());
  early[directory_begin + 28] = '\x30';
  return {
      {"encrypted", flags(1), "is of an encrypted file: 'x.npy'"},
      {"strongly encrypted", flags(1 << 6 | 1), "encrypted"},
      {"with an encrypted directory", flags(1 << 13), "encrypted"},
      {"a patch", flags(1 << 5), "has unknown flags: 20 for 'x.npy'"},
      {"all other flags", flags(0x5790), "has unknown flags"},
      {"shrunk", method(1), methods},
      {"deflate64", method(9), methods},
      {"bzip2", method(12), methods},
      {"lzma", method(14), methods},
      {"zstd", method(93), methods},
      {"AES", method(99), methods},
      {"on disk 1", archive(second_disk), "speaks of several disks: 1"},
      {"a wrong signature", wrong, "directory entry has a wrong signature: 2034b50"},
      {"a name beyond the directory", early, "directory entry is cut: ends "},
      {"another name in front", listed([](Facts& f) { f.name = "y.npy"; }),
       "contradicts the directory: 'x.npy' for 'y.npy'"},
      {"a longer name in front", listed([](Facts& f) { f.name = "x"; }), contradicts},
      {"other flags in front", listed([](Facts& f) { f.flags = 1 << 11; }), contradicts},
      {"another checksum in front", listed([](Facts& f) { ++f.checksum; }), contradicts},
      {"other sizes in front", listed([](Facts& f) { --f.size, --f.packed; }), contradicts},
      {"another method in front", listed([](Facts& f) { f.method = Z_DEFLATED; }), contradicts},
      {"stored, but smaller", changed([](Facts& f) { --f.packed; }), "sizes that cannot be"},
      {"stored, but larger", changed([](Facts& f) { ++f.packed; }), "sizes that cannot be"},
      {"deflated beyond what can be",
       changed([=](Facts& f) { f.method = Z_DEFLATED, f.size = 1033 * (size + 1); }),
       "sizes that cannot be"},
      {"4 GiB in a small file", changed([](Facts& f) { f.size = f.packed = 0xfffffffe; }),
       "contents end beyond the data: 'x.npy'"},
      {"an entry beyond the data", at(directory_begin - 29), "entry begins beyond the data"},
      {"an entry beyond the file", at(0xfffffffe), "entry begins beyond the data"},
      {"an entry inside another", at(1), "local header has a wrong signature"},
  };
}

std::vector<Malformed> malformed_layouts() {
  Entry gap = entry("a.npy"), cut = with(entry("a.npy"), [](Facts&f) { f.flags = 8; });
  Entry lying = cut, bare = cut, inside = entry("y.npy");
  gap.after = "gap";
  lying.after = "PK\7\x8" + field(4, lying.local.checksum) + field(8, 0) + field(8, 0);
  bare.after = "PK\7\7" + field(4, bare.local.checksum) + field(4, array().size()) +
               field(4, array().size());
  inside.at = 0;  // the same bytes as the first
  inside.local.name = inside.listed.name = "x.npy";
  // One file that holds the other as its contents: both could be read.
  Entry outer = entry("o.npy", archive(entry()).substr(0, directory_begin));
  Entry inner = entry();
  inner.at = 35;
  std::string quoted = archive({outer, inner});
  return {
      {"a hole between entries", archive({gap, entry()}), "hole between entries: 3 bytes after"},
      {"a hole at the end", archive({entry(), gap}), "hole between entries: 3 bytes after 'a.npy'"},
      {"bytes in front", archive({entry()}, {}, "front"), "bytes in front of the first entry: 5"},
      {"bytes and no entry", archive(nothing, {.begin = 5}, "front"),
       "bytes in front of the first entry: 5"},
      {"the same entry twice", archive({entry(), inside}), "duplicate name: 'x.npy'"},
      {"an entry in another's contents", quoted, "entries overlap: 'o.npy'"},
      {"two entries of one name", archive({entry(), entry()}), "duplicate name: 'x.npy'"},
      {"no descriptor", archive(cut), "no data descriptor: 0 bytes after 'a.npy'"},
      {"a descriptor that lies", archive(lying), "data descriptor contradicts the directory"},
      {"a descriptor of another signature", archive(bare), "descriptor has a wrong signature"},
  };
}

std::vector<Malformed> malformed_names() {
  const auto name = [](std::string_view text, unsigned flags = 0) {
    return archive(with(entry(), [&](Facts& f) { f.name = text, f.flags = flags; }));
  };
  const char* const leads = "name leads out of its folder";
  const char* const array = "not an array: ";
  return {
      {"no name", name(""), array},
      {"only the suffix", name(".npy"), "name is empty"},
      {"no suffix", name("x"), "not an array: 'x' does not end in .npy"},
      {"a folder", name("x/"), array},
      {"a pickle", name("x.pkl"), array},
      {"a suffix in capitals", name("x.NPY"), array},
      {"a suffix behind a zero", name("x\0.npy"sv), "name holds a zero byte: 'x\\x00'"},
      {"an absolute path", name("/etc/x.npy"), "name is an absolute path: '/etc/x'"},
      {"an absolute path of Windows", name("\\x.npy"), "name is an absolute path"},
      {"a path upwards", name("../x.npy"), leads},
      {"a path upwards inside", name("a/../../x.npy"), leads},
      {"a path upwards of Windows", name("a\\..\\x.npy"), leads},
      {"only a path upwards", name("...npy"), leads},
      {"an old code page", name("\x81.npy"), "name is not valid UTF-8: '\x81'"},
      {"invalid UTF-8", name("\xff.npy", 1 << 11), "name is not valid UTF-8"},
      {"UTF-8 that does not say so", name("\xc3\xa9.npy"), "name is not said to be UTF-8"},
  };
}

std::vector<Malformed> malformed_contents() {
  const auto packed = [](auto&& change) {
    Entry e = entry("x.npy", array(), Z_DEFLATED);
    change(e.contents);
    return archive(with(e, [&](Facts& f) { f.packed = e.contents.size(); }));
  };
  const auto sized = [](std::int64_t more) {
    return archive(with(entry("x.npy", array(), Z_DEFLATED),
                        [&](Facts& f) { f.size += static_cast<std::uint64_t>(more); }));
  };
  const auto stored = [](const std::string& bytes) { return archive(entry("x.npy", bytes)); };
  const auto small = [](const std::string& bytes) {
    return archive(entry("x.npy", bytes, Z_DEFLATED));
  };
  const auto sum = [](unsigned method) {
    return archive(with(entry("x.npy", array(), method), [](Facts& f) { f.checksum ^= 1; }));
  };
  const char* const damaged = "compressed data is damaged: ";
  return {
      {"a wrong checksum", sum(0), "'x.npy': checksum is wrong: "},
      {"a wrong checksum, deflated", sum(Z_DEFLATED), "'x.npy': checksum is wrong: "},
      {"no contents", stored(""), "'x.npy': not an .npy file"},
      {"text", stored("hello"), "'x.npy': not an .npy file"},
      {"an archive in the archive", stored(archive(entry())), "not an .npy file"},
      {"objects", stored(array("(1,)", 8, "|O")), "'x.npy': objects are never loaded"},
      {"a longer shape", stored(array("(3,)")), "data is cut: (3,) f32 takes 12 bytes"},
      {"a shorter shape", stored(array("(1,)")), "bytes after the data"},
      {"2^60 elements", small(array("(1152921504606846976,)")), "data is cut"},
      {"a boolean of 2", stored(array("(1,)", 0, "|b1") + "\2"), "boolean is neither 0 nor 1: 2"},
      {"a bomb: 16 MB of zeros behind a small array", small(array("(2,)", 16'000'000)),
       "bytes after the data: (2,) f32 takes 8 bytes, the file has 16000000"},
      {"a bomb that claims little",
       archive(with(entry("x.npy", array("(2,)", 16'000'000), Z_DEFLATED),
                    [](Facts& f) { f.size = array().size(); })),
       "compressed data is longer than its size"},
      {"deflated data is cut", packed([](std::string& b) { b.resize(b.size() / 2); }),
       "compressed data ends too early"},
      {"the end of the deflated data is cut", packed([](std::string& b) { b.pop_back(); }),
       "compressed data "},
      {"no deflated data", packed([](std::string& b) { b.clear(); }), "sizes that cannot be"},
      {"a block of an unknown kind", packed([](std::string& b) { b[0] = '\7'; }), damaged},
      {"zlib's header", packed([](std::string& b) { b = "\x78\xda" + b; }), damaged},
      {"bytes after the deflated data", packed([](std::string& b) { b += "more"; }),
       "bytes after the compressed data: 4 left"},
      {"a size one too large", sized(1), "compressed data ends too early: 1 bytes are missing"},
      {"a size one too small", sized(-1), "data is cut"},
      {"deflated, but said to be stored",
       archive(with(entry("x.npy", array(), Z_DEFLATED),
                    [](Facts& f) { f.method = 0, f.size = f.packed; })),
       "not an .npy file"},
  };
}

class MalformedNpz : public ::testing::Test {
 protected:
  NamedTensors load(std::string_view bytes) {
    write_bytes(path, bytes);
    return load_npz(path);
  }
  void refuses(const std::vector<Malformed>& cases) {
    expect_refused(cases, path, "load_npz", [](const auto& file) { load_npz(file); });
  }

  TemporaryDirectory directory;
  const std::filesystem::path path = directory / "file.npz";
};

TEST_F(MalformedNpz, Ends) { refuses(malformed_ends()); }
TEST_F(MalformedNpz, Zip64) { refuses(malformed_zip64()); }
TEST_F(MalformedNpz, Entries) { refuses(malformed_entries()); }
TEST_F(MalformedNpz, Layouts) { refuses(malformed_layouts()); }
TEST_F(MalformedNpz, Names) { refuses(malformed_names()); }
TEST_F(MalformedNpz, Contents) { refuses(malformed_contents()); }

TEST_F(MalformedNpz, AreMany) {
  EXPECT_GE(malformed_ends().size() + malformed_zip64().size() + malformed_entries().size() +
                malformed_layouts().size() + malformed_names().size() +
                malformed_contents().size(),
            118U);
}

// The helpers above make good files where nothing is wrong with what they are given.
TEST_F(MalformedNpz, NeighboursAreTaken) {
  EXPECT_EQ(load(archive(nothing)).size(), 0U);
  EXPECT_EQ(load(archive(entry()))[0].second.numel(), 2);
  EXPECT_EQ(load(archive(entry("x.npy", array(), Z_DEFLATED)))[0].second.numel(), 2);
  EXPECT_EQ(load(archive({entry("b.npy"), entry("a/..b.npy"), entry("c.npy")}))[2].first, "c");
  EXPECT_EQ(load(zip64({.begin = directory_begin}))[0].first, "x");
  EXPECT_EQ(load(zip64({.begin = directory_begin}, {}))[0].first, "x");
  const auto name = [](Facts& f) { f.name = "\xc3\xa9.npy", f.flags = 1 << 11; };
  EXPECT_EQ(load(archive(with(entry(), name)))[0].first, "\xc3\xa9");
}

}  // namespace
}  // namespace gradus
