// Random numbers from Philox4x32-10, a function of (seed, stream, element index) and of nothing
// else: not of threads, instruction sets or where an element lies. The generator's counter is
// (block, stream) and its key the seed; a block holds four words of 32 bits.
#pragma once

#include "gradus/kernels/kernel.h"

namespace gradus {

struct PhiloxKey {
  std::uint64_t seed = 0, stream = 0;
};

// Each kernel writes the numbers of elements offset, offset + 1, ..., offset + n - 1 (modulo 2^64).
// So n numbers, or the same in two calls with the second offset moved on, are the same bits. In a
// graph (cuda/replay.h) the offset can change between replays.

// The words themselves: element i is word i % 4 of block i / 4.
GRADUS_KERNEL(void random_bits(PhiloxKey, std::uint64_t offset, std::int64_t n, std::uint32_t* y))

// A 64-bit word i is words 2(i % 2) and, in its upper half, 2(i % 2) + 1 of block 2^63 + i / 2:
// draws of the two kinds never share a block.

// Uniform in [0, 1): the upper 24 bits of word i for float, the upper 53 of the 64-bit word i for
// double.
GRADUS_KERNEL(template <class T>
              void random_uniform(PhiloxKey, std::uint64_t offset, std::int64_t n, T* y))

// Standard normal, by Box and Muller: elements 2i and 2i + 1 are sqrt(-2 log u) times the cosine
// and the sine of 2 pi v, u in (0, 1] from word 2i and v from word 2i + 1 (double: the 64-bit
// words). Nothing but correctly rounded operations: all instruction sets give the same bits.
GRADUS_KERNEL(template <class T>
              void random_normal(PhiloxKey, std::uint64_t offset, std::int64_t n, T* y))

// True with probability p[i * p_stride], p_stride 0 or 1: uniform < p. A NaN gives false.
GRADUS_KERNEL(template <class T> void random_bernoulli(PhiloxKey, std::uint64_t offset,
                                                       std::int64_t n, const T* p,
                                                       std::int64_t p_stride, bool* y))

// Integers in [low, high), low < high: the upper half of the 128-bit product of the 64-bit word i
// and high - low, whose bias is below (high - low) / 2^64.
GRADUS_KERNEL(void random_integers(PhiloxKey, std::uint64_t offset, std::int64_t n,
                                   std::int64_t low, std::int64_t high, std::int64_t* y))

// A permutation of 0 .. n-1: the order of n 64-bit words, equal ones (one pair in 2^64) by index.
// It uses the words from `offset` on. Scratch: random_permutation_scratch(n) bytes.
GRADUS_API std::int64_t random_permutation_scratch(std::int64_t n);
GRADUS_KERNEL(void random_permutation(PhiloxKey, std::uint64_t offset, std::int64_t n,
                                      std::int64_t* y, void* scratch))

}  // namespace gradus
