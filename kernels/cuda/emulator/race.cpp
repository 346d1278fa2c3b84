#include "gradus/kernels/cuda/emulator/race.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <string>

#include "gradus/kernels/cuda/emulator/block.h"
#include "gradus/kernels/cuda/emulator/memory.h"

namespace gradus::emulator {

void Epochs::next() {
  ++now;
  std::memset(warp, 0, sizeof warp);
}

void Epochs::next(std::size_t of_warp) {
  if (++warp[of_warp] == History::under_way) next();
}

void Epochs::begin_grid(std::uint32_t epoch) {
  now = grid = epoch;
  fences_.clear();
}

void Epochs::begin_block() {
  next();
  block = now;
  fenced_ = false;
  if (race_checked) fences_.push_back({block, 0});
}

void Epochs::fence() {
  fenced_ = true;
  if (race_checked) fences_.back().until = now;
}

bool Epochs::unordered(std::uint32_t epoch) const {
  if (epoch < grid || epoch >= block) return false;
  const auto after = std::upper_bound(fences_.begin(), fences_.end(), epoch,
                                      [](std::uint32_t e, const Fence& f) { return e < f.block; });
  return !fenced_ || std::prev(after)->until < epoch;
}

namespace {

// "reduce.cuh:40, inlined at softmax.cu:77", from the line table of the program.
std::string place_of(const void* pc) {
  Dl_info object;
  if (!dladdr(pc, &object) || !object.dli_fname) return "an unknown place";
  const auto offset = static_cast<const char*>(pc) - static_cast<const char*>(object.dli_fbase) - 1;
  char address[32];
  std::snprintf(address, sizeof address, "%#tx", offset);
  std::string place;
  if (!std::strchr(object.dli_fname, '\'')) {
    const std::string command =
        std::string("addr2line -s -i -e '") + object.dli_fname + "' " + address + " 2>/dev/null";
    if (std::FILE* const lines = popen(command.c_str(), "r")) {
      for (char line[256]; std::fgets(line, sizeof line, lines);) {
        line[std::strcspn(line, " \n")] = 0;
        if (!std::strchr(line, '?'))
          place += (place.empty() ? "" : ", inlined at ") + std::string(line);
      }
      pclose(lines);
    }
  }
  return place.empty() ? std::string(object.dli_fname) + " + " + address : place;
}

// One access, byte by byte; knows what to say when it is wrong.
struct Judge {
  Block& block;
  const Thread& thread;
  Access access;
  const Loc* site;
  const void* pc;

  // Hooks must not throw: the compiler does not expect it of a load. The thread's next stop does.
  void note(const std::string& what, const std::string& memory, unsigned other) const {
    std::string s = block.name() + ", thread " + std::to_string(thread.linear) + ", " +
                    (site ? where(*site) : place_of(pc)) + ": " + what + ": " + memory;
    if (other == no_thread)
      s += ", several threads";
    else if (other != thread.linear)
      s += ", thread " + std::to_string(other);
    block.error = s;
  }

  bool writes() const { return access == Access::write; }

  void shared(std::size_t offset, std::size_t n) const {
    const auto inside = [&](const Region& r) {
      return offset >= r.at && offset + n <= r.at + r.bytes;
    };
    const bool in_array = std::any_of(block.regions.begin(), block.regions.end(), inside);
    const Region* const region = block.region_of(offset);
    const auto memory = [&](std::size_t i) {
      if (!region) return std::string("shared memory before the first array");
      return "byte " + std::to_string(offset + i - region->at) + " of the shared array '" +
             region->name + "' of " + std::to_string(region->bytes) + " bytes";
    };
    if (!in_array) return note("an access beyond an array", memory(0), thread.linear);
    for (std::size_t i = 0; i < n; ++i) {
      History& h = block.histories[offset + i];
      const bool of_this_block = h.write_epoch >= block.epochs.block;
      if (!writes() && !of_this_block)
        return note("a read of bytes that nobody wrote", memory(i), thread.linear);
      if (of_this_block && h.write_warp_epoch == History::under_way)
        return note("an access to bytes that a cp.async may still be writing", memory(i), h.writer);
      if (access == Access::atomic) continue;
      unsigned other = thread.linear;
      if (const char* const what = within_block(h, other)) return note(what, memory(i), other);
      remember(h);
    }
  }

