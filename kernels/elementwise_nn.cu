// Kernels of the formulas of distributions, dropout and clipping.
#include "gradus/kernels/nn_formula.h"
#include "gradus/kernels/cuda/map.cuh"

namespace gradus::GRADUS_GPU {

void register_nn_maps() {
#define GRADUS_REGISTER(Formula, inputs, integers) \
  register_map(typeid(formula::Formula), inputs, device_map<formula::Formula, inputs, integers>);
  GRADUS_NN_FORMULAS(GRADUS_REGISTER)
#undef GRADUS_REGISTER
}

}  // namespace gradus::GRADUS_GPU
