#include "gradus/autograd/graph.h"

#include <cmath>
#include <vector>

#include "gradus/autograd/walk.h"
#include "gradus/tensor/copy.h"

namespace gradus {
namespace {

// What this thread is doing.
struct Mode {
  bool recording = true;
  bool checking = false;
  bool tracing = false;
  std::int64_t saved_bytes = 0;
  const Node* walking = nullptr;  // the node whose rule runs
};
// Read several times in every operation, hence the quick model.
[[gnu::tls_model("initial-exec")]] thread_local Mode mode;

// Nodes whose last reference is gone, waiting to be destroyed: a long chain is released by a loop,
// not by recursion. Releasing may not fail, so the list runs through the nodes.
struct Graveyard {
  Node* first = nullptr;
  bool draining = false;
};
[[gnu::tls_model("initial-exec")]] thread_local Graveyard graveyard;

class LeafNode final : public Node {
 public:
  LeafNode() : Node(true) { name = "leaf"; }
  void backward(const Tensor&, const bool*, Tensor*) override {}
  int edge_count() const noexcept override { return 0; }
  Ref<Node>* edges() noexcept override { return nullptr; }
};

class CutNode final : public Node {
 public:
  CutNode(const Tensor* const* inputs, int count) {
    cut = true;
    for (int i = 0; i < count; ++i)
      if (inputs[i]->impl().node) edges_.push_back(inputs[i]->impl().node);
  }
  void backward(const Tensor&, const bool*, Tensor*) override {}
  int edge_count() const noexcept override { return static_cast<int>(edges_.size()); }
  Ref<Node>* edges() noexcept override { return edges_.data(); }

 private:
  std::vector<Ref<Node>> edges_;
};

std::string place(Here here) {
  std::ostringstream text;
  text << here.file << ':' << here.line;
  return text.str();
}

bool all_finite(const Tensor& t) {
  if (!is_floating(t.dtype())) return true;
  const Tensor x = detail::moved(t, Device::cpu);
  return with_any(t.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* p = x.data<T>();
    for (std::int64_t i = 0; i < x.numel(); ++i)
      if (!std::isfinite(static_cast<double>(static_cast<computed<T>>(p[i])))) return false;
    return true;
  });
}

}  // namespace

void retain(Node* n) noexcept { n->add_reference(); }

bool is_leaf(const Node* n) noexcept { return n->is_leaf(); }

void release(Node* n) noexcept {
  if (!n->drop_reference()) return;
  Graveyard& g = graveyard;
  if (g.draining) {
    n->next_ = std::exchange(g.first, n);
    return;
  }
  g.draining = true;
  delete n;
  while (Node* next = g.first) {
    g.first = next->next_;
    delete next;
  }
  g.draining = false;
}

NoGrad::NoGrad() noexcept : before_(std::exchange(mode.recording, false)) {}
NoGrad::~NoGrad() { mode.recording = before_; }
bool is_recording() noexcept { return mode.recording; }

AnomalyMode::AnomalyMode() noexcept : before_(std::exchange(mode.checking, true)) {}
AnomalyMode::~AnomalyMode() { mode.checking = before_; }

namespace detail {
StepsScope::StepsScope() noexcept : before_(std::exchange(mode.checking, false)) {}
StepsScope::~StepsScope() { mode.checking = before_; }
}  // namespace detail

TraceCuts::TraceCuts() noexcept : before_(std::exchange(mode.tracing, true)) {}
TraceCuts::~TraceCuts() { mode.tracing = before_; }

Saved::Saved(const Tensor& t)
    : tensor_(t), storage_(t.impl().storage.get()), version_(storage_->version()) {
  mode.saved_bytes += t.bytes();
}

namespace {

[[noreturn]] void stale(const Tensor& t) {
  const Node* n = mode.walking;
  fail("grad: a tensor of shape ", t.shape(), " that ", n ? n->name : "an operation", " saved",
       n ? " at " + place(n->here) : "", " was changed at ", place(t.impl().storage->last_write()),
       " before its gradient was computed");
}

}  // namespace

const Tensor& Saved::get() const {
  const Storage* now = tensor_.impl().storage.get();
  if (now != storage_ || now->version() != version_) stale(tensor_);
  return tensor_;
}

namespace detail {

std::int64_t take_saved_bytes() noexcept { return std::exchange(mode.saved_bytes, 0); }
bool active(const Tensor& t) noexcept { return mode.recording && t.handle()->node; }
bool tracing() noexcept { return mode.tracing; }
bool checking() noexcept { return mode.checking; }

void check_result(const char* name, Here here, const Tensor& y) {
  if (all_finite(y)) return;
  if (const Node* n = mode.walking)
    throw NumericError(std::string("gradient of ") + n->name +
                       ": made a NaN or an infinity; recorded at " + place(n->here));
  throw NumericError(std::string(name) + ": made a NaN or an infinity at " + place(here));
}

void trace_cut(const char* name, Here here, Tensor& y, const Tensor* const* inputs, int count) {
  bool any = false;
  for (int i = 0; i < count; ++i) any = any || inputs[i]->impl().node;
  if (!any || y.impl().node) return;
  auto* node = new CutNode(inputs, count);
  node->name = name;
  node->here = here;
  y.impl().node = Ref<Node>::adopt(node);
}

void Kept::keep(const Tensor& y) {
  tensor_ = y.alias(y.shape(), y.strides(), y.impl().offset);
  version_ = y.impl().storage->version();
}

Tensor Kept::attached(Node& node) const {
  if (tensor_.impl().storage->version() != version_) stale(tensor_);
  if (!mode.recording) return tensor_;
  Tensor y = tensor_.alias(tensor_.shape(), tensor_.strides(), tensor_.impl().offset);
  y.impl().node = Ref<Node>(&node);
  return y;
}

}  // namespace detail

Tensor& Tensor::requires_grad_(bool on) {
  TensorImpl& t = impl();
  require(!t.node || t.node->is_leaf(), "requires_grad_: the tensor is the result of ",
          t.node ? t.node->name : "", "; detach() it first");
  if (!on) {
    t.node = {};
  } else if (!t.node) {
    require(is_floating(t.dtype), "requires_grad_: only floating tensors have gradients, got ",
            t.dtype);
    t.node = Ref<Node>::adopt(new LeafNode);
  }
  return *this;
}

std::int64_t saved_bytes(const Tensor& t) noexcept {
  return t.defined() && t.impl().node ? t.impl().node->saved_bytes : 0;
}

namespace detail {
RuleScope::RuleScope(const Node* n) noexcept : before_(std::exchange(mode.walking, n)) {}
RuleScope::~RuleScope() { mode.walking = before_; }
RecordingScope::RecordingScope(bool on) noexcept : before_(std::exchange(mode.recording, on)) {}
RecordingScope::~RecordingScope() { mode.recording = before_; }
}  // namespace detail

}  // namespace gradus
