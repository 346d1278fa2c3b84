#include "gradus/autograd/transforms.h"

#include <algorithm>
#include <string>
#include <unordered_set>

#include "gradus/autograd/ops.h"
#include "gradus/autograd/walk.h"

namespace gradus {
namespace {

using Tensors = std::vector<Tensor>;

bool in_graph(const Tensor& t) { return t.impl().node && !t.impl().node->cut; }

// The same memory under a handle of its own, outside of any graph.
Tensor plain(const Tensor& t) { return t.alias(t.shape(), t.strides(), t.impl().offset); }

void check_argument(const char* operation, const Tensor& t) {
  require(t.defined(), operation, ": an argument is undefined");
  require(t.dtype() == f32 || t.dtype() == f64, operation, ": takes f32 or f64, got ", t.dtype());
}

void check_like(const char* operation, const char* what, const Tensor& v, const Tensor& x) {
  require(v.defined(), operation, ": ", what, " is undefined");
  require(v.shape() == x.shape() && v.dtype() == x.dtype(), operation, ": ", what, " must be ",
          x.shape(), ' ', x.dtype(), ", got ", v.shape(), ' ', v.dtype());
}

// An argument as the function sees it: a new node, behind x's own where x is part of a graph.
Tensor fresh(const Tensor& x, bool behind, Here here) {
  if (behind && in_graph(x))
    return record("argument", here, plain(x), wrt(x, [](const Tensor& g) { return g; }));
  return plain(x).requires_grad_();
}

// Whether y's graph holds a leaf that is reached around the arguments.
bool depends_on_others(const Tensor& y, const Tensors& arguments) {
  if (!in_graph(y)) return false;
  std::unordered_set<const Node*> seen;
  for (const Tensor& x : arguments) seen.insert(x.impl().node.get());
  std::vector<Node*> stack{y.impl().node.get()};
  while (!stack.empty()) {
    Node* node = stack.back();
    stack.pop_back();
    if (node->cut || !seen.insert(node).second) continue;
    if (node->is_leaf()) return true;
    for (int i = 0; i < node->edge_count(); ++i)
      if (node->edges()[i]) stack.push_back(node->edges()[i].get());
  }
  return false;
}

// One call of a function at arguments of its own.
struct Call {
  Tensors x;
  Tensor y;
  bool outer;  // y is part of a graph beyond the arguments

  Call(const char* operation, const TensorsFunction& f, const Tensors& inputs, Here here) {
    const bool recording = is_recording();
    const detail::RecordingScope on(true);
    for (const Tensor& input : inputs) {
      check_argument(operation, input);
      x.push_back(fresh(input, recording, here));
    }
    y = f(x);
    require(y.defined(), operation, ": the function returned an undefined tensor");
    const bool behind =
        std::any_of(x.begin(), x.end(), [](const Tensor& t) { return !t.impl().node->is_leaf(); });
    outer = recording && in_graph(y) && (behind || depends_on_others(y, x));
  }

  Tensor value() const { return outer ? y : plain(y); }

