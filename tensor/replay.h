// A step that is recorded as a graph of a device runs its code on the host once. What that code
// changes on the host (where a generator stands, how many steps an optimiser has done) it must
// change at every replay: such calls are noted while the step is recorded.
#pragma once

#include <functional>
#include <utility>
#include <vector>

namespace gradus::detail {

using HostCall = std::function<void()>;

// Where this thread notes calls; null: nowhere. Returns the place before.
std::vector<HostCall>* note_calls(std::vector<HostCall>*) noexcept;
std::vector<HostCall>* noted_calls() noexcept;

// Makes the call now, and at each replay of the step that is being recorded, if one is. What it
// refers to must live as long as the step.
template <class Call>
void call_at_replays(Call call) {
  call();
  if (std::vector<HostCall>* calls = noted_calls()) calls->push_back(std::move(call));
}

}  // namespace gradus::detail
