// map(formula, tensors...): one fused, differentiable, broadcasting kernel for a formula of the
// user's (or the library's) own.
//
//   auto y = map([](auto x, auto s) { return x * exp(tanh(s)); }, x, s);
//
// The formula is a generic functor of 1 to 8 numbers that captures plain values only; it may use
// + - * / comparisons, select(mask, a, b) and the functions of kernels/dual.h. It is read with
// SIMD registers for the value, with dual numbers for the gradient, with tensors for higher orders.
// It is compiled with the flags of its file: g++ joins a * b + c into one rounding unless it is
// told -ffp-contract=off, as the library is.
#pragma once

#include <type_traits>
#include <typeinfo>

#include "gradus/autograd/graph.h"
#include "gradus/kernels/map_loops.h"

namespace gradus {
namespace detail {

// A formula with its type erased: all that the code shared by all formulas needs.
struct MapOp {
  const char* name;
  int inputs;
  unsigned boolean_inputs;  // bit k: input k is boolean
  bool boolean_result;
  MapLoop value[4];          // f32, f64, i32, i64; null: not for that dtype
  GradientLoop gradient[2];  // f32, f64
  // As gradient_reads() tells it, `inputs` being K.
  unsigned (*reads)(const void* formula, int k);
  // What finds the kernels of a device.
  const std::type_info* formula;
  // The value in primitive operations: what a device runs that has no kernel of the formula.
  Tensor (*composed)(const void* formula, const Tensor* x);
  // The gradient with respect to input k, in primitive operations.
  Tensor (*definition)(const void* formula, int k, const Tensor& g, const Tensor* x,
                       const Tensor& y);
  int formula_bytes;
};

inline constexpr int max_formula_bytes = 64;

GRADUS_API Tensor run_map(const MapOp& op, const void* formula, const Tensor* const* inputs,
                          Here here);

template <class F>
constexpr const char* map_name() {
  if constexpr (requires { F::name; })
    return F::name;
  else
    return "map";
}
template <class F>
constexpr unsigned map_booleans() {
  if constexpr (requires { F::boolean_inputs; })
    return F::boolean_inputs;
  else
    return 0;
}

template <class F, int K, std::size_t... I>
unsigned map_reads(const void* formula, int k, std::index_sequence<I...>) {
  const F& f = *static_cast<const F*>(formula);
  unsigned set = 0;
  ((k == static_cast<int>(I) ? void(set = gradient_reads<static_cast<int>(I), K>(f)) : void()),
   ...);
  return set;
}
template <class F, int K, std::size_t... I>
Tensor map_definition(const void* formula, int k, const Tensor& g, const Tensor* inputs,
                      const Tensor& y, std::index_sequence<I...>) {
  const F& f = *static_cast<const F*>(formula);
  const std::array<Tensor, K> x{inputs[I]...};
  Tensor d;
  ((k == static_cast<int>(I) ? void(d = gradient_of<static_cast<int>(I)>(f, g, x, y)) : void()),
   ...);
  return d;
}

template <class F, int K, std::size_t... I>
Tensor map_composed(const void* formula, const Tensor* x, std::index_sequence<I...>) {
  return (*static_cast<const F*>(formula))(x[I]...);
}

template <std::size_t, class L>
struct Repeated {
  using type = const L&;
};
template <class F, class L, std::size_t... I>
auto formula_result(std::index_sequence<I...>)
    -> std::remove_cvref_t<std::invoke_result_t<const F&, typename Repeated<I, L>::type...>>;
template <class F, int K>
inline constexpr bool formula_is_boolean =
    std::is_same_v<decltype(formula_result<F, cpu::baseline::Lane<float>>(
                       std::make_index_sequence<K>{})),
                   cpu::baseline::Mask<float>>;

// `integers`: the formula is made for i32 and i64 too.
template <class F, int K, bool integers = false>
const MapOp& map_op() {
  using Indices = std::make_index_sequence<K>;
  static constexpr bool boolean_result = formula_is_boolean<F, K>;
  static constexpr MapOp op = [] {
    MapOp o{map_name<F>(),
            K,
            map_booleans<F>(),
            boolean_result,
            {&map_loop<F, float, K>, &map_loop<F, double, K>, nullptr, nullptr},
            {nullptr, nullptr},
            nullptr,
            &typeid(F),
            [](const void* f, const Tensor* x) { return map_composed<F, K>(f, x, Indices{}); },
            nullptr,
            std::is_empty_v<F> ? 0 : static_cast<int>(sizeof(F))};
    if constexpr (integers) {
      o.value[2] = &map_loop<F, std::int32_t, K>;
      o.value[3] = &map_loop<F, std::int64_t, K>;
    }
    if constexpr (!boolean_result) {
      o.gradient[0] = &gradient_loops<F, float, K>;
      o.gradient[1] = &gradient_loops<F, double, K>;
      o.reads = [](const void* f, int k) { return map_reads<F, K>(f, k, Indices{}); };
      o.definition = [](const void* f, int k, const Tensor& g, const Tensor* x, const Tensor& y) {
        return map_definition<F, K>(f, k, g, x, y, Indices{});
      };
    }
    return o;
  }();
  return op;
}

}  // namespace detail

// f(x_0, x_1, ...) element by element. Inputs broadcast and share a floating dtype; where the
// functor declares `static constexpr unsigned boolean_inputs`, input k with bit k set is boolean
// and read as 0 and 1. A formula that returns a comparison gives a boolean tensor. `name` in the
// functor, when present, names it in errors.
template <class F, class... Ts>
requires(std::is_convertible_v<const Ts&, const Tensor&>&&...) Tensor
    map(F f, At first, const Ts&... rest) {
  constexpr int K = 1 + static_cast<int>(sizeof...(Ts));
  static_assert(K <= max_map_inputs, "map: at most 8 inputs");
  static_assert(std::is_trivially_copyable_v<F> && sizeof(F) <= detail::max_formula_bytes,
                "map: a formula captures plain numbers only, 64 bytes at most");
  const Tensor* inputs[] = {&first.tensor, &static_cast<const Tensor&>(rest)...};
  return detail::run_map(detail::map_op<F, K>(), &f, inputs, first.here);
}

}  // namespace gradus
