#include "gradus/tensor/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "gradus/tensor/copy.h"

namespace gradus {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are written as they lie");

using nlohmann::json;

constexpr std::uint64_t length_bytes = 8;
constexpr std::uint64_t max_header = 100'000'000;
constexpr std::string_view metadata_name = "__metadata__";

struct DTypeName {
  std::string_view text;
  DType dtype;
};
constexpr DTypeName dtype_names[] = {
    {"F32", DType::f32}, {"F64", DType::f64}, {"BF16", DType::bf16},   {"I32", DType::i32},
    {"I64", DType::i64}, {"U8", DType::u8},   {"BOOL", DType::boolean}};
// The rest of the format's list.
constexpr std::string_view unsupported_dtypes[] = {
    "F4",  "F6_E2M3", "F6_E3M2", "F8_E4M3", "F8_E5M2", "F8_E8M0",     "I8",         "I16",
    "U16", "U32",     "U64",     "F16",     "C64",     "F8_E4M3FNUZ", "F8_E5M2FNUZ"};

// Receives the JSON of a header piece by piece and throws at the first one out of place, so neither
// nesting nor numbers nor repeated keys can do harm.
class HeaderReader : public json::json_sax_t {
 public:
  HeaderReader(std::string_view context, SafetensorsHeader& header)
      : context_(context), header_(header) {}

  bool null() override { refuse("null"); }
  bool boolean(bool value) override { refuse(value ? "true" : "false"); }
  bool number_integer(std::int64_t) override { refuse("a negative number"); }
  bool number_float(double, const std::string& text) override { refuse(printable(text)); }
  bool binary(json::binary_t&) override { refuse("binary"); }
  bool number_unsigned(std::uint64_t value) override {
    if (in_ != In::shape && in_ != In::offsets) refuse(std::to_string(value));
    const std::size_t capacity = in_ == In::shape ? max_rank : 2;
    if (count_ == capacity)
      tensor_fail(in_ == In::shape ? "shape has too many dimensions" : "data_offsets are not two",
                  "at most ", capacity, " are possible");
    numbers_[count_++] = value;
    return true;
  }
  bool string(std::string& value) override {
    if (in_ == In::metadata) {
      header_.metadata[key_] = std::move(value);
    } else if (in_ == In::tensor && field_ == dtype_field) {
      entry_.dtype = dtype(value);
    } else {
      refuse("a string");
    }
    return true;
  }
  bool start_array(std::size_t) override {
    if (in_ != In::tensor || field_ == dtype_field) refuse("a list");
    in_ = field_ == shape_field ? In::shape : In::offsets;
    count_ = 0;
    return true;
  }
  bool end_array() override {
    if (in_ == In::shape) {
      sizes_count_ = count_;
      std::copy_n(numbers_.begin(), count_, sizes_.begin());
    } else {
      if (count_ != 2) tensor_fail("data_offsets are not two", "got ", count_);
      entry_.begin = numbers_[0];
      entry_.end = numbers_[1];
    }
    in_ = In::tensor;
    return true;
  }
  bool start_object(std::size_t) override {
    if (in_ == In::nothing) {
      in_ = In::header;
    } else if (in_ != In::header) {
      refuse("an object");
    } else if (entry_.name == metadata_name) {
      in_ = In::metadata;
    } else {
      in_ = In::tensor;
      seen_ = 0;
    }
    return true;
  }
  bool key(std::string& key) override {
    if (in_ == In::header) {
      if (key == metadata_name && std::exchange(has_metadata_, true))
        fail_file(context_, ": duplicate key: ", metadata_name);
      entry_.name = std::move(key);
    } else if (in_ == In::metadata) {
      if (header_.metadata.contains(key))
        fail_file(context_, ": duplicate key: ", printable(key), " in ", metadata_name);
      key_ = std::move(key);
    } else {
      field_ = key == "dtype"          ? dtype_field
               : key == "shape"        ? shape_field
               : key == "data_offsets" ? offsets_field
                                       : 0;
      if (field_ == 0) tensor_fail("unknown key", printable(key));
      if (seen_ & field_) tensor_fail("duplicate key", printable(key));
      seen_ |= field_;
    }
    return true;
  }
  bool end_object() override {
    if (in_ == In::tensor) add_entry();
    in_ = in_ == In::header ? In::nothing : In::header;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    fail_file(context_, ": header is not valid JSON in UTF-8: at byte ",
              length_bytes + position - 1);
  }

 private:
  enum class In { nothing, header, metadata, tensor, shape, offsets };
  enum Field { dtype_field = 1, shape_field = 2, offsets_field = 4 };

  template <class... Facts>
  [[noreturn]] void tensor_fail(std::string_view rule, const Facts&... facts) const {
    fail_file(context_, ": ", rule, ": tensor ", printable(entry_.name), ": ", facts...);
  }

