#include "gradus/kernels/cuda/emulator/streams.h"

#include <algorithm>

namespace gradus::emulator {
namespace {

void merge(std::vector<std::size_t>& into, const std::vector<std::size_t>& nodes) {
  into.insert(into.end(), nodes.begin(), nodes.end());
  std::sort(into.begin(), into.end());
  into.erase(std::unique(into.begin(), into.end()), into.end());
}

// Whether the end of the graph comes after all of its nodes.
bool joined(const Graph& graph, const std::vector<std::size_t>& end) {
  std::vector<bool> reached(graph.nodes.size());
  for (const std::size_t i : end) reached[i] = true;
  for (std::size_t i = graph.nodes.size(); i-- > 0;)
    if (reached[i])
      for (const std::size_t before : graph.nodes[i].after) reached[before] = true;
  return std::find(reached.begin(), reached.end(), false) == reached.end();
}

}  // namespace

void run_graph(const Graph& graph, StreamOrder order, std::uint64_t seed) {
  const std::size_t n = graph.nodes.size();
  std::mt19937_64 random(seed);
  std::vector<std::size_t> missing(n);  // nodes that have to run first
  std::vector<std::vector<std::size_t>> next(n);
  std::vector<std::size_t> ready;
  for (std::size_t i = 0; i < n; ++i) {
    missing[i] = graph.nodes[i].after.size();
    for (const std::size_t before : graph.nodes[i].after) next[before].push_back(i);
    if (missing[i] == 0) ready.push_back(i);
  }
  while (!ready.empty()) {
    // Lazy: what was issued first is as late as the edges allow.
    auto at = order == StreamOrder::eager ? std::min_element(ready.begin(), ready.end())
                                          : std::max_element(ready.begin(), ready.end());
    if (order == StreamOrder::random)
      at = ready.begin() + static_cast<std::ptrdiff_t>(random() % ready.size());
    const std::size_t node = *at;
    ready.erase(at);
    graph.nodes[node].run();
    for (const std::size_t i : next[node])
      if (--missing[i] == 0) ready.push_back(i);
  }
}

Stream* Streams::create(int device) {
  all_.push_back(std::make_unique<Stream>(Stream{device}));
  return all_.back().get();
}

void Streams::destroy(Stream* s) {
  if (const auto capture = s->tail.capture) {
    capture->invalid = true;
    if (capture->origin == s) close(*capture);
  }
  s->destroyed = true;
  if (s->idle()) forget(s);
}

void Streams::forget(const Stream* s) {
  std::erase_if(all_, [s](const auto& other) { return other.get() == s; });
}

bool Streams::knows(const Stream* s) const {
  return std::any_of(all_.begin(), all_.end(),
                     [s](const auto& other) { return other.get() == s && !other->destroyed; });
}

std::size_t Streams::count() const {
  return static_cast<std::size_t>(
      std::count_if(all_.begin(), all_.end(), [](const auto& s) { return !s->destroyed; }));
}

// ---- queues

void Streams::step(Lock& lock, Stream& s) {
  if (s.running) return changed_.wait(lock);  // in another thread
  if (s.queue.empty()) return;
  if (const auto wait = s.queue.front().wait; wait && !wait->reached)
    return step(lock, *wait->stream);
  const Operation operation = std::move(s.queue.front());
  s.queue.pop_front();
  s.running = true;
  if (operation.run && works(s.device)) {
    lock.unlock();
    std::exception_ptr thrown;
    try {
      operation.run();
    } catch (...) {
      thrown = std::current_exception();
    }
    lock.lock();
    if (thrown) failed(s.device, thrown);
  }
  s.running = false;
  if (operation.signal) {
    operation.signal->reached = true;
    operation.signal->when = std::chrono::steady_clock::now();
  }
  if (s.destroyed && s.idle()) forget(&s);
  changed_.notify_all();
}

void Streams::some_step(Lock& lock) {
  std::vector<Stream*> busy;
  for (const auto& s : all_)
    if (!s->queue.empty()) busy.push_back(s.get());
  if (!busy.empty()) step(lock, *busy[random() % busy.size()]);
}

void Streams::run_until_idle(Lock& lock, Stream& s) {
  while (!s.idle()) {
    if (order == StreamOrder::random && random() % 2) some_step(lock);
    if (!s.idle()) step(lock, s);
  }
}

void Streams::run_until(Lock& lock, const Marker& marker) {
  while (!marker.reached) {
    if (order == StreamOrder::random && random() % 2) some_step(lock);
    if (!marker.reached) step(lock, *marker.stream);
  }
}

void Streams::run_all(Lock& lock, int device) {
  // Streams come and go while the lock is released, hence no iteration over them.
  const auto busy = [&] {
    return std::find_if(all_.begin(), all_.end(),
                        [&](const auto& s) { return s->device == device && !s->idle(); });
  };
  for (auto s = busy(); s != all_.end(); s = busy()) step(lock, **s);
}

void Streams::drop_all() {
  for (const auto& s : all_) {
    for (const Operation& operation : s->queue)
      if (operation.signal) operation.signal->reached = true;
    s->queue.clear();
    s->tail = {};
  }
  std::erase_if(all_, [](const auto& s) { return s->destroyed; });
  captures_.clear();
}

void Streams::push(Lock& lock, Stream& s, Operation operation) {
  s.queue.push_back(std::move(operation));
  if (order == StreamOrder::eager) run_until_idle(lock, s);
  if (order == StreamOrder::random)
    while (random() % 2) some_step(lock);
}

cudaError_t Streams::submit(Lock& lock, Stream& s, Operation operation) {
  if (!s.tail.capture) {
    push(lock, s, std::move(operation));
    return cudaSuccess;
  }
  if (s.tail.capture->invalid) return cudaErrorStreamCaptureInvalidated;
  std::vector<Node>& nodes = s.tail.capture->graph.nodes;
  nodes.push_back({std::move(operation.run), s.tail.nodes});
  s.tail.nodes = {nodes.size() - 1};
  return cudaSuccess;
}

// ---- events

cudaError_t Streams::record(Lock& lock, Stream& s, Event& event) {
  if (s.tail.capture && s.tail.capture->invalid) return cudaErrorStreamCaptureInvalidated;
  event.tail = s.tail;
  event.marker = nullptr;
  if (s.tail.capture) return cudaSuccess;
  event.marker = std::make_shared<Marker>(Marker{&s});
  push(lock, s, {nullptr, nullptr, event.marker});
  return cudaSuccess;
}

cudaError_t Streams::wait(Lock& lock, Stream& s, const Event& event) {
  const std::shared_ptr<Capture> theirs = event.tail.capture, ours = s.tail.capture;
  if ((theirs && theirs->invalid) || (ours && ours->invalid))
    return cudaErrorStreamCaptureInvalidated;
  if (!theirs && !event.marker) return cudaSuccess;  // never recorded
  if (!theirs && !ours) {
    if (!event.marker->reached) push(lock, s, {nullptr, event.marker, nullptr});
    return cudaSuccess;
  }
  if (theirs && theirs->over) return cudaErrorCapturedEvent;
  if (!theirs) {  // a graph cannot wait for what lies outside of it
    ours->invalid = true;
    return cudaErrorStreamCaptureIsolation;
  }
  if (ours && ours != theirs) {
    ours->invalid = theirs->invalid = true;
    return cudaErrorStreamCaptureMerge;
  }
  s.tail.capture = theirs;
  merge(s.tail.nodes, event.tail.nodes);
  return cudaSuccess;
}

// ---- graphs

cudaError_t Streams::begin_capture(Stream& s, cudaStreamCaptureMode mode) {
  if (s.tail.capture) return cudaErrorIllegalState;
  captures_.push_back(std::make_shared<Capture>(Capture{&s, std::this_thread::get_id(), mode}));
  s.tail = {captures_.back(), {}};
  return cudaSuccess;
}

void Streams::close(Capture& capture) {
  capture.over = true;
  for (const auto& s : all_)
    if (s->tail.capture.get() == &capture) s->tail = {};
  std::erase_if(captures_, [&](const auto& other) { return other.get() == &capture; });
}

cudaError_t Streams::end_capture(Stream& s, std::unique_ptr<Graph>& graph) {
  const std::shared_ptr<Capture> capture = s.tail.capture;
  if (!capture) return cudaErrorIllegalState;
  if (capture->origin != &s) {
    capture->invalid = true;
    return cudaErrorStreamCaptureUnmatched;
  }
  if (capture->mode != cudaStreamCaptureModeRelaxed &&
      capture->thread != std::this_thread::get_id())
    return cudaErrorStreamCaptureWrongThread;
  const std::vector<std::size_t> end = s.tail.nodes;
  close(*capture);
  if (capture->invalid) return cudaErrorStreamCaptureInvalidated;
  if (!joined(capture->graph, end)) return cudaErrorStreamCaptureUnjoined;
  graph = std::make_unique<Graph>(std::move(capture->graph));
  return cudaSuccess;
}

cudaError_t Streams::launch(Lock& lock, Stream& s, GraphExec& exec) {
  const Work run = [graph = exec.graph, order = order, seed = random()] {
    run_graph(*graph, order, seed);
  };
  if (s.tail.capture) return submit(lock, s, {run, nullptr, nullptr});
  const auto before = exec.last;
  exec.last = std::make_shared<Marker>(Marker{&s});
  return submit(lock, s, {run, before, exec.last});
}

cudaError_t Streams::unsafe_call(cudaStreamCaptureMode mode) {
  if (mode == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  cudaError_t status = cudaSuccess;
  for (const auto& capture : captures_) {
    const bool own = capture->thread == std::this_thread::get_id();
    if ((own && capture->mode != cudaStreamCaptureModeRelaxed) ||
        (mode == cudaStreamCaptureModeGlobal && capture->mode == cudaStreamCaptureModeGlobal)) {
      capture->invalid = true;
      status = cudaErrorStreamCaptureUnsupported;
    }
  }
  return status;
}

}  // namespace gradus::emulator
