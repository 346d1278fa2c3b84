// The walk: from an output back to the inputs, each node once, after everything that uses it.
#include <algorithm>
#include <bit>
#include <utility>

#include "gradus/autograd/ops.h"
#include "gradus/autograd/walk.h"
#include "gradus/tensor/copy.h"

namespace gradus {
namespace {

// The nodes of a walk, found by pointer: open addressing, because the map of the standard library
// would cost more than a small operation.
class Index {
 public:
  explicit Index(std::size_t expected) { table_.resize(std::bit_ceil(2 * expected + 16)); }
  // The number of a node, or -1.
  int find(const Node* n) const { return table_[slot(n)].number; }
  void insert(const Node* n, int number) {
    if (2 * ++count_ > table_.size()) grow();
    table_[slot(n)] = {n, number};
  }

 private:
  struct Entry {
    const Node* node = nullptr;
    int number = -1;
  };
  std::size_t slot(const Node* n) const {
    const std::size_t mask = table_.size() - 1;
    std::size_t i = (reinterpret_cast<std::uintptr_t>(n) >> 4) * 0x9e3779b97f4a7c15u >> 20 & mask;
    while (table_[i].node && table_[i].node != n) i = (i + 1) & mask;
    return i;
  }
  void grow() {
    std::vector<Entry> old(2 * table_.size());
    old.swap(table_);
    for (const Entry& e : old)
      if (e.node) table_[slot(e.node)] = e;
  }
  std::vector<Entry> table_;
  std::size_t count_ = 0;
};

struct Visit {
  Ref<Node> node;
  Tensor gradient;     // summed so far
  int consumers = 0;   // that lead to an input and have not been walked yet
  int first_edge = 0;  // into Walk::edges
  bool target = false;
  bool opened = false;  // its edges are listed
  bool leads = false;   // to a target
};

class Walk {
 public:
  // `stop`: nodes beyond the targets are not looked at.
  Walk(const Ref<Node>& root, const std::vector<Ref<Node>>& targets, bool stop)
      : index_(targets.size()) {
    visits_.reserve(targets.size() + 28);
    edges_.reserve(48);
    for (const Ref<Node>& t : targets)
      if (index_.find(t.get()) < 0) visits_[static_cast<std::size_t>(add(t))].target = true;
    collect(root, stop);
  }

  void run(const Tensor& seed, bool create_graph, bool release) {
    visits_[static_cast<std::size_t>(root_)].gradient = seed;
    std::vector<int> ready{root_};
    ready.reserve(16);
    std::vector<Tensor> out;
    while (!ready.empty()) {
      const int at = ready.back();
      ready.pop_back();
      step(at, create_graph, release, out, ready);
    }
  }
  bool reached(const Node* target) const { return visit(target).gradient.defined(); }
  const Tensor& gradient(const Node* target) const { return visit(target).gradient; }

 private:
  const Visit& visit(const Node* n) const {
    return visits_[static_cast<std::size_t>(index_.find(n))];
  }
  int add(const Ref<Node>& n) {
    const int number = static_cast<int>(visits_.size());
    visits_.emplace_back().node = n;
    index_.insert(n.get(), number);
    return number;
  }

  // Depth first, without recursion: numbers the edges, marks what leads to a target, counts
  // consumers.
  void collect(const Ref<Node>& root, bool stop) {
    struct Frame {
      int visit, next;
    };
    std::vector<Frame> stack;
    stack.reserve(16);
    auto open = [&](int v) {
      Visit& visit = visits_[static_cast<std::size_t>(v)];
      if (std::exchange(visit.opened, true)) return;
      visit.leads = visit.target;
      visit.first_edge = static_cast<int>(edges_.size());
      const bool end = visit.node->cut || (stop && visit.target);
      if (!end)
        edges_.resize(edges_.size() + static_cast<std::size_t>(visit.node->edge_count()), -1);
      if (!end) stack.push_back({v, 0});
    };
    root_ = index_.find(root.get());
    if (root_ < 0) root_ = add(root);
    open(root_);
    while (!stack.empty()) {
      Frame& frame = stack.back();
      const int v = frame.visit;
      Node& node = *visits_[static_cast<std::size_t>(v)].node;
      if (frame.next < node.edge_count()) {
        const Ref<Node>& input = node.edges()[frame.next];
        const int edge = visits_[static_cast<std::size_t>(v)].first_edge + frame.next++;
        if (!input) continue;
        int w = index_.find(input.get());
        if (w < 0) w = add(input);
        edges_[static_cast<std::size_t>(edge)] = w;
        open(w);
        continue;
      }
      stack.pop_back();
      Visit& visit = visits_[static_cast<std::size_t>(v)];
      for (int e = 0; e < node.edge_count(); ++e) {
        const int w = edges_[static_cast<std::size_t>(visit.first_edge + e)];
        if (w >= 0 && visits_[static_cast<std::size_t>(w)].leads) visit.leads = true;
      }
    }
    // A consumer counts once per edge, where the edge leads on.
    for (const Visit& visit : visits_) {
      if (!visit.opened || !visit.leads) continue;
      for (int w : edges_of(visit, stop))
        if (w >= 0) ++visits_[static_cast<std::size_t>(w)].consumers;
    }
    stop_ = stop;
  }

