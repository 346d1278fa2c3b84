// What can go wrong in a program beside the library's errors, and the exit codes of all.
#pragma once

#include <cerrno>
#include <cstring>

#include "gradus/tensor/file.h"

namespace gradus::examples {

enum Exit { success = 0, usage = 2, data = 3, numeric = 4, memory = 5, interrupted = 130 };

// A flag or a configuration that cannot be meant.
struct UsageError : Error {
  using Error::Error;
};

// A file or folder that is missing, malformed, or cannot be written.
using DataError = FileError;

// Throws E with the parts streamed into one message: `refuse<DataError>(path, ": is empty")`.
template <class E>
[[noreturn]] void refuse(const auto&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw E(message.str());
}

// Throws for a file that cannot be written, for the reason in errno.
[[noreturn]] inline void refuse_write(const std::string& path) {
  if (errno == ENOMEM) refuse<OutOfMemory>(path, ": cannot be written: out of memory");
  refuse<DataError>(path, ": cannot be written: ", std::strerror(errno));
}

}  // namespace gradus::examples
