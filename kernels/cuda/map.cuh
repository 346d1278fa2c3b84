// The kernels of a formula: one for its value and one for its gradients for each type of storage,
// and one that sums a gradient over broadcast axes (map_sum.cuh). A user's formula, a named struct
// in a header with a GRADUS_INLINE operator(), gets them in a file that nvcc compiles:
//
//   GRADUS_DEVICE_MAP(MyFormula, 2)  // at namespace scope; 2 inputs
#pragma once

#include "gradus/kernels/cuda/map_operands.cuh"
#include "gradus/kernels/cuda/map_sum.cuh"
#include "gradus/kernels/elementwise.h"

namespace gradus::GRADUS_GPU {

template <class F, class L, int K>
using formula_result =
    decltype(value_at(std::declval<const F&>(), std::declval<const std::array<L, K>&>()));

// What a map of elements stored as S writes: S, or bool.
template <class F, class S, int K>
using map_result =
    std::conditional_t<std::is_same_v<formula_result<F, Scalar<computed<S>>, K>, Condition>, bool,
                       S>;

// ---- value

template <class F, int K>
struct MapArguments {
  F f;
  Operands<K> x;
  void* y;
  bool aligned;  // y, for packs
};

template <class S, int V>
GRADUS_DEVICE void store(const S (&y)[V], S* to) {
  Pack<S, V> pack;
  GRADUS_UNROLL
  for (int e = 0; e < V; ++e) pack.x[e] = y[e];
  store_whole(pack, to);
}

template <class F, class S, int K>
__global__ void __launch_bounds__(map_threads)
    map_kernel(const __grid_constant__ MapArguments<F, K> a) {
  for_elements<S, boolean_inputs<F>()>(a.x, a.aligned, [&](const auto& x, Index begin) {
    constexpr int V = std::extent_v<std::remove_reference_t<decltype(x)>>;
    using Y = map_result<F, S, K>;
    Y y[V];
    GRADUS_UNROLL
    for (int e = 0; e < V; ++e) {
      if constexpr (std::is_same_v<Y, bool>)
        y[e] = value_at(a.f, x[e]).holds();
      else
        y[e] = rounded<S>(value_at(a.f, x[e]));
    }
    store(y, static_cast<Y*>(a.y) + begin);
  });
}

template <class F, class S, int K>
void run_map(const void* formula, const Extents& extents, std::span<const MapInput> inputs,
             void* y) {
  constexpr int V = group<S>;
  const Index n = extents.count();
  if (n == 0) return;
  const MapArguments<F, K> a{*static_cast<const F*>(formula),
                             operands_of<S, K>(extents, inputs, boolean_inputs<F>()), y,
                             aligned(y, V * sizeof(map_result<F, S, K>))};
  launch(formula_name<F>(), map_kernel<F, S, K>, blocks_for(n, tile_of<S>(K)), map_threads, 0, a);
}

// ---- gradients that are not summed

template <class F, int K>
struct MapGradientArguments {
  F f;
  Operands<K + 2> x;  // the incoming gradient, the inputs, the output
  void* d[K];         // null: not wanted
  bool aligned;
};

template <class F, class S, int K>
__global__ void __launch_bounds__(map_threads)
    map_gradient_kernel(const __grid_constant__ MapGradientArguments<F, K> a) {
  constexpr unsigned booleans = boolean_inputs<F>() << 1;
  for_elements<S, booleans>(a.x, a.aligned, [&](const auto& x, Index begin) {
    constexpr int V = std::extent_v<std::remove_reference_t<decltype(x)>>;
    for_each_operand<K>([&](auto k) {
      if (!a.d[k]) return;
      S d[V];
      GRADUS_UNROLL
      for (int e = 0; e < V; ++e) d[e] = rounded<S>(gradient_at<k, F>(a.f, x[e]));
      store(d, static_cast<S*>(a.d[k]) + begin);
    });
  });
}

template <class F, class S, int K>
void run_map_gradient(const void* formula, const Extents& extents, std::span<const MapInput> inputs,
                      std::span<const MapGradient> gradients, void* scratch) {
  constexpr unsigned booleans = boolean_inputs<F>() << 1;
  const F& f = *static_cast<const F*>(formula);
  const Index n = extents.count();
  MapGradientArguments<F, K> a{f, {}, {}, true};
  bool any = false;
  for (int k = 0; k < K; ++k) {
    const MapGradient& d = gradients[static_cast<std::size_t>(k)];
    if (!d.data) continue;
    if (is_sum(extents, d)) {
      if constexpr (K > 1) scratch = run_map_sum<F, S, K>(f, extents, inputs, d, k, scratch);
      continue;
    }
    a.d[k] = d.data;
    a.aligned = a.aligned && aligned(d.data, group<S> * sizeof(S));
    any = true;
  }
  if (!any || n == 0) return;
  a.x = operands_of<S, K + 2>(extents, inputs, booleans);
  launch(formula_name<F>(), map_gradient_kernel<F, S, K>, blocks_for(n, tile_of<S>(K + 2)),
         map_threads, 0, a);
}

// ---- the table's entry; `integers`: for i32 and i64 too.

template <class F, int K, bool integers>
constexpr DeviceMap make_device_map() {
  static_assert(std::is_trivially_copyable_v<F>, "a formula captures plain numbers only");
  DeviceMap m;
  m.value[0] = run_map<F, float, K>;
  m.value[1] = run_map<F, double, K>;
  if constexpr (integers) {
    m.value[2] = run_map<F, std::int32_t, K>;
    m.value[3] = run_map<F, std::int64_t, K>;
  }
  m.value[4] = run_map<F, bf16, K>;
  if constexpr (!std::is_same_v<map_result<F, float, K>, bool>) {
    m.gradient[0] = run_map_gradient<F, float, K>;
    m.gradient[1] = run_map_gradient<F, double, K>;
    m.gradient[2] = run_map_gradient<F, bf16, K>;
  }
  return m;
}
template <class F, int K, bool integers = false>
inline constexpr DeviceMap device_map = make_device_map<F, K, integers>();

}  // namespace gradus::GRADUS_GPU

#define GRADUS_DEVICE_MAP(Formula, inputs) GRADUS_DEVICE_MAP_NAMED(Formula, inputs, __COUNTER__)
#define GRADUS_DEVICE_MAP_NAMED(Formula, inputs, n) GRADUS_DEVICE_MAP_AS(Formula, inputs, n)
#define GRADUS_DEVICE_MAP_AS(Formula, inputs, n)                                              \
  [[maybe_unused]] static const bool gradus_device_map_##n =                                  \
      (::gradus::GRADUS_GPU::register_map(typeid(Formula), inputs,                            \
                                          ::gradus::GRADUS_GPU::device_map<Formula, inputs>), \
       true);
