// Kernels of the formulas of several operands.
#include "gradus/kernels/cuda/map.cuh"

namespace gradus::GRADUS_GPU {

void register_binary_maps() {
#define GRADUS_REGISTER(Formula, inputs, integers) \
  register_map(typeid(formula::Formula), inputs, device_map<formula::Formula, inputs, integers>);
  GRADUS_FORMULAS_OF_SEVERAL(GRADUS_REGISTER)
#undef GRADUS_REGISTER
}

}  // namespace gradus::GRADUS_GPU