  // J^T u.
  Tensors pull(const Tensor& u, bool create_graph) const {
    if (in_graph(y))
      return grad(y, x, {.grad_output = u, .create_graph = create_graph, .allow_unused = true});
    Tensors none;
    for (const Tensor& t : x) none.push_back(zeros(t.shape(), t.dtype(), t.device()));
    return none;
  }
};

// d <g, v> / d x.
Tensors differentiate_product(const Tensors& g, const Tensors& v, const Tensors& x,
                              bool create_graph) {
  Tensor total;
  {
    const detail::RecordingScope on(true);
    for (std::size_t i = 0; i < g.size(); ++i) {
      if (!in_graph(g[i])) continue;
      const Tensor term = sum(mul(g[i], v[i]));
      total = total.defined() ? add(total, term) : term;
    }
  }
  if (total.defined()) return grad(total, x, {.create_graph = create_graph, .allow_unused = true});
  Tensors none;
  for (const Tensor& t : x) none.push_back(zeros(t.shape(), t.dtype(), t.device()));
  return none;
}

bool any_in_graph(const Tensors& list) { return std::any_of(list.begin(), list.end(), in_graph); }

void check_vectors(const char* operation, const Tensors& v, const Tensors& x) {
  require(v.size() == x.size(), operation, ": ", x.size(), " arguments need as many vectors, got ",
          v.size());
  for (std::size_t i = 0; i < v.size(); ++i) check_like(operation, "the vector", v[i], x[i]);
}

void check_scalar(const char* operation, const Tensor& y) {
  require(y.numel() == 1, operation, ": the function must return one element, it returned ",
          y.shape());
}

TensorsFunction of_list(const TensorFunction& f) {
  return [&f](const Tensors& x) { return f(x[0]); };
}

Shape joined(const Shape& a, const Shape& b) {
  Shape s = a;
  for (std::int64_t n : b) s.push_back(n);
  return s;
}

// The gradient as a function; recorded, because a transform's argument is part of a graph.
Tensors gradient(const TensorsFunction& f, const Tensors& x, Here here) {
  const Call call("hessian", f, x, here);
  check_scalar("hessian", call.y);
  return call.pull(ones(call.y.shape(), call.y.dtype(), call.y.device()), call.outer);
}

}  // namespace

Vjp<Tensors> vjp(const TensorsFunction& f, const Tensors& x, Here here) {
  Call call("vjp", f, x, here);
  Tensor y = call.value();
  return {y, [call = std::move(call)](const Tensor& u) {
            check_like("vjp", "the pullback's argument", u, call.y);
            return call.pull(u, is_recording() && (call.outer || in_graph(u)));
          }};
}

Vjp<Tensor> vjp(const TensorFunction& f, const Tensor& x, Here here) {
  auto [y, pullback] = vjp(of_list(f), Tensors{x}, here);
  return {y, [pullback = std::move(pullback)](const Tensor& u) { return pullback(u)[0]; }};
}

Jvp jvp(const TensorsFunction& f, const Tensors& x, const Tensors& v, Here here) {
  const bool recording = is_recording();
  const Call call("jvp", f, x, here);
  check_vectors("jvp", v, x);
  Tensor u = zeros(call.y.shape(), call.y.dtype(), call.y.device());
  u.requires_grad_();
  const Tensors g = call.pull(u, true);
  const bool create_graph = recording && (call.outer || any_in_graph(v));
  return {call.value(), differentiate_product(g, v, {u}, create_graph)[0]};
}

Jvp jvp(const TensorFunction& f, const Tensor& x, const Tensor& v, Here here) {
  return jvp(of_list(f), Tensors{x}, Tensors{v}, here);
}

Tensors jacobian(const TensorsFunction& f, const Tensors& x, Here here) {
  const Call call("jacobian", f, x, here);
  const std::int64_t rows = call.y.numel();
  std::vector<Tensors> parts(x.size());
  if (rows > 0 && in_graph(call.y)) {
    const Tensor basis = eye(rows, rows, call.y.dtype(), call.y.device());
    for (std::int64_t r = 0; r < rows; ++r) {
      const Tensors g = call.pull(basis[r].reshape(call.y.shape()), call.outer);
      for (std::size_t i = 0; i < x.size(); ++i) parts[i].push_back(g[i]);
    }
  }
  Tensors result;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const Shape shape = joined(call.y.shape(), x[i].shape());
    result.push_back(parts[i].empty() ? zeros(shape, x[i].dtype(), x[i].device())
                                      : stack(parts[i], 0).reshape(shape));
  }
  return result;
}

Tensor jacobian(const TensorFunction& f, const Tensor& x, Here here) {
  return jacobian(of_list(f), Tensors{x}, here)[0];
}

std::vector<Tensors> hessian(const TensorsFunction& f, const Tensors& x, Here here) {
  for (const Tensor& t : x) check_argument("hessian", t);
  std::vector<Tensors> rows;
  for (std::size_t i = 0; i < x.size(); ++i)
    rows.push_back(jacobian([&](const Tensors& at) { return gradient(f, at, here)[i]; }, x, here));
  return rows;
}

Tensor hessian(const TensorFunction& f, const Tensor& x, Here here) {
  return hessian(of_list(f), Tensors{x}, here)[0][0];
}

Tensors hvp(const TensorsFunction& f, const Tensors& x, const Tensors& v, Here here) {
  const bool recording = is_recording();
  const Call call("hvp", f, x, here);
  check_scalar("hvp", call.y);
  check_vectors("hvp", v, x);
  const Tensors g = call.pull(ones(call.y.shape(), call.y.dtype(), call.y.device()), true);
  return differentiate_product(g, v, call.x, recording && (call.outer || any_in_graph(v)));
}

