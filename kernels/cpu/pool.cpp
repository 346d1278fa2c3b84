#include "gradus/kernels/cpu/pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "gradus/kernels/error.h"

namespace gradus {
namespace {

constexpr int max_threads = 256;
thread_local int worker_number = 0;
constexpr std::uint32_t max_tiles = 0xffff;  // of one job; larger ones run as several

void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits until `word` is no longer `old`: awake for as long as a hand-off between two operations
// takes, then asleep.
std::uint32_t await_change(const std::atomic<std::uint32_t>& word, std::uint32_t old) noexcept {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::microseconds(40);
  do {
    for (int i = 0; i < 16; ++i) {
      const std::uint32_t now = word.load(std::memory_order_acquire);
      if (now != old) return now;
      pause();
    }
  } while (Clock::now() < deadline);
  word.wait(old, std::memory_order_acquire);
  return word.load(std::memory_order_acquire);
}

int default_threads() noexcept {
  if (const char* wish = std::getenv("GRADUS_THREADS")) {
    int n = 0;
    const char* end = wish + std::strlen(wish);
    const auto [stop, error] = std::from_chars(wish, end, n);
    if (error == std::errc{} && stop == end && n >= 1 && n <= max_threads) return n;
  }
  int n = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
  return std::clamp(n, 1, max_threads);
}

// One job at a time. Its tiles are claimed, by the caller and the workers alike, with a
// compare-and-swap on a ticket that also carries the job's number: a worker that comes late fails
// to claim instead of touching a job that is over, so the caller waits for tiles in progress alone
// and never for a worker that has not begun. The caller claims from the front and the workers from
// the back, so that one operation after another finds its memory in the cache that wrote it.
class Pool {
 public:
  static Pool& get() {
    alignas(Pool) static std::byte memory[sizeof(Pool)];
    static Pool& pool = *new (memory) Pool;  // outlives every static object; the workers do not
    static const struct Join {
      ~Join() { pool.close(); }
    } join;
    return pool;
  }

  int threads() const noexcept { return threads_.load(std::memory_order_relaxed); }

  void set_threads(int n) {
    if (n < 1 || n > max_threads)
      throw Error("set_threads: takes 1 to 256: got " + std::to_string(n));
    if (busy_.exchange(true, std::memory_order_acquire))
      throw Error("set_threads: not to be called while work is running");
    if (n != threads()) {
      join_workers();
      threads_ = n;
    }
    busy_.store(false, std::memory_order_release);
  }

  void run(std::int64_t tiles, void (*body)(void*, std::int64_t), void* context) {
    if (threads() == 1 || busy_.exchange(true, std::memory_order_acquire)) {
      for (std::int64_t i = 0; i < tiles; ++i) body(context, i);
      return;
    }
    struct Release {
      std::atomic<bool>& busy;
      ~Release() { busy.store(false, std::memory_order_release); }
    } release{busy_};
    start_workers();
    for (std::int64_t first = 0; first < tiles; first += max_tiles)
      run_job(first, static_cast<std::uint32_t>(std::min<std::int64_t>(tiles - first, max_tiles)),
              body, context);
  }

 private:
  static constexpr std::uint64_t closed = 0xffffffff;  // more tiles taken than any job has

  Pool() : threads_(default_threads()) {}

  void run_job(std::int64_t first, std::uint32_t tiles, void (*body)(void*, std::int64_t),
               void* context) {
    first_.store(first, std::memory_order_release);
    tiles_.store(tiles, std::memory_order_release);
    body_.store(body, std::memory_order_release);
    context_.store(context, std::memory_order_release);
    finished_.store(0, std::memory_order_relaxed);
    failed_.store(false, std::memory_order_relaxed);
    const std::uint32_t job = jobs_.load(std::memory_order_relaxed) + 1;
    ticket_.store(std::uint64_t{job} << 32, std::memory_order_release);
    jobs_.store(job, std::memory_order_seq_cst);
    for (std::size_t i = 0; i < std::min<std::size_t>(workers_.size(), tiles - 1); ++i)
      jobs_.notify_one();

    work();
    for (auto n = finished_.load(std::memory_order_acquire); n != tiles;)
      n = await_change(finished_, n);
    ticket_.store(std::uint64_t{job} << 32 | closed, std::memory_order_release);
    if (failed_.load(std::memory_order_relaxed)) std::rethrow_exception(std::move(error_));
  }

