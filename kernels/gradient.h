// The gradient of a formula with respect to one of its inputs, for whichever kind of number.
#pragma once

#include <array>
#include <type_traits>
#include <utility>

#include "gradus/kernels/formula.h"

namespace gradus::detail {

// f(x_0, ..., Dual{x_k, g}, ...).d: the gradient with respect to input k alone.
template <int k, class F, class V, std::size_t... I>
GRADUS_INLINE auto along(const F& f, const V& g, const std::array<V, sizeof...(I)>& x,
                         std::index_sequence<I...>) {
  auto pick = [&](auto i) -> decltype(auto) {
    if constexpr (i == k)
      return Dual<V>{x[i], g};
    else
      return (x[i]);
  };
  auto y = f(pick(std::integral_constant<int, static_cast<int>(I)>{})...);
  if constexpr (std::is_same_v<decltype(y), Dual<V>>)
    return y.d;
  else
    return V(g * 0.0);  // the input only decides comparisons
}

template <class F, class V>
concept StatesGradient = requires(const F& f, const V& v) {
  f.df(v, v, v);
};

// The gradient by the formula's own df where it has one, by dual numbers elsewhere.
template <int k, class F, class V, std::size_t K>
GRADUS_INLINE auto gradient_of(const F& f, const V& g, const std::array<V, K>& x, const V& y) {
  if constexpr (K == 1 && StatesGradient<F, V>)
    return f.df(g, x[0], y);
  else
    return along<k>(f, g, x, std::make_index_sequence<K>{});
}

// Bit j: the gradient with respect to input k reads input j; bit K: it reads the output. Or
// hands_on alone: the gradient is the incoming one.
inline constexpr unsigned hands_on = 1u << 31;
template <int k, int K, class F>
constexpr unsigned gradient_reads(const F& f) {
  std::array<Reads, K> x = [&]<std::size_t... I>(std::index_sequence<I...>) {
    return std::array<Reads, K>{Reads(1u << I)...};
  }
  (std::make_index_sequence<K>{});
  const Reads r = gradient_of<k>(f, Reads(0u, true), x, Reads(1u << K));
  return r.incoming ? hands_on : r.inputs;
}

}  // namespace gradus::detail