Tensor hvp(const TensorFunction& f, const Tensor& x, const Tensor& v, Here here) {
  return hvp(of_list(f), Tensors{x}, Tensors{v}, here)[0];
}

namespace {

// Generators at the offsets of an earlier run, for as long as it lives.
class Replay {
 public:
  Replay(const std::vector<Generator*>& generators, const std::vector<std::uint64_t>& offsets)
      : generators_(generators) {
    for (std::size_t i = 0; i < generators.size(); ++i) {
      now_.push_back(generators[i]->offset());
      generators[i]->set_offset(offsets[i]);
    }
  }
  ~Replay() {
    for (std::size_t i = 0; i < generators_.size(); ++i) generators_[i]->set_offset(now_[i]);
  }
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;

 private:
  const std::vector<Generator*>& generators_;
  std::vector<std::uint64_t> now_;
};

std::vector<const Tensor*> pointers(const Tensors& list) {
  std::vector<const Tensor*> p;
  for (const Tensor& t : list) p.push_back(&t);
  return p;
}

Tensors values(const std::vector<Saved>& kept) {
  Tensors list;
  for (const Saved& s : kept) list.push_back(*s);
  return list;
}

std::vector<Saved> keep(const Tensors& inputs) {
  detail::take_saved_bytes();
  return {inputs.begin(), inputs.end()};
}

}  // namespace

Tensor checkpoint(const TensorsFunction& f, const Tensors& inputs,
                  const std::vector<Generator*>& generators, Here here) {
  for (const Tensor& t : inputs) require(t.defined(), "checkpoint: an input is undefined");
  std::vector<std::uint64_t> offsets;
  for (const Generator* g : generators) {
    require(g, "checkpoint: a generator is null");
    offsets.push_back(g->offset());
  }
  Tensor y;
  {
    const NoGrad off;
    y = f(inputs);
    require(y.defined(), "checkpoint: the function returned an undefined tensor");
    y = plain(y);
  }
  auto rule = [f, generators, offsets, here, shape = y.shape(), kept = keep(inputs)](
                  const Tensor& g, const Tensor&, const bool* wanted, Tensor* out) {
    const bool create_graph = is_recording();
    const detail::RecordingScope on(true);
    const Replay replay(generators, offsets);
    Tensors x, targets;
    for (std::size_t i = 0; i < kept.size(); ++i) {
      x.push_back(wanted[i] ? fresh(*kept[i], create_graph, here) : plain(*kept[i]));
      if (wanted[i]) targets.push_back(x[i]);
    }
    const Tensor again = f(x);
    require(again.shape() == shape, "checkpoint: the second run returned ", again.shape(),
            ", the first ", shape);
    require(!depends_on_others(again, targets),
            "checkpoint: the function uses a tensor of a graph that is not among its inputs");
    if (!in_graph(again)) return;
    const Tensors d = grad(again, targets,
                           {.grad_output = g, .create_graph = create_graph, .allow_unused = true});
    for (std::size_t i = 0, k = 0; i < x.size(); ++i)
      if (wanted[i]) out[i] = d[k++];
  };
  return record_joint("checkpoint", here, y, pointers(inputs).data(),
                      static_cast<int>(inputs.size()), false, std::move(rule));
}

Tensor custom(const char* name, const Tensors& inputs, const TensorsFunction& forward,
              CustomRule rule, Here here) {
  for (const Tensor& t : inputs) require(t.defined(), name, ": an input is undefined");
  Tensor y;
  {
    const NoGrad off;
    y = forward(inputs);
    require(y.defined(), name, ": the function returned an undefined tensor");
    y = plain(y);
  }
  auto joint = [name, rule = std::move(rule), kept = keep(inputs)](
                   const Tensor& g, const Tensor& out_y, const bool* wanted, Tensor* out) {
    const Tensors x = values(kept);
    const Tensors d = rule(x, out_y, g);
    require(d.size() == x.size(), name, ": the rule returned ", d.size(), " gradients for ",
            x.size(), " inputs");
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (!wanted[i]) continue;
      check_like(name, ("the rule's gradient of input " + std::to_string(i)).c_str(), d[i], x[i]);
      out[i] = d[i];
    }
  };
  return record_joint(name, here, y, pointers(inputs).data(), static_cast<int>(inputs.size()), true,
                      std::move(joint));
}

}  // namespace gradus
