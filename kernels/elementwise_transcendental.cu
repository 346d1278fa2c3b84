// Kernels of the formulas of one operand with exponentials, logarithms and their kin.
#include "gradus/kernels/cuda/map.cuh"

namespace gradus::GRADUS_GPU {

void register_transcendental_maps() {
#define GRADUS_REGISTER(function, Formula) \
  register_map(typeid(formula::Formula), 1, device_map<formula::Formula, 1>);
  GRADUS_TRANSCENDENTAL_FORMULAS(GRADUS_REGISTER)
#undef GRADUS_REGISTER
#define GRADUS_REGISTER(Formula, inputs, integers) \
  register_map(typeid(formula::Formula), inputs, device_map<formula::Formula, inputs, integers>);
  GRADUS_TRANSCENDENTAL_FORMULAS_OF_ONE(GRADUS_REGISTER)
#undef GRADUS_REGISTER
}

}  // namespace gradus::GRADUS_GPU
