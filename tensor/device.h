// Where a tensor lives.
#pragma once

#include <iosfwd>

#include "gradus/kernels/export.h"

namespace gradus {

struct Device {
  enum class Kind : unsigned char { cpu, cuda, emulated };
  Kind kind = Kind::cpu;
  unsigned char index = 0;

  static const Device cpu;
  static const Device emulated;  // the CUDA kernels on the CPU
  static constexpr Device cuda(int index = 0) {
    return {Kind::cuda, static_cast<unsigned char>(index)};
  }
  friend constexpr bool operator==(Device, Device) = default;
};

inline constexpr Device Device::cpu{};
inline constexpr Device Device::emulated{Device::Kind::emulated};

GRADUS_API std::ostream& operator<<(std::ostream&, Device);

}  // namespace gradus
