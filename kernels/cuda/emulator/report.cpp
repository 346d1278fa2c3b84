// What is said about a block in which something went wrong.
#include <map>

#include "gradus/kernels/cuda/emulator/block.h"

namespace gradus::emulator {
namespace {

std::string text(uint3 index) {
  return "(" + std::to_string(index.x) + "," + std::to_string(index.y) + "," +
         std::to_string(index.z) + ")";
}

const char* text(Op op) {
  switch (op) {
    case Op::none:
      return "that can go on";
    case Op::syncwarp:
      return "at __syncwarp";
    case Op::shuffle:
      return "at __shfl_sync";
    case Op::vote:
      return "at a vote";
    case Op::reduce:
      return "at __reduce_sync";
    case Op::ldmatrix:
      return "at ldmatrix";
    case Op::mma:
      return "at mma.sync";
    case Op::barrier:
      return "at __syncthreads";
  }
  return "";
}

std::string state(const Thread& thread) {
  if (thread.done) return "ended";
  if (!thread.started) return "not started";
  std::string s = text(thread.waiting);
  if (thread.waiting == Op::none) return s;
  s += " " + where(thread.site);
  if (thread.waiting == Op::barrier) return s;
  constexpr char digits[] = "0123456789abcdef";
  s += ", mask 0x";
  for (int shift = 28; shift >= 0; shift -= 4) s += digits[thread.mask >> shift & 15];
  return s;
}

// "0-31 64 96-127"
std::string ranges(const std::vector<unsigned>& sorted) {
  std::string s;
  for (std::size_t i = 0, end; i < sorted.size(); i = end) {
    for (end = i + 1; end < sorted.size() && sorted[end] == sorted[end - 1] + 1;) ++end;
    s += (s.empty() ? "" : " ") + std::to_string(sorted[i]);
    if (end > i + 1) s += "-" + std::to_string(sorted[end - 1]);
    if (s.size() > 200) return s + " ...";
  }
  return s;
}

}  // namespace

std::string where(Loc site) {
  const std::string file = site.file;
  return file.substr(file.rfind('/') + 1) + ":" + std::to_string(site.line);
}

std::string Block::name() const {
  return std::string("kernel ") + grid->name + ", block " + text(context->block_index);
}

std::string Block::threads_by_state() const {
  std::map<std::string, std::vector<unsigned>> groups;
  for (unsigned i = 0; i < size; ++i) groups[state(threads[i])].push_back(i);
  std::string s;
  for (const auto& [state, members] : groups)
    s += "\n    " + std::to_string(members.size()) +
         (members.size() == 1 ? " thread " : " threads ") + state + ": " + ranges(members);
  return s;
}

void Block::diverges(const std::string& how) const {
  throw Error(name() + ": divergence: " + how + threads_by_state());
}

void fail(const char* rule, Loc site) {
  const Block& block = *context.block;
  throw Error(block.name() + ", thread " + text(block.current->index) + ", " + where(site) + ": " +
              rule);
}

}  // namespace gradus::emulator
