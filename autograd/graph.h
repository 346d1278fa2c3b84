// The graph: operations record a node each; grad() walks the nodes between an output and its
// inputs.
//
//   Tensor matmul(At a, At b) {
//     Tensor y = ...;
//     return record("matmul", a.here, y,
//                   wrt(a, [b = saved(b)](const Tensor& g) { return matmul(g, b->t()); }),
//                   wrt(b, [a = saved(a)](const Tensor& g) { return matmul(a->t(), g); }));
//   }
//
// A rule is written in operations, so it can be differentiated again. It may take the output too,
// [](const Tensor& g, const Tensor& y): the node then keeps y's storage, never its own handle.
#pragma once

#include <optional>
#include <tuple>
#include <vector>

#include "gradus/tensor/tensor.h"

namespace gradus {

// ---- recording ----------------------------------------------------------------------------------

// While one is alive, operations of this thread record nothing.
class GRADUS_API NoGrad {
 public:
  NoGrad() noexcept;
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool before_;
};
// Whether operations of this thread record: not under NoGrad, and in a rule only with create_graph.
GRADUS_API bool is_recording() noexcept;

// While one is alive, every operation of this thread, forward and backward, is checked: the first
// that makes a NaN or an infinity throws NumericError with its name, file and line.
class GRADUS_API AnomalyMode {
 public:
  AnomalyMode() noexcept;
  ~AnomalyMode();
  AnomalyMode(const AnomalyMode&) = delete;
  AnomalyMode& operator=(const AnomalyMode&) = delete;

 private:
  bool before_;
};

// While one is alive, operations that pass no gradient on (detach, comparisons, anything under
// NoGrad) remember where they cut a path, for audit(). It keeps their inputs' graphs alive.
class GRADUS_API TraceCuts {
 public:
  TraceCuts() noexcept;
  ~TraceCuts();
  TraceCuts(const TraceCuts&) = delete;
  TraceCuts& operator=(const TraceCuts&) = delete;

 private:
  bool before_;
};

// ---- nodes --------------------------------------------------------------------------------------

// What an operation leaves for the walk: its rules, and the nodes of its inputs.
class GRADUS_API Node : public Counted, public SmallObject {
 public:
  virtual ~Node() = default;

  // Writes the gradient of each input i with wanted[i] to out[i]. g: gradient of the output.
  virtual void backward(const Tensor& g, const bool* wanted, Tensor* out) = 0;
  virtual int edge_count() const noexcept = 0;
  // The node of an input, null where the input is not part of a graph.
  virtual Ref<Node>* edges() noexcept = 0;

  const char* name = "";         // of the operation
  Here here{"", 0};              // its caller
  std::int64_t saved_bytes = 0;  // kept for the rule
  bool cut = false;              // passes no gradient: recorded for audit only
  bool is_leaf() const noexcept { return leaf_; }

 protected:
  explicit Node(bool leaf = false) : leaf_(leaf) {}

 private:
  friend void release(Node*) noexcept;
  Node* next_ = nullptr;  // of those that wait to be destroyed
  bool leaf_;
};

// What a rule keeps of a tensor: the handle and its version, checked on use.
class GRADUS_API Saved {
 public:
  explicit Saved(const Tensor& t);
  const Tensor& get() const;  // throws when the tensor was changed, naming both places
  const Tensor& operator*() const { return get(); }
  const Tensor* operator->() const { return &get(); }

