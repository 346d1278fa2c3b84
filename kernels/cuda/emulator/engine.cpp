#include "gradus/kernels/cuda/emulator/engine.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>

#include "gradus/kernels/cuda/emulator/block.h"

namespace gradus::emulator {

constinit thread_local Context context;

// ---- the threads of a block -----------------------------------------------------------------

void Block::run(const Grid& of, std::size_t number) {
  reset(of, number);
  running_ = &main_;
  switch_to(idle_fiber());
  if (!error.empty()) unwind();
  context->block = nullptr;
  if (error.empty()) check_redzones();
  if (!error.empty()) throw Error(error);
}

void Block::reset(const Grid& of, std::size_t number) {
  const dim3 g = of.size, b = of.block;
  const auto n = static_cast<unsigned>(number);
  grid = &of;
  context = &emulator::context;
  *context = {.block_index = {n % g.x, n / g.x % g.y, n / (g.x * g.y)},
              .block_dim = b,
              .grid_dim = g,
              .block = this};
  size = alive = b.x * b.y * b.z;
  for (unsigned i = 0; i < size; ++i) {
    Thread& t = threads[i];
    t.index = {i % b.x, i / b.x % b.y, i / (b.x * b.y)};
    t.linear = static_cast<std::uint16_t>(i);
    t.lane = static_cast<std::uint16_t>(i % lanes_per_warp);
    t.warp = static_cast<std::uint16_t>(i / lanes_per_warp);
    t.started = t.done = false;
    t.waiting = Op::none;
    t.open_group = 0;
    t.copies.clear();
  }
  warps.fill({});
  order.resize(size);
  std::iota(order.begin(), order.end(), std::uint16_t{0});
  if (of.options.schedule == Schedule::reverse) std::reverse(order.begin(), order.end());
  if (of.options.schedule == Schedule::random) std::shuffle(order.begin(), order.end(), random);
  next_start = 0;
  ready.clear();
  error.clear();
  cancelled = false;
  at_barrier = 0;
  epochs.begin_block();
  reset_shared(of.shared);
}

// What every fibre does: starts threads, one after the other, until one has waited and others can
// go on. It touches no thread-local memory by itself, for in a later grid it may run on another OS
// thread.
void Block::fiber_loop(void* block) {
  Block& self = *static_cast<Block*>(block);
  for (;;) {
    Fiber* const fiber = self.running_;
    while (self.next_start < self.size && self.error.empty()) {
      Thread& thread = self.threads[self.order[self.next_start++]];
      thread.started = true;
      thread.fiber = fiber;
      self.run_thread(thread);
      const bool random = self.grid->options.schedule == Schedule::random;
      if (!self.ready.empty() && (!random || self.coin())) break;
    }
    self.idle_.push_back(fiber);
    if (self.cancelled || !self.error.empty() || self.alive == 0)
      self.switch_to(self.main_);
    else
      self.go_on();
  }
}

void Block::run_thread(Thread& thread) {
  enter(thread);
  std::string found;
  try {
    grid->body();
    exit_thread(thread);
  } catch (const Cancelled&) {
  } catch (const std::exception& e) {
    found = e.what();
  } catch (...) {
    found = name() + ": the kernel throws";
  }
  thread.done = true;
  if (error.empty()) error = found;
}

void Block::exit_thread(Thread& thread) {
  if (!thread.copies.empty())
    fail("the thread ends before a copy of its cp.async was waited for",
         thread.copies.front().site);
  thread.done = true;
  --alive;
  exit_warp(thread);
  if (at_barrier == 0) return;
  if (grid->options.strict) diverges("some threads end while others wait at __syncthreads");
  if (at_barrier == alive) release_barrier();
}

void Block::enter(Thread& thread) {
  current = &thread;
  context->thread_index = thread.index;
}

void Block::make_ready(Thread& thread) {
  thread.waiting = Op::none;
  ready.push_back(&thread);
}

void Block::suspend() {
  if (!error.empty() && !cancelled) throw Error(error);
  go_on();
  if (cancelled) throw Cancelled{};
}

// Leaves this fibre: for a thread that is ready, for one that has not started, or for the end.
void Block::go_on() {
  const bool unstarted = next_start < size;
  if (!ready.empty() && !(unstarted && coin())) {
    Thread& next = take_ready();
    enter(next);
    switch_to(*next.fiber);
  } else if (unstarted) {
    switch_to(idle_fiber());
  } else {
    error = name() + ": deadlock: no thread can go on" + threads_by_state();
    switch_to(main_);
  }
}

Thread& Block::take_ready() {
  if (grid->options.schedule == Schedule::random && random() % 4 == 0)
    std::swap(ready.back(), ready[random() % ready.size()]);
  Thread& next = *ready.back();
  ready.pop_back();
  return next;
}

bool Block::coin() { return grid->options.schedule == Schedule::random && (random() & 1); }

void Block::switch_to(Fiber& fiber) { std::exchange(running_, &fiber)->switch_to(fiber); }

Fiber& Block::idle_fiber() {
  if (idle_.empty()) {
    fibers_.push_back(std::make_unique<Fiber>(fiber_loop, this));
    return *fibers_.back();
  }
  Fiber& fiber = *idle_.back();
  idle_.pop_back();
  return fiber;
}

// Throws Cancelled in every thread that is still there, so that its stack is empty for the next
// one.
void Block::unwind() {
  cancelled = true;
  for (unsigned i = 0; i < size; ++i) {
    if (!threads[i].started || threads[i].done) continue;
    enter(threads[i]);
    switch_to(*threads[i].fiber);
  }
}

// ---- the blocks of a grid ---------------------------------------------------------------------

namespace {

// Blocks that no OS thread uses now.
class Spare {
 public:
  std::unique_ptr<Block> take() {
    const std::scoped_lock lock(mutex_);
    if (blocks_.empty()) return std::make_unique<Block>();
    std::unique_ptr<Block> block = std::move(blocks_.back());
    blocks_.pop_back();
    return block;
  }
  void give_back(std::unique_ptr<Block> block) {
    const std::scoped_lock lock(mutex_);
    blocks_.push_back(std::move(block));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Block>> blocks_;
};

Spare& spare() {
  static Spare* const spare = new Spare;
  return *spare;
}

// The race build runs one grid at a time: epochs are counted for the whole process.
std::mutex race_mutex;
std::uint32_t last_epoch = 1;

void run_blocks(const Grid& grid, std::size_t blocks) {
  const Options& options = grid.options;
  std::vector<unsigned> order;
  if (options.schedule == Schedule::random) {
    order.resize(blocks);
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), std::mt19937_64(options.seed));
  }
  std::atomic<std::size_t> next{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&](unsigned worker) noexcept {
    try {
      std::unique_ptr<Block> block = spare().take();
      block->random.seed(options.seed * 1000003 + worker);
      if (race_checked) block->epochs.begin_grid(last_epoch + 1);
      try {
        for (std::size_t i; !stop && (i = next++) < blocks;) {
          const bool reverse = options.schedule == Schedule::reverse;
          block->run(grid, !order.empty() ? order[i] : reverse ? blocks - 1 - i : i);
        }
      } catch (...) {
        const std::scoped_lock lock(mutex);
        if (!failure) failure = std::current_exception();
        stop = true;
      }
      if (race_checked) last_epoch = block->epochs.now;
      spare().give_back(std::move(block));
    } catch (...) {
      const std::scoped_lock lock(mutex);
      if (!failure) failure = std::current_exception();
      stop = true;
    }
  };
  const std::size_t asked = static_cast<std::size_t>(std::max(options.os_threads, 1));
  const unsigned workers = race_checked ? 1 : static_cast<unsigned>(std::min(asked, blocks));
  std::vector<std::thread> others;
  try {
    for (unsigned i = 1; i < workers; ++i) others.emplace_back(work, i);
  } catch (const std::exception&) {  // no more threads to be had: go on with those there are
  }
  work(0);
  for (std::thread& other : others) other.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

void run_grid(const char* name, dim3 size, dim3 block, std::size_t shared,
              const std::function<void()>& body) {
  const Grid grid{name, size, block, shared, body, options()};
  const std::size_t threads = std::size_t(block.x) * block.y * block.z;
  const std::size_t blocks = std::size_t(size.x) * size.y * size.z;
  const std::string kernel = std::string("kernel ") + name + ": ";
  if (context.block) throw Error(kernel + "launched by a kernel");
  if (threads == 0 || threads > max_threads)
    throw Error(kernel + std::to_string(threads) + " threads in a block");
  if (blocks == 0 || blocks > 0x7fffffff)
    throw Error(kernel + std::to_string(blocks) + " blocks in a grid");
  if (shared > max_shared)
    throw Error(kernel + std::to_string(shared) + " bytes of dynamic shared memory");
  std::unique_lock one_grid(race_mutex, std::defer_lock);
  if (race_checked) one_grid.lock();
  run_blocks(grid, blocks);
}

bool race_build() noexcept { return race_checked; }

}  // namespace gradus::emulator
