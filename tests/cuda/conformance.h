// Kernels that each try primitives of CUDA on numbers from the host, so that emulator_test.cpp can
// hold what comes back against definitions: of the emulator in every test run, and of a GPU where
// there is one.
#pragma once

#include <cstdint>

#include "gradus/kernels/kernel.h"

namespace gradus {

enum class Primitive {
  indices,       // grid and block of three dimensions
  shuffles,      // of width a, by b
  votes,         // with full, half and alternate masks
  reductions,    // with a mask of every other lane
  barriers,      // __syncthreads_or, _and and _count over in % a == 0
  warp_barrier,  // sums of a warp in shared memory
  shared,        // two static arrays and a dynamic one, read from thread i + a on
  last_block,    // sums of blocks, added by the block that ends last
  atomics,
  bits,
  conversions,
  arithmetic,
  mathematics,
  vectors,    // loads and stores of 16 bytes, and with hints
  arguments,  // a structure of 1 KiB
};

// Every thread reads a word and writes up to conform_words of them; out begins as the test says.
inline constexpr int conform_block = 96, conform_grid = 2;
inline constexpr int conform_threads = conform_block * conform_grid, conform_words = 32;

GRADUS_ON_DEVICES(void conform(Primitive what, const std::uint64_t* in, std::uint64_t* out, int a,
                               int b))

}  // namespace gradus
