#include "gradus/kernels/gemm.h"

#include <algorithm>
#include <string>
#include <type_traits>

#include "gradus/kernels/cuda/gemm_few.cuh"
#include "gradus/kernels/cuda/gemm_mma.cuh"
#include "gradus/kernels/cuda/gemm_simt.cuh"
#include "gradus/kernels/error.h"

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
  using Large = SimtTile<double, 64, 64, 2, 1, 3, 3>;
  using Medium = Large;
  using Small = SimtTile<double, 32, 64, 1, 1, 3, 4>;
};
template <>
struct Tiles<bf16> {
  using Large = MmaTile<128, 128, 64, 64, 4, 2>;
  using Medium = MmaTile<64, 64, 32, 32, 4, 4>;
  using Small = Medium;
};

enum class Size { large, medium, small };

Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }
template <class Tile, class T, class C>
Index tiles(const Product<T, C>& p) {
  return ceil_div(p.m, Tile::m) * ceil_div(p.n, Tile::n) * p.count;
}

template <class T, class C>
struct Plan {
  Product<T, C> product;
  Size size;
  bool few_rows;

  Plan(const GemmShape& s, double alpha, const T* a, const T* b, double beta, C* c,
       const Epilogue<C>& epilogue, void* scratch) {
    using Sum = computed<T>;
    Product<T, C>& p = product;
    p.m = s.m, p.n = s.n, p.terms = s.k;
    // Batches that share B and follow one another in A and C are rows of one product.
    for (p.rank = s.batch.rank; p.rank > 0; --p.rank) {
      const int i = p.rank - 1;
      const bool rows = s.stride_b[i] == 0 && !s.transpose_a && s.stride_a[i] == p.m * s.lda &&
                        s.stride_c[i] == p.m * s.ldc;
      if (!rows && s.batch.size[i] != 1) break;
      p.m *= s.batch.size[i];
    }
    p.count = 1;
    for (int i = 0; i < p.rank; ++i) {
      p.count *= s.batch.size[i];
      p.size[i] = s.batch.size[i];
      p.stride_a[i] = s.stride_a[i], p.stride_b[i] = s.stride_b[i], p.stride_c[i] = s.stride_c[i];
    }
    p.a = a, p.b = b, p.c = c, p.lda = s.lda, p.ldb = s.ldb, p.ldc = s.ldc;
    p.a_by_terms = !s.transpose_a, p.b_by_terms = s.transpose_b;
    p.a_aligned = aligned(a, s.lda, p.stride_a, 16, 16 / sizeof(T));
    p.b_aligned = aligned(b, s.ldb, p.stride_b, 16, 16 / sizeof(T));
    p.c_aligned = aligned(c, s.ldc, p.stride_c, alignof(Quad<C>), 4);
    p.alpha = static_cast<Sum>(alpha), p.beta = static_cast<Sum>(beta);
    p.epilogue = epilogue;
    p.sums = static_cast<Sum*>(scratch);
    p.chains = static_cast<int>(std::max<Index>(1, ceil_div(p.terms, most_terms<T>)));

    few_rows = std::min(p.m, p.n) <= few;
    size = tiles<typename Tiles<T>::Large>(p) >= wave    ? Size::large
           : tiles<typename Tiles<T>::Medium>(p) >= wave ? Size::medium
                                                         : Size::small;
    p.split = !few_rows && p.chains > 1 && size == Size::small &&
              tiles<typename Tiles<T>::Small>(p) < wave;
  }

  bool empty() const { return product.m == 0 || product.n == 0 || product.count == 0; }
  Index scratch_bytes() const {
    const Product<T, C>& p = product;
    if (few_rows || (!p.split && (p.chains == 1 || std::is_same_v<C, computed<T>>))) return 0;
    return (p.split ? p.chains : 1) * p.count * p.m * p.n * Index(sizeof(computed<T>));
  }

 private:
  template <class X>
  bool aligned(const X* x, Index ld, const Index* stride, std::size_t bytes, Index unit) const {
    bool fits = reinterpret_cast<std::uintptr_t>(x) % bytes == 0 && ld % unit == 0;
    for (int i = 0; i < product.rank; ++i) fits = fits && stride[i] % unit == 0;
    return fits;
  }
};

unsigned grid(Index blocks) {
  if (blocks > 0x7fffffff)
    throw Error("gemm: a grid has fewer than 2^31 blocks: " + std::to_string(blocks));
  return static_cast<unsigned>(blocks);
}

template <class Tile, class T, class C>
void run_tiles(const Product<T, C>& p) {
  const unsigned blocks = grid(tiles<Tile>(p) * (p.split ? p.chains : 1));
  if constexpr (std::is_same_v<T, bf16>) {
    const auto run = [&](auto a_by_terms, auto b_by_terms) {
      constexpr bool at = decltype(a_by_terms)::value, bt = decltype(b_by_terms)::value;
      GRADUS_LAUNCH((multiply_mma<Tile, at, bt, C>), blocks, Tile::threads, Tile::shared, p);
    };
    const std::true_type yes;
    const std::false_type no;
    if (p.a_by_terms)
      p.b_by_terms ? run(yes, yes) : run(yes, no);
    else
      p.b_by_terms ? run(no, yes) : run(no, no);
  } else {
    GRADUS_LAUNCH(multiply_simt<Tile>, blocks, Tile::threads, Tile::shared, p);
  }
}

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
  return Plan<T, T>(s, 1, nullptr, nullptr, 0, nullptr, {}, nullptr).scratch_bytes();
}

template <class T, class C>
void gemm_epilogue(const GemmShape& s, double alpha, const T* a, const T* b, double beta, C* c,
                   const Epilogue<C>& epilogue, void* scratch) {
  const Plan<T, C> plan(s, alpha, a, b, beta, c, epilogue, scratch);
  if (plan.empty()) return;
  const Product<T, C>& p = plan.product;
  if (plan.few_rows) return run_few(p);
  switch (plan.size) {
    case Size::large:
      run_tiles<typename Tiles<T>::Large>(p);
      break;
    case Size::medium:
      run_tiles<typename Tiles<T>::Medium>(p);
      break;
    case Size::small:
      run_tiles<typename Tiles<T>::Small>(p);
      break;
  }
  if (p.split)
    GRADUS_LAUNCH((add_chains<T, C>), grid(ceil_div(p.count * p.m * ceil_div(p.n, 4), 256)), 256, 0,
                  p);
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
