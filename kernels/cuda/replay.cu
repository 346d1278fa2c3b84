#include "gradus/kernels/cuda/replay.h"

#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "gradus/kernels/cuda/gpu.h"
#include "gradus/kernels/cuda/runtime.h"
#include "gradus/kernels/error.h"

namespace gradus {

// The arguments lie one after the other in device memory, with their values on the host, so that
// they are sent in one copy.
struct ReplayArguments {
  struct Argument {
    std::size_t begin, bytes;
  };
  std::byte* device = nullptr;
  std::vector<std::byte> values;
  std::vector<Argument> noted;
  std::size_t next = 0;  // of those noted, the one to be rewritten
};

namespace GRADUS_GPU {
namespace {

constexpr std::size_t capacity = 1 << 20, alignment = 16;

thread_local ReplayArguments *noting = nullptr, *rewritten = nullptr;

ReplayArguments::Argument note(ReplayArguments& a, std::size_t bytes) {
  const std::size_t begin = (a.values.size() + alignment - 1) / alignment * alignment;
  if (begin + bytes > capacity)
    throw Error("replay: the arguments that change must fit in " + std::to_string(capacity) +
                " bytes: " + std::to_string(begin) + " and " + std::to_string(bytes) + " more");
  a.values.resize(begin + bytes);
  a.noted.push_back({begin, bytes});
  a.next = a.noted.size();
  return a.noted.back();
}

ReplayArguments::Argument next(ReplayArguments& a, std::size_t bytes) {
  if (a.next == a.noted.size() || a.noted[a.next].bytes != bytes)
    throw Error("replay: the calls must be those of the capture: call " + std::to_string(a.next) +
                " of " + std::to_string(a.noted.size()) + " has " + std::to_string(bytes) +
                " bytes of arguments");
  return a.noted[a.next++];
}

}  // namespace

ReplayArguments* make_replay_arguments() {
  if (is_capturing()) throw Error("replay: arguments must be made before a graph is recorded");
  auto a = std::make_unique<ReplayArguments>();
  a->device = static_cast<std::byte*>(allocate(capacity));
  return a.release();
}

void destroy_replay_arguments(ReplayArguments* a) noexcept {
  if (!a) return;
  deallocate(a->device, capacity);
  delete a;
}

void note_arguments(ReplayArguments* a) noexcept { noting = a; }

void rewrite_arguments(ReplayArguments* a) noexcept {
  rewritten = a;
  if (a) a->next = 0;
}

bool rewriting() noexcept { return rewritten; }

const void* replayed_bytes(const void* values, std::int64_t bytes) {
  ReplayArguments* const a = rewritten ? rewritten : noting;
  if (!a) return nullptr;
  const auto size = static_cast<std::size_t>(bytes);
  const ReplayArguments::Argument at = rewritten ? next(*a, size) : note(*a, size);
  std::memcpy(a->values.data() + at.begin, values, size);
  return a->device + at.begin;
}

void send_arguments(ReplayArguments* a) {
  if (a->next != a->noted.size())
    throw Error("replay: the calls must be those of the capture: " + std::to_string(a->next) +
                " of " + std::to_string(a->noted.size()) + " were made");
  copy_from_host(a->device, a->values.data(), static_cast<std::int64_t>(a->values.size()));
}

}  // namespace GRADUS_GPU
}  // namespace gradus