  void device(const char* p, std::size_t n) const {
    const DeviceRange& range = device_range();
    const auto offset = static_cast<std::size_t>(p - range.base);
    for (std::size_t i = 0; i < n; ++i) {
      std::uint8_t& flags = range.flags[offset + i];
      const auto found = [&](const char* what, unsigned other) {
        note(what, describe_device_address(p + i), other);
      };
      if (offset + i >= range.bytes || !(flags & allocated))
        return found("an access beyond a block of memory", thread.linear);
      if (!writes() && !(flags & written))
        return found("a read of bytes that nobody wrote", thread.linear);
      if (access == Access::atomic) continue;
      History& h = range.histories[offset + i];
      if (block.epochs.unordered(h.write_epoch))
        return found(writes() ? "two blocks write, with no order between them"
                              : "another block writes what this one reads",
                     h.writer);
      if (writes() && block.epochs.unordered(h.read_epoch))
        return found("another block reads what this one writes", reader_of(h));
      unsigned other = thread.linear;
      if (const char* const what = within_block(h, other)) return found(what, other);
      if (writes()) flags |= written;
      remember(h);
    }
  }

 private:
  static constexpr unsigned no_thread = ~0u;

  static unsigned reader_of(const History& h) {
    return h.reader & History::warp_flag ? no_thread : h.reader;
  }
  static unsigned warp_of_reader(const History& h) {
    if (h.reader == History::many_warps) return no_thread;
    return h.reader & History::warp_flag ? h.reader & 31u : h.reader / lanes_per_warp;
  }

  // What is wrong with this access after those of the same epoch, and whose they were.
  const char* within_block(const History& h, unsigned& other) const {
    const Epochs& epochs = block.epochs;
    const std::uint16_t warp_epoch = epochs.warp[thread.warp];
    if (h.write_epoch == epochs.now && h.writer != thread.linear) {
      const bool ordered =
          h.writer / lanes_per_warp == thread.warp && h.write_warp_epoch < warp_epoch;
      other = h.writer;
      if (!ordered)
        return writes() ? "write after write with no barrier between"
                        : "read after write with no barrier between";
    }
    if (writes() && h.read_epoch == epochs.now && h.reader != thread.linear) {
      const bool ordered = warp_of_reader(h) == thread.warp && h.read_warp_epoch < warp_epoch;
      other = reader_of(h);
      if (!ordered) return "write after read with no barrier between";
    }
    return nullptr;
  }

  void remember(History& h) const {
    const Epochs& epochs = block.epochs;
    const std::uint16_t warp_epoch = epochs.warp[thread.warp];
    if (writes()) {
      h.write_epoch = epochs.now, h.writer = thread.linear, h.write_warp_epoch = warp_epoch;
      return;
    }
    if (h.read_epoch != epochs.now || h.reader == thread.linear) {
      h.reader = thread.linear;
    } else {  // others have read it, too
      const bool same_warp = warp_of_reader(h) == thread.warp;
      h.reader = same_warp ? static_cast<std::uint16_t>(History::warp_flag | thread.warp)
                           : History::many_warps;
    }
    h.read_epoch = epochs.now;
    h.read_warp_epoch = warp_epoch;
  }
};

}  // namespace

void judge_access(Block& block, Thread& thread, const char* p, std::size_t n, Access access,
                  const Loc* site, const void* pc) {
  if (!block.error.empty()) return;
  const Judge judge{block, thread, access, site, pc};
  if (block.owns(p))
    judge.shared(static_cast<std::size_t>(p - block.arena), n);
  else if (in_device_memory(p))
    judge.device(p, n);
}

}  // namespace gradus::emulator
