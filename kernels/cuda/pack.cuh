// Neighbours moved in one access: of 16 bytes for four floats or two doubles. (A load of a pack is
// one instruction by itself; a store must be asked for.)
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "gradus/kernels/cuda/gpu.h"

namespace gradus::GRADUS_GPU {

template <class T, int count = 16 / static_cast<int>(sizeof(T))>
struct alignas(sizeof(T) * count) Pack {
  T x[count];
};

// *p = pack in one access, where p has the alignment of a pack. (Of an assignment the compiler may
// make one of each element.)
template <class T, int count>
GRADUS_DEVICE void store_whole(const Pack<T, count>& pack, T* p) {
#ifdef __CUDACC__
  constexpr std::size_t size = sizeof(pack);
  static_assert(size == 16 || size == 8 || size == 4 || size == 2 || size == 1);
  using Few = std::conditional_t<size == 2, unsigned short, unsigned char>;
  using Word = std::conditional_t<size == 4, unsigned, Few>;
  using Bits = std::conditional_t<size == 16, uint4, std::conditional_t<size == 8, uint2, Word>>;
  Bits bits;
  std::memcpy(&bits, &pack, size);
  __stwb(reinterpret_cast<Bits*>(p), bits);
#else
  *reinterpret_cast<Pack<T, count>*>(p) = pack;
#endif
}

// True where elements begin, begin + 1, ... all are among the n at p, and aligned.
template <class P, class T>
GRADUS_DEVICE bool is_whole_pack(const T* p, std::int64_t begin, std::int64_t n) {
  return begin >= 0 && begin + static_cast<std::int64_t>(sizeof(P) / sizeof(T)) <= n &&
         reinterpret_cast<std::uintptr_t>(p + begin) % sizeof(P) == 0;
}

// Elements begin, begin + 1, ... of the n at p; those outside of them are zero, and are not stored.
// Element by element where the pack is not whole.
template <class T, int count = 16 / static_cast<int>(sizeof(T))>
GRADUS_DEVICE Pack<T, count> load_pack(const T* p, std::int64_t begin, std::int64_t n) {
  using P = Pack<T, count>;
  if (is_whole_pack<P>(p, begin, n)) return *reinterpret_cast<const P*>(p + begin);
  P pack;
  for (int j = 0; j < count; ++j) pack.x[j] = begin + j >= 0 && begin + j < n ? p[begin + j] : T(0);
  return pack;
}

template <class T, int count>
GRADUS_DEVICE void store_pack(const Pack<T, count>& pack, T* p, std::int64_t begin,
                              std::int64_t n) {
  if (is_whole_pack<Pack<T, count>>(p, begin, n)) {
    store_whole(pack, p + begin);
    return;
  }
  for (int j = 0; j < count; ++j)
    if (begin + j >= 0 && begin + j < n) p[begin + j] = pack.x[j];
}

}  // namespace gradus::GRADUS_GPU
