#include "gradus/tensor/npy.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <string>
#include <utility>
#include <vector>

#include "gradus/tensor/copy.h"

namespace gradus {
namespace {

static_assert(std::endian::native == std::endian::little, "arrays are written as they lie");

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::uint64_t max_text = 10'000;  // NumPy's own limit

struct DTypeName {
  std::string_view text;  // without the byte order
  DType dtype;
};
constexpr DTypeName dtype_names[] = {{"f4", DType::f32}, {"f8", DType::f64},
                                     {"i4", DType::i32}, {"i8", DType::i64},
                                     {"u1", DType::u8},  {"b1", DType::boolean}};

// Reads {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } and nothing more of Python.
class HeaderReader {
 public:
  HeaderReader(std::string_view text, std::uint64_t offset, std::string_view context)
      : text_(text), offset_(offset), context_(context) {}

  void read(NpyHeader& header) {
    bool descr = false, fortran_order = false, shape = false;
    expect('{', "header is not a dictionary");
    while (!accept('}')) {
      const std::string_view key = string("key is not a string");
      expect(':', "header is not a dictionary");
      const auto first = [&](bool& seen) {
        if (std::exchange(seen, true)) fail_here("duplicate key", printable(key));
      };
      if (key == "descr") {
        first(descr);
        read_descr(header);
      } else if (key == "fortran_order") {
        first(fortran_order);
        header.fortran_order = boolean();
      } else if (key == "shape") {
        first(shape);
        read_shape();
      } else {
        fail_here("unknown key", printable(key));
      }
      if (accept(',')) continue;
      expect('}', "header is not a dictionary");
      break;
    }
    if (!descr) fail_here("missing key", "'descr'");
    if (!fortran_order) fail_here("missing key", "'fortran_order'");
    if (!shape) fail_here("missing key", "'shape'");
    skip_spaces();
    if (at_ + 1 != text_.size() || text_.back() != '\n')
      fail_here("header does not end with spaces and a newline", rest());
  }

  void check_size(NpyHeader& header) {
    const std::int64_t bytes = bytes_or_overflow({sizes_.data(), static_cast<std::size_t>(rank_)},
                                                 item_size(header.dtype));
    if (bytes < 0) fail_file(context_, ": shape is too large: its bytes exceed 2^62");
    header.data_bytes = static_cast<std::uint64_t>(bytes);
    for (int i = 0; i < rank_; ++i) header.shape.push_back(static_cast<std::int64_t>(sizes_[i]));
  }

 private:
  template <class... Facts>
  [[noreturn]] void fail_here(std::string_view rule, const Facts&... facts) const {
    fail_file(context_, ": ", rule, ": ", facts..., " at byte ", offset_ + at_);
  }
  std::string rest() const { return printable(text_.substr(std::min(at_, text_.size()), 40)); }

  void skip_spaces() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool accept(char c) {
    skip_spaces();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c, std::string_view rule) {
    if (!accept(c)) fail_here(rule, "expected '", c, "' before ", rest());
  }
  bool accept_word(std::string_view word) {
    skip_spaces();
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  // A string without escapes: none of those expected has any.
  std::string_view string(std::string_view rule) {
    skip_spaces();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    if (quote != '\'' && quote != '"') fail_here(rule, rest());
    const std::size_t end = text_.find(quote, at_ + 1);
    const std::string_view value = text_.substr(at_ + 1, end - at_ - 1);
    if (end == text_.npos || value.find_first_of("\\\n") != value.npos) fail_here(rule, rest());
    at_ = end + 1;
    return value;
  }

  bool boolean() {
    if (accept_word("True")) return true;
    if (accept_word("False")) return false;
    fail_here("fortran_order is not True or False", rest());
  }

  void read_descr(NpyHeader& header) {
    skip_spaces();
    if (at_ < text_.size() && text_[at_] == '[')
      fail_here("structured dtypes are not supported", rest());
    const std::string_view descr = string("descr is not a string");
    const char order = descr.empty() ? '\0' : descr.front();
    const std::string_view kind = descr.substr(std::min<std::size_t>(1, descr.size()));
    if (kind.starts_with('O'))
      fail_here("objects are never loaded", printable(descr), " (it is a pickle, which runs code)");
    const auto known = std::find_if(std::begin(dtype_names), std::end(dtype_names),
                                    [&](const auto& name) { return name.text == kind; });
    if (known == std::end(dtype_names)) fail_here("dtype is not supported", printable(descr));
    const bool single = item_size(known->dtype) == 1;
    if (order != '<' && order != '>' && !(order == '|' && single))
      fail_here("byte order is not '<' or '>'", printable(descr));
    header.dtype = known->dtype;
    header.big_endian = order == '>' && !single;
  }

  void read_shape() {
    expect('(', "shape is not a tuple");
    bool comma = true;
    while (!accept(')')) {
      if (!comma) fail_here("shape is not a tuple of non-negative integers", rest());
      if (rank_ == max_rank)
        fail_here("shape has too many dimensions", "at most ", max_rank, " are possible");
      sizes_[rank_++] = integer();
      comma = accept(',');
    }
    if (rank_ == 1 && !comma) fail_here("shape is not a tuple", "a comma is missing");
  }

  std::uint64_t integer() {
    constexpr std::string_view rule = "shape is not a tuple of non-negative integers";
    skip_spaces();
    std::uint64_t value = 0;
    const char* const begin = text_.data() + at_;
    const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), value);
    if (error == std::errc::result_out_of_range) fail_here("shape is too large", rest());
    if (error != std::errc()) fail_here(rule, rest());
    if (*begin == '0' && end - begin > 1) fail_here(rule, rest());
    at_ += static_cast<std::size_t>(end - begin);
    return value;
  }

