#include "gradus/autograd/map.h"

#include <algorithm>
#include <cstring>

#include "gradus/autograd/ops.h"
#include "gradus/autograd/precision.h"
#include "gradus/autograd/walk.h"
#include "gradus/tensor/copy.h"
#include "gradus/tensor/dispatch.h"
#include "gradus/tensor/ledger.h"

namespace gradus::detail {
namespace {

// Where a dtype's loop stands in MapOp; bf16 is computed by that of f32.
constexpr std::int8_t loop_indices[] = {0, 1, 0, 2, 3, -1, -1};  // in the order of DType
int loop_index(DType t) { return loop_indices[static_cast<int>(t)]; }
int kernel_index(DType t) { return t == DType::bf16 ? 4 : loop_index(t); }  // in DeviceMap
int gradient_index(DType t) { return t == DType::bf16 ? 2 : t == DType::f64; }

void require_computable(const MapOp& op, DType t) {
  const int i = loop_index(t);
  require(i >= 0 && op.value[i], op.name, ": takes ",
          op.value[2] ? "f32, f64, bf16, i32 or i64" : "f32, f64 or bf16", ", got ", t);
}

bool is_boolean_input(const MapOp& op, int k) { return op.boolean_inputs >> k & 1; }

// Dtype, device and result shape of the operands; throws where they do not go together.
struct Operands {
  DType dtype = DType::f32;
  Device device;
  Shape shape;
  bool same = false;  // all contiguous, of one shape, stored as they are computed
};

// Whether the operands differ in their values alone.
bool alike(const MapOp& op, const Tensor* const* x) {
  const TensorImpl* const first = x[0]->handle().get();
  if (op.boolean_inputs || !first || !first->contiguous || first->dtype == DType::bf16)
    return false;
  const Device device = first->storage->device();
  for (int k = 1; k < op.inputs; ++k) {
    const TensorImpl* const t = x[k]->handle().get();
    if (!t || !t->contiguous || t->dtype != first->dtype || t->storage->device() != device ||
        !(t->shape == first->shape))
      return false;
  }
  return true;
}

Operands check_operands(const MapOp& op, const Tensor* const* x) {
  if (alike(op, x)) {
    const TensorImpl& first = x[0]->impl();
    require_computable(op, first.dtype);
    return {first.dtype, first.storage->device(), first.shape, true};
  }
  for (int k = 0; k < op.inputs; ++k) require_defined(op.name, *x[k]);
  Operands r;
  const Tensor* first = nullptr;
  for (int k = 0; k < op.inputs; ++k) {
    if (is_boolean_input(op, k)) {
      require(x[k]->dtype() == DType::boolean, op.name, ": operand ", k, " must be boolean, got ",
              x[k]->dtype());
      require_same_device(op.name, *x[0], *x[k]);
    } else if (!first) {
      first = x[k];
      require_same_device(op.name, *x[0], *x[k]);
    } else {
      require_same_dtype(op.name, *first, *x[k]);
    }
  }
  r.dtype = first->dtype();
  require_computable(op, r.dtype);
  r.device = first->device();
  r.shape = x[0]->shape();
  for (int k = 1; k < op.inputs; ++k) r.shape = broadcast_shapes(op.name, r.shape, x[k]->shape());
  return r;
}

MapInput map_input(const Tensor& t, const Shape& shape) {
  MapInput input;
  input.data = first_byte(t);
  input.boolean = t.dtype() == DType::boolean;
  const Shape strides = broadcast_strides(t, shape);
  std::copy(strides.begin(), strides.end(), input.stride);
  return input;
}

// The kernels of a formula on a device; null where there are none.
const DeviceMap* kernels_of(const MapOp& op, Device device) {
  return GRADUS_RUN_ON_DEVICE(device, find_map(*op.formula, op.inputs));
}

constexpr std::int64_t direct_elements = 16384;  // below: one call of the loop, no walk

void run_value(const MapOp& op, const void* formula, const Operands& operands,
               const Tensor* const* x, const Tensor& y) {
  if (open_ledger) [[unlikely]] {
    std::vector<const Tensor*> counted(x, x + op.inputs);
    counted.push_back(&y);
    open_ledger->note(op.name, Work::map, y.numel(), counted);
  }
  const MapLoop loop = op.value[loop_index(operands.dtype)];
  const bool on_cpu = operands.device == Device::cpu;
  if (on_cpu && operands.same && y.numel() <= direct_elements && !op.boolean_result) {
    const void* data[max_map_inputs];
    for (int k = 0; k < op.inputs; ++k) data[k] = first_byte(*x[k]);
    loop(formula, data, first_byte_mutable(y), y.numel(), false);
    return;
  }
  MapInput inputs[max_map_inputs];
  for (int k = 0; k < op.inputs; ++k) inputs[k] = map_input(*x[k], operands.shape);
  const std::span<const MapInput> in(inputs, static_cast<std::size_t>(op.inputs));
  const Extents extents = extents_of(operands.shape);
  if (!on_cpu)
    return kernels_of(op, operands.device)
        ->value[kernel_index(operands.dtype)](formula, extents, in, first_byte_mutable(y));
  auto run = [&](auto zero) {
    using T = decltype(zero);
    if (op.boolean_result)
      cpu::map_to_bool<T>(loop, formula, extents, in,
                          reinterpret_cast<bool*>(first_byte_mutable(y)));
    else
      cpu::map<T>(loop, formula, extents, in, reinterpret_cast<T*>(first_byte_mutable(y)));
  };
  switch (operands.dtype) {
    case DType::f32:
      return run(float{});
    case DType::f64:
      return run(double{});
    case DType::bf16:
      return run(bf16{});
    case DType::i32:
      return run(std::int32_t{});
    default:
      return run(std::int64_t{});
  }
}

// The node of every map with K inputs: a copy of the formula, and what its gradient reads.
template <int K>
class MapNode final : public Node {
 public:
  MapNode(const MapOp& op, const void* formula, const Tensor* const* x, const Tensor& y) : op_(op) {
    if (op.formula_bytes)
      std::memcpy(formula_, formula, static_cast<std::size_t>(op.formula_bytes));
    unsigned reads = 0;
    for (int k = 0; k < K; ++k) {
      shapes_[k] = x[k]->shape();
      edges_[k] = x[k]->impl().node;
      if (!edges_[k]) continue;
      const unsigned r = op.reads(formula, k);
      hands_on_[k] = r == hands_on;
      reads |= r;
    }
    for (int k = 0; k < K; ++k)
      if (reads >> k & 1) saved_[k].emplace(*x[k]);
    saved_bytes = take_saved_bytes();
    if (reads >> K & 1) {
      kept_.keep(y);
      keeps_output_ = true;
      saved_bytes += y.bytes();
    }
  }
  int edge_count() const noexcept override { return K; }
  Ref<Node>* edges() noexcept override { return edges_; }

