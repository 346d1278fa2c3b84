// What the targets share: inputs as files, and what must hold of those that load.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "gradus/tensor/safetensors.h"

namespace gradus::fuzz {

// A property that does not hold ends the program; libFuzzer keeps the input.
inline void expect(bool holds) {
  if (!holds) std::abort();
}

inline std::string_view text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// A file in memory that a loader can open by its path.
class MemoryFile {
 public:
  std::string path(std::string_view bytes) {
    expect(::ftruncate(descriptor_, 0) == 0);
    expect(::pwrite(descriptor_, bytes.data(), bytes.size(), 0) ==
           static_cast<ssize_t>(bytes.size()));
    return "/proc/self/fd/" + std::to_string(descriptor_);
  }

 private:
  int descriptor_ = ::memfd_create("input", MFD_CLOEXEC);
};

// Where a saved file may be, gone when the program ends; in memory if the system has such a folder.
class SavedFile {
 public:
  SavedFile() {
    namespace fs = std::filesystem;
    std::string name = (fs::is_directory("/dev/shm") ? "/dev/shm" : fs::temp_directory_path()) /
                       fs::path("gradus-fuzz-XXXXXX");
    expect(::mkdtemp(name.data()) != nullptr);
    folder_ = name;
  }
  ~SavedFile() { std::filesystem::remove_all(folder_); }
  std::filesystem::path path() const { return folder_ / "saved"; }

 private:
  std::filesystem::path folder_;
};

inline bool same(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() && a.is_contiguous() &&
         b.is_contiguous() &&
         (a.bytes() == 0 ||
          std::memcmp(a.raw_data(), b.raw_data(), static_cast<std::size_t>(a.bytes())) == 0);
}
inline bool same(const NamedTensors& a, const NamedTensors& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i].first != b[i].first || !same(a[i].second, b[i].second)) return false;
  return true;
}

// What the loader makes of a file: nothing if it refuses it, and any other exception is a finding.
auto loaded(auto&& load) -> std::optional<decltype(load())> {
  try {
    return load();
  } catch (const FileError&) {
    return {};
  }
}

}  // namespace gradus::fuzz