  // A value of a kind that has no place here.
  [[noreturn]] void refuse(std::string_view got) const {
    switch (in_) {
      case In::metadata:
        fail_file(context_, ": metadata is not a string: ", printable(key_), ": got ", got);
      case In::shape:
        tensor_fail("shape is not a list of non-negative integers", "got ", got);
      case In::offsets:
        tensor_fail("data_offsets are not non-negative integers", "got ", got);
      case In::tensor:
        if (field_ == dtype_field) tensor_fail("dtype is not a string", "got ", got);
        tensor_fail(field_ == shape_field ? "shape is not a list" : "data_offsets are not a list",
                    "got ", got);
      default:
        tensor_fail("entry is not an object", "got ", got);
    }
  }

  DType dtype(std::string_view text) const {
    for (const auto& known : dtype_names)
      if (text == known.text) return known.dtype;
    for (const auto known : unsupported_dtypes)
      if (text == known) tensor_fail("dtype is not supported", text);
    tensor_fail("unknown dtype", printable(text));
  }

  void add_entry() {
    constexpr std::pair<Field, const char*> fields[] = {
        {dtype_field, "dtype"}, {shape_field, "shape"}, {offsets_field, "data_offsets"}};
    for (const auto& [field, text] : fields)
      if (!(seen_ & field)) tensor_fail("missing key", "'", text, "'");

    const std::span sizes(sizes_.data(), sizes_count_);
    const std::int64_t bytes = bytes_or_overflow(sizes, item_size(entry_.dtype));
    if (bytes < 0) tensor_fail("shape is too large", "its bytes exceed 2^62");
    if (entry_.begin > entry_.end)
      tensor_fail("data_offsets run backwards", entry_.begin, " to ", entry_.end);
    if (entry_.end - entry_.begin != static_cast<std::uint64_t>(bytes))
      tensor_fail("data_offsets do not match dtype and shape", entry_.begin, " to ", entry_.end,
                  " for ", bytes, " bytes");
    entry_.shape = Shape();
    for (const std::uint64_t size : sizes) entry_.shape.push_back(static_cast<std::int64_t>(size));
    header_.entries.push_back(std::move(entry_));
    entry_ = {};
  }

  std::string_view context_;
  SafetensorsHeader& header_;
  In in_ = In::nothing;
  bool has_metadata_ = false;
  std::string key_;  // of the metadata
  SafetensorsEntry entry_;
  int field_ = 0, seen_ = 0;
  std::array<std::uint64_t, max_rank> numbers_{}, sizes_{};
  std::size_t count_ = 0, sizes_count_ = 0;
};

// The tensors must fill the data from its first byte to its last, each byte once: a file that could
// hold anything else could also be read as something else.
void check_layout(const std::vector<SafetensorsEntry>& entries, std::uint64_t data_bytes,
                  std::string_view context) {
  std::vector<const SafetensorsEntry*> sorted;
  sorted.reserve(entries.size());
  for (const auto& entry : entries) sorted.push_back(&entry);
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  std::uint64_t end = 0;
  for (const auto* entry : sorted) {
    const auto fail_at = [&](const char* rule) {
      fail_file(context, ": ", rule, ": tensor ", printable(entry->name), ": bytes ", entry->begin,
                " to ", entry->end, " of ", data_bytes, ", the tensors before it end at ", end);
    };
    if (entry->end > data_bytes) fail_at("data ends beyond the file");
    if (entry->begin < end) fail_at("tensors overlap");
    if (entry->begin > end) fail_at("hole between tensors");
    end = entry->end;
  }
  if (end != data_bytes)
    fail_file(context, ": bytes after the last tensor: it ends at ", end, " of ", data_bytes);
}

std::string json_string(const std::string& text, std::string_view context) {
  try {
    return json(text).dump();
  } catch (const json::exception&) {
    fail(context, ": text is not valid UTF-8: ", printable(text));
  }
}

std::string json_list(std::span<const std::int64_t> values) {
  std::string text = "[";
  for (const auto value : values) text += (text.size() > 1 ? "," : "") + std::to_string(value);
  return text + "]";
}

std::string_view dtype_text(DType dtype) {
  return std::find_if(std::begin(dtype_names), std::end(dtype_names),
                      [&](const auto& known) { return known.dtype == dtype; })
      ->text;
}

void check_named(const NamedTensors& tensors, std::string_view context) {
  std::vector<std::string_view> names;
  for (const auto& [name, tensor] : tensors) {
    require(tensor.defined(), context, ": tensor is undefined: ", printable(name));
    require(name != metadata_name, context, ": name is reserved: ", printable(name));
    names.push_back(name);
  }
  if (const auto name = repeated(std::move(names)))
    fail(context, ": duplicate tensor name: ", printable(*name));
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> bytes,
                                           std::uint64_t data_bytes, std::string_view context) {
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!text.starts_with('{'))
    fail_file(context, ": header does not begin with '{': at byte ", length_bytes);
  while (text.back() == ' ') text.remove_suffix(1);
  if (text.back() != '}')
    fail_file(context, ": header does not end with '}' and spaces: at byte ",
              length_bytes + text.size() - 1);
  // To the JSON reader a zero byte is the end, and what follows would go unread.
  if (const auto zero = text.find('\0'); zero != text.npos)
    fail_file(context, ": header is not valid JSON in UTF-8: at byte ", length_bytes + zero);