  std::span<const int> edges_of(const Visit& v, bool stop) const {
    if (v.node->cut || (stop && v.target)) return {};
    return {edges_.data() + v.first_edge, static_cast<std::size_t>(v.node->edge_count())};
  }

  void step(int at, bool create_graph, bool release, std::vector<Tensor>& out,
            std::vector<int>& ready) {
    Visit& visit = visits_[static_cast<std::size_t>(at)];
    const std::span<const int> inputs = edges_of(visit, stop_);
    bool wanted_small[16] = {};
    std::vector<char> wanted_many;
    bool* wanted = wanted_small;
    if (inputs.size() > 16) {
      wanted_many.resize(inputs.size());
      wanted = reinterpret_cast<bool*>(wanted_many.data());
    }
    bool any = false;
    for (std::size_t i = 0; i < inputs.size(); ++i)
      any |= wanted[i] = inputs[i] >= 0 && visits_[static_cast<std::size_t>(inputs[i])].leads;
    Ref<Node> node = visit.node;
    out.assign(inputs.size(), Tensor());
    if (any && visit.gradient.defined()) {
      const detail::RuleScope scope(node.get());
      node->backward(visit.gradient, wanted, out.data());
      if (detail::checking())
        for (const Tensor& g : out)
          if (g.defined()) detail::check_result(node->name, node->here, g);
    }
    if (!visit.target) visit.gradient = {};
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i] < 0) continue;
      Visit& input = visits_[static_cast<std::size_t>(inputs[i])];
      if (wanted[i] && out[i].defined()) {
        accumulate(input.gradient, std::move(out[i]), create_graph);
      }
      if (--input.consumers == 0 && input.leads) ready.push_back(inputs[i]);
    }
    if (release) {
      node = {};
      visits_[static_cast<std::size_t>(at)].node = {};
    }
  }

  // In place only where nobody else holds the sum, and no graph will.
  static void accumulate(Tensor& sum, Tensor&& term, bool create_graph) {
    if (!sum.defined()) {
      sum = std::move(term);
      return;
    }
    require(sum.shape() == term.shape(), "grad: a rule returned shape ", term.shape(), " for ",
            sum.shape());
    if (!create_graph && sum.sole_owner() && sum.is_contiguous())
      detail::add_in_place(sum, term);
    else
      sum = gradus::add(sum, term);
  }

  std::vector<Visit> visits_;
  std::vector<int> edges_;  // numbers of the inputs of each visit, -1 outside of the graph
  Index index_;
  int root_ = -1;
  bool stop_ = false;
};

Tensor seed_of(const Tensor& output, const GradOptions& options) {
  if (!options.grad_output.defined()) {
    require(output.numel() == 1, "grad: an output of shape ", output.shape(),
            " needs a grad_output; only one element has an obvious one");
    return ones(output.shape(), output.dtype(), output.device());
  }
  const Tensor& g = options.grad_output;
  require(g.shape() == output.shape() && g.dtype() == output.dtype(), "grad: grad_output is ",
          g.shape(), " ", g.dtype(), ", the output ", output.shape(), " ", output.dtype());
  return g;
}

// Rules hand gradients on where they can; what is returned behaves as a copy of the seed and of the
// other results. The walk holds one handle, the caller another.
bool owned(const Tensor& g) {
  return g.handle()->references() <= 2 && g.impl().storage->references() == 1 && g.is_contiguous();
}

