// Checks, one line each: they throw Error (kernels/error.h).
#pragma once

#include <sstream>
#include <string>

#include "gradus/kernels/error.h"

namespace gradus {

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
