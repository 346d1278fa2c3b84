// The caching allocator: blocks by size class, 64-byte aligned, large ones on huge pages. A freed
// block is kept for the next tensor of its class, because first-touched memory is several times
// slower than memory in use.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gradus/kernels/export.h"

namespace gradus {

struct MemoryStatistics {
  std::int64_t live = 0;  // bytes in tensors
  std::int64_t peak = 0;  // highest value of live since reset_peak_memory(), within 64 KiB a thread
  std::int64_t cached = 0;  // bytes kept for reuse
  std::int64_t blocks = 0;  // number of live blocks
};
GRADUS_API MemoryStatistics memory_statistics() noexcept;
GRADUS_API void reset_peak_memory() noexcept;
// Gives cached blocks back to the system (those of other threads' small caches excepted).
GRADUS_API void release_cached_memory() noexcept;
// A cap on live bytes; an allocation above it throws OutOfMemory. 0: none.
GRADUS_API void set_memory_limit(std::int64_t bytes) noexcept;

namespace detail {
// 64-byte aligned, uninitialised. Throws OutOfMemory with bytes asked, live and cached.
GRADUS_API void* allocate(std::int64_t bytes);
GRADUS_API void deallocate(void* block, std::int64_t bytes) noexcept;  // the same bytes as asked
}  // namespace detail

}  // namespace gradus
