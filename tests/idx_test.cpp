// The IDX reader against files that are wrong in every way a download or a disk can make them.
#include "examples/common/idx.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <functional>
#include <string>

#include "examples/common/errors.h"
#include "examples/common/images.h"

namespace gradus::examples {
namespace {

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Bytes header(std::uint8_t type, const std::vector<std::uint32_t>& sizes) {
  Bytes bytes{0, 0, type, static_cast<std::uint8_t>(sizes.size())};
  for (const std::uint32_t size : sizes) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      bytes.push_back(static_cast<std::uint8_t>(size >> shift));
    }
  }
  return bytes;
}

Bytes values(std::size_t count) {
  Bytes bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::uint8_t>(7 * i + 3);
  return bytes;
}

Bytes gzip(Bytes bytes) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  Bytes packed(deflateBound(&stream, bytes.size()));
  stream.next_in = bytes.data();
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = packed.data();
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

Bytes first(Bytes bytes, std::size_t count) {
  bytes.resize(count);
  return bytes;
}

Bytes changed(Bytes bytes, std::size_t from_end, std::uint8_t flip) {
  bytes[bytes.size() - from_end] ^= flip;
  return bytes;
}

const Bytes labels = header(8, {5}) + values(5);
const Bytes images = header(8, {2, 3, 4}) + values(24);

TEST(Idx, ReadsLabelsAndImages) {
  const Idx one = decode_idx(labels, "labels"), three = decode_idx(images, "images");
  EXPECT_EQ(one.shape, (std::vector<std::int64_t>{5}));
  EXPECT_EQ(one.values, values(5));
  EXPECT_EQ(three.shape, (std::vector<std::int64_t>{2, 3, 4}));
  EXPECT_EQ(three.values, values(24));
}

TEST(Idx, ReadsEmptySets) {
  EXPECT_TRUE(decode_idx(header(8, {0}), "empty").values.empty());
  EXPECT_TRUE(decode_idx(gzip(header(8, {0, 28, 28})), "empty").values.empty());
}

TEST(Idx, ReadsGzip) {
  EXPECT_EQ(decode_idx(gzip(images), "images").values, values(24));
  const std::size_t many = 3'000'000;
  EXPECT_EQ(decode_idx(gzip(header(8, {3'000'000}) + values(many)), "many").values, values(many));
}

TEST(Idx, ReadsGzipOfSeveralMembersCutAnywhere) {
  for (std::size_t cut = 0; cut <= images.size(); ++cut) {
    const Bytes head = first(images, cut), tail(images.begin() + cut, images.end());
    EXPECT_EQ(decode_idx(gzip(head) + gzip({}) + gzip(tail), "parts").values, values(24)) << cut;
  }
}

struct Malformed {
  const char* what;
  Bytes bytes;
  const char* message;
};

// A gzip member with these bytes between its fixed header and the packed data of `images`.
Bytes gzip_with(std::uint8_t flags, const Bytes& more) {
  const Bytes packed = gzip(images);
  Bytes bytes = first(packed, 10) + more + Bytes(packed.begin() + 10, packed.end());
  bytes[3] = flags;
  return bytes;
}

