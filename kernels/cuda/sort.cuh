// A stable radix sort of 64-bit keys with payloads, least significant digit first: each pass counts
// the digits of every tile, sums the counts in the order (digit, tile), and moves the elements
// there. The order of equal keys is kept, so the result is one and the same on any device.
#pragma once

#include <utility>

#include "gradus/kernels/cuda/block.cuh"

namespace gradus::GRADUS_GPU {

namespace detail {

inline constexpr int sort_threads = 256, sort_bits = 8, sort_digits = 1 << sort_bits;
inline constexpr int sort_items = 8;  // of a thread
inline constexpr int sort_tile = sort_threads * sort_items, sort_warps = sort_threads / warp_size;
inline constexpr int sort_warp_tile = warp_size * sort_items;

GRADUS_DEVICE unsigned digit_of(std::uint64_t key, int shift) {
  return static_cast<unsigned>(key >> shift) & (sort_digits - 1);
}

// counts[digit * tiles + tile]
template <class Key>
__global__ void __launch_bounds__(sort_threads)
    count_digits(const Key* keys, const std::int64_t n, const int shift, const std::int64_t tiles,
                 std::int64_t* counts) {
  GRADUS_SHARED(unsigned, count, [sort_digits]);
  count[threadIdx.x] = 0;
  __syncthreads();
  const std::int64_t begin = std::int64_t{blockIdx.x} * sort_tile;
  for (int j = 0; j < sort_items; ++j) {
    const std::int64_t i = begin + j * sort_threads + threadIdx.x;
    if (i < n) atomicAdd(&count[digit_of(keys[i], shift)], 1u);
  }
  __syncthreads();
  counts[threadIdx.x * tiles + blockIdx.x] = count[threadIdx.x];
}

// A warp for each digit: its counts become the sums of those of the tiles before; total[digit].
template <class Key>
__global__ void __launch_bounds__(sort_threads)
    sum_counts(std::int64_t* counts, const std::int64_t tiles, std::int64_t* total) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const std::int64_t digit = blockIdx.x * sort_warps + threadIdx.x / warp_size;
  counts += digit * tiles;
  std::int64_t before = 0;
  for (std::int64_t begin = 0; begin < tiles; begin += warp_size) {
    const std::int64_t i = begin + lane, count = i < tiles ? counts[i] : 0;
    const std::int64_t sum = before + sum_lanes_up_to(count);
    if (i < tiles) counts[i] = sum - count;
    before = __shfl_sync(full_mask, sum, warp_size - 1);
  }
  if (lane == 0) total[digit] = before;
}

// Each warp has a run of the tile; its lanes find those of their digit by votes.
template <class Key, class Value>
__global__ void __launch_bounds__(sort_threads)
    move_by_digit(const Key* keys, const Value* values, const std::int64_t n, const int shift,
                  const std::int64_t tiles, const std::int64_t* counts, const std::int64_t* total,
                  Key* keys_to, Value* values_to) {
  GRADUS_SHARED(std::int64_t, warps, [sort_warps]);
  GRADUS_SHARED(std::int64_t, start, [sort_digits]);
  GRADUS_SHARED(unsigned, count, [sort_warps][sort_digits]);
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const int warp = static_cast<int>(threadIdx.x) / warp_size;
  std::int64_t below;
  sum_up_to(total[threadIdx.x], warps, below);
  start[threadIdx.x] = below + counts[threadIdx.x * tiles + blockIdx.x];
  for (int w = 0; w < sort_warps; ++w) count[w][threadIdx.x] = 0;
  __syncthreads();

  const std::int64_t begin = std::int64_t{blockIdx.x} * sort_tile + warp * sort_warp_tile + lane;
  Key key[sort_items];
  unsigned rank[sort_items];
  for (int j = 0; j < sort_items; ++j) {
    const std::int64_t i = begin + j * warp_size;
    key[j] = i < n ? keys[i] : Key{0};
    const unsigned digit = digit_of(key[j], shift);
    unsigned peers = __ballot_sync(full_mask, i < n);
    for (int bit = 0; bit < sort_bits; ++bit) {
      const unsigned set = __ballot_sync(full_mask, digit >> bit & 1);
      peers &= digit >> bit & 1 ? set : ~set;
    }
    const unsigned before = count[warp][digit];
    rank[j] = before + static_cast<unsigned>(__popc(peers & ((1u << lane) - 1)));
    __syncwarp();
    if (i < n && (peers >> lane) == 1) count[warp][digit] = rank[j] + 1;  // the last of them
    __syncwarp();
  }
  __syncthreads();
  unsigned sum = 0;
  for (int w = 0; w < sort_warps; ++w) {
    const unsigned here = count[w][threadIdx.x];
    count[w][threadIdx.x] = sum;
    sum += here;
  }
  __syncthreads();
  for (int j = 0; j < sort_items; ++j) {
    const std::int64_t i = begin + j * warp_size;
    if (i >= n) continue;
    const unsigned digit = digit_of(key[j], shift);
    const std::int64_t to = start[digit] + count[warp][digit] + rank[j];
    keys_to[to] = key[j];
    values_to[to] = values[i];
  }
}

}  // namespace detail

// Where the sorted elements lie: in the arrays given, or in the scratch memory.
template <class Value>
struct Sorted {
  std::uint64_t* keys;
  Value* values;
};

// Bytes of scratch memory that sort_pairs takes.
template <class Value>
std::int64_t sort_scratch(std::int64_t n) {
  const std::int64_t tiles = (n + detail::sort_tile - 1) / detail::sort_tile;
  return n * static_cast<std::int64_t>(sizeof(std::uint64_t) + sizeof(Value)) +
         (tiles + 1) * detail::sort_digits * static_cast<std::int64_t>(sizeof(std::int64_t)) + 8;
}

// Sorts n pairs by the lowest `bits` bits of their keys, ascending; Value has 4 or 8 bytes. Both
// arrays are overwritten.
template <class Value>
Sorted<Value> sort_pairs(std::uint64_t* keys, Value* values, std::int64_t n, int bits,
                         void* scratch) {
  using Key = std::uint64_t;
  if (n <= 1) return {keys, values};
  const std::int64_t tiles = (n + detail::sort_tile - 1) / detail::sort_tile;
  auto* const counts = static_cast<std::int64_t*>(scratch);
  std::int64_t* const total = counts + tiles * detail::sort_digits;
  auto* other_keys = reinterpret_cast<Key*>(total + detail::sort_digits);
  auto* other_values = reinterpret_cast<Value*>(other_keys + n);
  for (int shift = 0; shift < bits; shift += detail::sort_bits) {
    GRADUS_LAUNCH(detail::count_digits<Key>, blocks_for(tiles, 1), detail::sort_threads, 0, keys, n,
                  shift, tiles, counts);
    GRADUS_LAUNCH(detail::sum_counts<Key>, detail::sort_digits / detail::sort_warps,
                  detail::sort_threads, 0, counts, tiles, total);
    GRADUS_LAUNCH((detail::move_by_digit<Key, Value>), blocks_for(tiles, 1), detail::sort_threads,
                  0, keys, values, n, shift, tiles, counts, total, other_keys, other_values);
    std::swap(keys, other_keys);
    std::swap(values, other_values);
  }
  return {keys, values};
}

}  // namespace gradus::GRADUS_GPU
