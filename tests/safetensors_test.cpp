#include "gradus/tensor/safetensors.h"

#include <cstring>
#include <random>

#include "gradus/tests/files.h"

namespace gradus {
namespace {

using namespace std::literals;
using namespace test;

class Safetensors : public ::testing::Test {
 protected:
  TemporaryDirectory directory;
  const std::filesystem::path path = directory / "file.safetensors";
};

// Written by the reference implementation (safetensors 0.8.0 for Python, from NumPy arrays).
constexpr std::string_view reference_file =
    "P\001\000\000\000\000\000\000{\"__metadata__\":{\"note\":\"\303\251 \\\"q\\\"\"},\"bias"
    "\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[0,16]},\"scalar\":{\"dtype\":\"F64"
    "\",\"shape\":[],\"data_offsets\":[16,24]},\"none\":{\"dtype\":\"F32\",\"shape\":[0,3],\""
    "data_offsets\":[24,24]},\"weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":["
    "24,48]},\"mask\":{\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[48,51]}}   \377\377"
    "\377\377\377\377\377\377\000\000\000\000\000\001\000\000\000\000\000\000\000\000\004@"
    "\000\000\200?\000\000\000@\000\000@@\000\000\200@\000\000\240@\000\000\320@\001\000\001"sv;

TEST_F(Safetensors, ReadsAndWritesTheReferenceFile) {
  write_bytes(path, reference_file);
  std::map<std::string, std::string> metadata{{"old", "value"}};
  const NamedTensors tensors = load_safetensors(path, &metadata);
  EXPECT_EQ(metadata, (std::map<std::string, std::string>{{"note", "\u00e9 \"q\""}}));
  ASSERT_EQ(tensors.size(), 5U);
  EXPECT_EQ(tensors[0].first, "bias");
  EXPECT_EQ(tensors[0].second.to_vector<std::int64_t>(),
            (std::vector<std::int64_t>{-1, std::int64_t{1} << 40}));
  EXPECT_EQ(tensors[1].first, "scalar");
  EXPECT_EQ(tensors[1].second.shape(), Shape{});
  EXPECT_EQ(tensors[1].second.item<double>(), 2.5);
  EXPECT_EQ(tensors[2].first, "none");
  EXPECT_EQ(tensors[2].second.shape(), (Shape{0, 3}));
  EXPECT_EQ(tensors[3].first, "weight");
  EXPECT_EQ(tensors[3].second.shape(), (Shape{2, 3}));
  EXPECT_EQ(tensors[3].second.to_vector<float>(), (std::vector<float>{1, 2, 3, 4, 5, 6.5F}));
  EXPECT_EQ(tensors[4].first, "mask");
  EXPECT_EQ(tensors[4].second.to_vector<bool>(), (std::vector<bool>{true, false, true}));

  save_safetensors(directory / "copy", tensors, metadata);
  EXPECT_EQ(read_bytes(directory / "copy"), reference_file);
}

// Saves, loads, and expects the same names, types, shapes and bits in the same order.
void expect_round_trip(const std::filesystem::path& path, const NamedTensors& tensors,
                       const std::map<std::string, std::string>& metadata = {}) {
  save_safetensors(path, tensors, metadata);
  std::map<std::string, std::string> loaded_metadata;
  const NamedTensors loaded = load_safetensors(path, &loaded_metadata);
  EXPECT_EQ(loaded_metadata, metadata);
  ASSERT_EQ(loaded.size(), tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, tensor] = tensors[i];
    SCOPED_TRACE(printable(name));
    EXPECT_EQ(loaded[i].first, name);
    EXPECT_EQ(loaded[i].second.dtype(), tensor.dtype());
    EXPECT_EQ(loaded[i].second.shape(), tensor.shape());
    EXPECT_TRUE(loaded[i].second.is_contiguous());
    EXPECT_FALSE(loaded[i].second.requires_grad());
    EXPECT_EQ(raw(loaded[i].second), raw(tensor));
  }
}

constexpr DType all_dtypes[] = {DType::boolean, DType::u8,  DType::bf16, DType::i32,
                                DType::f32,     DType::i64, DType::f64};

TEST_F(Safetensors, KeepsEveryTypeAndShape) {
  NamedTensors tensors;
  for (const DType type : all_dtypes)
    for (const Shape& sizes : {Shape{}, Shape{0}, Shape{3}, Shape{2, 0, 5}, Shape{3, 5, 7},
                               Shape{1, 1, 1, 1, 1, 1, 1, 3}})
      tensors.emplace_back(std::to_string(tensors.size()), scrambled(sizes, type));
  expect_round_trip(path, tensors, {{"step", "12"}, {"", ""}});
  expect_round_trip(path, {});
}

TEST_F(Safetensors, KeepsTheValuesOfViews) {
  const Tensor matrix = scrambled({6, 4}, DType::i32);
  Tensor weight = full({2, 3}, 0.5);
  weight.requires_grad_();
  expect_round_trip(path, {{"transposed", matrix.transpose(0, 1)},
                           {"sliced", matrix.slice(0, 1, 6, 2)},
                           {"row", matrix[2]},
                           {"expanded", matrix.slice(0, 0, 1).expand({5, 4})},
                           {"leaf", weight},
                           {"again", weight}});
}

TEST_F(Safetensors, KeepsEveryName) {
  const Tensor one = ones({1});
  expect_round_trip(path,
                    {{"", one},
                     {"layer.0.weight", one},
                     {"../../etc/passwd", one},
                     {"nul \0 inside"s, one},
                     {"quote \" backslash \\ newline \n delete \x7f", one},
                     {"\u00fc \u20ac \U0001f600", one},
                     {std::string(1'000'000, 'n'), one}},
                    {{"key \"\n\0"s, "value \\ \u20ac"}});
}

TEST_F(Safetensors, AlignsEveryTensor) {
  save_safetensors(path, {{"a", scrambled({3}, DType::u8)},
                          {"b", scrambled({3}, DType::f32)},
                          {"c", scrambled({1}, DType::bf16)},
                          {"d", scrambled({1}, DType::f64)}});
  const std::string bytes = read_bytes(path);
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), 8);
  EXPECT_EQ(header_bytes % 8, 0U);
  const auto header = parse_safetensors_header(as_bytes(bytes).subspan(8, header_bytes),
                                               bytes.size() - 8 - header_bytes);
  ASSERT_EQ(header.entries.size(), 4U);
  for (const auto& entry : header.entries)
    EXPECT_EQ(entry.begin % static_cast<std::uint64_t>(item_size(entry.dtype)), 0U) << entry.name;
}

