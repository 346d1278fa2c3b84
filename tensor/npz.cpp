#include "gradus/tensor/npz.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "gradus/tensor/copy.h"
#include "gradus/tensor/npy.h"
#include "gradus/tensor/zip.h"

namespace gradus {
namespace {

constexpr std::string_view suffix = ".npy";
constexpr std::size_t longest_name = 0xffff - suffix.size();

bool is_utf8(const std::string& text) {
  try {
    nlohmann::json(text).dump();
    return true;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

// What is wrong with a tensor's name, or nothing. A program that unpacks the archive makes a path
// of it.
const char* problem(const std::string& name) {
  if (name.empty()) return "name is empty";
  if (name.size() > longest_name) return "name is too long";
  if (name.find('\0') != name.npos) return "name holds a zero byte";
  if (!is_utf8(name)) return "name is not valid UTF-8";
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find_first_of("/\\", begin), name.size());
    const std::string_view part = std::string_view(name).substr(begin, end - begin);
    if (begin == 0 && part.empty()) return "name is an absolute path";
    if (part == "..") return "name leads out of its folder";
    begin = end + 1;
  }
  return nullptr;
}

std::string tensor_name(const detail::ZipEntry& entry, std::string_view context) {
  if (!entry.name.ends_with(suffix))
    fail_file(context, ": not an array: ", printable(entry.name), " does not end in ", suffix);
  std::string name = entry.name.substr(0, entry.name.size() - suffix.size());
  if (const char* text = problem(name)) fail_file(context, ": ", text, ": ", printable(name));
  const auto high = [](unsigned char c) { return c > 127; };
  if (!entry.utf8 && std::any_of(name.begin(), name.end(), high))
    fail_file(context, ": name is not said to be UTF-8: ", printable(name));
  return name;
}

}  // namespace

NamedTensors load_npz(const std::string& path) {
  const InputFile file("load_npz", path);
  const std::vector<detail::ZipEntry> entries = detail::read_zip_directory(file);
  std::vector<std::string> names;  // all of them checked before the first array is read
  for (const auto& entry : entries) names.push_back(tensor_name(entry, file.context()));

  NamedTensors tensors;
  tensors.reserve(entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    detail::ZipContents contents(file, entries[i],
                                 file.context() + ": " + printable(entries[i].name));
    Tensor tensor = detail::read_npy(
        entries[i].size, [&](std::span<std::byte> into) { contents.read(into); },
        contents.context());
    contents.finish();
    tensors.emplace_back(std::move(names[i]), std::move(tensor));
  }
  return tensors;
}

void save_npz(const std::string& path, const NamedTensors& tensors, NpzOptions options) {
  const std::string context = "save_npz: " + path;
  std::vector<std::string_view> names;
  for (const auto& [name, tensor] : tensors) {
    require(tensor.defined(), context, ": tensor is undefined: ", printable(name));
    if (const char* text = problem(name)) fail(context, ": ", text, ": ", printable(name));
    names.push_back(name);
  }
  if (const auto name = repeated(std::move(names)))
    fail(context, ": duplicate tensor name: ", printable(*name));

  detail::ZipWriter archive;
  std::vector<Tensor> values;  // until all is written
  for (const auto& [name, tensor] : tensors) {
    values.push_back(detail::contiguous_value(tensor).to(Device::cpu));
    std::span<const std::byte> data;
    if (const Tensor& value = values.back(); value.bytes() > 0)
      data = {value.raw_data(), static_cast<std::size_t>(value.bytes())};
    archive.add(name + std::string(suffix),
                detail::npy_head(values.back(), context + ": " + printable(name)), data,
                options.compressed);
  }
  archive.write(path, "save_npz");
}

}  // namespace gradus
