// The innermost loops of a map, instantiated for each formula: its value on Lane, its gradient on
// Dual<Lane>.
#pragma once

#include <array>
#include <tuple>
#include <utility>

#include "gradus/kernels/cpu/simd.h"
#include "gradus/kernels/elementwise.h"
#include "gradus/kernels/gradient.h"

namespace gradus::detail {

// The register at p, of which `left` elements are wanted: the tail is the same code, partly loaded.
template <class L, class T>
GRADUS_INLINE L load(const T* p, std::int64_t left) {
  return left >= L::size ? L::load(p) : L::load(p, left);
}
template <class L, class T>
GRADUS_INLINE void store(const L& r, T* p, std::int64_t left, bool stream) {
  if (left < L::size)
    r.store(p, left);
  else if (stream)
    r.stream(p);
  else
    r.store(p);
}

// Whether a loop takes two registers at a time: for all formulas it would be too much code.
template <class L, int K>
inline constexpr bool paired =
    K <= 2 && L::size >= 8 && std::is_same_v<typename L::value_type, float>;

template <class F, class T, int K>
void map_loop(const void* formula, const void* const* inputs, void* output, std::int64_t n,
              bool stream) {
  cpu::with_isa([&](auto set) GRADUS_LAMBDA {
    using L = typename decltype(set)::template Lane<T>;
    // Copies of its own: what the loop only refers to would be read again after each store.
    const F f = *static_cast<const F*>(formula);
    const bool past_caches = stream;
    std::array<const T*, K> x;
    for (int k = 0; k < K; ++k) x[k] = static_cast<const T*>(inputs[k]);
    T* const y = static_cast<T*>(output);
    auto value = [&](std::int64_t i, std::int64_t left) GRADUS_LAMBDA {
      std::array<L, K> v;
      for (int k = 0; k < K; ++k) v[k] = detail::load<L>(x[k] + i, left);
      auto r = std::apply(f, v);
      if constexpr (std::is_same_v<decltype(r), typename L::Bits>)
        return select(r, L(1.0), L(0.0));
      else
        return L(r);
    };
    cpu::for_registers<L, paired<L, K>>(
        n, value, [&](std::int64_t i, std::int64_t left, const L& r) GRADUS_LAMBDA {
          detail::store(r, y + i, left, past_caches);
        });
  });
}

// The gradients of inputs first .. last-1 in one pass.
template <class F, class T, int K, int first, int last>
void gradient_loop(const void* formula, const void* const* inputs, void* const* outputs,
                   std::int64_t n, bool stream) {
  cpu::with_isa([&](auto set) GRADUS_LAMBDA {
    using L = typename decltype(set)::template Lane<T>;
    const F f = *static_cast<const F*>(formula);
    const bool past_caches = stream;
    std::array<const T*, K + 2> x;
    for (int k = 0; k < K + 2; ++k) x[k] = static_cast<const T*>(inputs[k]);
    std::array<T*, K> d;
    for (int k = 0; k < K; ++k) d[k] = static_cast<T*>(outputs[k]);
    using Gradients = std::array<L, last - first>;
    auto gradients = [&](std::int64_t i, std::int64_t left) GRADUS_LAMBDA {
      const L g = detail::load<L>(x[0] + i, left), y = detail::load<L>(x[K + 1] + i, left);
      std::array<L, K> v;
      for (int k = 0; k < K; ++k) v[k] = detail::load<L>(x[k + 1] + i, left);
      return [&]<std::size_t... I>(std::index_sequence<I...>) GRADUS_LAMBDA {
        return Gradients{L(gradient_of<first + static_cast<int>(I)>(f, g, v, y))...};
      }
      (std::make_index_sequence<last - first>{});
    };
    cpu::for_registers<L, paired<L, K>>(
        n, gradients, [&](std::int64_t i, std::int64_t left, const Gradients& r) GRADUS_LAMBDA {
          for (int k = first; k < last; ++k)
            detail::store(r[k - first], d[k] + i, left, past_caches);
        });
  });
}

// All wanted: one pass. Otherwise one pass for each.
template <class F, class T, int K>
void gradient_loops(const void* formula, const void* const* x, void* const* d, std::int64_t n,
                    bool stream) {
  bool all = true;
  for (int k = 0; k < K; ++k) all = all && d[k];
  if (all) return gradient_loop<F, T, K, 0, K>(formula, x, d, n, stream);
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    ((d[I] ? gradient_loop<F, T, K, static_cast<int>(I), static_cast<int>(I) + 1>(formula, x, d, n,
                                                                                  stream)
           : void()),
     ...);
  }
  (std::make_index_sequence<K>{});
}

}  // namespace gradus::detail
