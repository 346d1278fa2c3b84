#include "gradus/tensor/dtype.h"

#include <ostream>

#include "gradus/tensor/device.h"

namespace gradus {

const char* name(DType t) noexcept {
  static constexpr const char* names[] = {"f32", "f64", "bf16", "i32", "i64", "u8", "boolean"};
  return names[static_cast<int>(t)];
}

std::ostream& operator<<(std::ostream& out, DType t) { return out << name(t); }

std::ostream& operator<<(std::ostream& out, Device d) {
  switch (d.kind) {
    case Device::Kind::cpu:
      return out << "cpu";
    case Device::Kind::emulated:
      return out << "emulated";
    case Device::Kind::cuda:
      break;
  }
  return out << "cuda(" << static_cast<int>(d.index) << ")";
}

}  // namespace gradus
