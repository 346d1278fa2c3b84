// A formula of a user's, as a header shows it to nvcc and to the C++ compiler.
#pragma once

#include "gradus/kernels/formula.h"

namespace gradus::test {

struct Coupling {
  static constexpr const char* name = "coupling";
  double scale;
  GRADUS_INLINE auto operator()(const auto& x, const auto& s, const auto& t) const {
    return x * exp(scale * tanh(s)) + t;
  }
};

}  // namespace gradus::test
