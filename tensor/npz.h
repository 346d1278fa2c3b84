// NumPy's .npz files: named arrays, each an .npy file in a ZIP archive.
#pragma once

#include <string>

#include "gradus/tensor/safetensors.h"  // NamedTensors

namespace gradus {

struct NpzOptions {
  bool compressed = false;  // deflated, as by numpy.savez_compressed: smaller, and much slower
};

// Writes the values, atomically (see write_file_atomically), with the bytes numpy.savez gives
// C-ordered arrays. Names are distinct UTF-8 and plain relative paths, without the ".npy" that they
// have in the archive. bf16 has no NumPy type and is an error.
GRADUS_API void save_npz(const std::string& path, const NamedTensors& tensors,
                         NpzOptions options = {});

// The arrays, contiguous, on the CPU, in the order of the archive's directory. Throws FileError for
// whatever is wrong with the file, checksums included. A compressed file of n bytes may hold arrays
// of 1032 n bytes; no more are ever asked for.
GRADUS_API NamedTensors load_npz(const std::string& path);

}  // namespace gradus
