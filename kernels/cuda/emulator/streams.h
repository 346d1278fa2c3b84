// Emulated streams: queues of work, events between them, and the recording of graphs. Every
// function is called with the lock of the emulated devices held.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gradus/kernels/cuda/emulator/host.h"

namespace gradus::emulator {

using Work = std::function<void()>;
using Lock = std::unique_lock<std::mutex>;

// A point in a stream's queue. An event is the last one recorded.
struct Marker {
  Stream* stream;
  bool reached = false;
  std::chrono::steady_clock::time_point when{};
};

struct Operation {
  Work run;                                // may be empty
  std::shared_ptr<Marker> wait, signal{};  // may be null
};

struct Node {
  Work run;
  std::vector<std::size_t> after;  // nodes before it in the graph's list
};

struct Graph {
  std::vector<Node> nodes;
};

struct GraphExec {
  std::shared_ptr<const Graph> graph;
  std::shared_ptr<Marker> last;  // a graph runs once at a time
};

struct Capture {
  Stream* origin;
  std::thread::id thread;
  cudaStreamCaptureMode mode;
  bool invalid = false, over = false;
  Graph graph{};
};

// A place in a capture: the nodes that what follows comes after.
struct Tail {
  std::shared_ptr<Capture> capture;  // null: not capturing
  std::vector<std::size_t> nodes;
};

struct Stream {
  int device;
  std::deque<Operation> queue{};
  bool running = false;    // some thread has taken the first operation
  bool destroyed = false;  // goes when its work is done
  Tail tail{};

  bool idle() const { return queue.empty() && !running; }
};

struct Event {
  unsigned flags;
  std::shared_ptr<Marker> marker{};  // null: not recorded
  Tail tail{};                       // when recorded in a capture
};

class Streams {
 public:
  StreamOrder order = StreamOrder::lazy;
  std::mt19937_64 random{1};
  // Takes note of what work threw, and says whether a device still runs anything.
  std::function<void(int device, std::exception_ptr)> failed;
  std::function<bool(int device)> works;

  Stream* create(int device);
  void destroy(Stream* s);  // its work goes on
  bool knows(const Stream* s) const;
  std::size_t count() const;

  // Into the queue, or into the graph that is being captured.
  cudaError_t submit(Lock& lock, Stream& s, Operation operation);
  cudaError_t record(Lock& lock, Stream& s, Event& event);
  cudaError_t wait(Lock& lock, Stream& s, const Event& event);
  cudaError_t launch(Lock& lock, Stream& s, GraphExec& exec);

  void run_until_idle(Lock& lock, Stream& s);
  void run_until(Lock& lock, const Marker& marker);
  void run_all(Lock& lock, int device);
  void step(Lock& lock, Stream& s);  // the next operation that is needed for s to go on
  void drop_all();                   // forgets what is queued; nothing may be running

  cudaError_t begin_capture(Stream& s, cudaStreamCaptureMode mode);
  cudaError_t end_capture(Stream& s, std::unique_ptr<Graph>& graph);
  // Whether this thread may wait or allocate now; if not, the captures that forbid it are invalid.
  cudaError_t unsafe_call(cudaStreamCaptureMode mode);

 private:
  void some_step(Lock& lock);  // random order: of any stream
  void push(Lock& lock, Stream& s, Operation operation);
  void forget(const Stream* s);
  void close(Capture& capture);  // the caller holds a reference to it

  std::vector<std::unique_ptr<Stream>> all_;
  std::vector<std::shared_ptr<Capture>> captures_;
  std::condition_variable changed_;
};

// Runs the nodes in an order that their edges allow.
void run_graph(const Graph& graph, StreamOrder order, std::uint64_t seed);

}  // namespace gradus::emulator
