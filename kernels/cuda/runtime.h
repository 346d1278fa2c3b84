// Devices that run CUDA kernels: memory, copies, streams, events, graphs, errors. One source,
// runtime.cu and memory.cu, for real devices and for the emulated ones. All calls concern this
// thread's device and its current stream; failures throw gradus::Error with CUDA's name for them.
// Nothing touches a device before it is asked for; device_count() and problem() never do.
#pragma once

#include <cstdint>
#include <string>

#include "gradus/kernels/kernel.h"

namespace gradus {

// The number of devices; 0 without a driver, and problem() says why (empty: there are some).
GRADUS_ON_DEVICES(int device_count() noexcept)
GRADUS_ON_DEVICES(std::string problem())
// The device of the calls and kernels of this thread that follow; the first at the beginning.
// Throws where there is none of that index, and while this thread records a graph.
GRADUS_ON_DEVICES(void use_device(int device))

// ---- memory: blocks by size class, 256-byte aligned, kept for the next of their class. They are
// ordered by the stream that was current when they were asked for; freed on another one, they are
// reused after what lies on both. (What else reads a block needs a wait_for before it is freed.)
struct DeviceMemory {
  std::int64_t live = 0, peak = 0, cached = 0;  // bytes asked for, as blocks; highest; kept
  std::int64_t graphs = 0;                      // bytes that only graphs still need
  std::int64_t blocks = 0;                      // number of live blocks
};
// Throws OutOfMemory with the bytes asked for, held and free; the cache is given back first.
GRADUS_ON_DEVICES(void* allocate(std::int64_t bytes))
// On whichever device the block lies; `bytes` as asked.
GRADUS_ON_DEVICES(void deallocate(void* block, std::int64_t bytes) noexcept)
GRADUS_ON_DEVICES(DeviceMemory memory(int device) noexcept)
GRADUS_ON_DEVICES(void reset_peak(int device) noexcept)
GRADUS_ON_DEVICES(void release_cached(int device) noexcept)
// A cap on what is held, cache and graphs included; 0: none.
GRADUS_ON_DEVICES(void set_memory_limit(int device, std::int64_t bytes) noexcept)

// ---- copies, through pinned memory. From the host: the bytes may be changed when the call
// returns. To the host: waits for the stream, and throws what kernels found (see DeviceFinding).
// Neither can be part of a graph.
GRADUS_ON_DEVICES(void copy_from_host(void* to, const void* from, std::int64_t bytes))
GRADUS_ON_DEVICES(void copy_to_host(void* to, const void* from, std::int64_t bytes))
GRADUS_ON_DEVICES(void copy_within(void* to, const void* from, std::int64_t bytes))

// ---- streams, one current for each thread and device; null is the device's first, which all
// threads share.
struct DeviceStream {};
GRADUS_ON_DEVICES(DeviceStream* make_stream())
// After its work; no thread may have it current, this one excepted.
GRADUS_ON_DEVICES(void destroy_stream(DeviceStream*) noexcept)
GRADUS_ON_DEVICES(DeviceStream* set_stream(DeviceStream*) noexcept)  // the one before
// What follows on this thread's stream waits for what lies on the other one.
GRADUS_ON_DEVICES(void wait_for(DeviceStream*))
// Waits for the stream; throws what kernels found.
GRADUS_ON_DEVICES(void synchronize())

// ---- graphs: what this thread launches between begin and end, on a stream of the graph's, is
// recorded, not run. Memory asked for or freed in between belongs to the graph until it is
// destroyed: other work never has it. A copy to or from the host and a wait for the device throw,
// and the recording is over.
struct DeviceGraph {};
GRADUS_ON_DEVICES(void begin_capture())
GRADUS_ON_DEVICES(DeviceGraph* end_capture())
GRADUS_ON_DEVICES(void cancel_capture() noexcept)
GRADUS_ON_DEVICES(bool is_capturing() noexcept)
GRADUS_ON_DEVICES(void replay(DeviceGraph*))
GRADUS_ON_DEVICES(void destroy_graph(DeviceGraph*) noexcept)  // after its last replay

// ---- what a kernel finds wrong (an index out of range) does not stop the device: the kernel notes
// the first finding (note_finding in finding.cuh) and goes on, and the next call that waits for the
// device, in whichever thread, throws "operation: rule: facts" and forgets it.
struct DeviceFinding {
  unsigned set = 0;                 // 1: being written, 2: complete
  const char* operation = nullptr;  // of static storage, like the rule
  const char* rule = nullptr;       // what a value breaks; null: an index lies outside of its limit
  std::int64_t position = 0, index = 0, limit = 0;
  double value = 0;
};
// Where kernels of this thread's device note it.
GRADUS_ON_DEVICES(DeviceFinding* findings())

}  // namespace gradus
