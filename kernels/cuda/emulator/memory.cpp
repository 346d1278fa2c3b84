#include "gradus/kernels/cuda/emulator/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <vector>

#include "gradus/kernels/cuda/emulator/race.h"
#include "gradus/kernels/cuda/emulator/vocabulary.h"

#ifdef __has_feature
#define GRADUS_HAS_FEATURE(x) __has_feature(x)
#else
#define GRADUS_HAS_FEATURE(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || GRADUS_HAS_FEATURE(address_sanitizer)
#define GRADUS_POOL_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace gradus::emulator {
namespace {

// Addresses, not memory: pages come when they are touched.
constexpr std::size_t range_bytes = std::size_t(race_checked ? 4 : 64) << 30;
constexpr std::size_t resting_bytes = 64 << 20;  // freed, and not yet used again
constexpr std::size_t grain = 256;               // cudaMalloc's alignment
constexpr std::size_t looked_at = 256;           // of a redzone, on either side

constexpr std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

// Wide enough for a row too many.
std::size_t redzone_of(std::size_t bytes) {
  return std::clamp<std::size_t>(round_up(bytes / 4, grain), grain, 16 << 10);
}

// Few sizes, so that what was freed fits what is asked for: four to each power of two.
std::size_t span_class(std::size_t bytes) {
  const std::size_t step = std::max<std::size_t>(std::bit_floor(bytes) / 4, grain);
  return round_up(bytes, step);
}

template <class T>
T* reserve(std::size_t count) {
  void* const p = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? nullptr : static_cast<T*>(p);
}

struct Span {
  char* at;  // of the redzone in front
  std::size_t bytes;
};

class Pool {
 public:
  Pool() {
    // Where addresses are rationed, fewer will do.
    for (std::size_t bytes = range_bytes; bytes >= std::size_t(64) << 20; bytes /= 2) {
      DeviceRange r{.base = reserve<char>(bytes), .bytes = bytes};
      if (race_checked) {
        r.flags = reserve<std::uint8_t>(bytes);
        r.histories = reserve<History>(bytes);
      }
      if (r.base && (!race_checked || (r.flags && r.histories))) {
        range = r;
        return;
      }
      if (r.base) munmap(r.base, bytes);
      if (r.flags) munmap(r.flags, bytes);
      if (r.histories) munmap(r.histories, bytes * sizeof(History));
    }
    throw Error("emulator: no addresses for the device's memory");
  }

  void* allocate(std::size_t bytes) {
    if (bytes > range.bytes) return nullptr;
    const std::size_t red = redzone_of(bytes);
    const std::size_t wanted = span_class(red + round_up(bytes, grain) + red);
    const std::scoped_lock lock(mutex_);
    const Span span = take(wanted);
    if (!span.at) return nullptr;
    char* const block = span.at + red;
    unpoison(span.at, red);
    fill_redzone(block - looked_at, looked_at);
    poison(span.at, red);
    begin(block, live_.emplace(block, Live{bytes, bytes, span}).first->second);
    return block;
  }

  void lend(void* p, std::size_t bytes) {
    char* const block = static_cast<char*>(p);
    const std::scoped_lock lock(mutex_);
    const auto found = live_.find(block);
    if (found == live_.end() || bytes > found->second.capacity)
      throw Error("emulator: lends what is not a live block: " + describe(block));
    Live& live = found->second;
    const std::string spoilt = spoilt_beside(block, live);
    if (race_checked) std::memset(range.flags + (block - range.base), 0, live.bytes);
    live.bytes = bytes;
    begin(block, live);
    if (!spoilt.empty()) throw Error(spoilt);
  }

  void free(void* p) {
    char* const block = static_cast<char*>(p);
    const std::scoped_lock lock(mutex_);
    const auto found = live_.find(block);
    if (found == live_.end())
      throw Error("cudaFree: the pointer is not a live block: " + describe(block));
    const Live live = found->second;
    live_.erase(found);
    const std::string spoilt = spoilt_beside(block, live);
    rest(block, live);
    if (!spoilt.empty()) throw Error(spoilt);
  }

  bool covers(const char* p, std::size_t n) {
    const std::scoped_lock lock(mutex_);
    auto it = live_.upper_bound(const_cast<char*>(p));
    if (it == live_.begin()) return false;
    --it;
    const std::size_t at = static_cast<std::size_t>(p - it->first);
    return at <= it->second.bytes && n <= it->second.bytes - at;
  }

  std::string describe_locked(const char* p) {
    const std::scoped_lock lock(mutex_);
    return describe(p);
  }

  DeviceRange range;

 private:
  struct Live {
    std::size_t bytes, capacity;
    Span span;

    std::size_t behind(const char* block) const {
      return static_cast<std::size_t>(span.at + span.bytes - block) - bytes;
    }
  };

  // The bytes of a block are NaN, and behind it lies a redzone.
  void begin(char* block, const Live& live) {
    const std::size_t behind = live.behind(block);
    unpoison(block, live.bytes + behind);
    std::memset(block, 0xff, live.bytes);
    fill_redzone(block + live.bytes, std::min(looked_at, behind));
    poison(block + live.bytes, behind);
    if (race_checked) std::memset(range.flags + (block - range.base), allocated, live.bytes);
  }

