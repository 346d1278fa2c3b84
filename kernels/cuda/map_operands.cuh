// How a map's kernel reads its operands. A thread takes groups of neighbouring elements, 16 bytes
// of the result: several at once where all operands are contiguous, else each operand in the widest
// way that its layout allows; and single elements where that is not so. All threads choose alike.
#pragma once

#include <array>
#include <span>

#include "gradus/kernels/cuda/nest.cuh"
#include "gradus/kernels/cuda/pack.cuh"
#include "gradus/kernels/cuda/scalar.h"
#include "gradus/kernels/elementwise.h"
#include "gradus/kernels/gradient.h"

namespace gradus::GRADUS_GPU {

template <class F>
constexpr unsigned boolean_inputs() {
  if constexpr (requires { F::boolean_inputs; })
    return F::boolean_inputs;
  else
    return 0;
}
template <class F>
constexpr const char* formula_name() {
  if constexpr (requires { F::name; })
    return F::name;
  else
    return "map";
}
inline constexpr int map_threads = 128;  // of a block

// Elements of a group, and groups that a thread moves at once so that enough bytes are on the way.
template <class S>
inline constexpr int group = 16 / static_cast<int>(sizeof(S));
template <class S>
constexpr int batch_of(int operands) {
  const int groups = operands <= 3 ? 2 : 1;
  return sizeof(S) == 2 && groups > 1 ? groups / 2 : groups;
}

// Elements of a block.
template <class S>
constexpr Index tile_of(int operands) {
  return Index{map_threads} * group<S> * batch_of<S>(operands);
}

// How a group of an operand is read.
enum class Layout : std::uint8_t {
  packed,  // contiguous over all elements: a pack
  row,     // a pack of the row
  same,    // one element for the whole group
  each     // element by element
};

template <int N>
struct Operands {
  Nest<N> nest;
  Index count;
  const void* data[N];
  Layout layout[N];
  bool packed = true;   // all are
  bool grouped = true;  // none is `each`
};

// Bit k of `booleans`: operand k is of bytes, 0 or 1.
template <class S, int N>
Operands<N> operands_of(const Extents& extents, std::span<const MapInput> inputs,
                        unsigned booleans) {
  Operands<N> o;
  o.count = extents.count();
  for (int a = 0; a < extents.rank; ++a) {
    Index strides[N];
    for (int k = 0; k < N; ++k) strides[k] = inputs[static_cast<std::size_t>(k)].stride[a];
    o.nest.add(extents.size[a], strides);
  }
  o.nest.close();
  constexpr int V = group<S>;
  const bool whole_rows = o.nest.row() % V == 0;  // no group lies in two
  for (int k = 0; k < N; ++k) {
    o.data[k] = inputs[static_cast<std::size_t>(k)].data;
    const bool packs = aligned(o.data[k], V * (booleans >> k & 1 ? 1 : sizeof(S)));
    bool rows = whole_rows && o.nest.inner(k) == 1, constant = o.nest.inner(k) == 0;
    for (int a = 0; a + 1 < o.nest.rank; ++a) {
      rows = rows && o.nest.stride[k][a] % V == 0;
      constant = constant && o.nest.stride[k][a] == 0;
    }
    if (packs && o.nest.contiguous(k))
      o.layout[k] = Layout::packed;
    else if (packs && rows)
      o.layout[k] = Layout::row;
    else if (constant || (whole_rows && o.nest.inner(k) == 0))
      o.layout[k] = Layout::same;
    else
      o.layout[k] = Layout::each;
    o.packed = o.packed && o.layout[k] == Layout::packed;
    o.grouped = o.grouped && o.layout[k] != Layout::each;
  }
  return o;
}

template <class S, unsigned booleans, int k>
using stored = std::conditional_t<(booleans >> k & 1) != 0, std::uint8_t, S>;

template <int k, int V, class Stored, class L, std::size_t N>
GRADUS_DEVICE void load_inputs(const Stored* from, std::array<L, N> (&x)[V]) {
  const Pack<Stored, V> p = *reinterpret_cast<const Pack<Stored, V>*>(from);
  GRADUS_UNROLL
  for (int e = 0; e < V; ++e) x[e][k] = read_as<typename L::value_type>(p.x[e]);
}

// Calls f(integral constant) for 0, 1, ..., N - 1.
template <int N, class F>
GRADUS_DEVICE void for_each_operand(F f) {
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (f(std::integral_constant<int, static_cast<int>(I)>{}), ...);
  }
  (std::make_index_sequence<N>{});
}

