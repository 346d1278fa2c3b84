#include "gradus/tensor/npz.h"

#include "gradus/tests/files.h"

namespace gradus {
namespace {

using namespace std::literals;
using namespace test;

// Written by NumPy 2.4: savez of an f4 (3,) "a" and an i8 () "w/b"; savez_compressed of a hundred
// f4 zeros "a" and a b1 (2,) "b"; savez of "a" into a pipe, where sizes follow the contents.
constexpr std::string_view numpy_stored =
    "PK\003\004-\000\000\000\000\000\000\000!\000\266\214\206S\377\377\377\377\377\377\377"
    "\377\005\000\024\000a.npy\001\000\020\000\214\000\000\000\000\000\000\000\214\000\000"
    "\000\000\000\000\000\223NUMPY\001\000v\000{'descr': '<f4', 'fortran_order': False, 'shap"
    "e': (3,), }                                                            \n\000\000\000"
    "\000\000\000\200?\000\000\000@PK\003\004-\000\000\000\000\000\000\000!\000\310\270<\344"
    "\377\377\377\377\377\377\377\377\007\000\024\000w/b.npy\001\000\020\000\210\000\000\000"
    "\000\000\000\000\210\000\000\000\000\000\000\000\223NUMPY\001\000v\000{'descr': '<i8', '"
    "fortran_order': False, 'shape': (), }                                                   "
    "           \n\371\377\377\377\377\377\377\377PK\001\002-\003-\000\000\000\000\000\000"
    "\000!\000\266\214\206S\214\000\000\000\214\000\000\000\005\000\000\000\000\000\000\000"
    "\000\000\000\000\200\001\000\000\000\000a.npyPK\001\002-\003-\000\000\000\000\000\000"
    "\000!\000\310\270<\344\210\000\000\000\210\000\000\000\007\000\000\000\000\000\000\000"
    "\000\000\000\000\200\001\303\000\000\000w/b.npyPK\005\006\000\000\000\000\002\000\002"
    "\000h\000\000\000\204\001\000\000\000\000"sv;

constexpr std::string_view numpy_deflated =
    "PK\003\004-\000\000\000\010\000\000\000!\000\357\271}\033\377\377\377\377\377\377\377"
    "\377\005\000\024\000a.npy\001\000\020\000\020\002\000\000\000\000\000\000K\000\000\000"
    "\000\000\000\000\233\354\027\352\033\020\311\310P\306P\255\236\222Z\234\\\244n\245\240n"
    "\223f\242\256\243\240\236\226_TR\224\230\027\237_\224\222\n\022wK\314)N\005\212\027g$"
    "\026\244\002\371\032\206\006\006:\232:\n\265\nd\003.\206Q0\250\000\000PK\003\004-\000"
    "\000\000\010\000\000\000!\000\356\031\273]\377\377\377\377\377\377\377\377\005\000\024"
    "\000b.npy\001\000\020\000\202\000\000\000\000\000\000\000F\000\000\000\000\000\000\000"
    "\233\354\027\352\033\020\311\310P\306P\255\236\222Z\234\\\244n\245\240^\223d\250\256\243"
    "\240\236\226_TR\224\230\027\237_\224\222\n\022wK\314)N\005\212\027g$\026\244\002\371\032"
    "F:\232:\n\265\n\024\000.F\006\000PK\001\002-\003-\000\000\000\010\000\000\000!\000\357"
    "\271}\033K\000\000\000\020\002\000\000\005\000\000\000\000\000\000\000\000\000\000\000"
    "\200\001\000\000\000\000a.npyPK\001\002-\003-\000\000\000\010\000\000\000!\000\356\031"
    "\273]F\000\000\000\202\000\000\000\005\000\000\000\000\000\000\000\000\000\000\000\200"
    "\001\202\000\000\000b.npyPK\005\006\000\000\000\000\002\000\002\000f\000\000\000\377\000"
    "\000\000\000\000"sv;

constexpr std::string_view numpy_streamed =
    "PK\003\004-\000\010\000\000\000\000\000!\000\000\000\000\000\377\377\377\377\377\377\377"
    "\377\005\000\024\000a.npy\001\000\020\000\000\000\000\000\000\000\000\000\000\000\000"
    "\000\000\000\000\000\223NUMPY\001\000v\000{'descr': '<f4', 'fortran_order': False, 'shap"
    "e': (3,), }                                                            \n\000\000\000"
    "\000\000\000\200?\000\000\000@PK\007\010\266\214\206S\214\000\000\000\000\000\000\000"
    "\214\000\000\000\000\000\000\000PK\001\002-\003-\000\010\000\000\000\000\000!\000\266"
    "\214\206S\214\000\000\000\214\000\000\000\005\000\000\000\000\000\000\000\000\000\000"
    "\000\200\001\000\000\000\000a.npyPK\005\006\000\000\000\000\001\000\001\0003\000\000\000"
    "\333\000\000\000\000\000"sv;

class Npz : public ::testing::Test {
 protected:
  NamedTensors load(std::string_view bytes) {
    write_bytes(path, bytes);
    return load_npz(path);
  }
  void expect_round_trip(const NamedTensors& tensors, NpzOptions options = {}) {
    save_npz(path, tensors, options);
    const NamedTensors loaded = load_npz(path);
    ASSERT_EQ(loaded.size(), tensors.size());
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      EXPECT_EQ(loaded[i].first, tensors[i].first);
      EXPECT_EQ(loaded[i].second.dtype(), tensors[i].second.dtype());
      EXPECT_EQ(loaded[i].second.shape(), tensors[i].second.shape());
      EXPECT_FALSE(loaded[i].second.requires_grad());
      EXPECT_EQ(raw(loaded[i].second), raw(tensors[i].second));
    }
  }

