#include "gradus/tensor/allocator.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <new>
#include <sstream>
#include <utility>
#include <vector>

#include "gradus/kernels/size_class.h"
#include "gradus/tensor/chain.h"
#include "gradus/tensor/error.h"
#include "gradus/tensor/sanitized.h"

namespace gradus {
namespace {

constexpr std::int64_t alignment = 64;
constexpr std::int64_t huge_page = 2 << 20;
constexpr std::int64_t huge_from = 4 << 20;     // blocks from here on have huge pages of their own
constexpr std::int64_t small_below = 64 << 10;  // blocks a thread keeps for itself
constexpr std::int64_t arena_bytes = 32 << 20;  // what blocks between the two are cut from
constexpr std::size_t kept_by_thread = 64;      // of each class
constexpr int classes = size_classes;

int class_of(std::int64_t bytes) { return size_class(bytes, alignment); }
std::int64_t size_of(int c) { return class_bytes(c, alignment); }

void* system_allocate(std::int64_t bytes) {
  const bool huge = bytes >= huge_from;
  const std::int64_t unit = huge ? huge_page : alignment;
  const std::int64_t rounded = (bytes + unit - 1) / unit * unit;
  void* p = std::aligned_alloc(static_cast<std::size_t>(unit), static_cast<std::size_t>(rounded));
  if (p && huge) madvise(p, static_cast<std::size_t>(rounded), MADV_HUGEPAGE);
  return p;
}

// Blocks of a training step lie close together on huge pages, which the processor's table of
// addresses covers: a VAE step was up to 0.15 faster, in some runs no faster.
class Arena {
 public:
  // Null when the system has no more. Blocks are never given back, only their memory.
  void* carve(std::int64_t bytes) noexcept {
    if (end_ - next_ < bytes && !extend()) return nullptr;
    return std::exchange(next_, next_ + bytes);
  }
  static bool serves(std::int64_t bytes) noexcept {
    return GRADUS_CACHE && bytes >= small_below && bytes < huge_from;
  }
  // The content is lost.
  static void forget(void* block, std::int64_t bytes) noexcept {
    constexpr std::uintptr_t page = 4096;
    const auto begin = (reinterpret_cast<std::uintptr_t>(block) + page - 1) / page * page;
    const auto end =
        (reinterpret_cast<std::uintptr_t>(block) + static_cast<std::uintptr_t>(bytes)) / page *
        page;
    if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }

 private:
  bool extend() noexcept {
    constexpr auto mapped = static_cast<std::size_t>(arena_bytes + huge_page);
    void* p = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return false;
    const auto ahead = -reinterpret_cast<std::uintptr_t>(p) % huge_page;
    next_ = static_cast<std::byte*>(p) + ahead;
    end_ = next_ + arena_bytes;
    madvise(next_, arena_bytes, MADV_HUGEPAGE);
    return true;
  }
  std::byte *next_ = nullptr, *end_ = nullptr;
};

struct FreeLists {
  std::array<std::vector<void*>, classes> blocks;

  void* take(int c) {
    if (blocks[static_cast<std::size_t>(c)].empty()) return nullptr;
    void* p = blocks[static_cast<std::size_t>(c)].back();
    blocks[static_cast<std::size_t>(c)].pop_back();
    return p;
  }
  bool put(int c, void* p) noexcept {
    try {
      blocks[static_cast<std::size_t>(c)].push_back(p);
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    }
  }
};

struct Shared {
  std::atomic<std::int64_t> live{0}, peak{0}, cached{0}, count{0}, limit{0};
  std::mutex mutex;
  FreeLists free;
  FreeLists forgotten;  // of the arena, without memory
  Arena arena;

  void note(std::int64_t live_change, std::int64_t cached_change,
            std::int64_t count_change) noexcept {
    const std::int64_t now = live.fetch_add(live_change, std::memory_order_relaxed) + live_change;
    cached.fetch_add(cached_change, std::memory_order_relaxed);
    count.fetch_add(count_change, std::memory_order_relaxed);
    std::int64_t before = peak.load(std::memory_order_relaxed);
    while (now > before && !peak.compare_exchange_weak(before, now, std::memory_order_relaxed)) {
    }
  }
  void* take(int c) {
    std::lock_guard lock(mutex);
    return free.take(c);
  }
  void put(int c, void* p) noexcept {
    bool kept;
    {
      std::lock_guard lock(mutex);
      kept = free.put(c, p);
    }
    if (!kept) drop(c, p);
  }
  void drop(int c, void* p) noexcept {
    cached.fetch_sub(size_of(c), std::memory_order_relaxed);
    if (!Arena::serves(size_of(c))) return std::free(p);
    Arena::forget(p, size_of(c));
    std::lock_guard lock(mutex);
    forgotten.put(c, p);
  }
  void* system_allocate(int c) {
    const std::int64_t size = size_of(c);
    if (!Arena::serves(size)) return gradus::system_allocate(size);
    std::lock_guard lock(mutex);
    void* p = forgotten.take(c);
    return p ? p : arena.carve(size);
  }
};

// Never destroyed: tensors of static storage may outlive every other static object.
union Immortal {
  Shared value;
  constexpr Immortal() : value() {}
  ~Immortal() {}
};
constinit Immortal immortal;
Shared& shared() noexcept { return immortal.value; }

// A thread's own blocks, chained through their first word and handed over when it ends, and its
// share of the statistics: added to the common ones when it has grown, because atomic additions
// would cost a small operation a quarter of its time.
struct ThreadCache {
  static constexpr std::int64_t flush_above = 64 << 10;
  std::array<detail::Chain, size_class(small_below, alignment)> lists;
  std::int64_t live = 0, cached = 0, count = 0;

