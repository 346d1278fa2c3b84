// Files for tests: a directory that disappears, bytes in and out of it, and what an error must say.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "gradus/tensor/file.h"
#include "gradus/tensor/tensor.h"

namespace gradus::test {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "gradus-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed: " + name);
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  // Names in the directory: a failed write must leave none behind.
  std::size_t count() const {
    const std::filesystem::directory_iterator begin(path_), end;
    return static_cast<std::size_t>(std::distance(begin, end));
  }

 private:
  std::filesystem::path path_;
};

inline void write_bytes(const std::filesystem::path& path, std::string_view bytes) {
  std::filesystem::remove(path);  // truncating a file in place makes some file systems flush it
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path.string());
}

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Expects E whose text holds every part.
template <class E, class F, class... Parts>
void expect_error(F&& f, const Parts&... parts) {
  try {
    f();
    ADD_FAILURE() << "no error; expected: " << (std::string() + ... + std::string(parts));
  } catch (const E& error) {
    const std::string_view text = error.what();
    for (const std::string_view part : {std::string_view(parts)...})
      EXPECT_NE(text.find(part), text.npos) << "'" << part << "' is not in: " << text;
  }
}

// A file that a loader must refuse, and a part of the error that says why.
struct Malformed {
  const char* what;
  std::string bytes;
  const char* error;
};

// Expects load(path) to refuse every file by its own rule, taking no more memory than the file has.
template <class Load>
void expect_refused(const std::vector<Malformed>& cases, const std::filesystem::path& path,
                    const std::string& operation, Load&& load) {
  for (const auto& [what, bytes, error] : cases) {
    SCOPED_TRACE(what);
    write_bytes(path, bytes);
    reset_peak_memory();
    const std::int64_t before = memory_statistics().live;
    expect_error<FileError>([&] { load(path); }, operation + ": " + path.string() + ": ", error);
    EXPECT_LE(memory_statistics().peak - before, std::ssize(bytes) + (1 << 20));
    EXPECT_EQ(memory_statistics().live, before);
  }
}

// The values of a tensor as bytes, in row-major order.
inline std::string raw(const Tensor& tensor) {
  const Tensor values = tensor.detach().contiguous();
  if (values.numel() == 0) return {};
  return {reinterpret_cast<const char*>(values.raw_data()),
          static_cast<std::size_t>(values.bytes())};
}

// Elements of every bit pattern, NaNs and denormals among them; 0 and 1 where only those may be.
inline Tensor scrambled(const Shape& shape, DType dtype) {
  Tensor tensor = empty(shape, dtype);
  std::mt19937 bits(7);
  std::byte* data = tensor.numel() > 0 ? tensor.raw_mutable_data() : nullptr;
  for (std::int64_t i = 0; i < tensor.bytes(); ++i)
    data[i] = static_cast<std::byte>(bits() & (dtype == DType::boolean ? 1 : 255));
  return tensor;
}

// The text with one to four random changes: a character, a piece lost, a piece doubled.
inline std::string edited(std::string_view text, std::string_view alphabet, std::mt19937& random) {
  const auto below = [&](std::size_t n) { return random() % n; };
  std::string result(text);
  for (std::size_t edits = 1 + below(4); edits > 0 && !result.empty(); --edits) {
    const std::size_t at = below(result.size()), length = below(12);
    switch (below(4)) {
      case 0:
        result[at] = alphabet[below(alphabet.size())];
        break;
      case 1:
        result.insert(at, 1, alphabet[below(alphabet.size())]);
        break;
      case 2:
        result.erase(at, length);
        break;
      default:
        result.insert(below(result.size()), result.substr(at, length));
    }
  }
  return result;
}

}  // namespace gradus::test