  static std::string spoilt_beside(const char* block, const Live& live) {
    const bool front = redzone_intact(block - looked_at, looked_at);
    if (front && redzone_intact(block + live.bytes, std::min(looked_at, live.behind(block))))
      return "";
    return std::string("device memory: something wrote ") + (front ? "behind" : "in front of") +
           " a block of " + std::to_string(live.bytes) + " bytes";
  }

  // A span of that size: one that was freed long ago, or a new one.
  Span take(std::size_t bytes) {
    auto& freed = free_[bytes];
    while (freed.empty() && top_ + bytes > range.bytes && !resting_.empty()) retire();
    if (!freed.empty()) {
      const Span span = freed.back();
      freed.pop_back();
      return span;
    }
    if (top_ + bytes > range.bytes) return {nullptr, 0};
    top_ += bytes;
    return {range.base + top_ - bytes, bytes};
  }

  void rest(char* block, const Live& live) {
    const Span span = live.span;
    std::memset(block, 0xff, live.bytes);
    poison(span.at, span.bytes);
    if (race_checked) std::memset(range.flags + (block - range.base), 0, live.bytes);
    resting_.push_back(span);
    resting_bytes_ += span.bytes;
    while (resting_bytes_ > resting_bytes) retire();
  }

  // The span that has rested longest may be used again. The system gets back what it can.
  void retire() {
    const Span span = resting_.front();
    resting_.pop_front();
    resting_bytes_ -= span.bytes;
    const std::size_t large = 1 << 20;
    if (span.bytes >= large) {
      const auto give_back = [](void* p, std::size_t n) {
        const auto from = round_up(reinterpret_cast<std::uintptr_t>(p), 65536);
        const auto to = (reinterpret_cast<std::uintptr_t>(p) + n) / 65536 * 65536;
        if (from < to) madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
      };
      give_back(span.at, span.bytes);
      if (race_checked) {
        const auto at = span.at - range.base;
        give_back(range.histories + at, span.bytes * sizeof(History));
      }
    }
    free_[span.bytes].push_back(span);
  }

  std::string describe(const char* p) const {
    auto it = live_.upper_bound(const_cast<char*>(p));
    if (it == live_.begin()) return "no block of device memory lies there";
    --it;
    return "byte " + std::to_string(p - it->first) + " of a block of " +
           std::to_string(it->second.bytes) + " bytes";
  }

  std::mutex mutex_;
  std::map<char*, Live> live_;
  std::map<std::size_t, std::vector<Span>> free_;
  std::deque<Span> resting_;
  std::size_t resting_bytes_ = 0;
  std::size_t top_ = 0;
};

// Never destroyed: static objects of a program may free their memory later.
Pool& pool() {
  static Pool* const pool = new Pool;
  return *pool;
}

}  // namespace

void* device_allocate(std::size_t bytes) { return pool().allocate(bytes); }

void device_free(void* block) {
  if (block) pool().free(block);
}

void device_lend(void* block, std::size_t bytes) { pool().lend(block, bytes); }

const DeviceRange& device_range() { return pool().range; }

bool in_device_memory(const void* p) {
  const DeviceRange& range = device_range();
  return static_cast<std::size_t>(static_cast<const char*>(p) - range.base) < range.bytes;
}

bool covers(const void* p, std::size_t n) {
  return in_device_memory(p) && pool().covers(static_cast<const char*>(p), n);
}

void mark_written(void* p, std::size_t n) {
  if (!race_checked || !in_device_memory(p)) return;
  const DeviceRange& range = device_range();
  std::uint8_t* const flags = range.flags + (static_cast<char*>(p) - range.base);
  for (std::size_t i = 0; i < n; ++i) flags[i] |= written;
}

std::string describe_device_address(const void* p) {
  return pool().describe_locked(static_cast<const char*>(p));
}

#ifdef GRADUS_POOL_ASAN
void poison(const void* p, std::size_t n) { __asan_poison_memory_region(p, n); }
void unpoison(const void* p, std::size_t n) { __asan_unpoison_memory_region(p, n); }
void touch(const void* p, std::size_t n) {
  if (const void* bad = __asan_region_is_poisoned(const_cast<void*>(p), n))
    static_cast<void>(*static_cast<const volatile char*>(bad));
}
void fill_redzone(char*, std::size_t) {}
bool redzone_intact(const char*, std::size_t) { return true; }
#else
void poison(const void*, std::size_t) {}
void unpoison(const void*, std::size_t) {}
void touch(const void*, std::size_t) {}
void fill_redzone(char* p, std::size_t n) { std::memset(p, redzone_pattern, n); }
bool redzone_intact(const char* p, std::size_t n) {
  return std::all_of(p, p + n,
                     [](char c) { return static_cast<std::uint8_t>(c) == redzone_pattern; });
}
#endif

}  // namespace gradus::emulator
