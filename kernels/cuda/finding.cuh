// Kernels: an index out of range is noted, and told by the next call that waits.
#pragma once

#include "gradus/kernels/cuda/gpu.h"
#include "gradus/kernels/cuda/runtime.h"

namespace gradus::GRADUS_GPU {

GRADUS_DEVICE void note_finding(DeviceFinding* finding, const char* operation,
                                std::int64_t position, std::int64_t index, std::int64_t limit) {
  if (atomicCAS(&finding->set, 0u, 1u) != 0u) return;
  finding->operation = operation;
  finding->position = position;
  finding->index = index;
  finding->limit = limit;
  __threadfence_system();  // the host may look while kernels run
  atomicExch(&finding->set, 2u);
}

}  // namespace gradus::GRADUS_GPU
