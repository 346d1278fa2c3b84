// Files that load_safetensors must refuse, each by its own rule.
#include <cstring>

#include "gradus/tensor/safetensors.h"
#include "gradus/tests/files.h"

namespace gradus {
namespace {

using namespace std::literals;
using namespace test;

// A file with this header and so many zero bytes of data.
std::string file_of(std::string_view header, std::size_t data_bytes = 0) {
  const std::uint64_t size = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &size, 8);
  return bytes.append(header).append(data_bytes, '\0');
}

// A file that claims a header of `size` bytes and has this one.
std::string claim(std::uint64_t size, std::string_view header) {
  std::string bytes = file_of(header);
  std::memcpy(bytes.data(), &size, 8);
  return bytes;
}

// One tensor "x".
std::string tensor(std::string_view fields, std::size_t data_bytes = 0) {
  return file_of("{\"x\":{" + std::string(fields) + "}}", data_bytes);
}
std::string shape(std::string_view sizes, std::size_t data_bytes = 4) {
  return tensor("\"dtype\":\"F32\",\"shape\":" + std::string(sizes) + ",\"data_offsets\":[0," +
                    std::to_string(data_bytes) + "]",
                data_bytes);
}
std::string offsets(std::string_view range, std::size_t data_bytes = 8) {
  return tensor(R"("dtype":"F32","shape":[2],"data_offsets":)" + std::string(range), data_bytes);
}
std::string dtype(std::string_view json) {
  return tensor("\"dtype\":" + std::string(json) + R"(,"shape":[],"data_offsets":[0,4])", 4);
}
// Tensors "a", "b", ... of bytes at these ranges.
std::string layout(std::initializer_list<std::pair<int, int>> ranges, std::size_t data_bytes) {
  std::string header = "{";
  char name = 'a';
  for (const auto& [begin, end] : ranges) {
    const std::string from = std::to_string(begin), to = std::to_string(end);
    header += (header.size() > 1 ? ",\"" : "\"") + std::string(1, name++) +
              R"(":{"dtype":"U8","shape":[)" + std::to_string(end - begin) +
              "],\"data_offsets\":[" + from + "," + to + "]}";
  }
  return file_of(header + "}", data_bytes);
}
std::string repeat(std::string_view text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

const std::string empty_u8 = R"({"dtype":"U8","shape":[0],"data_offsets":[0,0]})";

std::vector<Malformed> malformed_lengths() {
  constexpr std::uint64_t most = ~std::uint64_t{0};
  return {
      {"no byte", "", "file is too short: 0 bytes"},
      {"7 bytes", "\1\0\0\0\0\0\0"s, "file is too short: 7 bytes"},
      {"length 0", file_of(""), "does not begin with '{'"},
      {"length 1", file_of("{"), "does not end with '}'"},
      {"length one too many", claim(3, "{}"), "header ends beyond the file: 3 bytes"},
      {"length 2^31", claim(std::uint64_t{1} << 31, "{}"), "header is too large"},
      {"length 2^63", claim(std::uint64_t{1} << 63, "{}"), "header is too large"},
      {"length 2^64-1", claim(most, "{}"), "header is too large"},
      {"length 2^64-8", claim(most - 7, "{}"), "header is too large"},
      {"length above the limit", claim(100'000'001, "{}"), "header is too large: 100000001"},
      {"length at the limit", claim(100'000'000, "{}"), "header ends beyond the file"},
      {"length too small", claim(1, "{}"), "does not end with '}'"},
  };
}

std::vector<Malformed> malformed_json() {
  const char* const json = "header is not valid JSON in UTF-8: at byte";
  const char* const begin = "header does not begin with '{': at byte 8";
  const char* const end = "header does not end with '}' and spaces";
  const std::string tail = ":" + empty_u8 + "}";
  return {
      {"a list", file_of("[]"), begin},
      {"a leading space", file_of(" {}"), begin},
      {"a leading newline", file_of("\n{}"), begin},
      {"a byte order mark", file_of("\xef\xbb\xbf{}"), begin},
      {"a zip file", file_of("PK\3\4{}"), begin},
      {"trailing text", file_of("{}x"), end},
      {"a trailing newline", file_of("{}\n"), end},
      {"a trailing tab", file_of("{}\t"), end},
      {"a trailing zero", file_of("{}\0"sv), end},
      {"text behind a zero", file_of("{}\0{}"sv), json},
      {"two objects", file_of("{}{}"), json},
      {"two objects apart", file_of("{} {}"), json},
      {"a second closing brace", file_of("{}}"), json},
      {"no closing brace", file_of("{\"x\":" + empty_u8), json},
      {"an invalid byte", file_of("{\"\xff\"" + tail), json},
      {"an overlong slash", file_of("{\"\xc0\xaf\"" + tail), json},
      {"a cut character", file_of("{\"\xe2\x82\"" + tail), json},
      {"a surrogate in bytes", file_of("{\"\xed\xa0\x80\"" + tail), json},
      {"above the last character", file_of("{\"\xf4\x90\x80\x80\"" + tail), json},
      {"a lone high surrogate", file_of("{\"\\ud800\"" + tail), json},
      {"a lone low surrogate", file_of("{\"\\udc00\"" + tail), json},
      {"a raw newline in a string", file_of("{\"a\nb\"" + tail), json},
      {"an unknown escape", file_of("{\"\\x41\"" + tail), json},
      {"a short escape", file_of("{\"\\u12\"" + tail), json},
      {"an unterminated string", file_of("{\"x}"), json},
      {"single quotes", file_of("{'x'" + tail), json},
      {"a key without quotes", file_of("{x" + tail), json},
      {"a comment", file_of("{/* */}"), json},
      {"a trailing comma", file_of("{\"x\":" + empty_u8 + ",}"), json},
      {"a missing colon", file_of("{\"x\" {}}"), json},
      {"a missing value", file_of("{\"x\":}"), json},
      {"not a number", shape("[NaN]"), json},
      {"a plus sign", shape("[+1]"), json},
      {"a leading zero", shape("[01]"), json},
      {"a hexadecimal number", shape("[0x1]"), json},
      {"a number that overflows", shape("[1e309]"), json},
      {"deep lists", file_of("{\"x\":" + repeat("[", 100'000) + "}"), "entry is not an object"},
      {"deep lists in a shape", shape(repeat("[", 100'000)), "shape is not a list of non-negative"},
      {"deep objects", file_of(repeat("{\"x\":", 100'000) + "}"), "unknown key: tensor 'x': 'x'"},
  };
}

std::vector<Malformed> malformed_entries() {
  const auto metadata = [](std::string_view json) {
    return file_of("{\"__metadata__\":" + std::string(json) + "}");
  };
  const auto entry = [](std::string_view json) {
    return file_of("{\"x\":" + std::string(json) + "}");
  };
  const char* const object = "entry is not an object: tensor 'x'";
  const char* const text = "metadata is not a string: 'k'";
  return {
      {"null", entry("null"), object},
      {"a number", entry("1"), object},
      {"a negative number", entry("-1"), object},
      {"a string", entry("\"F32\""), object},
      {"a list", entry("[]"), object},
      {"true", entry("true"), object},
      {"nothing", entry("{}"), "missing key: tensor 'x': 'dtype'"},
      {"no dtype", tensor(R"("shape":[],"data_offsets":[0,4])", 4),
       "missing key: tensor 'x': 'dtype'"},
      {"no shape", tensor(R"("dtype":"F32","data_offsets":[0,4])", 4), "'shape'"},
      {"no offsets", tensor(R"("dtype":"F32","shape":[])"), "'data_offsets'"},
      {"an unknown key", offsets("[0,8],\"strides\":[1]"), "unknown key: tensor 'x': 'strides'"},
      {"dtype twice", dtype("\"F32\",\"dtype\":\"F32\""), "duplicate key: tensor 'x': 'dtype'"},
      {"shape twice", shape("[1],\"shape\":[1]"), "duplicate key: tensor 'x': 'shape'"},
      {"offsets twice", offsets("[0,8],\"data_offsets\":[0,8]"), "duplicate key: tensor 'x'"},
      {"a name twice", entry(empty_u8 + ",\"x\":" + empty_u8), "duplicate tensor name: 'x'"},
      {"a name twice, once escaped", entry(empty_u8 + ",\"\\u0078\":" + empty_u8),
       "duplicate tensor name: 'x'"},
      {"metadata twice", metadata("{},\"__metadata__\":{}"), "duplicate key: __metadata__"},
      {"metadata null", metadata("null"), "entry is not an object: tensor '__metadata__'"},
      {"metadata a list", metadata("[]"), "entry is not an object: tensor '__metadata__'"},
      {"a number as metadata", metadata("{\"k\":1}"), text},
      {"null as metadata", metadata("{\"k\":null}"), text},
      {"a list as metadata", metadata("{\"k\":[]}"), text},
      {"an object as metadata", metadata("{\"k\":{}}"), text},
      {"a key twice in metadata", metadata(R"({"k":"a","k":"a"})"), "duplicate key: 'k' in __meta"},
      {"an unknown dtype", dtype("\"F31\""), "unknown dtype: tensor 'x': 'F31'"},
      {"a dtype in lower case", dtype("\"f32\""), "unknown dtype: tensor 'x': 'f32'"},
      {"no text as dtype", dtype("\"\""), "unknown dtype: tensor 'x': ''"},
      {"f16", dtype("\"F16\""), "dtype is not supported: tensor 'x': F16"},
      {"u64", dtype("\"U64\""), "dtype is not supported: tensor 'x': U64"},
      {"f8", dtype("\"F8_E4M3\""), "dtype is not supported: tensor 'x': F8_E4M3"},
      {"f4", dtype("\"F4\""), "dtype is not supported: tensor 'x': F4"},
      {"null as dtype", dtype("null"), "dtype is not a string: tensor 'x': got null"},
      {"a number as dtype", dtype("32"), "dtype is not a string: tensor 'x': got 32"},
      {"a list as dtype", dtype("[\"F32\"]"), "dtype is not a string: tensor 'x': got a list"},
  };
}

std::vector<Malformed> malformed_shapes() {
  const char* const list = "shape is not a list: tensor 'x'";
  const char* const integers = "shape is not a list of non-negative integers: tensor 'x'";
  const char* const large = "shape is too large: tensor 'x'";
  const char* const many = "shape has too many dimensions: tensor 'x'";
  return {
      {"a number", shape("4"), list},
      {"a string", shape("\"[1]\""), list},
      {"null", shape("null"), list},
      {"an object", shape("{}"), list},
      {"negative", shape("[-1]"), integers},
      {"minus zero", shape("[-0]"), integers},
      {"a fraction", shape("[1.5]"), integers},
      {"a whole number as a fraction", shape("[1.0]"), integers},
      {"an exponent", shape("[1e0]"), integers},
      {"20 digits", shape("[18446744073709551616]"), integers},
      {"a string inside", shape("[\"1\"]"), integers},
      {"true inside", shape("[true]"), integers},
      {"null inside", shape("[null]"), integers},
      {"an object inside", shape("[{}]"), integers},
      {"9 dimensions", shape("[1,1,1,1,1,1,1,1,1]"), many},
      {"65 dimensions", shape("[" + repeat("1,", 64) + "1]"), many},
      {"2^61 elements", shape("[2305843009213693952]"), large},
      {"2^62 elements", shape("[4611686018427387904]"), large},
      {"2^63", shape("[9223372036854775808]"), large},
      {"2^64-1", shape("[18446744073709551615]"), large},
      {"a product of 2^64", shape("[4294967296,4294967296]"), large},
      {"a product that wraps to 1", shape("[3,12297829382473034411]"), large},
      {"bytes that wrap to 4", shape("[4611686018427387905]"), large},
      {"empty, with sizes that overflow", shape("[0,4611686018427387904,2]", 0), large},
      {"empty at the end, with sizes that overflow", shape("[4294967296,4294967296,0]", 0), large},
      {"empty, with a size above 2^63", shape("[18446744073709551615,0]", 0), large},
      {"2^60 elements in 4 bytes", shape("[1152921504606846976]"), "do not match dtype and shape"},
      {"more than there is", shape("[3]", 8), "do not match dtype and shape"},
      {"less than there is", shape("[1]", 8), "do not match dtype and shape"},
      {"empty with data", shape("[0]", 4), "do not match dtype and shape"},
  };
}

std::vector<Malformed> malformed_offsets() {
  const char* const two = "data_offsets are not two: tensor 'x'";
  const char* const integers = "data_offsets are not non-negative integers: tensor 'x'";
  const char* const list = "data_offsets are not a list: tensor 'x'";
  const char* const match = "data_offsets do not match dtype and shape: tensor 'x'";
  std::string zip = layout({{0, 4}}, 4) + "PK\5\6" + std::string(18, '\0');
  std::string half = tensor(R"("dtype":"BOOL","shape":[2],"data_offsets":[0,2])", 2);
  half.back() = '\2';
  return {
      {"none", offsets("[]"), two},
      {"one", offsets("[0]"), two},
      {"three", offsets("[0,8,8]"), two},
      {"a number", offsets("8"), list},
      {"a string", offsets("\"0,8\""), list},
      {"null", offsets("null"), list},
      {"an object", offsets("{}"), list},
      {"negative", offsets("[-8,0]"), integers},
      {"fractions", offsets("[0.0,8.0]"), integers},
      {"strings inside", offsets("[\"0\",\"8\"]"), integers},
      {"20 digits", offsets("[0,18446744073709551624]"), integers},
      {"backwards", offsets("[8,0]"), "data_offsets run backwards"},
      {"backwards so that the size wraps to 8", offsets("[18446744073709551608,0]"), "backwards"},
      {"too short for the shape", offsets("[0,4]"), match},
      {"too long for the shape", offsets("[0,12]", 12), match},
      {"the largest end", offsets("[0,18446744073709551615]"), match},
      {"beyond the file", offsets("[0,8]", 7), "data ends beyond the file: tensor 'x'"},
      {"wholly beyond the file", offsets("[18446744073709551607,18446744073709551615]"),
       "data ends beyond the file: tensor 'x'"},
      {"an empty tensor beyond the file", layout({{9, 9}}, 8), "data ends beyond the file"},
      {"the same bytes twice", layout({{0, 8}, {0, 8}}, 8), "tensors overlap: tensor"},
      {"some bytes twice", layout({{0, 8}, {4, 12}}, 12), "tensors overlap: tensor 'b'"},
      {"one inside the other", layout({{0, 12}, {4, 8}}, 12), "tensors overlap: tensor 'b'"},
      {"an empty tensor inside another", layout({{0, 8}, {4, 4}}, 8), "tensors overlap"},
      {"a hole at the start", layout({{4, 8}}, 8), "hole between tensors: tensor 'a'"},
      {"a hole between", layout({{0, 4}, {8, 12}}, 12), "hole between tensors: tensor 'b'"},
      {"an empty tensor behind a hole", layout({{0, 4}, {8, 8}}, 8), "hole between tensors"},
      {"bytes after the last", layout({{0, 4}}, 8),
       "bytes after the last tensor: it ends at 4 of 8"},
      {"a zip file at the end", zip, "bytes after the last tensor"},
      {"data and no tensor", file_of("{}", 1), "bytes after the last tensor"},
      {"a boolean of 2", half, "boolean is neither 0 nor 1: 2 at byte"},
  };
}

class MalformedSafetensors : public ::testing::Test {
 protected:
  NamedTensors load(std::string_view bytes) {
    write_bytes(path, bytes);
    return load_safetensors(path);
  }
  void refuses(const std::vector<Malformed>& cases) {
    expect_refused(cases, path, "load_safetensors",
                   [](const auto& file) { load_safetensors(file); });
  }

  TemporaryDirectory directory;
  const std::filesystem::path path = directory / "file.safetensors";
};

TEST_F(MalformedSafetensors, Lengths) { refuses(malformed_lengths()); }
TEST_F(MalformedSafetensors, Text) { refuses(malformed_json()); }
TEST_F(MalformedSafetensors, Entries) { refuses(malformed_entries()); }
TEST_F(MalformedSafetensors, Shapes) { refuses(malformed_shapes()); }
TEST_F(MalformedSafetensors, Offsets) { refuses(malformed_offsets()); }

TEST_F(MalformedSafetensors, AreMany) {
  EXPECT_GE(malformed_lengths().size() + malformed_json().size() + malformed_entries().size() +
                malformed_shapes().size() + malformed_offsets().size(),
            140U);
}

// The helpers above make good files where nothing is wrong with what they are given.
TEST_F(MalformedSafetensors, NeighboursAreTaken) {
  EXPECT_EQ(load(file_of("{}")).size(), 0U);
  EXPECT_EQ(load(file_of("{}      ")).size(), 0U);
  EXPECT_EQ(load(file_of("{ \"__metadata__\" : { } }")).size(), 0U);
  EXPECT_EQ(load(shape("[]"))[0].second.shape(), Shape{});
  EXPECT_EQ(load(shape("[1,1,1,1,1,1,1,1]"))[0].second.dim(), 8);
  EXPECT_EQ(load(shape("[0,4294967296]", 0))[0].second.numel(), 0);
  EXPECT_EQ(load(offsets("[0,8]"))[0].second.numel(), 2);
  EXPECT_EQ(load(dtype("\"I32\""))[0].second.dtype(), i32);
  EXPECT_EQ(load(layout({{4, 8}, {0, 4}, {4, 4}, {8, 8}}, 8)).size(), 4U);
}

}  // namespace
}  // namespace gradus
