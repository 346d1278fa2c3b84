// Kernels of the formulas of one operand without transcendental functions.
#include "gradus/kernels/cuda/map.cuh"

namespace gradus::GRADUS_GPU {

void register_algebraic_maps() {
#define GRADUS_REGISTER(function, Formula) \
  register_map(typeid(formula::Formula), 1, device_map<formula::Formula, 1>);
  GRADUS_ALGEBRAIC_FORMULAS(GRADUS_REGISTER)
#undef GRADUS_REGISTER
#define GRADUS_REGISTER(Formula, inputs, integers) \
  register_map(typeid(formula::Formula), inputs, device_map<formula::Formula, inputs, integers>);
  GRADUS_ALGEBRAIC_FORMULAS_OF_ONE(GRADUS_REGISTER)
#undef GRADUS_REGISTER
}

}  // namespace gradus::GRADUS_GPU
