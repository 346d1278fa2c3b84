// The state of the block that an OS thread runs. Only the engine's own files include this.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gradus/kernels/cuda/emulator/engine.h"
#include "gradus/kernels/cuda/emulator/fiber.h"
#include "gradus/kernels/cuda/emulator/race.h"

namespace gradus::emulator {

inline constexpr unsigned max_threads = 1024, lanes_per_warp = 32;
inline constexpr std::size_t max_static_shared = 48 << 10;
inline constexpr std::size_t max_shared = 227 << 10;  // what a block may ask for on sm_90

struct AsyncCopy {
  char* to;
  const char* from;
  unsigned bytes, valid;
  unsigned group;
  Loc site;
  bool landed;
};

struct Thread {
  uint3 index{};
  std::uint16_t linear = 0, lane = 0, warp = 0;
  bool started = false, done = false;
  // What it waits for, where, with whom and with what; none while it runs or can go on.
  Op waiting = Op::none;
  Loc site;
  std::uint32_t mask = 0;
  void* payload = nullptr;
  Fiber* fiber = nullptr;
  unsigned open_group = 0;  // of asynchronous copies
  std::vector<AsyncCopy> copies;

  void wait_for(Op op, Loc at, std::uint32_t lanes, void* operands) {
    waiting = op, site = at, mask = lanes, payload = operands;
  }
};

// The lanes that have arrived at one operation. `mixed`: at several, so each lane must be looked
// at.
struct Warp {
  Op op = Op::none;
  std::uint32_t mask = 0, arrived = 0, exited = 0;
  Loc site;
  bool mixed = false;
};

struct Grid {
  const char* name;
  dim3 size, block;
  std::size_t shared;
  const std::function<void()>& body;
  Options options;
};

// An array in the arena of shared memory.
struct Region {
  std::size_t at, bytes;
  const char* name;
};

// Thrown through the threads that are still there when a block has failed.
struct Cancelled {};

// Kept for later grids: its fibres and its arena are what costs.
struct Block {
  Block();
  ~Block();

  // Runs block `number` of the grid; throws Error.
  void run(const Grid& grid, std::size_t number);

  // ---- scheduling (engine.cpp)
  void make_ready(Thread& thread);
  void suspend();  // the current thread, until it is ready and chosen; throws what was found
  bool coin();     // never heads but under the random schedule
  Thread& thread_of(unsigned warp, unsigned lane) { return threads[warp * lanes_per_warp + lane]; }
  unsigned lanes_of(unsigned warp) const {
    return size < (warp + 1) * lanes_per_warp ? size - warp * lanes_per_warp : lanes_per_warp;
  }

  // ---- meeting (rendezvous.cpp)
  void release_barrier();
  bool all_arrived(const Thread& self);  // looks at each lane that self waits for
  void release_warp(unsigned warp, std::uint32_t mask, Op op);
  void exit_warp(const Thread& thread);

  // ---- shared memory (shared.cpp)
  void* carve(std::size_t bytes, std::size_t alignment, const char* name);
  void reset_shared(std::size_t dynamic_bytes);
  void check_redzones();
  const Region* region_of(std::size_t offset) const;  // the last one that begins there or before
  bool owns(const void* p) const {
    return static_cast<std::size_t>(static_cast<const char*>(p) - arena) < arena_bytes;
  }

  // ---- reports (report.cpp)
  std::string name() const;
  std::string threads_by_state() const;
  [[noreturn]] void diverges(const std::string& how) const;

  const Grid* grid = nullptr;
  Context* context = nullptr;  // of the OS thread
  std::array<Thread, max_threads> threads;
  std::array<Warp, max_threads / lanes_per_warp> warps;
  Thread* current = nullptr;
  unsigned size = 0, alive = 0;      // threads
  std::vector<std::uint16_t> order;  // in which they start
  unsigned next_start = 0;
  std::vector<Thread*> ready;  // a stack, see Schedule
  std::mt19937_64 random;
  std::string error;  // the first finding; raised when the current thread stops
  bool cancelled = false;

  unsigned at_barrier = 0;
  Combine combine = Combine::nothing;
  int combined = 0;
  Loc barrier_site;

  static constexpr std::size_t arena_bytes = 512 << 10, redzone = 64;
  char* arena = nullptr;
  std::size_t used = 0, static_bytes = 0;
  void* dynamic = nullptr;
  std::vector<void*> slots;
  std::vector<Region> regions;

  Epochs epochs;
  std::vector<History> histories;  // of the arena, in the race build

 private:
  static void fiber_loop(void* block);
  void reset(const Grid& grid, std::size_t number);
  void enter(Thread& thread);
  void run_thread(Thread& thread);
  void exit_thread(Thread& thread);
  void go_on();
  void switch_to(Fiber& fiber);
  Fiber& idle_fiber();
  Thread& take_ready();
  void unwind();

  Fiber main_;  // the OS thread's stack
  Fiber* running_ = nullptr;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;
};

std::string where(Loc site);

}  // namespace gradus::emulator