  SafetensorsHeader header;
  HeaderReader reader(context, header);
  json::sax_parse(text.begin(), text.end(), &reader);
  std::vector<std::string_view> names;
  for (const auto& entry : header.entries) names.push_back(entry.name);
  if (const auto name = repeated(std::move(names)))
    fail_file(context, ": duplicate tensor name: ", printable(*name));
  check_layout(header.entries, data_bytes, context);
  return header;
}

NamedTensors load_safetensors(const std::string& path,
                              std::map<std::string, std::string>* metadata) {
  const InputFile file("load_safetensors", path);
  const std::string& context = file.context();
  if (file.size() < length_bytes)
    fail_file(context, ": file is too short: ", file.size(), " bytes, the header length takes ",
              length_bytes);
  std::uint64_t header_bytes = 0;
  file.read(0, std::as_writable_bytes(std::span(&header_bytes, 1)));
  if (header_bytes > max_header)
    fail_file(context, ": header is too large: ", header_bytes, " bytes, at most ", max_header);
  if (header_bytes > file.size() - length_bytes)
    fail_file(context, ": header ends beyond the file: ", header_bytes, " bytes from byte ",
              length_bytes, " of ", file.size());

  const std::uint64_t data_begin = length_bytes + header_bytes;
  std::vector<std::byte> bytes(header_bytes);
  file.read(length_bytes, bytes);
  SafetensorsHeader header = parse_safetensors_header(bytes, file.size() - data_begin, context);
  bytes = {};

  NamedTensors tensors;
  tensors.reserve(header.entries.size());
  for (auto& entry : header.entries) {
    Tensor tensor = empty(entry.shape, entry.dtype);
    if (entry.end != entry.begin) {
      const std::span data(tensor.raw_mutable_data(), entry.end - entry.begin);
      file.read(data_begin + entry.begin, data);
      if (entry.dtype == DType::boolean) check_booleans(data, data_begin + entry.begin, context);
    }
    tensors.emplace_back(std::move(entry.name), std::move(tensor));
  }
  if (metadata != nullptr) *metadata = std::move(header.metadata);
  return tensors;
}

void save_safetensors(const std::string& path, const NamedTensors& tensors,
                      const std::map<std::string, std::string>& metadata) {
  const std::string context = "save_safetensors: " + path;
  check_named(tensors, context);

  std::vector<Tensor> values;
  for (const auto& [name, tensor] : tensors)
    values.push_back(detail::contiguous_value(tensor).to(Device::cpu));
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return item_size(values[a].dtype()) > item_size(values[b].dtype());
  });

  std::vector<std::span<const std::byte>> parts(2);
  std::vector<std::int64_t> begin(values.size());
  std::int64_t end = 0;
  for (const std::size_t i : order) {
    begin[i] = end;
    end += values[i].bytes();
    if (values[i].bytes() > 0)
      parts.emplace_back(values[i].raw_data(), static_cast<std::size_t>(values[i].bytes()));
  }

  std::string header = "{";
  if (!metadata.empty()) {
    header += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata)
      header += (header.back() == '{' ? "" : ",") + json_string(key, context) + ":" +
                json_string(value, context);
    header += "}";
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Shape& shape = values[i].shape();
    header += (header.size() > 1 ? "," : "") + json_string(tensors[i].first, context);
    header += ":{\"dtype\":\"";
    header += dtype_text(values[i].dtype());
    header += "\",\"shape\":" + json_list({shape.begin(), shape.end()});
    const std::int64_t offsets[] = {begin[i], begin[i] + values[i].bytes()};
    header += ",\"data_offsets\":" + json_list(offsets) + "}";
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  require(header.size() <= max_header, context, ": header is too large: ", header.size(),
          " bytes, at most ", max_header);
  const std::uint64_t header_bytes = header.size();
  parts[0] = std::as_bytes(std::span(&header_bytes, 1));
  parts[1] = std::as_bytes(std::span(header));
  write_file_atomically(path, parts, "save_safetensors");
}

}  // namespace gradus