TEST_F(Safetensors, SavesOntoTheFileItWasLoadedFrom) {
  save_safetensors(path, {{"x", scrambled({1000}, DType::f32)}});
  const std::string before = read_bytes(path);
  save_safetensors(path, load_safetensors(path));
  EXPECT_EQ(read_bytes(path), before);
  EXPECT_EQ(directory.count(), 1U);
}

TEST_F(Safetensors, RefusesToSaveWhatCouldNotBeLoaded) {
  const Tensor one = ones({1});
  write_bytes(path, "old");
  const auto refuses = [&](const NamedTensors& tensors,
                           const std::map<std::string, std::string>& metadata, const char* error) {
    expect_error<Error>([&] { save_safetensors(path, tensors, metadata); },
                        "save_safetensors: " + path.string() + ": ", error);
  };
  refuses({{"x", one}, {"y", one}, {"x", one}}, {}, "duplicate tensor name: 'x'");
  refuses({{"__metadata__", one}}, {}, "name is reserved: '__metadata__'");
  refuses({{"x", Tensor()}}, {}, "tensor is undefined: 'x'");
  refuses({{"\xff", one}}, {}, "text is not valid UTF-8");
  refuses({}, {{"\xed\xa0\x80", ""}}, "text is not valid UTF-8");
  refuses({}, {{"", "\xc0\xaf"}}, "text is not valid UTF-8");
  expect_error<FileError>(
      [&] {
        save_safetensors(directory / "none/file", {{"x", one}});
      },
      "save_safetensors: ", "No such file or directory");
  EXPECT_EQ(read_bytes(path), "old");
  EXPECT_EQ(directory.count(), 1U);
}

