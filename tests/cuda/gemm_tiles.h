// Products in tiles of a test's choice, whose blocks compute every chain of their elements, however
// few blocks there are: what gemm() does where products are larger than a test can afford.
#pragma once

#include "gradus/kernels/gemm.h"

namespace gradus {

enum class GemmTile { small, large };

// `totals`: m * n sums for each product of the batch.
GRADUS_ON_DEVICES(template <class T, class C>
                  void gemm_in_tiles(GemmTile, const GemmShape&, double alpha, const T* a,
                                     const T* b, double beta, C* c, void* totals))

}  // namespace gradus
