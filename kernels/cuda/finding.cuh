// Kernels: what they find wrong is noted, and told by the next call that waits.
#pragma once

#include "gradus/kernels/cuda/gpu.h"
#include "gradus/kernels/cuda/runtime.h"

namespace gradus::GRADUS_GPU {

// The first one counts; `write` fills it in.
template <class Write>
GRADUS_DEVICE void note_first(DeviceFinding* finding, Write write) {
  if (atomicCAS(&finding->set, 0u, 1u) != 0u) return;
  write(*finding);
  __threadfence_system();  // the host may look while kernels run
  atomicExch(&finding->set, 2u);
}

GRADUS_DEVICE void note_finding(DeviceFinding* finding, const char* operation,
                                std::int64_t position, std::int64_t index, std::int64_t limit) {
  note_first(finding, [&](DeviceFinding& f) {
    f.operation = operation;
    f.position = position;
    f.index = index;
    f.limit = limit;
  });
}

// "`operation``rule`, got `value`".
GRADUS_DEVICE void note_value(DeviceFinding* finding, const char* operation, const char* rule,
                              std::int64_t position, double value) {
  note_first(finding, [&](DeviceFinding& f) {
    f.operation = operation;
    f.rule = rule;
    f.position = position;
    f.value = value;
  });
}

}  // namespace gradus::GRADUS_GPU
