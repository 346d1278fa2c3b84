// Devices that run CUDA kernels: memory, copies, streams, events, graphs, errors. One source,
// runtime.cu, for real devices and for the emulated one. All calls concern this thread's device and
// its current stream; failures throw gradus::Error with CUDA's name for them.
#pragma once

#include <cstdint>
#include <string>

#include "gradus/kernels/kernel.h"

namespace gradus {

// The number of devices; 0 without a driver, and problem() says why.
GRADUS_ON_DEVICES(int device_count() noexcept)
GRADUS_ON_DEVICES(std::string problem())
// The device of the calls and kernels of this thread that follow. Throws where there is none.
GRADUS_ON_DEVICES(void use_device(int device))

// ---- memory: blocks by size class, kept for the next of their class, 256-byte aligned; ordered by
// the stream that was current when they were asked for.
struct DeviceMemory {
  std::int64_t live = 0, peak = 0, cached = 0, blocks = 0;  // bytes; number of live blocks
};
// Throws OutOfMemory with the bytes asked for, held and free; the cache is given back first.
GRADUS_ON_DEVICES(void* allocate(std::int64_t bytes))
GRADUS_ON_DEVICES(void deallocate(void* block, std::int64_t bytes) noexcept)  // bytes as asked
GRADUS_ON_DEVICES(DeviceMemory memory(int device) noexcept)
GRADUS_ON_DEVICES(void reset_peak(int device) noexcept)
GRADUS_ON_DEVICES(void release_cached(int device) noexcept)
GRADUS_ON_DEVICES(void set_memory_limit(int device, std::int64_t bytes) noexcept)  // 0: none

// ---- copies, through pinned memory. From the host: the bytes may be changed when the call
// returns. To the host: waits for the stream, and throws what its kernels found (see note_error).
GRADUS_ON_DEVICES(void copy_from_host(void* to, const void* from, std::int64_t bytes))
GRADUS_ON_DEVICES(void copy_to_host(void* to, const void* from, std::int64_t bytes))
GRADUS_ON_DEVICES(void copy_within(void* to, const void* from, std::int64_t bytes))

// ---- streams, one current for each thread and device; null is the device's first.
struct DeviceStream;
GRADUS_ON_DEVICES(DeviceStream* make_stream())
GRADUS_ON_DEVICES(void destroy_stream(DeviceStream*) noexcept)
GRADUS_ON_DEVICES(DeviceStream* set_stream(DeviceStream*) noexcept)  // the one before
// What follows on this thread's stream waits for what lies on the other one.
GRADUS_ON_DEVICES(void wait_for(DeviceStream*))
// Waits for the stream; throws what its kernels found.
GRADUS_ON_DEVICES(void synchronize())

// ---- graphs: what is launched between begin and end is recorded, not run. Memory asked for in
// between belongs to the graph until it is destroyed. A call that waits for the device in between
// throws, and the capture is over.
struct DeviceGraph;
GRADUS_ON_DEVICES(void begin_capture())
GRADUS_ON_DEVICES(DeviceGraph* end_capture())
GRADUS_ON_DEVICES(void cancel_capture() noexcept)
GRADUS_ON_DEVICES(bool is_capturing() noexcept)
GRADUS_ON_DEVICES(void replay(DeviceGraph*))
GRADUS_ON_DEVICES(void destroy_graph(DeviceGraph*) noexcept)

// ---- what a kernel finds wrong (an index out of range) does not stop the device: the kernel notes
// it here and goes on, and the next call that waits throws "operation: rule: facts".
struct DeviceFinding {
  unsigned set = 0;
  const char* operation = nullptr;  // of static storage
  std::int64_t position = 0, index = 0, limit = 0;
};
// Where kernels of this thread's device note the first finding.
GRADUS_ON_DEVICES(DeviceFinding* findings())

}  // namespace gradus
