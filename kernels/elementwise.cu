// The table of formulas that have kernels on the device.
#include "gradus/kernels/elementwise.h"

#include <map>
#include <mutex>
#include <typeindex>
#include <utility>

#include "gradus/kernels/cuda/map_sum.cuh"

namespace gradus::GRADUS_GPU {

// elementwise_*.cu, so that they compile in parallel.
void register_algebraic_maps();
void register_transcendental_maps();
void register_binary_maps();
void register_compare_and_loss_maps();
void register_nn_maps();

namespace {

struct Table {
  std::mutex mutex;
  std::map<std::pair<std::type_index, int>, const DeviceMap*> maps;
};
Table& table() {
  static Table t;  // users' formulas come before main()
  return t;
}

}  // namespace

void register_map(const std::type_info& formula, int inputs, const DeviceMap& map) {
  Table& t = table();
  const std::lock_guard lock(t.mutex);
  t.maps[{formula, inputs}] = &map;
}

const DeviceMap* find_map(const std::type_info& formula, int inputs) {
  static const bool registered = [] {
    register_algebraic_maps();
    register_transcendental_maps();
    register_binary_maps();
    register_compare_and_loss_maps();
    register_nn_maps();
    return true;
  }();
  (void)registered;
  Table& t = table();
  const std::lock_guard lock(t.mutex);
  const auto found = t.maps.find({formula, inputs});
  return found == t.maps.end() ? nullptr : found->second;
}

std::int64_t map_gradient_scratch(const Extents& extents, std::span<const MapGradient> gradients) {
  std::int64_t bytes = 0;
  for (const MapGradient& g : gradients)
    if (is_sum(extents, g)) bytes += SumPlan(extents, g).scratch_bytes();
  return bytes;
}

}  // namespace gradus::GRADUS_GPU
