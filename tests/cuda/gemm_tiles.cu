#include "gradus/tests/cuda/gemm_tiles.h"

#include "gradus/kernels/cuda/gemm_launch.cuh"

namespace gradus::GRADUS_GPU {
namespace {

using namespace product;

template <class T>
struct TestTiles;
template <>
struct TestTiles<float> {
  using Small = SimtTile<float, 32, 64, 1, 1, 3, 1>;
  using Large = SimtTile<float, 128, 128, 2, 2, 4, 2>;
};
template <>
struct TestTiles<double> {
  using Small = SimtTile<double, 32, 64, 1, 1, 2, 1>;
  using Large = SimtTile<double, 64, 64, 2, 1, 3, 2>;
};
template <>
struct TestTiles<bf16> {
  using Small = MmaTile<32, 32, 32, 16, 2, 1>;
  using Large = MmaTile<128, 128, 64, 64, 4, 2>;
};

}  // namespace

template <class T, class C>
void gemm_in_tiles(GemmTile tile, const GemmShape& s, double alpha, const T* a, const T* b,
                   double beta, C* c, void* totals) {
  const auto p = make_product(s, alpha, a, b, beta, c, Epilogue<C>{}, totals);
  if (tile == GemmTile::small)
    multiply<typename TestTiles<T>::Small>(p);
  else
    multiply<typename TestTiles<T>::Large>(p);
}

template void gemm_in_tiles(GemmTile, const GemmShape&, double, const float*, const float*, double,
                            float*, void*);
template void gemm_in_tiles(GemmTile, const GemmShape&, double, const double*, const double*,
                            double, double*, void*);
template void gemm_in_tiles(GemmTile, const GemmShape&, double, const bf16*, const bf16*, double,
                            bf16*, void*);
template void gemm_in_tiles(GemmTile, const GemmShape&, double, const bf16*, const bf16*, double,
                            float*, void*);

}  // namespace gradus::GRADUS_GPU