TEST_F(Safetensors, AFailedLoadLeavesTheMetadata) {
  write_bytes(path, reference_file.substr(0, reference_file.size() - 1));
  std::map<std::string, std::string> metadata{{"key", "value"}};
  EXPECT_THROW(load_safetensors(path, &metadata), FileError);
  EXPECT_EQ(metadata.at("key"), "value");
}

// What follows the header of the small file below, and of the reference file.
constexpr std::size_t small_data = 12, reference_data = 51;

std::string small_file(const std::filesystem::path& path) {
  save_safetensors(path, {{"a", scrambled({1, 4}, DType::boolean)}, {"b", scrambled({2}, f32)}},
                   {{"key", "value"}});
  return read_bytes(path);
}

TEST_F(Safetensors, RefusesEveryTruncation) {
  const std::string bytes = small_file(path);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    SCOPED_TRACE(size);
    write_bytes(path, bytes.substr(0, size));
    EXPECT_THROW(load_safetensors(path), FileError);
  }
}

// A changed header is refused, or describes the same data in another consistent way.
void expect_error_or_consistency(std::string_view header, std::uint64_t data_bytes) {
  SafetensorsHeader read;
  try {
    read = parse_safetensors_header(as_bytes(header), data_bytes);
  } catch (const FileError&) {
    return;
  }
  std::uint64_t total = 0;
  for (const auto& entry : read.entries) {
    ASSERT_LE(entry.begin, entry.end);
    ASSERT_LE(entry.end, data_bytes);
    ASSERT_EQ(static_cast<std::int64_t>(entry.end - entry.begin),
              checked_numel("test", entry.shape) * item_size(entry.dtype));
    total += entry.end - entry.begin;
  }
  ASSERT_EQ(total, data_bytes);
}

TEST_F(Safetensors, SurvivesEveryBitFlip) {
  const std::string good = small_file(path);
  int loaded = 0;
  for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string bytes = good;
    bytes[bit / 8] ^= static_cast<char>(1 << bit % 8);
    write_bytes(path, bytes);
    try {
      load_safetensors(path);
      ++loaded;
    } catch (const FileError&) {
    }
    expect_error_or_consistency(bytes.substr(8, bytes.size() - 8 - small_data), small_data);
  }
  EXPECT_GE(loaded, 8 * 8 + 4);  // every flip in the numbers, one in each boolean
}

TEST_F(Safetensors, SurvivesRandomEdits) {
  std::mt19937 random(1);
  const auto header = reference_file.substr(8, reference_file.size() - 8 - reference_data);
  for (int round = 0; round < 5'000; ++round)
    expect_error_or_consistency(
        edited(header, "{}[]\":,0123456789-.eE \\u_FUIBdtrue\0\xff\xc3"sv, random), reference_data);
}

// Work and memory grow with the file, whatever it claims.
TEST_F(Safetensors, TakesManyTensorsAndMuchSpace) {
  const std::string nothing = R"(:{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  std::string header = "{\"0\"" + nothing;
  for (int i = 1; i < 20'000; ++i) header += ",\"" + std::to_string(i) + "\"" + nothing;
  header += std::string(1'000'000, ' ') + "}" + std::string(1'000'000, ' ');
  EXPECT_EQ(parse_safetensors_header(as_bytes(header), 0).entries.size(), 20'000U);
}

}  // namespace
}  // namespace gradus
