#include "gradus/tensor/dtype.h"

#include <ostream>

namespace gradus {

const char* name(DType t) noexcept {
  static constexpr const char* names[] = {"f32", "f64", "bf16", "i32", "i64", "u8", "boolean"};
  return names[static_cast<int>(t)];
}

std::ostream& operator<<(std::ostream& out, DType t) { return out << name(t); }

}  // namespace gradus