const std::vector<Malformed> malformed{
    {"Empty", {}, "ends inside the magic number"},
    {"ThreeBytes", {0, 0, 8}, "ends inside the magic number"},
    {"WrongFirstByte", {1, 0, 8, 1, 0, 0, 0, 0}, "wrong magic number"},
    {"WrongSecondByte", {0, 1, 8, 1, 0, 0, 0, 0}, "wrong magic number"},
    {"LittleEndianMagic", {3, 8, 0, 0, 0, 0, 0, 0}, "wrong magic number"},
    {"Html", Bytes{'<', 'h', 't', 'm', 'l', '>'}, "wrong magic number"},
    {"SignedBytes", header(9, {5}) + values(5), "unsigned byte (8), is 9"},
    {"Floats", header(13, {5}) + values(20), "unsigned byte (8), is 13"},
    {"RankZero", header(8, {}) + values(1), "rank must be 1 (labels) or 3 (images), is 0"},
    {"RankTwo", header(8, {2, 2}) + values(4), "is 2"},
    {"RankFour", header(8, {1, 1, 1, 1}) + values(1), "is 4"},
    {"Rank255", {0, 0, 8, 255, 0, 0, 0, 1}, "is 255"},
    {"NoSizes", {0, 0, 8, 3}, "ends inside the sizes"},
    {"HalfOfTheSizes", first(header(8, {2, 3, 4}), 11), "ends inside the sizes"},
    {"NoValues", header(8, {5}), "promise 5 values, file holds 0"},
    {"OneValueShort", first(images, images.size() - 1), "promise 24 values, file holds 23"},
    {"OneValueMore", images + Bytes{1}, "more data than the 24 values"},
    {"ValuesOfAnEmptySet", header(8, {0, 28, 28}) + values(1), "more data than the 0"},
    {"ProductOverflows", header(8, {0xffffffff, 0xffffffff, 0xffffffff}), "4 GiB"},
    {"ProductWrapsToZero", header(8, {1u << 31, 1u << 31, 4}), "4 GiB"},
    {"ZeroAfterHugeSizes", header(8, {1u << 31, 1u << 31, 0}), "4 GiB"},
    {"PromisesMuch", header(8, {0xffffffff}) + values(9), "file holds 9"},
    {"GzipPromisesMuch", gzip(header(8, {0xffffffff}) + values(9)), "file holds 9"},
    {"GzipOfNothing", gzip({}), "ends inside the magic number"},
    {"GzipMagicOnly", {0x1f, 0x8b}, "gzip data ends too early"},
    {"GzipTruncated", first(gzip(images), 30), "gzip data ends too early"},
    {"GzipWithoutLength", first(gzip(images), gzip(images).size() - 4), "gzip data ends too early"},
    {"GzipWrongChecksum", changed(gzip(images), 8, 1), "gzip data is damaged"},
    {"GzipWrongLength", changed(gzip(images), 4, 1), "gzip data is damaged"},
    {"GzipWrongMethod", changed(gzip(images), gzip(images).size() - 2, 1), "gzip data is damaged"},
    {"GzipTrailingGarbage", gzip(images) + values(6), "6 bytes of something else"},
    {"GzipTrailingZeros", gzip(images) + Bytes(512), "512 bytes of something else"},
    {"GzipSecondMemberTruncated", gzip(images) + first(gzip({}), 12), "ends too early"},
    {"GzipSecondMemberHasMore", gzip(images) + gzip({1}), "more data than the 24"},
    {"GzipInGzip", gzip(gzip(images)), "wrong magic number"},
    {"GzipBomb", gzip(header(8, {5}) + Bytes(50'000'000)), "more data than the 5"},
    {"GzipReservedFlags", gzip_with(0xe0, {}), "gzip data is damaged"},
    {"GzipHeaderChecksumWrong", gzip_with(2, {0, 0}), "gzip data is damaged"},
    {"GzipExtraFieldBeyondTheFile", gzip_with(4, {0xff, 0xff}), "gzip data ends too early"},
    {"GzipNameInsideTheData", gzip_with(8, {}), "gzip data "},
    {"GzipHeaderOnly", first(gzip(images), 10), "gzip data ends too early"},
    {"GzipNineBytes", first(gzip(images), 9), "gzip data ends too early"},
    {"GzipUnknownMethod", changed(gzip(images), gzip(images).size() - 2, 0xf), "is damaged"},
    {"GzipChecksumWrongInTheSecondMember", gzip(header(8, {5})) + changed(gzip(values(5)), 8, 1),
     "gzip data is damaged"},
    {"GzipChecksumWrongInTheFirstMember", changed(gzip(header(8, {5})), 8, 1) + gzip(values(5)),
     "gzip data is damaged"},
    {"GzipLengthWrongInTheSecondMember", gzip(header(8, {5})) + changed(gzip(values(5)), 4, 1),
     "gzip data is damaged"},
    {"GzipSecondMemberMissing", gzip(images) + Bytes{0x1f, 0x8b}, "gzip data ends too early"},
    {"GzipHalfAMagicBehind", gzip(images) + Bytes{0x1f}, "1 bytes of something else"},
    {"GzipMembersWithTooFewValues", gzip(header(8, {5})) + gzip(values(2)) + gzip(values(2)),
     "promise 5 values, file holds 4"},
    {"GzipMembersWithTooManyValues", gzip(header(8, {5})) + gzip(values(3)) + gzip(values(3)),
     "more data than the 5"},
    {"GzipBombInTheSecondMember", gzip(labels) + gzip(Bytes(50'000'000)), "more data than the 5"},
    {"GzipBombWithoutAHeader", gzip(Bytes(50'000'000)), "element type must be unsigned byte"},
    {"Zlib", Bytes{0x78, 0x9c} + values(20), "wrong magic number"},
    {"Zip", Bytes{'P', 'K', 3, 4} + values(20), "wrong magic number"},
    {"Bzip2", Bytes{'B', 'Z', 'h', '9'} + values(20), "wrong magic number"},
    {"Xz", Bytes{0xfd, '7', 'z', 'X', 'Z', 0} + values(20), "wrong magic number"},
    {"Npy", Bytes{0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0} + values(20), "wrong magic number"},
    {"Text", Bytes{'0', ',', '1', '\n'}, "wrong magic number"},
    {"Zeros", Bytes(100), "element type must be unsigned byte (8), is 0"},
    {"Pickle", Bytes{0x80, 4, 0x95}, "ends inside the magic number"},
};

class IdxMalformed : public testing::TestWithParam<Malformed> {};