  void backward(const Tensor& g, const bool* wanted, Tensor* out) override {
    Tensor x[K];
    for (int k = 0; k < K; ++k)
      if (saved_[k]) x[k] = saved_[k]->get();
    const Tensor y = keeps_output_ ? kept_.attached(*this) : Tensor();
    if (is_recording())
      by_definition(g, x, y, wanted, out);
    else
      fused(g, x, y, wanted, out);
  }

 private:
  // An operand that the gradient does not read still takes part in the formula: any number will do.
  void by_definition(const Tensor& given, Tensor* x, const Tensor& output, const bool* wanted,
                     Tensor* out) {
    const Tensor g = widened(given);
    Tensor y = widened(output);
    for (int k = 0; k < K; ++k) {
      if (x[k].defined())
        x[k] = widened(x[k]);
      else
        x[k] = ones({}, is_boolean_input(op_, k) ? DType::boolean : g.dtype(), g.device());
    }
    if (!y.defined()) y = ones({}, g.dtype(), g.device());
    for (int k = 0; k < K; ++k)
      if (wanted[k])
        out[k] = sum_to(op_.definition(formula_, k, g, x, y), shapes_[k]).to(given.dtype());
  }

  void fused(const Tensor& g, const Tensor* x, const Tensor& y, const bool* asked, Tensor* out) {
    bool wanted[K], any = false;
    for (int k = 0; k < K; ++k) {
      const bool same = asked[k] && hands_on_[k] && shapes_[k] == g.shape();
      if (same) out[k] = g;
      any |= wanted[k] = asked[k] && !same;
    }
    if (!any) return;
    if (g.numel() == 0) {  // sums over nothing
      for (int k = 0; k < K; ++k)
        if (wanted[k]) out[k] = zeros(shapes_[k], g.dtype(), g.device());
      return;
    }
    const GradientLoop loop = op_.gradient[loop_index(g.dtype())];
    const bool on_cpu = g.device() == Device::cpu;
    bool direct =
        on_cpu && g.is_contiguous() && g.numel() <= direct_elements && g.dtype() != DType::bf16;
    for (int k = 0; k < K; ++k) {
      if (wanted[k]) out[k] = empty(shapes_[k], g.dtype(), g.device());
      direct = direct && (!wanted[k] || shapes_[k] == g.shape()) &&
               (!x[k].defined() ||
                (x[k].shape() == g.shape() && x[k].is_contiguous() && !is_boolean_input(op_, k)));
    }
    if (open_ledger) [[unlikely]] {
      std::vector<const Tensor*> counted{&g};
      if (y.defined()) counted.push_back(&y);
      for (int k = 0; k < K; ++k) {
        if (x[k].defined()) counted.push_back(&x[k]);
        if (wanted[k]) counted.push_back(&out[k]);
      }
      open_ledger->note(op_.name, Work::map, g.numel(), counted);
    }
    // Where an operand is not read, the gradient stands in for it.
    const Tensor* operand[K + 2];
    operand[0] = &g;
    for (int k = 0; k < K; ++k) operand[k + 1] = x[k].defined() ? &x[k] : &g;
    operand[K + 1] = y.defined() ? &y : &g;
    if (direct) {
      const void* data[K + 2];
      void* d[K];
      for (int k = 0; k < K + 2; ++k) data[k] = first_byte(*operand[k]);
      for (int k = 0; k < K; ++k) d[k] = wanted[k] ? first_byte_mutable(out[k]) : nullptr;
      loop(formula_, data, d, g.numel(), false);
      return;
    }
    MapInput inputs[K + 2];
    MapGradient gradients[K];
    for (int k = 0; k < K + 2; ++k) inputs[k] = map_input(*operand[k], g.shape());
    for (int k = 0; k < K; ++k) {
      if (!wanted[k]) continue;
      const Shape strides = broadcast_strides(out[k], g.shape());
      std::copy(strides.begin(), strides.end(), gradients[k].stride);
      gradients[k].data = first_byte_mutable(out[k]);
      gradients[k].count = out[k].numel();
    }
    const Extents extents = extents_of(g.shape());
    const std::int64_t bytes = GRADUS_RUN(g.device(), map_gradient_scratch(extents, gradients));
    const Tensor scratch = empty({bytes}, DType::u8, g.device());
    void* const memory = first_byte_mutable(scratch);
    if (!on_cpu)
      kernels_of(op_, g.device())
          ->gradient[gradient_index(g.dtype())](formula_, extents,
                                                std::span<const MapInput>(inputs),
                                                std::span<const MapGradient>(gradients), memory);
    else if (g.dtype() == DType::bf16)
      cpu::map_gradient<bf16>(loop, formula_, extents, inputs, gradients, memory);
    else if (g.dtype() == DType::f64)
      cpu::map_gradient<double>(loop, formula_, extents, inputs, gradients, memory);
    else
      cpu::map_gradient<float>(loop, formula_, extents, inputs, gradients, memory);
  }

