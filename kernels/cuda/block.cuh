// What kernels over rows and columns share: accesses of 16 bytes, and folds over the threads of a
// warp or of a block in trees of fixed shape.
#pragma once

#include <cstring>
#include <limits>

#include "gradus/kernels/bf16.h"
#include "gradus/kernels/cuda/gpu.h"
#include "gradus/kernels/cuda/pack.cuh"

namespace gradus::GRADUS_GPU {

// ---- elements in memory and in registers: bf16 is stored, and computed in float; bools are bytes.
template <class T>
struct Register {
  using type = computed<T>;
};
template <>
struct Register<bool> {
  using type = std::uint8_t;
};
template <class T>
using in_register = typename Register<T>::type;

template <class T>
GRADUS_DEVICE in_register<T> widened(T x) {
  return static_cast<in_register<T>>(x);
}
// With one rounding of x to a float where T is bf16.
template <class T, class C>
GRADUS_DEVICE T narrowed(C x) {
  if constexpr (sizeof(T) < sizeof(computed<T>))
    return T(static_cast<computed<T>>(x));
  else
    return static_cast<T>(x);
}

// Elements in one access.
template <class T>
inline constexpr int pack_size = static_cast<int>(16 / sizeof(T));

template <class T>
GRADUS_DEVICE bool is_aligned(const T* p) {
  return reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
}

// v[0, V) = p[0, V): one access where `whole`, which says that all are there and p is aligned.
// Otherwise those before `count`, and `missing` for the others. Which thread has which elements
// does not depend on where they lie.
template <int V, class T, class C>
GRADUS_DEVICE void load_elements(const T* p, bool whole, std::int64_t count, C missing, C* v) {
  if (whole) {
    const auto pack = *reinterpret_cast<const Pack<T, V>*>(p);
    for (int i = 0; i < V; ++i) v[i] = static_cast<C>(widened(pack.x[i]));
  } else {
    for (int i = 0; i < V; ++i) v[i] = i < count ? static_cast<C>(widened(p[i])) : missing;
  }
}
template <int V, class T, class C>
GRADUS_DEVICE void store_elements(const C* v, bool whole, std::int64_t count, T* p) {
  if (whole) {
    Pack<T, V> pack;
    for (int i = 0; i < V; ++i) pack.x[i] = narrowed<T>(v[i]);
    if constexpr (sizeof(T) < 8)
      store_whole(pack, p);
    else  // of checks, not of speed: the longest rows of doubles would spill registers
      *reinterpret_cast<Pack<T, V>*>(p) = pack;
  } else {
    for (int i = 0; i < V; ++i)
      if (i < count) p[i] = narrowed<T>(v[i]);
  }
}

// ---- folds. f(a, b) need not commute bit for bit: the first lane's result is the one that counts,
// unless it does.

// A value of whole words from the lane whose number differs in the bits of `lanes`.
template <class S>
GRADUS_DEVICE S from_lane_xor(const S& s, int lanes) {
  static_assert(sizeof(S) % 4 == 0);
  unsigned words[sizeof(S) / 4];
  memcpy(words, &s, sizeof s);
  for (unsigned& w : words) w = __shfl_xor_sync(full_mask, w, lanes);
  S r;
  memcpy(&r, words, sizeof r);
  return r;
}

// Over groups of `lanes` neighbours, a power of two up to 32.
template <class S, class F>
GRADUS_DEVICE S fold_lanes(S s, int lanes, const F& f) {
  for (int d = lanes / 2; d > 0; d /= 2) s = f(s, from_lane_xor(s, d));
  return s;
}

// Over groups of `lanes` neighbouring threads, a power of two; every thread gets its group's
// result, the same bits. `warps` has room for one S of each warp of the block. A barrier where
// lanes > 32.
template <class S, class F>
GRADUS_DEVICE S fold_threads(S s, int lanes, S* warps, const F& f) {
  s = fold_lanes(s, lanes < warp_size ? lanes : warp_size, f);
  if (lanes <= warp_size) return s;
  const int warp = static_cast<int>(threadIdx.x) / warp_size, each = lanes / warp_size;
  __syncthreads();  // an earlier fold's results have been read
  if (threadIdx.x % warp_size == 0) warps[warp] = s;
  __syncthreads();
  const S* group = warps + warp / each * each;
  s = group[0];
  for (int i = 1; i < each; ++i) s = f(s, group[i]);
  return s;
}

// The sum of the values of the warp's lanes up to this one.
template <class S>
GRADUS_DEVICE S sum_lanes_up_to(S v) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  for (int d = 1; d < warp_size; d *= 2) {
    const S below = __shfl_up_sync(full_mask, v, static_cast<unsigned>(d));
    if (lane >= d) v += below;
  }
  return v;
}

// The sum of the values of the block's threads up to this one, and of those before it. `warps` as
// above; between two sums the caller has a barrier.
template <class S>
GRADUS_DEVICE S sum_up_to(const S value, S* warps, S& before) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const int warp = static_cast<int>(threadIdx.x) / warp_size;
  const S v = sum_lanes_up_to(value);
  if (lane == warp_size - 1) warps[warp] = v;
  __syncthreads();
  before = 0;
  for (int i = 0; i < warp; ++i) before += warps[i];
  const S sum = before + v, left = __shfl_up_sync(full_mask, v, 1);
  if (lane > 0) before += left;
  return sum;
}

// The elements of a thread's array, pairwise; their number is a power of two.
template <class C, int M, class F>
GRADUS_DEVICE C fold_array(const C (&v)[M], const F& f) {
  static_assert((M & (M - 1)) == 0);
  C t[M];
  for (int i = 0; i < M; ++i) t[i] = v[i];
  for (int width = M / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) t[i] = f(t[i], t[i + width]);
  return t[0];
}

// ---- what is folded
struct Plus {
  template <class C>
  GRADUS_DEVICE C operator()(C a, C b) const {
    return a + b;
  }
};
// NaN wins in both.
struct Larger {
  template <class C>
  static constexpr C identity = -std::numeric_limits<C>::infinity();
  template <class C>
  GRADUS_DEVICE C operator()(C a, C b) const {
    return a > b || a != a ? a : b;
  }
};
struct Smaller {
  template <class C>
  static constexpr C identity = std::numeric_limits<C>::infinity();
  template <class C>
  GRADUS_DEVICE C operator()(C a, C b) const {
    return a < b || a != a ? a : b;
  }
};

}  // namespace gradus::GRADUS_GPU
