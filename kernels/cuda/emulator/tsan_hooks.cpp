// What code compiled with -fsanitize=thread calls before each access. The sanitizer's own runtime
// is not linked.
#ifdef GRADUS_EMULATOR_RACE

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "gradus/kernels/cuda/emulator/block.h"
#include "gradus/kernels/cuda/emulator/memory.h"

namespace gradus::emulator {
namespace {

void judge(const void* p, std::size_t n, Access access, const void* pc) {
  Block* const block = context.block;
  if (!block || !block->grid->options.race_check) return;
  judge_access(*block, *block->current, static_cast<const char*>(p), n, access, nullptr, pc);
}

// A whole number, as the processor would fault on the device when it is misaligned.
void judge_number(const void* p, std::size_t n, Access access, const void* pc) {
  judge(p, n, access, pc);
  Block* const block = context.block;
  if (!block || reinterpret_cast<std::uintptr_t>(p) % n == 0 || !block->error.empty()) return;
  if (!block->owns(p) && !in_device_memory(p)) return;
  block->error = block->name() + ", thread " + std::to_string(block->current->linear) +
                 ": a misaligned access of " + std::to_string(n) + " bytes";
}

}  // namespace
}  // namespace gradus::emulator

using gradus::emulator::Access;
using gradus::emulator::judge;
using gradus::emulator::judge_number;

#define CALLER __builtin_return_address(0)
#define LOADS_AND_STORES(n)                                                           \
  void __tsan_read##n(void* p) { judge_number(p, n, Access::read, CALLER); }          \
  void __tsan_write##n(void* p) { judge_number(p, n, Access::write, CALLER); }        \
  void __tsan_unaligned_read##n(void* p) { judge(p, n, Access::read, CALLER); }       \
  void __tsan_unaligned_write##n(void* p) { judge(p, n, Access::write, CALLER); }     \
  void __tsan_volatile_read##n(void* p) { judge_number(p, n, Access::read, CALLER); } \
  void __tsan_volatile_write##n(void* p) { judge_number(p, n, Access::write, CALLER); }

#define MODIFY(bits, T, name, builtin)                           \
  T __tsan_atomic##bits##_##name(volatile T* p, T value, int) {  \
    judge(const_cast<T*>(p), sizeof(T), Access::atomic, CALLER); \
    return builtin(p, value, __ATOMIC_SEQ_CST);                  \
  }
#define COMPARE(bits, T, name)                                                                \
  int __tsan_atomic##bits##_compare_exchange_##name(volatile T* p, T* expected, T value, int, \
                                                    int) {                                    \
    judge(const_cast<T*>(p), sizeof(T), Access::atomic, CALLER);                              \
    return __atomic_compare_exchange_n(p, expected, value, false, __ATOMIC_SEQ_CST,           \
                                       __ATOMIC_SEQ_CST);                                     \
  }
#define ATOMICS(bits, T)                                               \
  T __tsan_atomic##bits##_load(const volatile T* p, int) {             \
    judge(const_cast<const T*>(p), sizeof(T), Access::atomic, CALLER); \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                       \
  }                                                                    \
  void __tsan_atomic##bits##_store(volatile T* p, T value, int) {      \
    judge(const_cast<T*>(p), sizeof(T), Access::atomic, CALLER);       \
    __atomic_store_n(p, value, __ATOMIC_SEQ_CST);                      \
  }                                                                    \
  MODIFY(bits, T, exchange, __atomic_exchange_n)                       \
  MODIFY(bits, T, fetch_add, __atomic_fetch_add)                       \
  MODIFY(bits, T, fetch_sub, __atomic_fetch_sub)                       \
  MODIFY(bits, T, fetch_and, __atomic_fetch_and)                       \
  MODIFY(bits, T, fetch_or, __atomic_fetch_or)                         \
  MODIFY(bits, T, fetch_xor, __atomic_fetch_xor)                       \
  COMPARE(bits, T, strong)                                             \
  COMPARE(bits, T, weak)

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
LOADS_AND_STORES(1)
LOADS_AND_STORES(2)
LOADS_AND_STORES(4)
LOADS_AND_STORES(8)
LOADS_AND_STORES(16)
void __tsan_read_range(void* p, std::size_t n) { judge(p, n, Access::read, CALLER); }
void __tsan_write_range(void* p, std::size_t n) { judge(p, n, Access::write, CALLER); }
void* __tsan_memset(void* p, int value, std::size_t n) {
  judge(p, n, Access::write, CALLER);
  return std::memset(p, value, n);
}
void* __tsan_memcpy(void* to, const void* from, std::size_t n) {
  judge(from, n, Access::read, CALLER);
  judge(to, n, Access::write, CALLER);
  return std::memcpy(to, from, n);
}
void* __tsan_memmove(void* to, const void* from, std::size_t n) {
  judge(from, n, Access::read, CALLER);
  judge(to, n, Access::write, CALLER);
  return std::memmove(to, from, n);
}
ATOMICS(8, std::uint8_t)
ATOMICS(16, std::uint16_t)
ATOMICS(32, std::uint32_t)
ATOMICS(64, std::uint64_t)
void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int) {}
}

#endif
