// Errors: one class, and one line per check. A text reads "operation: rule: facts".
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

#include "gradus/kernels/export.h"

namespace gradus {

// Base of everything the library throws about its use.
class GRADUS_API Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A NaN or an infinity where none may be (anomaly mode, losses).
class GRADUS_API NumericError : public Error {
 public:
  using Error::Error;
};

// Memory asked for and not to be had; live tensors are untouched.
class GRADUS_API OutOfMemory : public Error {
 public:
  using Error::Error;
};

// Throws Error with the parts written one after the other.
template <class... Parts>
[[noreturn, gnu::cold, gnu::noinline]] void fail(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw Error(text.str());
}

// The parts are formatted only when the condition fails.
template <class... Parts>
inline void require(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]]
    fail(parts...);
}

}  // namespace gradus
