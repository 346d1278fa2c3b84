// Maps: a formula over any number of broadcast, strided inputs, and the gradient of one.
//
// Only the innermost loop is a template of the formula (map_loops.h); what walks the shapes is not.
// The walk cuts the elements into tiles for the pool. Inputs that are not contiguous along a tile
// pass through a buffer in L1, so there is one loop for every layout.
#pragma once

#include <span>

#include "gradus/kernels/export.h"
#include "gradus/kernels/view.h"

namespace gradus {

inline constexpr int max_map_inputs = 8;

// y[i] = f(x[0][i], x[1][i], ...) for i < n. `stream`: y is aligned to 64 bytes and larger than the
// caches.
using MapLoop = void (*)(const void* formula, const void* const* x, void* y, std::int64_t n,
                         bool stream);
// d[k][i] = g[i] * df/dx_k for every k with d[k] != null. x holds g, the inputs and the output.
using GradientLoop = void (*)(const void* formula, const void* const* x, void* const* d,
                              std::int64_t n, bool stream);

struct MapInput {
  const void* data = nullptr;
  std::int64_t stride[max_rank] = {};  // in elements; 0 along broadcast axes
  bool boolean = false;                // bytes of bool, read as 0 and 1
};
// A gradient of the map's own input; summed over the axes with stride 0, contiguous along the
// others.
struct MapGradient {
  void* data = nullptr;  // null: not wanted
  std::int64_t stride[max_rank] = {};
  std::int64_t count = 0;  // its elements
};

namespace cpu {

// y is contiguous over the extents. T: float, double, int32_t, int64_t.
template <class T>
GRADUS_API void map(MapLoop loop, const void* formula, const Extents& extents,
                    std::span<const MapInput> inputs, T* y);
// A comparison: the loop writes 0 and 1, y receives bool.
template <class T>
GRADUS_API void map_to_bool(MapLoop loop, const void* formula, const Extents& extents,
                            std::span<const MapInput> inputs, bool* y);

// Bytes of scratch memory for map_gradient.
GRADUS_API std::int64_t map_gradient_scratch(const Extents& extents,
                                             std::span<const MapGradient> gradients);
// inputs: g, the map's inputs, its output. T: float or double. Sums run in double, in the order of
// the tiles.
template <class T>
GRADUS_API void map_gradient(GradientLoop loop, const void* formula, const Extents& extents,
                             std::span<const MapInput> inputs,
                             std::span<const MapGradient> gradients, void* scratch);

}  // namespace cpu
}  // namespace gradus