std::vector<Tensor> gradients(Tensor output, bool release, const std::vector<Tensor>& inputs,
                              const GradOptions& options) {
  detail::require_floating("grad", output);
  const Tensor seed = seed_of(output, options);
  Ref<Node> root = output.impl().node;
  require(root && !root->cut,
          "grad: the output is not part of a graph (no input requires_grad, or it "
          "was computed under NoGrad)");
  std::vector<Ref<Node>> targets;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    detail::require_defined("grad", inputs[i]);
    const Ref<Node>& node = inputs[i].impl().node;
    require((node && !node->cut) || options.allow_unused, "grad: input ", i, " of shape ",
            inputs[i].shape(), " does not require a gradient (requires_grad_())");
    if (node && !node->cut) targets.push_back(node);
  }
  Walk walk(root, targets, false);
  if (release) output = {};
  root = {};
  {
    detail::RecordingScope scope(options.create_graph);
    walk.run(seed, options.create_graph, release);
  }
  std::vector<Tensor> result;
  result.reserve(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Node* node = inputs[i].impl().node.get();
    if (node && !node->cut && walk.reached(node)) {
      const Tensor g = walk.gradient(node);
      result.push_back(options.create_graph || owned(g) ? g : detail::lazy_copy(g));
      continue;
    }
    require(options.allow_unused, "grad: the output does not depend on input ", i, " of shape ",
            inputs[i].shape(), " (allow_unused gives zeros; audit() tells where the path ends)");
    result.push_back(zeros(inputs[i].shape(), inputs[i].dtype(), inputs[i].device()));
  }
  return result;
}

}  // namespace

std::vector<Tensor> grad(const Tensor& output, const std::vector<Tensor>& inputs,
                         const GradOptions& options, Here) {
  return gradients(output, false, inputs, options);
}

std::vector<Tensor> grad(Tensor&& output, const std::vector<Tensor>& inputs,
                         const GradOptions& options, Here) {
  return gradients(std::move(output), true, inputs, options);
}

namespace detail {

void differentiate(const Tensor& y, const std::vector<Tensor>& inputs, const Tensor& g,
                   const bool* wanted, Tensor* out) {
  if (!y.impl().node) return;
  std::vector<Ref<Node>> targets;
  for (const Tensor& x : inputs)
    if (x.defined() && x.impl().node) targets.push_back(x.impl().node);
  Walk walk(y.impl().node, targets, true);
  walk.run(g, true, false);
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (wanted[i] && inputs[i].impl().node && walk.reached(inputs[i].impl().node.get()))
      out[i] = walk.gradient(inputs[i].impl().node.get());
}

}  // namespace detail

std::vector<AuditEntry> audit(const Tensor& loss, const std::vector<Tensor>& parameters) {
  detail::require_defined("audit", loss);
  // Everything upstream of the loss; the first cut on the way to a node, if there was one.
  std::vector<std::pair<Node*, const Node*>> stack;
  Index index(parameters.size());
  std::vector<const Node*> cut_of;
  auto visit = [&](Node* n, const Node* cut) {
    const int seen = index.find(n);
    if (seen >= 0 && (cut || !cut_of[static_cast<std::size_t>(seen)])) return;
    if (seen < 0) {
      index.insert(n, static_cast<int>(cut_of.size()));
      cut_of.push_back(cut);
    } else {
      cut_of[static_cast<std::size_t>(seen)] = cut;  // a path without a cut was found after all
    }
    stack.push_back({n, cut});
  };
  if (loss.impl().node) visit(loss.impl().node.get(), nullptr);
  while (!stack.empty()) {
    auto [n, cut] = stack.back();
    stack.pop_back();
    if (n->cut && !cut) cut = n;
    for (int i = 0; i < n->edge_count(); ++i)
      if (n->edges()[i]) visit(n->edges()[i].get(), cut);
  }
  std::vector<AuditEntry> result;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Node* node = parameters[i].impl().node.get();
    const int seen = node ? index.find(node) : -1;
    if (!node) {
      result.push_back({i, false, "does not require a gradient"});
    } else if (seen < 0) {
      result.push_back(
          {i, false, "the loss does not use it, or uses it where no graph is recorded"});
    } else if (const Node* cut = cut_of[static_cast<std::size_t>(seen)]) {
      std::ostringstream text;
      text << "the path ends at " << cut->name << " (" << cut->here.file << ':' << cut->here.line
           << ')';
      result.push_back({i, false, text.str()});
    } else {
      result.push_back({i, true, ""});
    }
  }
  return result;
}

}  // namespace gradus