  const MapOp& op_;
  alignas(16) std::byte formula_[max_formula_bytes];
  Ref<Node> edges_[K];
  Shape shapes_[K];
  std::optional<Saved> saved_[K];
  Kept kept_;
  bool keeps_output_ = false;
  bool hands_on_[K] = {};
};

template <int K>
Node* make_node(const MapOp& op, const void* formula, const Tensor* const* x, const Tensor& y) {
  return new MapNode<K>(op, formula, x, y);
}

thread_local std::int64_t composed = 0;

}  // namespace

std::int64_t composed_maps() noexcept { return composed; }

Tensor run_map(const MapOp& op, const void* formula, const Tensor* const* x, Here here) {
  const Operands operands = check_operands(op, x);
  if (operands.device != Device::cpu && !kernels_of(op, operands.device)) {
    ++composed;
    std::vector<Tensor> inputs;
    for (int k = 0; k < op.inputs; ++k) inputs.push_back(widened(*x[k]));
    const Tensor y = op.composed(formula, inputs.data());
    return op.boolean_result ? y : y.to(operands.dtype);
  }
  Tensor y =
      empty(operands.shape, op.boolean_result ? DType::boolean : operands.dtype, operands.device);
  run_value(op, formula, operands, x, y);

  bool any = false;
  for (int k = 0; k < op.inputs; ++k) any = any || active(*x[k]);
  if (any && !op.boolean_result) {
    using Make = Node* (*)(const MapOp&, const void*, const Tensor* const*, const Tensor&);
    static constexpr Make make[] = {make_node<1>, make_node<2>, make_node<3>, make_node<4>,
                                    make_node<5>, make_node<6>, make_node<7>, make_node<8>};
    Node* node = make[op.inputs - 1](op, formula, x, y);
    node->name = op.name;
    node->here = here;
    y.impl().node = Ref<Node>::adopt(node);
  } else if (tracing()) {
    trace_cut(op.name, here, y, x, op.inputs);
  }
  if (checking()) check_result(op.name, here, y);
  return y;
}

void add_in_place(const Tensor& sum, const Tensor& term) {
  const MapOp& op = map_op<formula::Add, 2, true>();
  const formula::Add f;
  const Tensor* x[] = {&sum, &term};
  const Operands operands = check_operands(op, x);
  run_value(op, &f, operands, x, sum);
}

}  // namespace gradus::detail
