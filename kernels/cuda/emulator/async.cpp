// cp.async: copies into shared memory that land when they are issued or when they are waited for.
#include <algorithm>
#include <cstring>

#include "gradus/kernels/cuda/emulator/block.h"
#include "gradus/kernels/cuda/emulator/memory.h"

namespace gradus::emulator {
namespace {

void land(AsyncCopy& copy) {
  std::memcpy(copy.to, copy.from, copy.valid);
  std::memset(copy.to + copy.valid, 0, copy.bytes - copy.valid);
  copy.landed = true;
}

// What reads these bytes before the wait, or writes them, is a finding.
void mark_under_way(Block& block, const AsyncCopy& copy, bool under_way) {
  if (!race_checked || !block.error.empty()) return;
  History* const history = block.histories.data() + (copy.to - block.arena);
  for (unsigned i = 0; i < copy.bytes; ++i)
    history[i].write_warp_epoch = under_way ? History::under_way : 0;
}

}  // namespace

void cp_async(void* dst, const void* src, unsigned bytes, unsigned valid, Loc site) {
  Block& block = *context.block;
  Thread& self = *block.current;
  if (bytes != 4 && bytes != 8 && bytes != 16) fail("cp.async: 4, 8 or 16 bytes", site);
  if (valid > bytes) fail("cp.async: more bytes to read than to write", site);
  const auto addresses =
      reinterpret_cast<std::uintptr_t>(dst) | (valid ? reinterpret_cast<std::uintptr_t>(src) : 0);
  if (addresses % bytes) fail("cp.async: misaligned address", site);
  if (!block.owns(dst)) fail("cp.async: the destination is not shared memory", site);
  if (valid && block.owns(src)) fail("cp.async: the source is shared memory", site);
  check_access(dst, bytes, true, site);
  if (valid) check_access(src, valid, false, site);

  AsyncCopy copy{static_cast<char*>(dst),
                 static_cast<const char*>(src),
                 bytes,
                 valid,
                 self.open_group,
                 site,
                 false};
  if (block.grid->options.schedule == Schedule::reverse || block.coin())
    land(copy);
  else
    std::memset(dst, 0xff, bytes);  // nobody may look at them before they are there
  mark_under_way(block, copy, true);
  self.copies.push_back(copy);
}

void cp_async_commit() { ++context.block->current->open_group; }

void cp_async_wait(unsigned keep) {
  Block& block = *context.block;
  Thread& self = *block.current;
  // In the order of their groups; the open one waits for its commit.
  const auto still = std::find_if(self.copies.begin(), self.copies.end(), [&](const AsyncCopy& c) {
    return c.group + keep >= self.open_group;
  });
  for (auto copy = self.copies.begin(); copy != still; ++copy) {
    mark_under_way(block, *copy, false);
    check_access(copy->to, copy->bytes, true, copy->site);
    if (!copy->landed) land(*copy);
  }
  self.copies.erase(self.copies.begin(), still);
}

void check_access(const void* p, std::size_t n, bool write, Loc site, int lane) {
  Block& block = *context.block;
  Thread& self = *block.current;
  touch(p, n);
  const char* const at = static_cast<const char*>(p);
  if (race_checked) {
    Thread& who = lane < 0 ? self : block.thread_of(self.warp, static_cast<unsigned>(lane));
    if (block.grid->options.race_check)
      judge_access(block, who, at, n, write ? Access::write : Access::read, &site, nullptr);
    return;
  }
  if (block.owns(p)) {
    const auto offset = static_cast<std::size_t>(at - block.arena);
    const Region* const region = block.region_of(offset);
    if (!region || offset + n > region->at + region->bytes)
      fail("an access beyond an array of shared memory", site);
  } else if (in_device_memory(p) && !covers(p, n)) {
    fail(("an access beyond " + describe_device_address(p)).c_str(), site);
  }
}

}  // namespace gradus::emulator
