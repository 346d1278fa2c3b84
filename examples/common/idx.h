// IDX, the format of the MNIST family: magic 00 00 type rank, sizes as big-endian 32-bit numbers,
// values.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "examples/common/file.h"

namespace gradus::examples {

struct Idx {
  std::vector<std::int64_t> shape;  // one size (labels) or three (images, rows, columns)
  std::vector<std::uint8_t> values;
};

// Decodes bytes, plain or gzipped (any number of members). Nothing in them is trusted: the type
// must be unsigned byte, the rank 1 or 3, and the values exactly as many as the sizes say; memory
// grows with the data that is there, not with what the header promises. Throws DataError that
// begins with `name`.
Idx decode_idx(std::span<const std::uint8_t> bytes, const std::string& name);

Idx read_idx(const Path& path);

}  // namespace gradus::examples
