// Sizes of blocks that caching allocators keep: four for each power of two, so that at most a
// quarter of a block is unused.
#pragma once

#include <bit>
#include <cstdint>

namespace gradus {

inline constexpr int size_classes = 4 * 63;  // of all sizes below 2^63

// Of at least `least` bytes, a power of two from 4 on.
constexpr int size_class(std::int64_t bytes, std::int64_t least) {
  const auto n = static_cast<std::uint64_t>(bytes > least ? bytes : least);
  const int top = static_cast<int>(std::bit_width(n - 1)) - 1;  // 2^top < n <= 2^(top+1)
  return 4 * top + static_cast<int>((n - 1) >> (top - 2) & 3);
}
constexpr std::int64_t class_bytes(int size_class, std::int64_t alignment) {
  const std::int64_t quarter = std::int64_t{1} << (size_class / 4 - 2);
  const std::int64_t size = quarter * (size_class % 4 + 5);
  return (size + alignment - 1) / alignment * alignment;
}

}  // namespace gradus