  std::string_view text_;
  std::uint64_t offset_;
  std::string_view context_;
  std::size_t at_ = 0;
  std::array<std::uint64_t, max_rank> sizes_{};
  int rank_ = 0;
};

void swap_bytes(std::span<std::byte> data, std::size_t item) {
  for (std::size_t i = 0; i < data.size(); i += item)
    std::reverse(data.begin() + static_cast<std::ptrdiff_t>(i),
                 data.begin() + static_cast<std::ptrdiff_t>(i + item));
}

Shape reversed(const Shape& shape) {
  Shape result;
  for (int i = shape.size(); i-- > 0;) result.push_back(shape[i]);
  return result;
}

std::string header_text(const Tensor& tensor) {
  const DType dtype = tensor.dtype();
  const Shape& shape = tensor.shape();
  const auto known = std::find_if(std::begin(dtype_names), std::end(dtype_names),
                                  [&](const auto& name) { return name.dtype == dtype; });
  std::string text = "{'descr': '";
  text += item_size(dtype) == 1 ? '|' : '<';
  text += known->text;
  text += "', 'fortran_order': False, 'shape': (";
  for (int i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  text += shape.size() == 1 ? ",), }" : "), }";
  // NumPy adds spaces for the first size to grow to 21 digits in place and then up to a multiple of
  // 64 bytes. Eight sizes whose product fits 2^62 take 126 at most, prefix included: that is always
  // 128.
  text.resize(128 - 10 - 1, ' ');
  return text + '\n';
}

}  // namespace

NpyHeader parse_npy_header(std::span<const std::byte> head, std::uint64_t file_bytes,
                           std::string_view context) {
  const std::string_view bytes(reinterpret_cast<const char*>(head.data()), head.size());
  if (!bytes.starts_with(magic))
    fail_file(context, ": not an .npy file: it does not begin with \\x93NUMPY");
  const auto byte = [&](std::size_t i) -> std::uint64_t {
    if (i >= bytes.size()) fail_file(context, ": header is cut: no byte at ", i);
    return static_cast<unsigned char>(bytes[i]);
  };
  const std::uint64_t major = byte(6), minor = byte(7);
  if (major < 1 || major > 3 || minor != 0)
    fail_file(context, ": unknown version: ", major, ".", minor);

  const std::size_t length_bytes = major == 1 ? 2 : 4;
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < length_bytes; ++i) length |= byte(8 + i) << (8 * i);
  const std::uint64_t begin = 8 + length_bytes;
  if (length > max_text)
    fail_file(context, ": header is too large: ", length, " bytes, at most ", max_text);
  if (length > bytes.size() - begin)
    fail_file(context, ": header is cut: ", length, " bytes from byte ", begin, " of ", file_bytes);

  NpyHeader header;
  HeaderReader reader(bytes.substr(begin, length), begin, context);
  reader.read(header);
  reader.check_size(header);
  header.data_begin = begin + length;
  const std::uint64_t present = file_bytes - header.data_begin;
  if (present != header.data_bytes)
    fail_file(context, present < header.data_bytes ? ": data is cut: " : ": bytes after the data: ",
              header.shape, " ", header.dtype, " takes ", header.data_bytes,
              " bytes, the file has ", present);
  return header;
}

Tensor detail::read_npy(std::uint64_t file_bytes,
                        const std::function<void(std::span<std::byte>)>& next,
                        std::string_view context) {
  std::vector<std::byte> head(std::min(file_bytes, max_npy_header));
  next(head);
  const NpyHeader header = parse_npy_header(head, file_bytes, context);

  Tensor tensor = empty(header.fortran_order ? reversed(header.shape) : header.shape, header.dtype);
  if (header.data_bytes > 0) {
    const std::span data(tensor.raw_mutable_data(), header.data_bytes);
    const std::span read = std::span(head).subspan(header.data_begin);
    std::copy(read.begin(), read.end(), data.begin());
    next(data.subspan(read.size()));
    if (header.dtype == DType::boolean) check_booleans(data, header.data_begin, context);
    if (header.big_endian) swap_bytes(data, static_cast<std::size_t>(item_size(header.dtype)));
  }
  if (!header.fortran_order) return tensor;
  return contiguous_copy(tensor.alias(header.shape, reversed(tensor.strides()), 0));
}

std::string detail::npy_head(const Tensor& tensor, std::string_view context) {
  require(tensor.dtype() != DType::bf16, context, ": dtype is not supported: NumPy has no bf16 ",
          "(convert with .to(f32))");
  const std::string text = header_text(tensor);
  std::string head(magic);
  head += '\1';
  head += '\0';
  head += static_cast<char>(text.size() & 255);
  head += static_cast<char>(text.size() >> 8);
  return head + text;
}

Tensor load_npy(const std::string& path) {
  const InputFile file("load_npy", path);
  std::uint64_t at = 0;
  const auto next = [&](std::span<std::byte> into) {
    file.read(at, into);
    at += into.size();
  };
  return detail::read_npy(file.size(), next, file.context());
}

void save_npy(const std::string& path, const Tensor& tensor) {
  const std::string context = "save_npy: " + path;
  require(tensor.defined(), context, ": tensor is undefined");
  const Tensor values = detail::contiguous_value(tensor).to(Device::cpu);
  const std::string head = detail::npy_head(values, context);
  std::vector<std::span<const std::byte>> parts{std::as_bytes(std::span(head))};
  if (values.bytes() > 0)
    parts.emplace_back(values.raw_data(), static_cast<std::size_t>(values.bytes()));
  write_file_atomically(path, parts, "save_npy");
}

}  // namespace gradus
