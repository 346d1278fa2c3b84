#include <algorithm>
#include <type_traits>

#include "gradus/kernels/cpu/pool.h"
#include "gradus/kernels/reduce.h"

namespace gradus::cpu {

template <class T>
void cumsum(const T* x, std::int64_t outer, std::int64_t n, std::int64_t inner, T* y) {
  using Index = std::int64_t;
  using Running = std::conditional_t<std::is_floating_point_v<T>, double, std::uint64_t>;
  // Columns side by side: one for each number that a cache line of T has room for, and more.
  constexpr Index block = 64;
  const Index blocks = (inner + block - 1) / block;
  const Index batch =
      std::max<Index>(1, (1 << 15) / std::max<Index>(1, n * std::min(inner, block)));
  parallel((outer * blocks + batch - 1) / batch, [&](Index t) {
    for (Index k = t * batch; k < std::min(outer * blocks, (t + 1) * batch); ++k) {
      const Index column = k % blocks * block, width = std::min(block, inner - column);
      const Index start = k / blocks * n * inner + column;
      Running total[block] = {};
      for (Index j = 0; j < n; ++j)
        for (Index i = 0; i < width; ++i) {
          total[i] += static_cast<Running>(x[start + j * inner + i]);
          y[start + j * inner + i] = static_cast<T>(total[i]);
        }
    }
  });
}

template void cumsum(const float*, std::int64_t, std::int64_t, std::int64_t, float*);
template void cumsum(const double*, std::int64_t, std::int64_t, std::int64_t, double*);
template void cumsum(const std::int32_t*, std::int64_t, std::int64_t, std::int64_t, std::int32_t*);
template void cumsum(const std::int64_t*, std::int64_t, std::int64_t, std::int64_t, std::int64_t*);

}  // namespace gradus::cpu
