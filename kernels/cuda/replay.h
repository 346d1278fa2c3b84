// Arguments that change from one replay of a graph to the next: where a generator stands, the rates
// and the count of an optimiser's step.
//
// A graph keeps the arguments of its launches. So while a step is captured, the kernels of random.h
// and optim.h put those that change into device memory, which the launches read; before each
// replay the host makes the same calls with the new values, and they launch nothing but write that
// memory anew:
//
//   ReplayArguments* arguments = make_replay_arguments();
//   begin_capture(), note_arguments(arguments);
//   step();
//   note_arguments(nullptr), graph = end_capture();
//   send_arguments(arguments), replay(graph);  // the captured step itself
//   for (...) {
//     rewrite_arguments(arguments);
//     random_normal(key, offset, n, y), adam(slices, count, {.step = ...});  // the calls of step()
//     rewrite_arguments(nullptr);
//     send_arguments(arguments), replay(graph);
//   }
//
// The values come from the code that an ordinary step runs, on the host: so a replayed step has the
// bits of an ordinary one.
#pragma once

#include "gradus/kernels/kernel.h"

namespace gradus {

struct ReplayArguments;
// Device memory for 1 MiB of them, outside of any graph: what is allocated in a capture keeps
// nothing from one replay to the next. To be destroyed after the graph.
GRADUS_ON_DEVICES(ReplayArguments* make_replay_arguments())
GRADUS_ON_DEVICES(void destroy_replay_arguments(ReplayArguments*) noexcept)

// Calls of this thread from now on note their arguments there; null: no longer.
GRADUS_ON_DEVICES(void note_arguments(ReplayArguments*) noexcept)
// Calls of this thread from now on launch nothing and write what the next of the noted calls will
// read; null: no longer. A call that does not fit the noted one throws.
GRADUS_ON_DEVICES(void rewrite_arguments(ReplayArguments*) noexcept)
// Puts the arguments in place for the replays that follow on this thread's stream. Throws where a
// rewriting stopped short of the noted calls.
GRADUS_ON_DEVICES(void send_arguments(ReplayArguments*))

// ---- for kernels' callers
// Device memory with these bytes at the time of each replay; null where nothing is noted: the
// launch then takes them as arguments.
GRADUS_ON_DEVICES(const void* replayed_bytes(const void* values, std::int64_t bytes))
// True where a call must launch nothing.
GRADUS_ON_DEVICES(bool rewriting() noexcept)

}  // namespace gradus