 private:
  Tensor tensor_;
  const Storage* storage_;  // nn::to may put another one behind the handle
  std::uint32_t version_;
};
inline Saved saved(const Tensor& t) { return Saved(t); }
inline Saved saved(const At& a) { return Saved(a.tensor); }

namespace detail {

GRADUS_API std::int64_t take_saved_bytes() noexcept;  // noted by Saved since the last call
GRADUS_API bool active(const Tensor& t) noexcept;     // part of a graph, and recording
// Anomaly check and cuts, for every result; returns it.
GRADUS_API void check_result(const char* name, Here here, const Tensor& y);
GRADUS_API bool tracing() noexcept;
GRADUS_API bool checking() noexcept;
GRADUS_API void trace_cut(const char* name, Here here, Tensor& y, const Tensor* const* inputs,
                          int count);

// The output as a node keeps it.
class GRADUS_API Kept {
 public:
  void keep(const Tensor& y);
  Tensor attached(Node& node) const;  // with its node again where a graph is being recorded
 private:
  Tensor tensor_;
  std::uint32_t version_ = 0;
};

template <class Rule>
inline constexpr bool takes_output = std::is_invocable_v<const Rule&, const Tensor&, const Tensor&>;

}  // namespace detail

// An input with its rule: Tensor rule(g) or rule(g, y), of the input's shape and dtype. Here that
// is not checked, check_gradients() finds it; custom() checks.
template <class Rule>
struct Wrt {
  const Tensor& input;
  Rule rule;
  std::int64_t saved_bytes;
};
template <class Rule>
Wrt<Rule> wrt(const Tensor& input, Rule rule) {
  return {input, std::move(rule), detail::take_saved_bytes()};
}
template <class Rule>
Wrt<Rule> wrt(const At& input, Rule rule) {
  return wrt(input.tensor, std::move(rule));
}

namespace detail {

template <class... Rules>
class RuleNode final : public Node {
 public:
  static constexpr int count = sizeof...(Rules);
  static constexpr bool keeps_output = (takes_output<Rules> || ...);

  explicit RuleNode(const Tensor& y, Wrt<Rules>&&... inputs)
      : edges_{inputs.input.impl().node...}, rules_{keep(std::move(inputs))...} {
    if constexpr (keeps_output) {
      kept_.keep(y);
      saved_bytes += y.bytes();
    }
  }
  void backward(const Tensor& g, const bool* wanted, Tensor* out) override {
    std::optional<Tensor> y;
    if constexpr (keeps_output) y = kept_.attached(*this);
    std::apply(
        [&, i = 0](auto&... rule) mutable { ((run(rule, g, y, wanted[i], out[i]), ++i), ...); },
        rules_);
  }
  int edge_count() const noexcept override { return count; }
  Ref<Node>* edges() noexcept override { return edges_; }

 private:
  // The rule of an input outside of the graph is dropped, with all that it saved.
  template <class Rule>
  std::optional<Rule> keep(Wrt<Rule>&& w) {
    if (!w.input.impl().node) return {};
    saved_bytes += w.saved_bytes;
    return std::move(w.rule);
  }
  template <class Rule>
  static void run(std::optional<Rule>& rule, const Tensor& g, const std::optional<Tensor>& y,
                  bool wanted, Tensor& out) {
    if (!wanted || !rule) return;
    if constexpr (takes_output<Rule>)
      out = (*rule)(g, *y);
    else
      out = (*rule)(g);
  }

  Ref<Node> edges_[count];
  std::tuple<std::optional<Rules>...> rules_;
  [[no_unique_address]] std::conditional_t<keeps_output, Kept, std::tuple<>> kept_;
};

// All inputs in one rule: rule(g, y, wanted, out) fills out[i] where wanted[i].
template <class Rule>
class JointNode final : public Node {
 public:
  JointNode(const Tensor& y, bool keep_output, const Tensor* const* inputs, int count, Rule rule)
      : rule_(std::move(rule)), edges_(static_cast<std::size_t>(count)) {
    for (int i = 0; i < count; ++i) edges_[static_cast<std::size_t>(i)] = inputs[i]->impl().node;
    saved_bytes = take_saved_bytes();
    if (keep_output) {
      kept_.emplace().keep(y);
      saved_bytes += y.bytes();
    }
  }
  void backward(const Tensor& g, const bool* wanted, Tensor* out) override {
    rule_(g, kept_ ? kept_->attached(*this) : Tensor(), wanted, out);
  }
  int edge_count() const noexcept override { return static_cast<int>(edges_.size()); }
  Ref<Node>* edges() noexcept override { return edges_.data(); }