// The V elements from `begin`, where all operands are packed.
template <class S, unsigned booleans, class L, std::size_t N, int V>
GRADUS_DEVICE void load_packed(const Operands<static_cast<int>(N)>& o, Index begin,
                               std::array<L, N> (&x)[V]) {
  for_each_operand<static_cast<int>(N)>([&](auto k) {
    using Stored = stored<S, booleans, k>;
    load_inputs<k, V>(static_cast<const Stored*>(o.data[k]) + begin, x);
  });
}

// The V elements from `begin`, where none is `each`.
template <class S, unsigned booleans, class L, std::size_t N, int V>
GRADUS_DEVICE void load_group(const Operands<static_cast<int>(N)>& o, Index begin,
                              std::array<L, N> (&x)[V]) {
  Index offset[N];
  o.nest.locate(begin, offset);
  for_each_operand<static_cast<int>(N)>([&](auto k) {
    using Stored = stored<S, booleans, k>;
    const Stored* const from = static_cast<const Stored*>(o.data[k]) + offset[k];
    if (o.layout[k] == Layout::same) {
      const L value = read_as<typename L::value_type>(*from);
      GRADUS_UNROLL
      for (int e = 0; e < V; ++e) x[e][k] = value;
    } else {
      load_inputs<k, V>(from, x);
    }
  });
}

// Element i, however it lies.
template <class S, unsigned booleans, class L, std::size_t N>
GRADUS_DEVICE void load_element(const Operands<static_cast<int>(N)>& o, Index i,
                                std::array<L, N>& x) {
  Index offset[N];
  o.nest.locate(i, offset);
  for_each_operand<static_cast<int>(N)>([&](auto k) {
    using Stored = stored<S, booleans, k>;
    x[k] = read_as<typename L::value_type>(static_cast<const Stored*>(o.data[k])[offset[k]]);
  });
}

// Runs write(x, begin) for the elements of this thread, x an array of operands of V elements from
// `begin` on, or of one. U groups at once where all is packed; `aligned`: the results are too.
template <class S, unsigned booleans, int N, class Write>
GRADUS_DEVICE void for_elements(const Operands<N>& o, bool aligned, Write write) {
  using L = Scalar<computed<S>>;
  constexpr int V = group<S>, U = batch_of<S>(N);
  const Index tile = blockIdx.x * tile_of<S>(N), end = tile + tile_of<S>(N);
  const bool whole = aligned && end <= o.count;
  if (whole && o.packed) {
    const Index first = tile + threadIdx.x * V;
    std::array<L, N> x[U][V];
    GRADUS_UNROLL
    for (int u = 0; u < U; ++u) load_packed<S, booleans>(o, first + u * map_threads * V, x[u]);
    GRADUS_UNROLL
    for (int u = 0; u < U; ++u) write(x[u], first + u * map_threads * V);
  } else if (whole && o.grouped) {
    GRADUS_UNROLL_BY(1)
    for (Index i = tile + threadIdx.x * V; i < end; i += map_threads * V) {
      std::array<L, N> x[V];
      load_group<S, booleans>(o, i, x);
      write(x, i);
    }
  } else {
    GRADUS_UNROLL_BY(1)
    for (Index i = tile + threadIdx.x; i < end && i < o.count; i += map_threads) {
      std::array<L, N> x[1];
      load_element<S, booleans>(o, i, x[0]);
      write(x, i);
    }
  }
}

template <class F, class L, std::size_t N, std::size_t... I>
GRADUS_INLINE auto value_at(const F& f, const std::array<L, N>& x, std::index_sequence<I...>) {
  return f(x[I]...);
}
template <class F, class L, std::size_t N>
GRADUS_INLINE auto value_at(const F& f, const std::array<L, N>& x) {
  return value_at(f, x, std::make_index_sequence<N>{});
}

// The gradient with respect to input k from the incoming one, the inputs and the output.
template <int k, class F, class L, std::size_t N>
GRADUS_DEVICE L gradient_at(const F& f, const std::array<L, N>& x) {
  std::array<L, N - 2> inputs;
  GRADUS_UNROLL
  for (std::size_t i = 0; i < N - 2; ++i) inputs[i] = x[i + 1];
  return L(detail::gradient_of<k>(f, x[0], inputs, x[N - 1]));
}

}  // namespace gradus::GRADUS_GPU
