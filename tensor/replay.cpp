#include "gradus/tensor/replay.h"

namespace gradus::detail {
namespace {
thread_local std::vector<HostCall>* calls = nullptr;
}

std::vector<HostCall>* note_calls(std::vector<HostCall>* list) noexcept {
  return std::exchange(calls, list);
}
std::vector<HostCall>* noted_calls() noexcept { return calls; }

}  // namespace gradus::detail
