// Transforms of vectors.
#include <cmath>

#include "gradus/autograd/linalg.h"
#include "gradus/nn/domain.h"
#include "gradus/nn/flows.h"

namespace gradus::flows {
namespace {

void check_vectors(const char* operation, const Tensor& x, std::int64_t size) {
  require(x.dim() >= 1 && x.size(-1) == size, operation, ": takes vectors (..., ", size, "), got ",
          x.shape());
}

Tensor no_change(const Tensor& x) {
  require(x.dim() >= 1, "flow: a transform of vectors needs vectors, got one number");
  Shape shape = x.shape();
  shape.erase(shape.size() - 1);
  return zeros(shape, x.dtype(), x.device());
}

// x_1 and x_2, and what the network makes of x_1.
struct Parts {
  Tensor first, second, made;
};
Parts part(const char* operation, const Tensor& x, std::int64_t split,
           const TensorFunction& network, std::int64_t times) {
  require(x.dim() >= 1 && split > 0 && split < x.size(-1), operation, ": split ", split,
          " must leave both parts of ", x.shape(), " something");
  const std::int64_t size = x.size(-1);
  Parts p{slice(x, -1, 0, split), slice(x, -1, split, size), {}};
  p.made = network(p.first);
  Shape wanted = x.shape();
  wanted[wanted.size() - 1] = times * (size - split);
  require(p.made.shape() == wanted, operation, ": the network must give ", wanted, ", gave ",
          p.made.shape());
  return p;
}
Parts part(const AdditiveCoupling& c, const Tensor& x) {
  return part("AdditiveCoupling", x, c.split, c.shift, 1);
}

struct ScaleAndShift {
  Tensor first, second, shift, log_scale;
};
ScaleAndShift part(const AffineCoupling& c, const Tensor& x) {
  const Parts p = part("AffineCoupling", x, c.split, c.network, 2);
  const std::vector<Tensor> made = split(p.made, 2, -1);
  return {p.first, p.second, made[0], made[1]};
}

Tensor select(const Tensor& x, const Tensor& order) {
  return index_select(x, -1, order.to(x.device()));
}

// `Linear: singular Jacobian: rank 1 of 2, log |det J| = -inf`.
void require_regular(const char* operation, const Tensor& jacobian) {
  const std::int64_t n = jacobian.size(-1), r = rank(jacobian);
  require(r == n, operation, ": singular Jacobian: rank ", r, " of ", n,
          ", log |det J| = -inf; a flow needs an invertible map");
}

// The vectors of x one by one, (count, n).
Tensor rows_of(const Tensor& x) {
  const std::int64_t n = x.size(-1);
  return reshape(x, {n > 0 ? x.numel() / n : 0, n});
}

}  // namespace

std::int64_t rank(const Tensor& a) {
  require(a.dim() == 2, "rank: takes a matrix, got ", a.shape());
  const double rule = a.dtype() == DType::f32 ? 1e-6 : 1e-12;
  const double n = static_cast<double>(std::max(a.size(0), a.size(1)));
  const auto s = linalg::svd(a.detach().to(Device::cpu).to(DType::f64)).s.to_vector<double>();
  std::int64_t count = 0;
  for (const double value : s) count += value > n * rule * s.front();
  return count;
}

// ---- Permutation --------------------------------------------------------------------------------

Permutation::Permutation(const std::vector<std::int64_t>& order) {
  std::vector<std::int64_t> back(order.size(), -1);
  const std::int64_t n = std::ssize(order);
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t from = order[static_cast<std::size_t>(i)];
    require(from >= 0 && from < n && back[static_cast<std::size_t>(from)] < 0,
            "Permutation: the order must name each of 0 .. ", n - 1, " once, and at ", i,
            " it names ", from);
    back[static_cast<std::size_t>(from)] = i;
  }
  order_ = from_vector(order);
  back_ = from_vector(back);
}
Tensor Permutation::forward(At x) const {
  check_vectors("Permutation", *x, order_.numel());
  return select(*x, order_);
}
Tensor Permutation::inverse(At z) const {
  check_vectors("Permutation", *z, order_.numel());
  return select(*z, back_);
}
Tensor Permutation::log_det(At x) const {
  check_vectors("Permutation", *x, order_.numel());
  return no_change(*x);
}

// ---- couplings ----------------------------------------------------------------------------------

Tensor AdditiveCoupling::forward(At x) const {
  const Parts p = part(*this, *x);
  return concat({p.first, p.second + p.made}, -1);
}
Tensor AdditiveCoupling::inverse(At z) const {
  const Parts p = part(*this, *z);
  return concat({p.first, p.second - p.made}, -1);
}
Tensor AdditiveCoupling::log_det(At x) const { return no_change(*x); }