  // Claims and runs tiles of the current job until none is left. What a thread reads of the job
  // belongs to the ticket that it then swaps: the ticket is closed before anything of the next job
  // is written, and to have read that is to fail the swap.
  void work() noexcept {
    std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
    for (;;) {
      const auto front = static_cast<std::uint32_t>(ticket & max_tiles);
      const auto back = static_cast<std::uint32_t>(ticket >> 16 & max_tiles);
      const std::int64_t first = first_.load(std::memory_order_acquire);
      const std::uint32_t tiles = tiles_.load(std::memory_order_acquire);
      const auto body = body_.load(std::memory_order_acquire);
      void* const context = context_.load(std::memory_order_acquire);
      if (front + back >= tiles) return;
      const bool caller = worker_number == 0;
      const std::uint64_t taken = ticket + (caller ? 1 : 1 << 16);
      if (!ticket_.compare_exchange_weak(ticket, taken, std::memory_order_acq_rel,
                                         std::memory_order_acquire))
        continue;
      ticket = taken;
      const std::uint32_t tile = caller ? front : tiles - 1 - back;
      if (!failed_.load(std::memory_order_relaxed)) {
        try {
          body(context, first + tile);
        } catch (...) {
          if (!failed_.exchange(true, std::memory_order_relaxed)) error_ = std::current_exception();
        }
      }
      if (finished_.fetch_add(1, std::memory_order_acq_rel) + 1 == tiles) finished_.notify_one();
    }
  }

  void start_workers() noexcept {
    while (static_cast<int>(workers_.size()) < threads() - 1 && !starved_) {
      try {
        workers_.emplace_back([this, number = static_cast<int>(workers_.size()) + 1,
                               job = jobs_.load(std::memory_order_relaxed)]() mutable {
          worker_number = number;
          for (;;) {
            job = await_change(jobs_, job);
            if (stop_.load(std::memory_order_relaxed)) return;
            work();
          }
        });
      } catch (const std::exception&) {  // no more threads to be had: go on with those there are
        starved_ = true;
      }
    }
  }

  void join_workers() {
    stop_.store(true, std::memory_order_relaxed);
    jobs_.fetch_add(1, std::memory_order_seq_cst);
    jobs_.notify_all();
    for (std::thread& w : workers_) w.join();
    workers_.clear();
    stop_.store(false, std::memory_order_relaxed);
    starved_ = false;
  }

  // At exit, or when the library is unloaded: what comes later runs on its caller.
  void close() {
    while (busy_.exchange(true, std::memory_order_acquire)) std::this_thread::yield();
    join_workers();
    threads_ = 1;
  }

  std::atomic<int> threads_;
  std::atomic<bool> busy_{false};  // held by the thread whose job runs
  std::vector<std::thread> workers_;
  bool starved_ = false;
  std::atomic<bool> stop_{false};

  // The job, written by the holder of busy_.
  std::atomic<std::int64_t> first_{0};
  std::atomic<std::uint32_t> tiles_{0};
  std::atomic<void (*)(void*, std::int64_t)> body_{nullptr};
  std::atomic<void*> context_{nullptr};
  std::exception_ptr error_;

  alignas(64) std::atomic<std::uint32_t> jobs_{0};  // number of the last job: workers await it
  // The job's number (32 bits), tiles claimed from the back (16), from the front (16).
  alignas(64) std::atomic<std::uint64_t> ticket_{closed};
  alignas(64) std::atomic<std::uint32_t> finished_{0};  // tiles done or skipped
  std::atomic<bool> failed_{false};
};

}  // namespace

int threads() noexcept { return Pool::get().threads(); }

void set_threads(int n) { Pool::get().set_threads(n); }

int cpu::worker() noexcept { return worker_number; }

namespace cpu::detail {

void run_tiles(std::int64_t tiles, void (*body)(void* context, std::int64_t tile), void* context) {
  Pool::get().run(tiles, body, context);
}

}  // namespace cpu::detail
}  // namespace gradus
