#include "gradus/kernels/gemm.h"

#include <algorithm>
#include <utility>

#include "gradus/kernels/cuda/gemm_few.cuh"
#include "gradus/kernels/cuda/gemm_launch.cuh"

namespace gradus::GRADUS_GPU {
namespace {

using namespace product;

// What runs at once on a large device. Fewer blocks than that: smaller tiles, then every chain by a
// block of its own. No bit depends on it.
constexpr Index wave = 132;

template <class T>
struct Tiles;
template <>
struct Tiles<float> {
  using Large = SimtTile<float, 128, 128, 2, 2, 4, 2>;
  using Medium = SimtTile<float, 64, 64, 2, 1, 4, 4>;
  using Small = SimtTile<float, 32, 64, 1, 1, 4, 5>;
};
template <>
struct Tiles<double> {
  using Large = SimtTile<double, 64, 64, 2, 1, 3, 2>;
  using Medium = Large;
  using Small = SimtTile<double, 32, 64, 1, 1, 3, 3>;
};
template <>
struct Tiles<bf16> {
  using Large = MmaTile<128, 128, 64, 64, 4, 2>;
  using Medium = MmaTile<64, 64, 32, 32, 4, 4>;
  using Small = Medium;
};

enum class Size { large, medium, small };

template <class T, class C>
struct Plan {
  Product<T, C> product;
  Size size;
  bool few_rows;

  explicit Plan(const Product<T, C>& given) : product(given) {
    Product<T, C>& p = product;
    few_rows = std::min(p.m, p.n) <= few;
    size = count_tiles<typename Tiles<T>::Large>(p) >= wave    ? Size::large
           : count_tiles<typename Tiles<T>::Medium>(p) >= wave ? Size::medium
                                                               : Size::small;
    p.split = !few_rows && p.chains > 1 && size == Size::small &&
              count_tiles<typename Tiles<T>::Small>(p) < wave;
  }

  bool empty() const { return product.m == 0 || product.n == 0 || product.count == 0; }
};

template <class T, class C>
void run_few(const Product<T, C>& p) {
  Operand<T> a{p.a, p.lda, 1, p.a_by_terms && p.a_aligned};
  Operand<T> b{p.b, p.ldb, 1, p.b_by_terms && p.b_aligned};
  if (!p.a_by_terms) std::swap(a.row, a.step);
  if (!p.b_by_terms) std::swap(b.row, b.step);
  const bool swapped = p.n > few;
  const Few<T, C> f{p,       swapped ? b : a,     swapped ? a : b,
                    swapped, swapped ? p.n : p.m, static_cast<int>(swapped ? p.m : p.n)};
  if (f.matrix.step == 1) {
    const int lanes = f.length * p.count >= 8 * wave || p.terms < 1024 ? 32 : 256;
    GRADUS_LAUNCH((multiply_rows<T, C>), grid(ceil_div(f.length, 256 / lanes) * p.count), 256, 0, f,
                  lanes);
  } else {
    const Index blocks = ceil_div(f.length, 32) * p.count;
    const int slices = blocks >= 4 * wave || p.terms < 256 ? 8 : 32;
    GRADUS_LAUNCH((multiply_columns<T, C>), grid(blocks), 32 * slices, 0, f, slices);
  }
}

}  // namespace

template <class T>
std::int64_t gemm_scratch(const GemmShape& s) {
  const Plan plan(make_product<T, T>(s, 1, nullptr, nullptr, 0, nullptr, {}, nullptr));
  return plan.few_rows ? 0 : scratch_bytes(plan.product);
}

template <class T, class C>
void gemm_epilogue(const GemmShape& s, double alpha, const T* a, const T* b, double beta, C* c,
                   const Epilogue<C>& epilogue, void* scratch) {
  const Plan plan(make_product(s, alpha, a, b, beta, c, epilogue, scratch));
  if (plan.empty()) return;
  const Product<T, C>& p = plan.product;
  if (plan.few_rows) return run_few(p);
  switch (plan.size) {
    case Size::large:
      multiply<typename Tiles<T>::Large>(p);
      break;
    case Size::medium:
      multiply<typename Tiles<T>::Medium>(p);
      break;
    case Size::small:
      multiply<typename Tiles<T>::Small>(p);
      break;
  }
}

template <class T>
void gemm(const GemmShape& s, double alpha, const T* a, const T* b, double beta, T* c,
          void* scratch) {
  gemm_epilogue<T, T>(s, alpha, a, b, beta, c, {}, scratch);
}

#define GRADUS_GEMM(T)                                                                  \
  template std::int64_t gemm_scratch<T>(const GemmShape&);                              \
  template void gemm(const GemmShape&, double, const T*, const T*, double, T*, void*);  \
  template void gemm_epilogue(const GemmShape&, double, const T*, const T*, double, T*, \
                              const Epilogue<T>&, void*);
GRADUS_GEMM(float)
GRADUS_GEMM(double)
GRADUS_GEMM(bf16)
template void gemm_epilogue(const GemmShape&, double, const bf16*, const bf16*, double, float*,
                            const Epilogue<float>&, void*);

}  // namespace gradus::GRADUS_GPU