Tensor AffineCoupling::forward(At x) const {
  const auto p = part(*this, *x);
  return concat({p.first, p.shift + exp(p.log_scale) * p.second}, -1);
}
Tensor AffineCoupling::inverse(At z) const {
  const auto p = part(*this, *z);
  return concat({p.first, (p.second - p.shift) * exp(-p.log_scale)}, -1);
}
Tensor AffineCoupling::log_det(At x) const { return sum(part(*this, *x).log_scale, -1); }

// ---- Linear -------------------------------------------------------------------------------------

Linear::Linear(const Tensor& a) : a_(a) {
  require(a.dim() == 2 && a.size(0) == a.size(1), "Linear: takes a square matrix, got ", a.shape());
  require_regular("Linear", a);
}
Tensor Linear::forward(At x) const {
  check_vectors("Linear", *x, a_.size(0));
  return linear(x, a_);
}
Tensor Linear::inverse(At z) const {
  check_vectors("Linear", *z, a_.size(0));
  const Tensor solved = linalg::solve(a_, transpose(rows_of(*z), 0, 1));
  return reshape(transpose(solved, 0, 1), z->shape());
}
Tensor Linear::log_det(At x) const {
  check_vectors("Linear", *x, a_.size(0));
  return no_change(*x) + linalg::slogdet(a_).logabsdet;
}

// ---- LULinear -----------------------------------------------------------------------------------

LULinear::LULinear(std::int64_t size, Generator& generator, DType dtype)
    : lower(zeros({size, size}, dtype)),
      upper(zeros({size, size}, dtype)),
      log_diagonal(zeros({size}, dtype)),
      order(permutation(size, generator).to_vector<std::int64_t>()) {
  for (Tensor* t : {&lower, &upper, &log_diagonal}) t->requires_grad_();
}

namespace {
Tensor identity_like(const Tensor& m) { return eye(m.size(0), -1, m.dtype(), m.device()); }
Tensor unit_lower(const LULinear& f) { return tril(f.lower, -1) + identity_like(f.lower); }
Tensor whole_upper(const LULinear& f) {
  return triu(f.upper, 1) + identity_like(f.upper) * exp(f.log_diagonal);
}
}  // namespace

Tensor LULinear::forward(At x) const {
  check_vectors("LULinear", *x, log_diagonal.numel());
  return Permutation(order).forward(linear(linear(x, whole_upper(*this)), unit_lower(*this)));
}
Tensor LULinear::inverse(At z) const {
  check_vectors("LULinear", *z, log_diagonal.numel());
  const Tensor columns = transpose(rows_of(Permutation(order).inverse(z)), 0, 1);
  const Tensor y = linalg::triangular_solve(unit_lower(*this), columns, {.unit_diagonal = true});
  const Tensor x = linalg::triangular_solve(whole_upper(*this), y, {.upper = true});
  return reshape(transpose(x, 0, 1), z->shape());
}
Tensor LULinear::log_det(At x) const {
  check_vectors("LULinear", *x, log_diagonal.numel());
  return no_change(*x) + sum(log_diagonal);
}

// ---- Function -----------------------------------------------------------------------------------

Tensor Function::forward(At x) const {
  std::vector<Tensor> rows;
  const Tensor flat = rows_of(*x);
  for (std::int64_t i = 0; i < flat.size(0); ++i) rows.push_back(map(flat[i]));
  return rows.empty() ? *x : reshape(stack(rows, 0), x->shape());
}
Tensor Function::inverse(At z) const {
  require(static_cast<bool>(undo), "Function: its inverse was not given");
  std::vector<Tensor> rows;
  const Tensor flat = rows_of(*z);
  for (std::int64_t i = 0; i < flat.size(0); ++i) rows.push_back(undo(flat[i]));
  return rows.empty() ? *z : reshape(stack(rows, 0), z->shape());
}
Tensor Function::log_det(At x) const {
  require(x->dim() >= 1, "Function: takes vectors, got ", x->shape());
  std::vector<Tensor> each;
  const Tensor flat = rows_of(*x);
  for (std::int64_t i = 0; i < flat.size(0); ++i) {
    const Tensor j = jacobian(map, flat[i]);
    require(j.dim() == 2 && j.size(0) == j.size(1),
            "Function: must map vectors to vectors of their size, its Jacobian is ", j.shape());
    require_regular("Function", j);
    each.push_back(linalg::slogdet(j).logabsdet);
  }
  const Tensor none = no_change(*x);
  return each.empty() ? none : reshape(stack(each, 0), none.shape());
}

}  // namespace gradus::flows
