// Values that must lie in a domain, checked on a device without waiting for it.
#pragma once

#include "gradus/kernels/kernel.h"

namespace gradus {

// Where an element lies outside of [low, high], NaN included: notes one such in findings() of
// cuda/runtime.h, and the next call that waits throws "`what``rule`, got the value". Both texts
// are of static storage. T is float or double. (On the CPU a caller looks and throws.)
GRADUS_ON_DEVICES(template <class T> void note_outside(const char* what, const char* rule,
                                                       const T* x, std::int64_t n, double low,
                                                       double high))

}  // namespace gradus