TEST_P(IdxMalformed, IsRefusedWithPathAndFacts) {
  try {
    decode_idx(GetParam().bytes, "some/path");
    FAIL() << "accepted";
  } catch (const DataError& error) {
    const std::string message = error.what();
    EXPECT_EQ(message.rfind("some/path: ", 0), 0u) << message;
    EXPECT_NE(message.find(GetParam().message), std::string::npos) << message;
  }
}

INSTANTIATE_TEST_SUITE_P(Idx, IdxMalformed, testing::ValuesIn(malformed),
                         [](const auto& info) { return std::string(info.param.what); });

TEST(Idx, MalformedAreMany) { EXPECT_GE(malformed.size(), 60u); }

TEST(Idx, TruncatedAnywhereIsRefused) {
  const Bytes packed = gzip(images);
  for (std::size_t size = 0; size < images.size(); ++size) {
    EXPECT_THROW(decode_idx(first(images, size), "cut"), DataError) << size;
  }
  for (std::size_t size = 0; size < packed.size(); ++size) {
    EXPECT_THROW(decode_idx(first(packed, size), "cut"), DataError) << size;
  }
}

TEST(Idx, ABitFlippedAnywhereNeverHarms) {
  const Bytes packed = gzip(images);
  for (const Bytes& bytes : {images, packed}) {
    for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
      const auto mask = static_cast<std::uint8_t>(1 << bit % 8);
      try {
        EXPECT_LE(decode_idx(changed(bytes, bytes.size() - bit / 8, mask), "bit").values.size(),
                  24u);
      } catch (const DataError&) {
      }
    }
  }
}

TEST(Idx, MissingFileNamesThePath) {
  try {
    read_idx("/nowhere/at/all");
    FAIL();
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("/nowhere/at/all"), std::string::npos);
  }
}

class ImageFolder : public testing::Test {
 protected:
  ImageFolder() : folder_(testing::TempDir() + "gradus_image_folder") {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
    put("train-images-idx3-ubyte", images);
    put("train-labels-idx1-ubyte", header(8, {2}) + values(2));
    put("t10k-images-idx3-ubyte.gz", gzip(header(8, {1, 3, 4}) + values(12)));
    put("t10k-labels-idx1-ubyte.gz", gzip(header(8, {1}) + values(1)));
  }
  ~ImageFolder() override { std::filesystem::remove_all(folder_); }

  void put(const std::string& name, const Bytes& bytes) { write_file(folder_ / name, bytes); }

  void expect_refused(const std::string& message) {
    try {
      load_images(folder_.string());
      ADD_FAILURE() << "accepted";
    } catch (const DataError& error) {
      EXPECT_NE(std::string(error.what()).find(message), std::string::npos) << error.what();
    }
  }

  Path folder_;
};

TEST_F(ImageFolder, LoadsPlainAndGzippedFiles) {
  const ImageSet set = load_images(folder_.string());
  EXPECT_EQ(set.train.count, 2);
  EXPECT_EQ(set.train.rows, 3);
  EXPECT_EQ(set.train.columns, 4);
  EXPECT_EQ(set.train.pixels, values(24));
  EXPECT_EQ(set.test.pixels, values(12));
  EXPECT_EQ(set.test.labels, values(1));
}

TEST_F(ImageFolder, RefusesWhatDoesNotFitTogether) {
  put("train-labels-idx1-ubyte", header(8, {3}) + values(3));
  expect_refused("2 train images but 3 labels");
  put("train-labels-idx1-ubyte", images);
  expect_refused("train-labels-idx1-ubyte: holds images, not labels");
  put("train-labels-idx1-ubyte", header(8, {2}) + values(2));
  put("train-images-idx3-ubyte", labels);
  expect_refused("train-images-idx3-ubyte: holds labels, not images");
  put("train-images-idx3-ubyte", header(8, {2, 4, 3}) + values(24));
  expect_refused("images differ in size: train 4 x 3, test 3 x 4");
  put("train-images-idx3-ubyte", header(8, {0, 3, 4}));
  expect_refused("holds no images");
  std::filesystem::remove(folder_ / "train-images-idx3-ubyte");
  expect_refused("train-images-idx3-ubyte[.gz]: no such file");
}

TEST(SyntheticImages, AreAlwaysTheSameAndOfTenKinds) {
  const ImageSet one = load_images("synthetic"), two = load_images("synthetic");
  EXPECT_EQ(one.train.pixels, two.train.pixels);
  EXPECT_EQ(one.train.count, 2000);
  EXPECT_EQ(one.test.count, 500);
  EXPECT_EQ(one.train.pixels.size(), 2000u * 28 * 28);
  EXPECT_EQ(one.test.labels.size(), 500u);
  EXPECT_NE(one.train.pixels, one.test.pixels);
  for (int kind = 0; kind < 10; ++kind) {
    EXPECT_EQ(std::count(one.test.labels.begin(), one.test.labels.end(), kind), 50);
  }
}

}  // namespace
}  // namespace gradus::examples
