#include "gradus/kernels/cuda/finding.cuh"

#include <cmath>
#include <sstream>
#include <string>

#include "gradus/kernels/cuda/device.h"
#include "gradus/kernels/error.h"

namespace gradus::GRADUS_GPU::runtime {

void throw_found(const DeviceFinding& found) {
  if (found.rule) {
    std::ostringstream text;
    text << found.operation << found.rule << ", got " << found.value << " at position "
         << found.position;
    if (!std::isfinite(found.value)) throw NumericError(text.str());
    throw Error(text.str());
  }
  throw Error(std::string(found.operation) + ": an index is out of range: index " +
              std::to_string(found.index) + " at position " + std::to_string(found.position) +
              ", limit " + std::to_string(found.limit));
}

}  // namespace gradus::GRADUS_GPU::runtime