 private:
  Rule rule_;
  std::vector<Ref<Node>> edges_;
  std::optional<Kept> kept_;
};

}  // namespace detail

// Gives y, a new tensor, a node when an input has one and this thread records; returns it. `name`
// must live as long as the graph (a literal).
template <class... Rules>
Tensor record(const char* name, Here here, Tensor y, Wrt<Rules>... inputs) {
  if ((detail::active(inputs.input) || ...)) {
    auto* node = new detail::RuleNode<Rules...>(y, std::move(inputs)...);
    node->name = name;
    node->here = here;
    y.impl().node = Ref<Node>::adopt(node);
  } else if (detail::tracing()) {
    const Tensor* list[] = {&inputs.input...};
    detail::trace_cut(name, here, y, list, static_cast<int>(sizeof...(Rules)));
  }
  if (detail::checking()) detail::check_result(name, here, y);
  return y;
}

// The same with one rule for all inputs: rule(g, y, wanted, out); y only with keep_output.
template <class Rule>
Tensor record_joint(const char* name, Here here, Tensor y, const Tensor* const* inputs, int count,
                    bool keep_output, Rule rule) {
  bool any = false;
  for (int i = 0; i < count; ++i) any = any || detail::active(*inputs[i]);
  if (any) {
    auto* node = new detail::JointNode<Rule>(y, keep_output, inputs, count, std::move(rule));
    node->name = name;
    node->here = here;
    y.impl().node = Ref<Node>::adopt(node);
  } else {
    detail::take_saved_bytes();
    if (detail::tracing()) detail::trace_cut(name, here, y, inputs, count);
  }
  if (detail::checking()) detail::check_result(name, here, y);
  return y;
}

// For operations without a derivative (comparisons, argmax): nothing to record, but the path that
// ends here is known to audit().
inline Tensor record_nothing(const char* name, Here here, Tensor y,
                             std::initializer_list<const Tensor*> inputs) {
  if (detail::tracing()) [[unlikely]]
    detail::trace_cut(name, here, y, inputs.begin(), static_cast<int>(inputs.size()));
  return y;
}

// ---- gradients ----------------------------------------------------------------------------------

struct GradOptions {
  Tensor grad_output = {};    // of the output's shape; may be left out for an output of one element
  bool create_graph = false;  // record the walk, so that the gradients can be differentiated
  bool allow_unused =
      false;  // zeros for an input the output does not depend on, instead of an error
};

// d output / d inputs, each of its input's shape and dtype, in memory of its own (with create_graph
// one may be a view of another, with strides of 0: read only). The graph stays, and can be walked
// again. Errors: an output or input outside of any graph; an input that the output does not depend
// on; a tensor changed since an operation saved it.
GRADUS_API std::vector<Tensor> grad(const Tensor& output, const std::vector<Tensor>& inputs,
                                    const GradOptions& options = {}, Here here = Here::now());
// The same, releasing the graph on the way where nobody else holds it: less memory at the peak.
GRADUS_API std::vector<Tensor> grad(Tensor&& output, const std::vector<Tensor>& inputs,
                                    const GradOptions& options = {}, Here here = Here::now());

namespace detail {
// The gradients of definition(inputs) by its own graph, for rules of fused operations when a graph
// is recorded: out[i] where wanted[i]. The walk ends at the inputs.
GRADUS_API void differentiate(const Tensor& y, const std::vector<Tensor>& inputs, const Tensor& g,
                              const bool* wanted, Tensor* out);
}  // namespace detail

// Bytes that the node of the last operation keeps for its rules (not those before it); 0 outside of
// a graph.
GRADUS_API std::int64_t saved_bytes(const Tensor&) noexcept;

struct AuditEntry {
  std::size_t parameter;  // index into the list
  bool reached;           // a path of derivatives leads from the loss to it
  std::string reason;     // where the path ends: operation, file and line; or that there is none
};
// Which parameters get a gradient from this loss. What cut a path is known for operations that ran
// under TraceCuts.
GRADUS_API std::vector<AuditEntry> audit(const Tensor& loss, const std::vector<Tensor>& parameters);

}  // namespace gradus
