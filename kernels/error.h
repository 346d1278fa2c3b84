// What the library throws. A text reads "operation: rule: facts".
#pragma once

#include <stdexcept>

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

}  // namespace gradus
