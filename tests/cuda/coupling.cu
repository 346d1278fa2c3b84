#include "gradus/tests/cuda/coupling.h"

#include "gradus/kernels/cuda/map.cuh"

GRADUS_DEVICE_MAP(gradus::test::Coupling, 3)
