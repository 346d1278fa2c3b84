// Barriers, and what the lanes of a warp do together, as the CUDA programming guide defines it.
// Each call notes its place in the source through a default argument.
#pragma once

#include <cstdint>
#include <type_traits>

#include "gradus/kernels/cuda/emulator/engine.h"

namespace gradus::emulator {

// ---- shuffles -----------------------------------------------------------------------------------

// What __shfl_sync and its kin take.
template <class T, class... Ts>
concept OneOf = (std::is_same_v<T, Ts> || ...);
template <class T>
concept Shuffled =
    OneOf<T, int, unsigned, long, unsigned long, long long, unsigned long long, float, double>;

enum class Shuffle { index, up, down, exclusive_or };

// The lane whose value `lane` gets: the rule of PTX's shfl instruction.
constexpr int shuffle_source(Shuffle kind, int lane, int b, int width) {
  const int segment = 32 - width;  // the bits of a lane's number that name its segment
  const int first = lane & segment, last = first | (31 & ~segment);
  switch (kind) {
    case Shuffle::index:
      return first | (b & 31 & ~segment);
    case Shuffle::up:
      return lane - b >= first ? lane - b : lane;
    case Shuffle::down:
      return lane + b <= last ? lane + b : lane;
    case Shuffle::exclusive_or:
      return (lane ^ b) <= last ? lane ^ b : lane;
  }
  return lane;
}

template <Shuffled T>
T shuffle(Shuffle kind, std::uint32_t mask, T value, int b, int width, Loc site) {
  if (width < 1 || width > 32 || (width & (width - 1)) != 0)
    fail("__shfl_sync: the width is not a power of two up to 32", site);
  if (kind != Shuffle::index && (b < 0 || b > 31))
    fail("__shfl_sync: the distance is not in [0, 32)", site);
  struct Lane {
    Shuffle kind;
    int b, width;
    T in, out;
  } self{kind, b, width, value, value};
  const auto exchange = [](void* const* lanes, std::uint32_t present, void*) {
    for (int i = 0; i < 32; ++i) {
      if (!(present >> i & 1)) continue;
      Lane& lane = *static_cast<Lane*>(lanes[i]);
      const int source = shuffle_source(lane.kind, i, lane.b, lane.width);
      if (!(present >> source & 1))
        throw Error("__shfl_sync: reads a lane that is not in the mask");
      lane.out = static_cast<const Lane*>(lanes[source])->in;
    }
  };
  warp_op(mask, Op::shuffle, &self, exchange, nullptr, site);
  return self.out;
}

// Every lane of the mask gets what `combine` makes of the values of all, lane by lane:
// combine(before, lane, value), from `start` on.
template <class R, class T, class Combine>
R all_lanes(Op op, std::uint32_t mask, T value, R start, Combine, Loc site) {
  struct Lane {
    T in;
    R out;
  } self{value, start};
  const auto perform = [](void* const* lanes, std::uint32_t present, void* extra) {
    R all = *static_cast<const R*>(extra);
    for (int i = 0; i < 32; ++i)
      if (present >> i & 1) all = Combine{}(all, i, static_cast<const Lane*>(lanes[i])->in);
    for (int i = 0; i < 32; ++i)
      if (present >> i & 1) static_cast<Lane*>(lanes[i])->out = all;
  };
  warp_op(mask, op, &self, perform, &start, site);
  return self.out;
}

inline namespace vocabulary {

// ---- barriers -----------------------------------------------------------------------------------

inline void __syncthreads(Loc site = Loc::current()) { block_barrier(site); }
inline int __syncthreads_or(int predicate, Loc site = Loc::current()) {
  block_barrier(site, Combine::any, &predicate);
  return predicate;
}
inline int __syncthreads_and(int predicate, Loc site = Loc::current()) {
  block_barrier(site, Combine::all, &predicate);
  return predicate;
}
inline int __syncthreads_count(int predicate, Loc site = Loc::current()) {
  block_barrier(site, Combine::count, &predicate);
  return predicate;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, Loc site = Loc::current()) {
  warp_op(mask, Op::syncwarp, nullptr, nullptr, nullptr, site);
}

inline void __threadfence() { fence(); }
inline void __threadfence_system() { fence(); }
inline void __threadfence_block() {}

// ---- shuffles

template <Shuffled T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, Loc site = Loc::current()) {
  return shuffle(Shuffle::index, mask, value, lane, width, site);
}
template <Shuffled T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, Loc site = Loc::current()) {
  return shuffle(Shuffle::up, mask, value, static_cast<int>(by), width, site);
}
template <Shuffled T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, Loc site = Loc::current()) {
  return shuffle(Shuffle::down, mask, value, static_cast<int>(by), width, site);
}
template <Shuffled T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, Loc site = Loc::current()) {
  return shuffle(Shuffle::exclusive_or, mask, value, bits, width, site);
}

// ---- votes and reductions

inline unsigned __ballot_sync(unsigned mask, int predicate, Loc site = Loc::current()) {
  const auto add = [](unsigned all, int lane, int holds) { return holds ? all | 1u << lane : all; };
  return all_lanes(Op::vote, mask, predicate, 0u, add, site);
}
inline int __any_sync(unsigned mask, int predicate, Loc site = Loc::current()) {
  return __ballot_sync(mask, predicate, site) != 0;
}
inline int __all_sync(unsigned mask, int predicate, Loc site = Loc::current()) {
  return __ballot_sync(mask, predicate, site) == mask;
}

template <OneOf<int, unsigned> T>
T __reduce_add_sync(unsigned mask, T value, Loc site = Loc::current()) {
  const auto add = [](unsigned all, int, T v) { return all + static_cast<unsigned>(v); };
  return static_cast<T>(all_lanes(Op::reduce, mask, value, 0u, add, site));
}
template <OneOf<int, unsigned> T>
T __reduce_min_sync(unsigned mask, T value, Loc site = Loc::current()) {
  const auto less = [](T all, int, T v) { return v < all ? v : all; };
  return all_lanes(Op::reduce, mask, value, value, less, site);
}
template <OneOf<int, unsigned> T>
T __reduce_max_sync(unsigned mask, T value, Loc site = Loc::current()) {
  const auto more = [](T all, int, T v) { return all < v ? v : all; };
  return all_lanes(Op::reduce, mask, value, value, more, site);
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned value, Loc site = Loc::current()) {
  const auto both = [](unsigned all, int, unsigned v) { return all & v; };
  return all_lanes(Op::reduce, mask, value, ~0u, both, site);
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value, Loc site = Loc::current()) {
  const auto either = [](unsigned all, int, unsigned v) { return all | v; };
  return all_lanes(Op::reduce, mask, value, 0u, either, site);
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned value, Loc site = Loc::current()) {
  const auto one = [](unsigned all, int, unsigned v) { return all ^ v; };
  return all_lanes(Op::reduce, mask, value, 0u, one, site);
}

}  // namespace vocabulary
}  // namespace gradus::emulator
