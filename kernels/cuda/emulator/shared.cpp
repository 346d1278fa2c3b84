// Shared memory: an arena in which every array lies between redzones, new for each block.
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "gradus/kernels/cuda/emulator/block.h"
#include "gradus/kernels/cuda/emulator/memory.h"

namespace gradus::emulator {

Block::Block() {
  void* const memory = mmap(nullptr, arena_bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw Error("emulator: no memory for a block");
  arena = static_cast<char*>(memory);
  if (race_checked) histories.resize(arena_bytes);
}

Block::~Block() {
  unpoison(arena, arena_bytes);
  munmap(arena, arena_bytes);
}

SharedSlot::SharedSlot(std::size_t bytes, std::size_t alignment, const char* name)
    : bytes(bytes), alignment(alignment), name(name) {
  static std::atomic<std::size_t> slots{0};
  id = slots++;
}

void Block::reset_shared(std::size_t dynamic_bytes) {
  poison(arena, arena_bytes);
  used = static_bytes = 0;
  regions.clear();
  std::fill(slots.begin(), slots.end(), nullptr);
  // Behind the first redzone, and so no better aligned than on the device.
  dynamic = dynamic_bytes ? carve(dynamic_bytes, 128, "dynamic") : nullptr;
}

void* Block::carve(std::size_t bytes, std::size_t alignment, const char* array) {
  const std::size_t at = (used + redzone + alignment - 1) / alignment * alignment;
  if (at + bytes + redzone > arena_bytes)
    throw Error(name() + ": too many arrays in shared memory");
  char* const p = arena + at;
  unpoison(arena + used, at + bytes + redzone - used);
  fill_redzone(arena + used, at - used);
  std::memset(p, 0xff, bytes);  // NaN
  fill_redzone(p + bytes, redzone);
  poison(arena + used, at - used);
  poison(p + bytes, redzone);
  used = at + bytes;
  regions.push_back({at, bytes, array});
  return p;
}

// Says which array something was written beside, where no sanitizer does.
void Block::check_redzones() {
  for (const Region& r : regions) {
    const bool front = redzone_intact(arena + r.at - redzone, redzone);
    if (front && redzone_intact(arena + r.at + r.bytes, redzone)) continue;
    error = name() + ": something was written " + (front ? "behind" : "in front of") +
            " the shared array '" + r.name + "' of " + std::to_string(r.bytes) + " bytes";
    return;
  }
}

const Region* Block::region_of(std::size_t offset) const {
  const Region* last = nullptr;
  for (const Region& r : regions)
    if (r.at <= offset && (!last || r.at > last->at)) last = &r;
  return last;
}

void* static_shared(const SharedSlot& slot) {
  Block& block = *context.block;
  if (block.slots.size() <= slot.id) block.slots.resize(slot.id + 8);
  void*& array = block.slots[slot.id];
  if (array) return array;
  block.static_bytes += slot.bytes;
  if (block.static_bytes > max_static_shared)
    throw Error(block.name() + ": more than 48 KiB of static shared memory");
  if (block.static_bytes + block.grid->shared > max_shared)
    throw Error(block.name() + ": more than 227 KiB of shared memory");
  // A misaligned access is reported in the race build; elsewhere the processor would fault.
  constexpr std::size_t least = race_checked ? 1 : 16;
  return array = block.carve(slot.bytes, std::max(slot.alignment, least), slot.name);
}

void* dynamic_shared() { return context.block->dynamic; }

bool in_shared(const void* p) noexcept { return context.block->owns(p); }

void fence() {
  static std::atomic<int> everyone{0};  // ThreadSanitizer knows no fences
  everyone.fetch_add(0, std::memory_order_seq_cst);
  if (Block* const block = context.block) block->epochs.fence();
}

}  // namespace gradus::emulator
