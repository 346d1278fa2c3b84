// What runtime.cu and memory.cu share: the state of the devices.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "gradus/kernels/cuda/gpu.h"
#include "gradus/kernels/cuda/runtime.h"
#include "gradus/kernels/size_class.h"

namespace gradus::GRADUS_GPU::runtime {

inline constexpr int max_devices = 16;  // a thread holds a stream of each

struct Device;
struct Graph;
struct Pool;
struct Stream;

// Memory of the device, live or in the list of its pool.
struct Block {
  void* data;
  int size_class;
  Pool* home;  // where it goes when it is freed
  Block* next = nullptr;
};

// Free blocks, ordered by a stream.
struct Pool {
  Stream* stream;
  Graph* graph = nullptr;  // whose they are; null: anybody's
  std::array<Block*, size_classes> free{};

  Block* take(int size_class) noexcept;
  void put(Block& block) noexcept;
};

struct Stream : DeviceStream {
  explicit Stream(Device& device);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  Device& device;
  cudaStream_t handle = nullptr;
  cudaEvent_t mark = nullptr;  // recorded to make another stream wait; under the device's mutex
  Pool cache{this};
};

// What follows on `after` waits for what lies on `before`, whose device is locked.
cudaError_t order(Stream& after, Stream& before) noexcept;

struct Graph : DeviceGraph {
  explicit Graph(Device& device);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  Pool& pool(Stream& s);  // for what the graph launches on s

  Stream stream;
  Stream* previous = nullptr;  // this thread's before the capture
  cudaGraphExec_t exec = nullptr;
  cudaEvent_t done = nullptr;  // the last replay
  std::vector<std::unique_ptr<Pool>> pools;
  Pool kept{&stream, this};  // blocks from before the capture, freed in it: it may use them
};

// Pinned memory in slots, for copies. A slot is free when its last copy is done.
class Staging {
 public:
  static constexpr std::int64_t slot_bytes = 256 << 10;
  class Slot {
   public:
    Slot(Slot&& other) noexcept : staging_(other.staging_), index_(other.index_) {
      other.staging_ = nullptr;
    }
    ~Slot();
    std::byte* data() const;
    void record(cudaStream_t stream, const char* what) const;  // its copy lies on the stream
    void wait(const char* what) const;

   private:
    friend class Staging;
    Slot(Staging* staging, std::size_t index) : staging_(staging), index_(index) {}
    Staging* staging_;
    std::size_t index_;
  };
  std::optional<Slot> take(bool wait);  // wait: until there is one

 private:
  static constexpr std::size_t slots = 32;
  void prepare();  // at the first copy

  std::mutex mutex_;
  std::condition_variable given_back_;
  std::byte* memory_ = nullptr;
  std::array<cudaEvent_t, slots> copied_{};
  std::array<bool, slots> taken_{};
  std::size_t next_ = 0;
};

struct Device {
  explicit Device(int index);  // the current one of this thread

  int index;
  Stream first{*this};
  DeviceFinding* finding = nullptr;  // pinned
  Staging staging;

  std::mutex mutex;                              // of what follows, and of all marks
  std::vector<std::unique_ptr<Stream>> streams;  // others than the first
  std::unordered_map<void*, Block> blocks;
  DeviceMemory memory;
};

// This thread's device; throws where there is none.
Device& here();
// Null before its first use.
Device* device_at(int index) noexcept;
// This thread's current stream on the device, and the graph it records there, or null.
Stream& current(Device& device) noexcept;
Graph* capture(const Device& device) noexcept;
// All blocks of a pool, live ones too, belong to another one from now on; the device is locked.
void hand_over(Device& device, Pool& from, Pool& to) noexcept;

// What a kernel found, as the Error that it means.
[[noreturn]] void throw_found(const DeviceFinding& found);

// Calls that a graph cannot hold are fine for this thread meanwhile: they are none of its steps.
class OutsideOfGraph {
 public:
  OutsideOfGraph() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~OutsideOfGraph() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  OutsideOfGraph(const OutsideOfGraph&) = delete;
  OutsideOfGraph& operator=(const OutsideOfGraph&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

}  // namespace gradus::GRADUS_GPU::runtime
