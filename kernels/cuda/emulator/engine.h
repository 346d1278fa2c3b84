// The engine of the emulator: runs the blocks of a grid, the threads of each as fibres.
//
// A thread that never waits runs to its end on the stack of the one before it; only where one waits
// does the scheduler take another fibre. At an operation of a warp each lane leaves a pointer to
// its operands and waits; the last one to arrive performs it for all of them. So a warp operation
// costs one switch a lane, and a stuck block is seen at once: no thread is left that could go on.
//
// What a correct program cannot notice is chosen by the schedule: which thread runs next, and when
// an asynchronous copy lands. Results must be the same bits under every schedule.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "gradus/kernels/cuda/emulator/vocabulary.h"

namespace gradus::emulator {

// Which of the threads that can go on does: the lowest, the highest, or one drawn by chance. The
// warp released last runs on, as far ahead of the others as it can. Asynchronous copies land when
// they are waited for (forward), when they are issued (reverse), or at one of the two (random).
enum class Schedule { forward, reverse, random };

struct Options {
  Schedule schedule = Schedule::forward;
  std::uint64_t seed = 1;  // of the random schedule; each grid begins with it
  int os_threads = 1;      // that share the blocks of a grid; one in the race build
  bool strict = true;      // threads of a barrier must be at one call of it, none of them gone
  bool race_check = true;  // in the race build
};

// The options of the process, read when a grid starts. At first as the environment says:
// GRADUS_EMULATOR_SCHEDULE=forward|reverse|random[:SEED], GRADUS_EMULATOR_THREADS=n.
Options& options();
// What those two variables mean; null is the default. Throws Error.
Options parse_options(const char* schedule, const char* threads);

// Whether kernels are compiled with hooks that find races (gradus_emulated_race).
bool race_build() noexcept;

// Calls body once for each thread of the grid. Throws Error with the whole report when the kernel
// breaks a rule; the grid is then over.
void run_grid(const char* name, dim3 grid, dim3 block, std::size_t shared,
              const std::function<void()>& body);

// ---- what CUDA's vocabulary (emulator.h, warp.h) and matrix.h are made of; only within a kernel.

struct Block;

// Of the thread that runs on this OS thread.
struct Context {
  uint3 thread_index{}, block_index{};
  dim3 block_dim, grid_dim;
  Block* block = nullptr;
};
extern constinit thread_local Context context;

// Operations at which threads wait for each other.
enum class Op : std::uint8_t { none, syncwarp, shuffle, vote, reduce, ldmatrix, mma, barrier };

// Performs an operation of the lanes in `mask`, once, when the last of them has arrived:
// payloads[i] is what lane i handed in, for each i in the mask; `extra` is the last lane's. An
// Error that perform throws is reported with the call's place. An operation orders no memory,
// syncwarp excepted.
using WarpFn = void (*)(void* const* payloads, std::uint32_t mask, void* extra);
void warp_op(std::uint32_t mask, Op op, void* payload, WarpFn perform, void* extra, Loc site);

// __syncthreads and its kin: *value becomes what the block's values give together.
enum class Combine : std::uint8_t { nothing, any, all, count };
void block_barrier(Loc site, Combine combine = Combine::nothing, int* value = nullptr);

// __threadfence: orders what this block did before what blocks do that fence later.
void fence();

// An array of shared memory, one for each place in the source that declares one.
struct SharedSlot {
  SharedSlot(std::size_t bytes, std::size_t alignment, const char* name);
  std::size_t bytes, alignment;
  const char* name;
  std::size_t id;
};
void* static_shared(const SharedSlot& slot);
void* dynamic_shared();
bool in_shared(const void* p) noexcept;  // this block's shared memory

// Asynchronous copies into shared memory: `valid` bytes from src, zeros for the rest of `bytes`.
void cp_async(void* dst, const void* src, unsigned bytes, unsigned valid, Loc site);
void cp_async_commit();
void cp_async_wait(unsigned keep);  // until at most `keep` of this thread's groups are under way

// Checks an access that an emulated instruction makes by itself, for this thread or for lane `lane`
// of its warp: bounds, and in the race build all that is checked of ordinary loads and stores.
void check_access(const void* p, std::size_t n, bool write, Loc site, int lane = -1);

// Throws Error: kernel, block, thread, place, rule.
[[noreturn]] void fail(const char* rule, Loc site);

}  // namespace gradus::emulator
