#include "examples/common/file.h"

#include "gradus/tensor/file.h"

namespace gradus::examples {

Bytes read_file(const Path& path) {
  const InputFile file("read", path);
  Bytes bytes(file.size());
  file.read(0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

std::string read_text(const Path& path) {
  const Bytes bytes = read_file(path);
  return {bytes.begin(), bytes.end()};
}

void write_file(const Path& path, std::span<const std::uint8_t> bytes) {
  const std::span<const std::byte> parts[] = {std::as_bytes(bytes)};
  write_file_atomically(path, parts, "write");
}

void write_file(const Path& path, std::string_view text) {
  write_file(path, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

}  // namespace gradus::examples