  void* take(int c) noexcept { return lists[static_cast<std::size_t>(c)].take(); }
  bool put(int c, void* p) noexcept {
    detail::Chain& list = lists[static_cast<std::size_t>(c)];
    if (list.count == kept_by_thread) return false;
    list.put(p);
    return true;
  }
  // Calls f(c, p) with each of its blocks.
  template <class F>
  void take_all(F f) noexcept {
    for (std::size_t c = 0; c < lists.size(); ++c)
      while (void* p = take(static_cast<int>(c))) f(static_cast<int>(c), p);
  }

  void note(std::int64_t live_change, std::int64_t cached_change, std::int64_t count_change) {
    live += live_change;
    cached += cached_change;
    count += count_change;
    if (live > flush_above || live < -flush_above) flush();
  }
  void flush() noexcept {
    Shared& s = shared();
    s.note(std::exchange(live, 0), std::exchange(cached, 0), std::exchange(count, 0));
  }
  ~ThreadCache() {
    take_all([](int c, void* p) { shared().put(c, p); });
    flush();
  }
};
// Of the quick model a library that is loaded late has a few hundred bytes: hence the pointer.
[[gnu::tls_model("initial-exec")]] thread_local ThreadCache* own_cache = nullptr;
[[gnu::tls_model("initial-exec")]] thread_local bool thread_cache_gone = false;
struct EndOfThread {
  ~EndOfThread() {
    thread_cache_gone = true;
    delete std::exchange(own_cache, nullptr);
  }
};
// Null at the end of the thread.
ThreadCache* thread_cache() noexcept {
  if (own_cache || thread_cache_gone) [[likely]]
    return own_cache;
  thread_local EndOfThread end;
  return own_cache = new (std::nothrow) ThreadCache;
}

void note(std::int64_t live, std::int64_t cached, std::int64_t count) noexcept {
  if (ThreadCache* own = thread_cache())
    own->note(live, cached, count);
  else
    shared().note(live, cached, count);
}

void flush() noexcept {
  if (ThreadCache* own = thread_cache()) own->flush();
}

[[noreturn]] void out_of_memory(std::int64_t bytes) {
  const MemoryStatistics now = memory_statistics();
  std::ostringstream text;
  text << "allocate: out of memory: asked for " << bytes << " bytes, " << now.live << " live, "
       << now.cached << " cached";
  if (const std::int64_t limit = shared().limit.load()) text << ", limit " << limit;
  throw OutOfMemory(text.str());
}

// The cache that keeps blocks of this size for the thread, or null.
ThreadCache* own_blocks(std::int64_t size) noexcept {
  return size < small_below ? thread_cache() : nullptr;
}

// A kept block of the class, or null.
void* reuse(int c, std::int64_t size) {
  if (!GRADUS_CACHE) return nullptr;
  if (ThreadCache* own = own_blocks(size))
    if (void* p = own->take(c)) return p;
  return shared().take(c);
}

bool over_limit(std::int64_t size) {
  const std::int64_t limit = shared().limit.load(std::memory_order_relaxed);
  return limit != 0 && memory_statistics().live + size > limit;
}

}  // namespace

namespace detail {

void* allocate(std::int64_t bytes) {
  const int c = class_of(bytes);
  const std::int64_t size = size_of(c);
  if (over_limit(size)) out_of_memory(bytes);
  if (void* p = reuse(c, size)) {
    note(size, -size, 1);
    return p;
  }
  void* p = shared().system_allocate(c);
  if (!p) {  // once more without what we hold back
    release_cached_memory();
    p = shared().system_allocate(c);
  }
  if (!p) out_of_memory(bytes);
  note(size, 0, 1);
  return p;
}

void deallocate(void* block, std::int64_t bytes) noexcept {
  if (!block) return;
  const int c = class_of(bytes);
  const std::int64_t size = size_of(c);
  if (!GRADUS_CACHE) {
    note(-size, 0, -1);
    return std::free(block);
  }
  note(-size, size, -1);
  ThreadCache* own = own_blocks(size);
  if (!own || !own->put(c, block)) shared().put(c, block);
}

}  // namespace detail

MemoryStatistics memory_statistics() noexcept {
  flush();
  const Shared& s = shared();
  return {s.live.load(), s.peak.load(), s.cached.load(), s.count.load()};
}

void reset_peak_memory() noexcept {
  const MemoryStatistics now = memory_statistics();
  shared().peak = now.live;
}

void set_memory_limit(std::int64_t bytes) noexcept {
  shared().limit = std::max<std::int64_t>(bytes, 0);
}

void release_cached_memory() noexcept {
  Shared& s = shared();
  if (ThreadCache* own = thread_cache()) own->take_all([&](int c, void* p) { s.drop(c, p); });
  for (int c = 0; c < classes; ++c)
    while (void* p = s.take(c)) s.drop(c, p);
}

}  // namespace gradus
