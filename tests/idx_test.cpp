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

INSTANTIATE_TEST_SUITE_P(
    Idx, IdxMalformed,
    testing::Values(
        Malformed{"Empty", {}, "ends inside the magic number"},
        Malformed{"ThreeBytes", {0, 0, 8}, "ends inside the magic number"},
        Malformed{"WrongFirstByte", {1, 0, 8, 1, 0, 0, 0, 0}, "wrong magic number"},
        Malformed{"WrongSecondByte", {0, 1, 8, 1, 0, 0, 0, 0}, "wrong magic number"},
        Malformed{"LittleEndianMagic", {3, 8, 0, 0, 0, 0, 0, 0}, "wrong magic number"},
        Malformed{"Html", Bytes{'<', 'h', 't', 'm', 'l', '>'}, "wrong magic number"},
        Malformed{"SignedBytes", header(9, {5}) + values(5), "unsigned byte (8), is 9"},
        Malformed{"Floats", header(13, {5}) + values(20), "unsigned byte (8), is 13"},
        Malformed{"RankZero", header(8, {}) + values(1),
                  "rank must be 1 (labels) or 3 (images), is 0"},
        Malformed{"RankTwo", header(8, {2, 2}) + values(4), "is 2"},
        Malformed{"RankFour", header(8, {1, 1, 1, 1}) + values(1), "is 4"},
        Malformed{"Rank255", {0, 0, 8, 255, 0, 0, 0, 1}, "is 255"},
        Malformed{"NoSizes", {0, 0, 8, 3}, "ends inside the sizes"},
        Malformed{"HalfOfTheSizes", first(header(8, {2, 3, 4}), 11), "ends inside the sizes"},
        Malformed{"NoValues", header(8, {5}), "promise 5 values, file holds 0"},
        Malformed{"OneValueShort", first(images, images.size() - 1),
                  "promise 24 values, file holds 23"},
        Malformed{"OneValueMore", images + Bytes{1}, "more data than the 24 values"},
        Malformed{"ValuesOfAnEmptySet", header(8, {0, 28, 28}) + values(1), "more data than the 0"},
        Malformed{"ProductOverflows", header(8, {0xffffffff, 0xffffffff, 0xffffffff}), "4 GiB"},
        Malformed{"ProductWrapsToZero", header(8, {1u << 31, 1u << 31, 4}), "4 GiB"},
        Malformed{"ZeroAfterHugeSizes", header(8, {1u << 31, 1u << 31, 0}), "4 GiB"},
        Malformed{"PromisesMuch", header(8, {0xffffffff}) + values(9), "file holds 9"},
        Malformed{"GzipPromisesMuch", gzip(header(8, {0xffffffff}) + values(9)), "file holds 9"},
        Malformed{"GzipOfNothing", gzip({}), "ends inside the magic number"},
        Malformed{"GzipMagicOnly", {0x1f, 0x8b}, "gzip data ends too early"},
        Malformed{"GzipTruncated", first(gzip(images), 30), "gzip data ends too early"},
        Malformed{"GzipWithoutLength", first(gzip(images), gzip(images).size() - 4),
                  "gzip data ends too early"},
        Malformed{"GzipWrongChecksum", changed(gzip(images), 8, 1), "gzip data is damaged"},
        Malformed{"GzipWrongLength", changed(gzip(images), 4, 1), "gzip data is damaged"},
        Malformed{"GzipWrongMethod", changed(gzip(images), gzip(images).size() - 2, 1),
                  "gzip data is damaged"},
        Malformed{"GzipTrailingGarbage", gzip(images) + values(6), "6 bytes of something else"},
        Malformed{"GzipTrailingZeros", gzip(images) + Bytes(512), "512 bytes of something else"},
        Malformed{"GzipSecondMemberTruncated", gzip(images) + first(gzip({}), 12),
                  "ends too early"},
        Malformed{"GzipSecondMemberHasMore", gzip(images) + gzip({1}), "more data than the 24"},
        Malformed{"GzipInGzip", gzip(gzip(images)), "wrong magic number"},
        Malformed{"GzipBomb", gzip(header(8, {5}) + Bytes(50'000'000)), "more data than the 5"}),
    [](const auto& info) { return std::string(info.param.what); });

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
