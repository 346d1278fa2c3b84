// Storage: the only owner of memory, and what notices that it was changed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "gradus/tensor/allocator.h"
#include "gradus/tensor/device.h"
#include "gradus/tensor/ref.h"

namespace gradus {

// The caller's place. As a trailing default argument it names the line that called the function.
struct Here {
  const char* file;
  int line;
  static constexpr Here now(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

class GRADUS_API Storage : public Counted {
 public:
  static Ref<Storage> allocate(std::int64_t bytes, Device device);
  // Memory of the user's; `release` (may be empty) is called when the last tensor on it is gone.
  static Ref<Storage> wrap(void* data, std::int64_t bytes, std::function<void()> release);
  // A copy whose memory is that of `of` until one of the two is written. Null where that saves
  // nothing, below lent_from bytes, or writes go unnoticed: the memory is the user's or a device's.
  static Ref<Storage> lazy_copy(const Ref<Storage>& of);
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::byte* data() const noexcept { return data_; }
  std::int64_t bytes() const noexcept { return bytes_; }
  Device device() const noexcept { return device_; }

  // Counts writes. A tensor saved for a gradient remembers the number and is checked on use.
  std::uint32_t version() const noexcept { return version_.load(std::memory_order_relaxed); }
  Here last_write() const noexcept { return last_write_; }
  // Before a write: what shares memory gets its own, so data() changes.
  void note_write(Here here) {
    if (shares_memory()) [[unlikely]]
      separate();
    version_.fetch_add(1, std::memory_order_relaxed);
    last_write_ = here;
  }
  // Whether a lazy copy lives in the same memory.
  bool shares_memory() const noexcept { return memory_ && memory_->references() > 1; }
  static constexpr std::int64_t lent_from = 32 << 10;

 private:
  Storage() = default;
  ~Storage() = default;
  static Ref<Storage> allocate_block(std::int64_t bytes);
  static Ref<Storage> on(Ref<Storage> memory);
  void separate();
  friend void retain(Storage* s) noexcept { s->add_reference(); }
  friend void release(Storage* s) noexcept {
    if (s->drop_reference()) s->destroy();
  }
  void destroy() noexcept;

  std::byte* data_ = nullptr;
  std::int64_t bytes_ = 0;
  Device device_;
  // Bytes of this object in front of the data, in one block; 0: the data lie elsewhere.
  std::int64_t header_ = 0;
  std::atomic<std::uint32_t> version_{0};
  Here last_write_{"", 0};
  std::function<void()> release_;
  // In whose block the data lie, which lazy copies share; null: they cannot.
  Ref<Storage> memory_;
};

}  // namespace gradus