  TemporaryDirectory directory;
  const std::filesystem::path path = directory / "file.npz";
};

TEST_F(Npz, ReadsWhatNumPyWrote) {
  const NamedTensors stored = load(numpy_stored);
  ASSERT_EQ(stored.size(), 2U);
  EXPECT_EQ(stored[0].first, "a");
  EXPECT_EQ(stored[0].second.to_vector<float>(), (std::vector<float>{0, 1, 2}));
  EXPECT_EQ(stored[1].first, "w/b");
  EXPECT_EQ(stored[1].second.shape(), Shape{});
  EXPECT_EQ(stored[1].second.item<std::int64_t>(), -7);

  const NamedTensors deflated = load(numpy_deflated);
  ASSERT_EQ(deflated.size(), 2U);
  EXPECT_EQ(deflated[0].second.to_vector<float>(), std::vector<float>(100));
  EXPECT_EQ(deflated[1].second.to_vector<bool>(), (std::vector<bool>{true, false}));

  const NamedTensors streamed = load(numpy_streamed);
  ASSERT_EQ(streamed.size(), 1U);
  EXPECT_EQ(streamed[0].second.to_vector<float>(), (std::vector<float>{0, 1, 2}));
}

TEST_F(Npz, WritesWhatNumPyWrites) {
  save_npz(path, load(numpy_stored));
  EXPECT_EQ(read_bytes(path), numpy_stored);
}

TEST_F(Npz, KeepsEveryTypeAndShape) {
  NamedTensors tensors;
  for (const DType type :
       {DType::boolean, DType::u8, DType::i32, DType::f32, DType::i64, DType::f64})
    for (const Shape& shape : {Shape{}, Shape{0}, Shape{3}, Shape{2, 0, 5}, Shape{3, 50, 70},
                               Shape{1, 1, 1, 1, 1, 1, 1, 3}})
      tensors.emplace_back("tensor " + std::to_string(tensors.size()), scrambled(shape, type));
  expect_round_trip(tensors);
  expect_round_trip(tensors, {.compressed = true});
  expect_round_trip({});
}

TEST_F(Npz, KeepsNamesInTheirOrder) {
  NamedTensors tensors;
  for (const char* name : {"z", "a", "layer.0/weight:0", "a b", ".hidden", "a/..b", "\xc3\xa9",
                           "\xf0\x9f\x8e\xb9", "\n", "x.npy"})
    tensors.emplace_back(name, scrambled({2}, DType::u8));
  tensors.emplace_back(std::string(65'531, 'n'), scrambled({1}, DType::u8));
  expect_round_trip(tensors);
}

TEST_F(Npz, KeepsTheValuesOfViews) {
  const Tensor matrix = scrambled({6, 4}, DType::i32);
  Tensor leaf = full({2, 3}, 0.5);
  leaf.requires_grad_();
  expect_round_trip({{"transposed", matrix.transpose(0, 1)},
                     {"sliced", matrix.slice(0, 1, 6, 2)},
                     {"expanded", matrix.slice(0, 0, 1).expand({5, 4})},
                     {"leaf", leaf}});
}

// Zeros shrink a thousandfold, noise grows: more than one buffer of either.
TEST_F(Npz, CompressesLargeTensors) {
  const Tensor noise = scrambled({700'001}, DType::u8), nothing = zeros({1'000, 1'000});
  expect_round_trip({{"noise", noise}, {"nothing", nothing}}, {.compressed = true});
  EXPECT_LT(std::filesystem::file_size(path), 706'000U);
  EXPECT_GT(std::filesystem::file_size(path), 700'000U);
}

// A directory of more than 65535 entries needs the ZIP64 records.
TEST_F(Npz, HoldsManyTensors) {
  NamedTensors tensors;
  const Tensor one = ones({1}, DType::u8);
  for (int i = 0; i < 65'536; ++i) tensors.emplace_back(std::to_string(i), one);
  save_npz(path, tensors);
  EXPECT_NE(read_bytes(path).find("PK\6\6"), std::string::npos);
  const NamedTensors loaded = load_npz(path);
  ASSERT_EQ(loaded.size(), 65'536U);
  EXPECT_EQ(loaded.back().first, "65535");
}

TEST_F(Npz, RefusesToSave) {
  write_bytes(path, "old");
  const auto refuses = [&](const NamedTensors& tensors, const std::string& why) {
    expect_error<Error>([&] { save_npz(path, tensors); }, "save_npz: " + path.string() + ": ", why);
  };
  const Tensor x = ones({1});
  refuses({{"x", x.to(DType::bf16)}}, "'x': dtype is not supported: NumPy has no bf16");
  refuses({{"x", Tensor()}}, "tensor is undefined: 'x'");
  refuses({{"x", x}, {"y", x}, {"x", x}}, "duplicate tensor name: 'x'");
  refuses({{"", x}}, "name is empty");
  refuses({{"/x", x}}, "name is an absolute path");
  refuses({{"a/../../x", x}}, "name leads out of its folder");
  refuses({{"..", x}}, "name leads out of its folder");
  refuses({{"x\0y"s, x}}, "name holds a zero byte");
  refuses({{"\xff", x}}, "name is not valid UTF-8");
  refuses({{std::string(65'532, 'n'), x}}, "name is too long");
  expect_error<FileError>(
      [&] {
        save_npz(directory / "none/file", {{"x", x}});
      },
      "save_npz: ", "No such file or directory");
  EXPECT_EQ(read_bytes(path), "old");
  EXPECT_EQ(directory.count(), 1U);
}

TEST_F(Npz, RefusesEveryTruncation) {
  for (const std::string_view bytes : {numpy_stored, numpy_deflated, numpy_streamed})
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      SCOPED_TRACE(size);
      EXPECT_THROW(load(bytes.substr(0, size)), FileError);
    }
}

// A changed bit is noticed, or is one of those that nobody reads, like the time; then the values
// are what they were. Names have no checksum, but stand in two places.
TEST_F(Npz, NoticesEveryBitFlip) {
  for (const std::string_view good : {numpy_stored, numpy_deflated, numpy_streamed}) {
    const NamedTensors expected = load(good);
    for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
      SCOPED_TRACE(bit);
      std::string bytes(good);
      bytes[bit / 8] ^= static_cast<char>(1 << bit % 8);
      try {
        const NamedTensors loaded = load(bytes);
        ASSERT_EQ(loaded.size(), expected.size());
        for (std::size_t i = 0; i < loaded.size(); ++i) {
          EXPECT_EQ(loaded[i].first, expected[i].first);
          EXPECT_EQ(raw(loaded[i].second), raw(expected[i].second));
        }
      } catch (const FileError&) {
      }
    }
  }
}

TEST_F(Npz, SurvivesRandomEdits) {
  std::mt19937 random(1);
  std::string all(256, '\0');
  for (int i = 0; i < 256; ++i) all[static_cast<std::size_t>(i)] = static_cast<char>(i);
  for (int round = 0; round < 3'000; ++round) {
    const std::string_view good[] = {numpy_stored, numpy_deflated, numpy_streamed};
    try {
      for (const auto& [name, tensor] : load(edited(good[round % 3], all, random)))
        EXPECT_LE(tensor.bytes(), 1'000);
    } catch (const FileError&) {
    }
  }
}

}  // namespace
}  // namespace gradus
