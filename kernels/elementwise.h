// Maps: a formula over any number of broadcast, strided inputs, and the gradient of one.
//
// Only the innermost loop is a template of the formula (map_loops.h), not what walks the shapes and
// cuts tiles for the pool. What is not contiguous along a tile passes through a buffer in L1, so
// there is one loop for every layout; so does all of bf16, whose loop is that of float.
#pragma once

#include <span>
#include <typeinfo>

#include "gradus/kernels/kernel.h"

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

// y is contiguous over the extents. T: float, double, bf16, int32_t, int64_t.
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
// inputs: g, the map's inputs, its output. T: float, double or bf16. Sums run in double, in the
// order of the tiles, and are rounded once.
template <class T>
GRADUS_API void map_gradient(GradientLoop loop, const void* formula, const Extents& extents,
                             std::span<const MapInput> inputs,
                             std::span<const MapGradient> gradients, void* scratch);

}  // namespace cpu

// On a device there is no loop to hand over: a formula's kernels are compiled with it, by nvcc
// (cuda/map.cuh), and found by the formula's type. Lambdas and formulas of .cpp files have none.
struct DeviceMap {
  // y is contiguous, of the map's dtype, or bool where the formula is a comparison.
  using Value = void (*)(const void* formula, const Extents&, std::span<const MapInput>, void* y);
  // inputs, gradients and sums as cpu::map_gradient's; scratch of the device.
  using Gradient = void (*)(const void* formula, const Extents&, std::span<const MapInput> inputs,
                            std::span<const MapGradient> gradients, void* scratch);
  Value value[5] = {};        // f32, f64, i32, i64, bf16; null: not for that dtype
  Gradient gradient[3] = {};  // f32, f64, bf16
};

// Null where the formula has no kernels.
GRADUS_ON_DEVICES(GRADUS_API const DeviceMap* find_map(const std::type_info& formula, int inputs))
// Kernels of a user's formula; GRADUS_DEVICE_MAP of cuda/map.cuh calls it. `map` is of static
// storage.
GRADUS_ON_DEVICES(GRADUS_API void register_map(const std::type_info& formula, int inputs,
                                               const DeviceMap& map))
// Bytes of scratch memory for a gradient.
GRADUS_ON_DEVICES(GRADUS_API std::int64_t map_gradient_scratch(
    const Extents&, std::span<const MapGradient> gradients))

}  // namespace gradus
