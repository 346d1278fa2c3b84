#include "gradus/kernels/cuda/replay.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "gradus/kernels/cuda/gpu.h"
#include "gradus/kernels/cuda/runtime.h"
#include "gradus/kernels/error.h"

namespace gradus {

// Arguments lie one after the other in pages of device memory, each with its values on the host, so
// that all of them are sent in one copy, or a few.
struct ReplayArguments {
  struct Page {
    std::byte* device;
    std::vector<std::byte> values;
    std::size_t used;
  };
  struct Argument {
    std::size_t page, begin, bytes;
  };
  std::vector<Page> pages;
  std::vector<Argument> noted;
  std::size_t next = 0;  // of those noted, the one to be rewritten
};

namespace GRADUS_GPU {
namespace {

constexpr std::size_t page_size = 1 << 14, alignment = 16;

thread_local ReplayArguments *noting = nullptr, *rewritten = nullptr;

ReplayArguments::Argument note(ReplayArguments& a, std::size_t bytes) {
  if (a.pages.empty() || a.pages.back().values.size() - a.pages.back().used < bytes) {
    const std::size_t size = std::max(page_size, bytes);
    auto* const device = static_cast<std::byte*>(allocate(static_cast<std::int64_t>(size)));
    a.pages.push_back({device, std::vector<std::byte>(size), 0});
  }
  ReplayArguments::Page& page = a.pages.back();
  a.noted.push_back({a.pages.size() - 1, page.used, bytes});
  page.used = std::min(page.values.size(), (page.used + bytes + alignment - 1) & ~(alignment - 1));
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

ReplayArguments* make_replay_arguments() { return new ReplayArguments; }
void destroy_replay_arguments(ReplayArguments* a) noexcept { delete a; }

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
  ReplayArguments::Page& page = a->pages[at.page];
  std::memcpy(page.values.data() + at.begin, values, size);
  return page.device + at.begin;
}

void send_arguments(ReplayArguments* a) {
  if (a->next != a->noted.size())
    throw Error("replay: the calls must be those of the capture: " + std::to_string(a->next) +
                " of " + std::to_string(a->noted.size()) + " were made");
  for (const ReplayArguments::Page& page : a->pages)
    copy_from_host(page.device, page.values.data(), static_cast<std::int64_t>(page.used));
}

}  // namespace GRADUS_GPU
}  // namespace gradus
