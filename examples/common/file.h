// Whole files as bytes or text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gradus::examples {

using Bytes = std::vector<std::uint8_t>;
using Path = std::filesystem::path;

// All of these throw FileError with the path and the system's reason.
Bytes read_file(const Path& path);
std::string read_text(const Path& path);

// A reader sees the old or the new contents, never a part; on failure the old file is untouched.
void write_file(const Path& path, std::span<const std::uint8_t> bytes);
void write_file(const Path& path, std::string_view text);

}  // namespace gradus::examples
