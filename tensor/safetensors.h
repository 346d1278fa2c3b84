// Safetensors files: named tensors and string metadata, nothing that runs. A reader trusts nothing
// in the file: every rule is checked before memory is asked for, and no more is asked for than the
// file has bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gradus/tensor/file.h"
#include "gradus/tensor/tensor.h"

namespace gradus {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

// Writes the values of the tensors, atomically (see write_file_atomically). The header lists them
// in the given order; in the data wider elements come first, so that every tensor is aligned for
// readers that map the file. Names are distinct valid UTF-8, and not "__metadata__".
GRADUS_API void save_safetensors(const std::string& path, const NamedTensors& tensors,
                                 const std::map<std::string, std::string>& metadata = {});

// All tensors, on the CPU, in the order of the header. `metadata`, if given, is replaced by the
// file's. Throws FileError for whatever is wrong with the file; then `metadata` is as it was.
GRADUS_API NamedTensors load_safetensors(const std::string& path,
                                         std::map<std::string, std::string>* metadata = nullptr);

struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  std::uint64_t begin = 0, end = 0;  // bytes, counted from the end of the header
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // in the order of the header
  std::map<std::string, std::string> metadata;
};

// The checked contents of a header (the bytes after the length) that `data_bytes` bytes of tensor
// data follow. Errors begin with `context`.
GRADUS_API SafetensorsHeader
parse_safetensors_header(std::span<const std::byte> header, std::uint64_t data_bytes,
                         std::string_view context = "parse_safetensors_header");

}  // namespace gradus
