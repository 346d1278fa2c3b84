// Reading and adding through indices. Arrays are contiguous, seen as (outer, axis, inner); indices
// count along the middle axis and lie in [0, axis), which the caller checks. Devices do not report
// back: there an index outside reads 0 and adds nothing.
#pragma once

#include "gradus/kernels/kernel.h"

namespace gradus {

// The first position whose index lies outside [0, limit), or -1. Devices always return -1 and note
// it in findings() of cuda/runtime.h as found by `operation`, a text of static storage: the next
// call that waits for the device throws.
GRADUS_KERNEL(std::int64_t find_out_of_range(const char* operation, const std::int64_t* index,
                                             std::int64_t n, std::int64_t limit))

// How gather, index_select and their adjoints see their operands: the indexed array is
// (outer, axis, inner), the picked one (outer, picks, inner).
struct IndexShape {
  std::int64_t outer = 1, axis = 0, picks = 0, inner = 1;
};

// y[o][j][i] = x[o][index[o][j][i]][i]; index and y are (outer, picks, inner). U is uint8_t,
// uint16_t, uint32_t or uint64_t, the bits of an element.
GRADUS_KERNEL(template <class U>
              void gather(const U* x, const std::int64_t* index, const IndexShape&, U* y))
// y[o][index[o][j][i]][i] += g[o][j][i] in order of j; T is float or double.
GRADUS_KERNEL(template <class T>
              void scatter_add(const T* g, const std::int64_t* index, const IndexShape&, T* y))

// y[o][j][:] = x[o][ids[j]][:]. The rows of an embedding: outer = 1, inner = its width.
GRADUS_KERNEL(template <class U>
              void index_select(const U* x, const std::int64_t* ids, const IndexShape&, U* y))
// y[o][ids[j]][:] += g[o][j][:] in order of j; T is float or double.
GRADUS_KERNEL(template <class T>
              void index_add(const T* g, const std::int64_t* ids, const IndexShape&, T* y))

// y[j][c] = c == ids[j], for c < classes; T is float, double or int64_t.
GRADUS_KERNEL(template <class T>
              void one_hot(const std::int64_t* ids, std::int64_t n, std::int64_t classes, T* y))

}  // namespace gradus
