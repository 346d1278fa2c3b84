// NumPy's .npy files: one array each. Reading covers versions 1 to 3, both memory orders and both
// byte orders; nothing is ever unpickled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "gradus/tensor/file.h"
#include "gradus/tensor/tensor.h"

namespace gradus {

// Writes the values, atomically (see write_file_atomically), with the bytes numpy.save gives a
// C-ordered array. bf16 has no NumPy type and is an error.
GRADUS_API void save_npy(const std::string& path, const Tensor& tensor);

// The array, contiguous, on the CPU. Throws FileError for whatever is wrong with the file.
GRADUS_API Tensor load_npy(const std::string& path);

struct NpyHeader {
  DType dtype = DType::f32;
  bool big_endian = false;
  bool fortran_order = false;
  Shape shape;
  std::uint64_t data_begin = 0;  // in the file
  std::uint64_t data_bytes = 0;
};

// Longest prefix of a file that parse_npy_header looks at.
inline constexpr std::uint64_t max_npy_header = 12 + 10'000;

// The checked header of a file of `file_bytes` bytes that begins with `head`: all of the file, or
// its first max_npy_header bytes. Errors begin with `context`.
GRADUS_API NpyHeader parse_npy_header(std::span<const std::byte> head, std::uint64_t file_bytes,
                                      std::string_view context = "parse_npy_header");

namespace detail {

// The array of an .npy file of `file_bytes` bytes, which `next` hands out from the first on.
Tensor read_npy(std::uint64_t file_bytes, const std::function<void(std::span<std::byte>)>& next,
                std::string_view context);

// What an .npy file holds in front of the values of a contiguous tensor.
std::string npy_head(const Tensor& tensor, std::string_view context);

}  // namespace detail
}  // namespace gradus
