#include "gradus/tensor/npy.h"

#include "gradus/tests/files.h"

namespace gradus {
namespace {

using namespace std::literals;
using namespace test;

// Written by numpy.save (NumPy 2.4).
constexpr std::string_view numpy_f4 =
    "\223NUMPY\001\000v\000{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }       "
    "                                                   \n\000\000\200?\000\000\000@\000\000@"
    "@\000\000\200@\000\000\240@\000\000\320@"sv;

constexpr std::string_view numpy_f8_fortran =
    "\223NUMPY\001\000v\000{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3), }        "
    "                                                   \n\000\000\000\000\000\000\000\000"
    "\000\000\000\000\000\000\010@\000\000\000\000\000\000\360?\000\000\000\000\000\000\020@"
    "\000\000\000\000\000\000\000@\000\000\000\000\000\000\024@"sv;

constexpr std::string_view numpy_b1 =
    "\223NUMPY\001\000v\000{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }         "
    "                                                   \n\001\000\001"sv;

constexpr std::string_view numpy_i8_scalar =
    "\223NUMPY\001\000v\000{'descr': '<i8', 'fortran_order': False, 'shape': (), }           "
    "                                                   \n\371\377\377\377\377\377\377\377"sv;

constexpr std::string_view numpy_i4_big =
    "\223NUMPY\001\000v\000{'descr': '>i4', 'fortran_order': False, 'shape': (3,), }         "
    "                                                   \n\000\000\000\001\377\377\377\376"
    "\000\001\021p"sv;

constexpr std::string_view numpy_u1_empty =
    "\223NUMPY\001\000v\000{'descr': '|u1', 'fortran_order': False, 'shape': (0, 3), }       "
    "                                                   \n"sv;

// A file of version 1.0 with this dictionary and so many zero bytes of data.
std::string file_of(std::string_view dictionary, std::size_t data_bytes = 0,
                    std::string_view version = "\1\0"sv) {
  std::string bytes = "\x93NUMPY" + std::string(version);
  const std::string text = std::string(dictionary) + "\n";
  for (int i = 0; i < (version[0] == 1 ? 2 : 4); ++i)
    bytes += static_cast<char>(text.size() >> (8 * i) & 255);
  return (bytes + text).append(data_bytes, '\0');
}
std::string file_with(std::string_view descr, std::string_view order, std::string_view shape,
                      std::size_t data_bytes) {
  return file_of("{'descr': " + std::string(descr) + ", 'fortran_order': " + std::string(order) +
                     ", 'shape': " + std::string(shape) + ", }",
                 data_bytes);
}
std::string descr(std::string_view text) { return file_with(text, "False", "(2,)", 8); }
std::string order(std::string_view text) { return file_with("'<f4'", text, "(2,)", 8); }
std::string shape(std::string_view text, std::size_t data_bytes = 8) {
  return file_with("'<f4'", "False", text, data_bytes);
}

std::vector<Malformed> malformed_prefixes() {
  const std::string good = shape("(2,)");
  const auto version = [&](char major, char minor) {
    std::string bytes = good;
    bytes[6] = major;
    bytes[7] = minor;
    return bytes;
  };
  const auto length = [&](std::string_view bytes) {
    return "\x93NUMPY" + std::string(bytes) + good.substr(10);
  };
  return {
      {"no byte", "", "not an .npy file"},
      {"5 bytes", "\x93NUMP", "not an .npy file"},
      {"another magic", "\x94NUMPY" + good.substr(6), "not an .npy file"},
      {"a zip file", "PK\3\4" + good, "not an .npy file"},
      {"a pickle", "\x80\4" + good, "not an .npy file"},
      {"no version", "\x93NUMPY", "header is cut: no byte at 6"},
      {"half a version", "\x93NUMPY\1", "header is cut: no byte at 7"},
      {"version 0", version(0, 0), "unknown version: 0.0"},
      {"version 4", version(4, 0), "unknown version: 4.0"},
      {"version 255", version('\xff', 0), "unknown version: 255.0"},
      {"version 1.1", version(1, 1), "unknown version: 1.1"},
      {"no length", "\x93NUMPY\1\0"s, "header is cut: no byte at 8"},
      {"12 bytes that claim 4 GiB", "\x93NUMPY\2\0\xf0\xff\xff\xff"s, "header is too large"},
      {"version 2, length 2^32-16", length("\2\0\xf0\xff\xff\xff"sv), "header is too large"},
      {"length above the limit", length("\1\0\x11\x27"sv), "header is too large: 10001"},
      {"length beyond the file", length("\1\0\x10\x27"sv), "header is cut: 10000 bytes"},
      {"length 0", length("\1\0\0\0"sv), "header is not a dictionary"},
      {"version 1 read as 2", version(2, 0), "header is too large"},
  };
}

std::vector<Malformed> malformed_dictionaries() {
  const char* const dictionary = "header is not a dictionary";
  const char* const end = "header does not end with spaces and a newline";
  std::string no_newline = shape("(2,)");
  no_newline[no_newline.size() - 9] = ' ';
  return {
      {"no newline", no_newline, end},
      {"only a newline", file_of(""), dictionary},
      {"a list", file_of("['descr']"), dictionary},
      {"an empty dictionary", file_of("{}"), "missing key: 'descr'"},
      {"no descr", file_of("{'fortran_order': False, 'shape': (2,)}", 8), "missing key: 'descr'"},
      {"no order", file_of("{'descr': '<f4', 'shape': (2,)}", 8), "missing key: 'fortran_order'"},
      {"no shape", file_of("{'descr': '<f4', 'fortran_order': False}"), "missing key: 'shape'"},
      {"an unknown key", shape("(2,), 'x': 1"), "unknown key: 'x'"},
      {"descr twice", shape("(2,), 'descr': '<f4'"), "duplicate key: 'descr'"},
      {"order twice", shape("(2,), 'fortran_order': True"), "duplicate key: 'fortran_order'"},
      {"shape twice", shape("(2,), 'shape': (2,)"), "duplicate key: 'shape'"},
      {"a number as key", file_of("{1: 2}"), "key is not a string"},
      {"a key without quotes", file_of("{descr: '<f4'}"), "key is not a string"},
      {"an open string", file_of("{'descr"), "key is not a string"},
      {"an escape", file_of("{'de\\x73cr': '<f4'}"), "key is not a string"},
      {"no colon", file_of("{'descr' '<f4'}"), dictionary},
      {"no closing brace", file_of("{'descr': '<f4'"), dictionary},
      {"two commas", shape("(2,),"), "key is not a string"},
      {"no comma", file_of("{'descr': '<f4' 'shape': (2,)}"), dictionary},
      {"text behind the dictionary", shape("(2,)}; import os #"), end},
      {"a call", file_of("dict(descr='<f4')"), dictionary},
      {"deep brackets", file_of(std::string(9'000, '{')), "key is not a string"},
  };
}

std::vector<Malformed> malformed_types() {
  const char* const unsupported = "dtype is not supported";
  const char* const pickled = "objects are never loaded";
  const char* const structured = "structured dtypes are not supported";
  const char* const byte_order = "byte order is not '<' or '>'";
  return {
      {"objects", descr("'|O'"), pickled},
      {"objects of 8 bytes", descr("'|O8'"), pickled},
      {"objects in order", descr("'<O'"), pickled},
      {"a structure", descr("[('a', '<f4')]"), structured},
      {"a structure of objects", descr("[('a', '|O')]"), structured},
      {"a subarray", descr("('<f4', (2,))"), "descr is not a string"},
      {"None", descr("None"), "descr is not a string"},
      {"half precision", descr("'<f2'"), unsupported},
      {"long double", descr("'<f16'"), unsupported},
      {"complex", descr("'<c8'"), unsupported},
      {"int16", descr("'<i2'"), unsupported},
      {"int8", descr("'|i1'"), unsupported},
      {"uint64", descr("'<u8'"), unsupported},
      {"text", descr("'<U2'"), unsupported},
      {"bytes", descr("'|S8'"), unsupported},
      {"void", descr("'|V4'"), unsupported},
      {"dates", descr("'<M8[ns]'"), unsupported},
      {"a name", descr("'float32'"), unsupported},
      {"no text", descr("''"), unsupported},
      {"no type", descr("'<'"), unsupported},
      {"no order", descr("'f4'"), unsupported},
      {"native order", descr("'=f4'"), byte_order},
      {"no order for 4 bytes", descr("'|f4'"), byte_order},
      {"an order in words", order("'C'"), "fortran_order is not True or False"},
      {"an order as number", order("0"), "fortran_order is not True or False"},
      {"an order in lower case", order("false"), "fortran_order is not True or False"},
      {"no order at all", order("None"), "fortran_order is not True or False"},
      {"more than False", order("Falsely"), "header is not a dictionary"},
      {"a boolean of 2", file_with("'|b1'", "False", "(1,)", 0) + "\2",
       "boolean is neither 0 nor 1: 2 at byte"},
  };
}

std::vector<Malformed> malformed_shapes() {
  const char* const tuple = "shape is not a tuple";
  const char* const integers = "shape is not a tuple of non-negative integers";
  const char* const large = "shape is too large";
  return {
      {"a number in brackets", shape("(2)"), "shape is not a tuple: a comma is missing"},
      {"a number", shape("2"), tuple},
      {"a list", shape("[2]"), tuple},
      {"None", shape("None"), tuple},
      {"a long of Python 2", shape("(2L,)"), integers},
      {"a NumPy scalar", shape("(np.int64(2),)"), integers},
      {"negative", shape("(-2,)"), integers},
      {"minus zero", shape("(-0,)", 0), integers},
      {"a plus sign", shape("(+2,)"), integers},
      {"a fraction", shape("(2.0,)"), integers},
      {"an exponent", shape("(2e0,)"), integers},
      {"a leading zero", shape("(02,)"), integers},
      {"hexadecimal", shape("(0x2,)"), integers},
      {"a grouped number", shape("(1_0,)", 40), integers},
      {"a string", shape("('2',)"), integers},
      {"a product", shape("(2*1,)"), integers},
      {"a tuple inside", shape("((2,),)"), integers},
      {"only a comma", shape("(,)"), integers},
      {"two commas", shape("(2,,)"), integers},
      {"no comma", shape("(1 2)"), integers},
      {"no closing bracket", shape("(2,"), integers},
      {"9 dimensions", shape("(1,1,1,1,1,1,1,1,2)"), "shape has too many dimensions"},
      {"2^62 elements", shape("(4611686018427387904,)"), large},
      {"2^63 elements", shape("(9223372036854775808,)"), large},
      {"2^64 elements", shape("(18446744073709551616,)"), large},
      {"a product of 2^64", shape("(4294967296, 4294967296)"), large},
      {"bytes that wrap to 8", shape("(4611686018427387906,)"), large},
      {"empty, with sizes that overflow", shape("(0, 4611686018427387904, 2)", 0), large},
      {"2^60 elements in 8 bytes", shape("(1152921504606846976,)"), "data is cut: "},
      {"a byte too few", shape("(2,)", 7), "data is cut: (2,) f32 takes 8 bytes, the file has 7"},
      {"a byte too many", shape("(2,)", 9), "bytes after the data: (2,) f32 takes 8 bytes"},
      {"no data", shape("(2,)", 0), "data is cut"},
      {"data of an empty array", shape("(0,)", 4), "bytes after the data"},
      {"two arrays", shape("(2,)") + shape("(2,)"), "bytes after the data"},
  };
}

class Npy : public ::testing::Test {
 protected:
  Tensor load(std::string_view bytes) {
    write_bytes(path, bytes);
    return load_npy(path);
  }
  void refuses(const std::vector<Malformed>& cases) {
    expect_refused(cases, path, "load_npy", [](const auto& file) { load_npy(file); });
  }

  TemporaryDirectory directory;
  const std::filesystem::path path = directory / "file.npy";
};

TEST_F(Npy, RefusesPrefixes) { refuses(malformed_prefixes()); }
TEST_F(Npy, RefusesDictionaries) { refuses(malformed_dictionaries()); }
TEST_F(Npy, RefusesTypes) { refuses(malformed_types()); }
TEST_F(Npy, RefusesShapes) { refuses(malformed_shapes()); }

TEST_F(Npy, RefusesMany) {
  EXPECT_GE(malformed_prefixes().size() + malformed_dictionaries().size() +
                malformed_types().size() + malformed_shapes().size(),
            100U);
}

TEST_F(Npy, TakesTheWellFormedNeighbours) {
  EXPECT_EQ(load(shape("()", 4)).shape(), Shape{});
  EXPECT_EQ(load(shape("( 2 , )")).shape(), Shape{2});
  EXPECT_EQ(load(shape("(1,2)")).shape(), (Shape{1, 2}));
  EXPECT_EQ(load(shape("(1,1,1,1,1,1,1,2)")).dim(), 8);
  EXPECT_EQ(load(shape("(0, 4294967296)", 0)).numel(), 0);
  EXPECT_EQ(load(descr("\"<f4\"")).dtype(), f32);
  const std::string any_order = "{\"shape\":(2,),\"fortran_order\":False,\"descr\":\"<i4\"}   ";
  EXPECT_EQ(load(file_of(any_order, 8)).dtype(), i32);
  EXPECT_EQ(load(file_of(any_order, 8, "\2\0"sv)).shape(), Shape{2});
  EXPECT_EQ(load(file_of(any_order, 8, "\3\0"sv)).shape(), Shape{2});
}

TEST_F(Npy, ReadsWhatNumPyWrote) {
  EXPECT_EQ(load(numpy_f4).shape(), (Shape{2, 3}));
  EXPECT_EQ(load(numpy_f4).to_vector<float>(), (std::vector<float>{1, 2, 3, 4, 5, 6.5F}));
  const Tensor fortran = load(numpy_f8_fortran);
  EXPECT_EQ(fortran.shape(), (Shape{2, 3}));
  EXPECT_TRUE(fortran.is_contiguous());
  EXPECT_EQ(fortran.to_vector<double>(), (std::vector<double>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(load(numpy_b1).to_vector<bool>(), (std::vector<bool>{true, false, true}));
  EXPECT_EQ(load(numpy_i8_scalar).shape(), Shape{});
  EXPECT_EQ(load(numpy_i8_scalar).item<std::int64_t>(), -7);
  EXPECT_EQ(load(numpy_i4_big).to_vector<std::int32_t>(),
            (std::vector<std::int32_t>{1, -2, 70000}));
  EXPECT_EQ(load(numpy_u1_empty).shape(), (Shape{0, 3}));
  EXPECT_EQ(load(numpy_u1_empty).dtype(), u8);
}

TEST_F(Npy, WritesWhatNumPyWrites) {
  for (const std::string_view bytes : {numpy_f4, numpy_b1, numpy_i8_scalar, numpy_u1_empty}) {
    save_npy(path, load(bytes));
    EXPECT_EQ(read_bytes(path), bytes);
  }
}

// numpy.save of the same shape; no header we can write is longer.
TEST_F(Npy, WritesTheWidestHeader) {
  const std::string text =
      "{'descr': '|u1', 'fortran_order': False, "
      "'shape': (0, 1000000, 1000000, 1000000, 1, 1, 1, 1), }";
  save_npy(path, zeros({0, 1000000, 1000000, 1000000, 1, 1, 1, 1}, DType::u8));
  EXPECT_EQ(read_bytes(path),
            "\x93NUMPY\1\0v\0"s + text + std::string(117 - text.size(), ' ') + "\n");
}

void expect_round_trip(const std::filesystem::path& path, const Tensor& tensor) {
  save_npy(path, tensor);
  EXPECT_EQ((std::filesystem::file_size(path) - static_cast<std::uint64_t>(tensor.bytes())) % 64,
            0U);
  const Tensor loaded = load_npy(path);
  EXPECT_EQ(loaded.dtype(), tensor.dtype());
  EXPECT_EQ(loaded.shape(), tensor.shape());
  EXPECT_FALSE(loaded.requires_grad());
  EXPECT_EQ(raw(loaded), raw(tensor));
}

TEST_F(Npy, KeepsEveryTypeAndShape) {
  for (const DType type :
       {DType::boolean, DType::u8, DType::i32, DType::f32, DType::i64, DType::f64})
    for (const Shape& sizes : {Shape{}, Shape{0}, Shape{3}, Shape{2, 0, 5}, Shape{3, 5, 7},
                               Shape{1, 1, 1, 1, 1, 1, 1, 3}})
      expect_round_trip(path, scrambled(sizes, type));
}

TEST_F(Npy, KeepsTheValuesOfViews) {
  const Tensor matrix = scrambled({6, 4}, DType::i32);
  expect_round_trip(path, matrix.transpose(0, 1));
  expect_round_trip(path, matrix.slice(0, 1, 6, 2));
  expect_round_trip(path, matrix.slice(0, 0, 1).expand({5, 4}));
  Tensor leaf = full({2, 3}, 0.5);
  leaf.requires_grad_();
  expect_round_trip(path, leaf);
}

TEST_F(Npy, FortranOrderOfAnyRank) {
  const auto fortran = [&](std::string_view sizes, int count) {
    std::string bytes = file_with("'|u1'", "True", sizes, 0);
    for (int i = 0; i < count; ++i) bytes += static_cast<char>(i);
    return load(bytes);
  };
  EXPECT_EQ(fortran("()", 1).shape(), Shape{});
  EXPECT_EQ(fortran("(0, 3)", 0).shape(), (Shape{0, 3}));
  EXPECT_EQ(fortran("(3,)", 3).to_vector<std::uint8_t>(), (std::vector<std::uint8_t>{0, 1, 2}));
  const Tensor cube = fortran("(2, 3, 4)", 24);
  EXPECT_EQ(cube.shape(), (Shape{2, 3, 4}));
  const auto values = cube.to_vector<std::uint8_t>();
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 3; ++j)
      for (int k = 0; k < 4; ++k)
        EXPECT_EQ(values[static_cast<std::size_t>((i * 3 + j) * 4 + k)], i + 2 * (j + 3 * k));
}

TEST_F(Npy, RefusesToSave) {
  write_bytes(path, "old");
  expect_error<Error>([&] { save_npy(path, ones({1}).to(DType::bf16)); },
                      "save_npy: " + path.string() + ": dtype is not supported: NumPy has no bf16");
  expect_error<Error>([&] { save_npy(path, Tensor()); }, "save_npy: ", "tensor is undefined");
  expect_error<FileError>([&] { save_npy(directory / "none/file", ones({1})); },
                          "save_npy: ", "No such file or directory");
  EXPECT_EQ(read_bytes(path), "old");
  EXPECT_EQ(directory.count(), 1U);
}

TEST_F(Npy, RefusesEveryTruncation) {
  for (const std::string_view bytes : {numpy_f4, numpy_f8_fortran, numpy_b1})
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      SCOPED_TRACE(size);
      EXPECT_THROW(load(bytes.substr(0, size)), FileError);
    }
}

// A changed header is refused, or describes the same data in another consistent way.
void expect_error_or_consistency(std::string_view bytes) {
  NpyHeader header;
  try {
    header = parse_npy_header(as_bytes(bytes), bytes.size());
  } catch (const FileError&) {
    return;
  }
  ASSERT_EQ(header.data_begin + header.data_bytes, bytes.size());
  ASSERT_EQ(static_cast<std::int64_t>(header.data_bytes),
            checked_numel("test", header.shape) * item_size(header.dtype));
}

TEST_F(Npy, SurvivesEveryBitFlip) {
  for (const std::string& good :
       {shape("(2, 1)"), file_with("'>i8'", "True", "(1, 2)", 16),
        file_with("'|b1'", "True", "(3,)", 3), file_with("'<f8'", "False", "()", 8)})
    for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
      std::string bytes = good;
      bytes[bit / 8] ^= static_cast<char>(1 << bit % 8);
      try {
        load(bytes);
      } catch (const FileError&) {
      }
      expect_error_or_consistency(bytes);
    }
}

TEST_F(Npy, SurvivesRandomEdits) {
  std::mt19937 random(1);
  const std::string_view dictionary = numpy_f4.substr(10, 117);
  for (int round = 0; round < 5'000; ++round)
    expect_error_or_consistency(file_of(
        edited(dictionary, "{}()[]'\":,0123456789-.<>|= \nfiubOTrueFals\0\xff"sv, random), 24));
}

}  // namespace
}  // namespace gradus
