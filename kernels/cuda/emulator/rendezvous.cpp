// Where threads wait for each other: barriers of the block and operations of a warp.
#include <cstring>

#include "gradus/kernels/cuda/emulator/block.h"

namespace gradus::emulator {
namespace {

bool same(Loc a, Loc b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

}  // namespace

// ---- the block ----------------------------------------------------------------------------------

void block_barrier(Loc site, Combine combine, int* value) {
  Block& block = *context.block;
  Thread& self = *block.current;
  self.wait_for(Op::barrier, site, 0, value);
  if (block.at_barrier == 0) {
    block.barrier_site = site;
    block.combine = combine;
    block.combined = combine == Combine::all;
  } else if (block.combine != combine ||
             (block.grid->options.strict && !same(block.barrier_site, site))) {
    block.diverges("threads meet at different calls of __syncthreads");
  }
  if (block.grid->options.strict && block.alive < block.size)
    block.diverges("__syncthreads after some threads have ended");
  if (value) {
    const int holds = *value != 0;
    if (combine == Combine::any) block.combined |= holds;
    if (combine == Combine::all) block.combined &= holds;
    if (combine == Combine::count) block.combined += holds;
  }
  if (++block.at_barrier == block.alive) block.release_barrier();
  block.suspend();
}

void Block::release_barrier() {
  at_barrier = 0;
  epochs.next();
  const bool reverse = grid->options.schedule == Schedule::reverse;
  for (unsigned i = 0; i < size; ++i) {  // a stack: the first to run is the last to be pushed
    Thread& t = threads[reverse ? i : size - 1 - i];
    if (t.waiting != Op::barrier) continue;
    if (t.payload) *static_cast<int*>(t.payload) = combined;
    make_ready(t);
  }
}

// ---- a warp -------------------------------------------------------------------------------------

void warp_op(std::uint32_t mask, Op op, void* payload, WarpFn perform, void* extra, Loc site) {
  Block& block = *context.block;
  Thread& self = *block.current;
  Warp& warp = block.warps[self.warp];
  const std::uint32_t bit = 1u << self.lane;
  if (!(mask & bit)) fail("the calling lane is not in the mask", site);
  self.wait_for(op, site, mask, payload);

  // All lanes in one mask at one place, as nearly always: a set of bits tells when they are there.
  if (warp.arrived == 0) {
    warp.op = op, warp.mask = mask, warp.site = site;
    warp.mixed = false;
  } else if (warp.op != op || warp.mask != mask || !same(warp.site, site)) {
    warp.mixed = true;
  }
  warp.arrived |= bit;
  const bool partial = block.lanes_of(self.warp) < lanes_per_warp;
  const bool all = warp.mixed || partial || (mask & warp.exited) ? block.all_arrived(self)
                                                                 : warp.arrived == mask;
  if (all) {
    if (perform) {
      void* payloads[lanes_per_warp];  // of the lanes in the mask
      for (unsigned i = 0, lanes = block.lanes_of(self.warp); i < lanes; ++i)
        payloads[i] = block.thread_of(self.warp, i).payload;
      try {
        perform(payloads, mask, extra);
      } catch (const Error& e) {
        fail(e.what(), site);
      }
    }
    block.release_warp(self.warp, mask, op);
  }
  block.suspend();
}

bool Block::all_arrived(const Thread& self) {
  bool all = true;
  for (unsigned i = 0; i < lanes_per_warp; ++i) {
    if (!(self.mask >> i & 1)) continue;
    // A lane that has ended, or that the block never had, counts as arrived at __syncwarp only.
    const bool exists = i < lanes_of(self.warp);
    const Thread& other = thread_of(self.warp, exists ? i : self.lane);
    if (!exists || other.done) {
      if (self.waiting == Op::syncwarp) continue;
      fail(exists ? "a lane of the mask has ended" : "the mask names lanes that the block has not",
           self.site);
    }
    const bool here = other.waiting == self.waiting && other.mask == self.mask;
    if (here && grid->options.strict && !same(other.site, self.site))
      diverges("lanes of one mask meet at different places");
    if (!here && other.waiting != Op::none && other.waiting != Op::barrier &&
        other.mask == self.mask)
      diverges("lanes of one mask meet at different operations");
    all = all && here;
  }
  return all;
}

void Block::release_warp(unsigned number, std::uint32_t mask, Op op) {
  Warp& warp = warps[number];
  const unsigned lanes = lanes_of(number);
  if (op == Op::syncwarp) epochs.next(number);
  const bool reverse = grid->options.schedule == Schedule::reverse;
  for (unsigned k = 0; k < lanes; ++k) {
    const unsigned lane = reverse ? k : lanes - 1 - k;
    Thread& t = thread_of(number, lane);
    if ((mask >> lane & 1) && t.waiting == op && t.mask == mask) make_ready(t);
  }
  // Other lanes may wait with another mask.
  warp.arrived &= ~mask;
  warp.mixed = warp.arrived != 0;
}

// The lanes that wait may have waited for this thread.
void Block::exit_warp(const Thread& thread) {
  Warp& warp = warps[thread.warp];
  warp.exited |= 1u << thread.lane;
  if (warp.arrived == 0) return;
  for (unsigned i = 0; i < lanes_of(thread.warp); ++i) {
    const Thread& other = thread_of(thread.warp, i);
    if (other.waiting == Op::none || other.waiting == Op::barrier || other.done) continue;
    if (!(other.mask >> thread.lane & 1)) continue;
    if (all_arrived(other)) release_warp(thread.warp, other.mask, other.waiting);
  }
}

}  // namespace gradus::emulator
