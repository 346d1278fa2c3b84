// Where a tensor lives, and what there is.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "gradus/kernels/export.h"

namespace gradus {

namespace detail {
[[noreturn]] GRADUS_API void refuse_device_index(int index);
}

struct Device {
  enum class Kind : unsigned char { cpu, cuda, emulated };
  Kind kind = Kind::cpu;
  unsigned char index = 0;

  static const Device cpu;
  static const Device emulated;  // the CUDA kernels on the CPU
  static constexpr Device cuda(int index = 0) {
    if (index < 0 || index > 255) detail::refuse_device_index(index);
    return {Kind::cuda, static_cast<unsigned char>(index)};
  }
  friend constexpr bool operator==(Device, Device) = default;
};

inline constexpr Device Device::cpu{};
inline constexpr Device Device::emulated{Device::Kind::emulated};

GRADUS_API std::ostream& operator<<(std::ostream&, Device);

// The devices on which tensors can live here: cpu, then emulated where the emulator is linked in,
// then each CUDA device that has a driver.
GRADUS_API std::vector<Device> available_devices();
// Throws Error where the device cannot be used, and says why and what can.
GRADUS_API void require_available(Device);
// "cpu", "cuda", "cuda:1", "emulated"; another text throws Error.
GRADUS_API Device device_named(const std::string& name);

// Waits until the device has done what this thread's stream asked of it. Kernels report what they
// find wrong (an index out of range) here, or at the next copy to the CPU, as an Error.
GRADUS_API void synchronize(Device);

}  // namespace gradus
