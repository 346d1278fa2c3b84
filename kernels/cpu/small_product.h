// Small matrix products, for code inside with_isa().
#pragma once

#include "gradus/kernels/cpu/product.h"

namespace gradus::cpu::product {

// A small product notices what it costs to cut it: one block, whose operands stay where they lie.
// Where whole panels of four registers pass, kernels of fewer rows leave the decoders more room.
template <class Set, class T>
GRADUS_INLINE void multiply_small(const Product<T>& s) {
  using L = typename Set::template Lane<T>;
  constexpr Index W = L::size;
  constexpr int bytes = sizeof(typename L::Vector), wide = most_wide<bytes>;
  const bool panels = wide > few && s.n % (4 * W) == 0;
  Tile<T> t = {s.terms, s.a, s.b.data, s.b.down, s.alpha, s.beta, s.c, s.ldc, W, nullptr};
  const Groups groups(s.m, 0, panels ? wide : most_at_once<bytes>);
  for (Index q = 0; q < groups.count; ++q) {
    const Index m = groups[q];
    if (panels) {
      Tile<T> u = t;
      for (const auto f = kernel<Set, T, 4, wide>(m); u.c < t.c + s.n; u.b += 4 * W, u.c += 4 * W)
        f(u);
    } else {
      sweep<Set>(t, m, s.n, false, static_cast<const T*>(nullptr), Index{0});
    }
    t.a.data += m * t.a.down, t.c += m * t.ldc;
  }
}

}  // namespace gradus::cpu::product
