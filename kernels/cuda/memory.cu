// The caching allocator of a device.
#include <algorithm>
#include <atomic>
#include <string>

#include "gradus/kernels/cuda/device.h"
#include "gradus/kernels/error.h"

namespace gradus::GRADUS_GPU {
namespace runtime {
namespace {

constexpr std::int64_t alignment = 256;
std::atomic<std::int64_t> limits[max_devices];  // may be set before the device is used

std::int64_t bytes_of(const Block& block) { return class_bytes(block.size_class, alignment); }
std::int64_t held(const Device& d) { return d.memory.live + d.memory.cached + d.memory.graphs; }

void give_back(Device& d, Pool& pool) noexcept {
  for (int c = 0; c < size_classes; ++c)
    while (Block* block = pool.take(c)) {
      d.memory.cached -= bytes_of(*block);
      cudaFree(block->data);  // waits for what uses it
      d.blocks.erase(block->data);
    }
}
void trim(Device& d) noexcept {
  const OutsideOfGraph unaffected;
  give_back(d, d.first.cache);
  for (const auto& s : d.streams) give_back(d, s->cache);
}

[[noreturn]] void out_of_memory(const Device& d, std::int64_t bytes) {
  std::size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  const DeviceMemory& m = d.memory;
  std::string text = "allocate: out of memory: asked for " + std::to_string(bytes) +
                     " bytes on device " + std::to_string(d.index) + ", " + std::to_string(m.live) +
                     " live, " + std::to_string(m.graphs) + " of graphs, " +
                     std::to_string(m.cached) + " cached, " + std::to_string(free) + " free of " +
                     std::to_string(total);
  if (const std::int64_t limit = limits[d.index]) text += ", limit " + std::to_string(limit);
  throw OutOfMemory(text);
}

// A new block, from the driver.
Block& fresh(Device& d, int size_class, std::int64_t bytes, Pool& home) {
  const std::int64_t size = class_bytes(size_class, alignment);
  const std::int64_t limit = limits[d.index];
  if (limit != 0 && held(d) + size > limit) trim(d);
  if (limit != 0 && held(d) + size > limit) out_of_memory(d, bytes);
  const OutsideOfGraph unaffected;
  void* data = nullptr;
  cudaError_t status = cudaMalloc(&data, static_cast<std::size_t>(size));
  if (status == cudaErrorMemoryAllocation) {  // once more without what we hold back
    cudaGetLastError();
    trim(d);
    status = cudaMalloc(&data, static_cast<std::size_t>(size));
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      out_of_memory(d, bytes);
    }
  }
  check(status, "allocate");
  try {
    return d.blocks.emplace(data, Block{data, size_class, &home}).first->second;
  } catch (...) {
    cudaFree(data);
    throw;
  }
}

// A block that another stream keeps; s waits for that stream. Null: there is none.
Block* borrow(Device& d, Stream& s, int size_class) {
  const auto from = [&](Stream& other) -> Block* {
    if (&other == &s || !other.cache.free[static_cast<std::size_t>(size_class)]) return nullptr;
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    check(cudaStreamIsCapturing(other.handle, &status), "allocate");
    if (status != cudaStreamCaptureStatusNone) return nullptr;
    check(order(s, other), "allocate");
    return other.cache.take(size_class);
  };
  if (Block* block = from(d.first)) return block;
  for (const auto& other : d.streams)
    if (Block* block = from(*other)) return block;
  return nullptr;
}

Device* device_of(const void* data) noexcept {
  for (int i = 0; i < max_devices; ++i)
    if (Device* d = device_at(i)) {
      const std::lock_guard lock(d->mutex);
      if (d->blocks.count(const_cast<void*>(data))) return d;
    }
  return nullptr;
}

}  // namespace

Block* Pool::take(int size_class) noexcept {
  Block*& first = free[static_cast<std::size_t>(size_class)];
  Block* const block = first;
  if (block) first = block->next;
  return block;
}

void Pool::put(Block& block) noexcept {
  Block*& first = free[static_cast<std::size_t>(block.size_class)];
  block.next = first;
  first = &block;
}

void hand_over(Device& d, Pool& from, Pool& to) noexcept {
  for (int c = 0; c < size_classes; ++c)
    while (Block* block = from.take(c)) {
      (from.graph ? d.memory.graphs : d.memory.cached) -= bytes_of(*block);
      (to.graph ? d.memory.graphs : d.memory.cached) += bytes_of(*block);
      to.put(*block);
    }
  for (auto& [data, block] : d.blocks)
    if (block.home == &from) block.home = &to;
}

}  // namespace runtime

using namespace runtime;

void* allocate(std::int64_t bytes) {
  Device& d = here();
  const std::lock_guard lock(d.mutex);
  const int c = size_class(bytes, alignment);
  Stream& s = current(d);
  Graph* const graph = capture(d);
  Pool& pool = graph ? graph->pool(s) : s.cache;
  Block* block = pool.take(c);
  if (!block && !graph) block = borrow(d, s, c);
  if (block)
    (graph ? d.memory.graphs : d.memory.cached) -= bytes_of(*block);
  else
    block = &fresh(d, c, bytes, pool);
  block->home = &pool;
  d.memory.live += bytes_of(*block);
  d.memory.peak = std::max(d.memory.peak, d.memory.live);
  ++d.memory.blocks;
#ifndef __CUDACC__  // a failure is the device's, and its next call says so
  static_cast<void>(emulator::enqueue_lend(block->data, static_cast<std::size_t>(bytes), s.handle));
#endif
  return block->data;
}

void deallocate(void* data, std::int64_t) noexcept {
  Device* const d = data ? device_of(data) : nullptr;
  if (!d) return;
  const std::lock_guard lock(d->mutex);
  Block& block = d->blocks.at(data);
  Graph* const graph = capture(*d);
  if (graph && block.home->graph != graph) {
    block.home = &graph->kept;
  } else {
    // Of a graph that is recorded no more: the first stream will have it.
    Stream& next = block.home->graph == graph ? *block.home->stream : d->first;
    if (Stream& s = current(*d); &s != &next) order(next, s);
  }
  block.home->put(block);
  (block.home->graph ? d->memory.graphs : d->memory.cached) += bytes_of(block);
  d->memory.live -= bytes_of(block);
  --d->memory.blocks;
}

DeviceMemory memory(int device) noexcept {
  Device* const d = device_at(device);
  if (!d) return {};
  const std::lock_guard lock(d->mutex);
  return d->memory;
}

void reset_peak(int device) noexcept {
  Device* const d = device_at(device);
  if (!d) return;
  const std::lock_guard lock(d->mutex);
  d->memory.peak = d->memory.live;
}

void release_cached(int device) noexcept {
  Device* const d = device_at(device);
  if (!d) return;
  const std::lock_guard lock(d->mutex);
  trim(*d);
}

void set_memory_limit(int device, std::int64_t bytes) noexcept {
  if (device >= 0 && device < max_devices) limits[device] = bytes > 0 ? bytes : 0;
}

}  // namespace gradus::GRADUS_GPU
