// What the race build knows of every byte of shared and device memory, and how it judges an access.
//
// The kernels are compiled with -fsanitize=thread, but no runtime of that sanitizer is linked: the
// hooks that the compiler calls before each load and store are ours (race.cpp). Time is counted in
// epochs: __syncthreads begins one of the block, __syncwarp one of the warp. Shuffles and votes
// order nothing, as on the device. Reported are accesses of two threads to one byte in one epoch of
// which one writes, within a block and between blocks; reads of bytes that nobody wrote; accesses
// beyond an array or a block of memory; accesses to bytes that an asynchronous copy may still be
// writing. Atomic operations take part in bounds and in "nobody wrote", not in races.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "gradus/kernels/cuda/emulator/vocabulary.h"

namespace gradus::emulator {

struct Block;
struct Thread;

#ifdef GRADUS_EMULATOR_RACE
inline constexpr bool race_checked = true;
#else
inline constexpr bool race_checked = false;
#endif

// The last write and the last read of a byte.
struct History {
  std::uint32_t write_epoch = 0;
  std::uint16_t writer = 0, write_warp_epoch = 0;
  std::uint32_t read_epoch = 0;
  std::uint16_t reader = 0, read_warp_epoch = 0;

  // In place of a warp epoch: an asynchronous copy that nobody has waited for.
  static constexpr std::uint16_t under_way = 0xffff;
  // In place of a reader: lanes of warp (reader & 31); several warps.
  static constexpr std::uint16_t warp_flag = 0x8000, many_warps = 0xffff;
};

// The epochs of the block that runs; they only grow, over all grids of the process.
struct Epochs {
  std::uint32_t now = 1;
  std::uint32_t block = 1;  // when this block began
  std::uint32_t grid = 1;   // when its grid began
  std::uint16_t warp[32] = {};

  void next();                     // all threads of the block have met
  void next(std::size_t of_warp);  // the lanes of a warp have

  // ---- between the blocks of a grid only __threadfence makes an order: one after the access in
  // the block that was first, and one in the block that comes later.
  void begin_grid(std::uint32_t epoch);
  void begin_block();
  void fence();
  // Whether an access at that epoch, of another block, has no order with what this one does.
  bool unordered(std::uint32_t epoch) const;

 private:
  struct Fence {
    std::uint32_t block, until;  // what the block that began then did until the last fence
  };
  std::vector<Fence> fences_;  // of the grid's blocks, in the order in which they ran
  bool fenced_ = false;        // this block
};

// The bytes of device memory that belong to a live block, and that hold a value.
inline constexpr std::uint8_t allocated = 1, written = 2;

enum class Access { read, write, atomic };

// Notes a finding as the block's error. The place is `site`, or `pc` where that is null.
void judge_access(Block& block, Thread& thread, const char* p, std::size_t n, Access access,
                  const Loc* site, const void* pc);

}  // namespace gradus::emulator
