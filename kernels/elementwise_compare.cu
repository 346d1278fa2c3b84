// Kernels of comparisons and of losses.
#include "gradus/kernels/loss_formula.h"
#include "gradus/kernels/cuda/map.cuh"

namespace gradus::GRADUS_GPU {

void register_compare_and_loss_maps() {
#define GRADUS_REGISTER(Formula, inputs, integers) \
  register_map(typeid(formula::Formula), inputs, device_map<formula::Formula, inputs, integers>);
  GRADUS_COMPARISONS_OF_TWO(GRADUS_REGISTER)
  GRADUS_LOSS_FORMULAS(GRADUS_REGISTER)
#undef GRADUS_REGISTER
}

}  // namespace gradus::GRADUS_GPU
