#include "gradus/autograd/probe.h"

#include <algorithm>
#include <cmath>

#include "gradus/autograd/ops.h"
#include "gradus/tensor/copy.h"

namespace gradus {
namespace {

// Calls body(pullback, shape of f(x), generator) at each point.
template <class Body>
void at_points(const char* name, const TensorFunction& f, const Tensor& x,
               const ProbeOptions& options, Here here, const Body& body) {
  detail::require_defined(name, x);
  with_float(name, x.dtype(), [](auto) {});
  require(options.probes > 0, name, ": needs at least one probe, got ", options.probes);
  require(options.spread > 0 && std::isfinite(options.spread), name,
          ": spread must be positive and finite, got ", options.spread);
  Generator generator{options.seed};
  for (int probe = 0; probe < options.probes; ++probe) {
    const Tensor noise = randn(x.shape(), generator, x.dtype(), x.device());
    const Tensor point = probe ? x.detach() + options.spread * noise : x.detach();
    const Vjp<Tensor> v = vjp(f, point, here);
    detail::require_floating(name, v.y);
    body(
        [&](const Tensor& weights) {
          const Tensor g = v.pullback(weights).detach();
          if (!all(isfinite(g)).item<bool>())
            throw NumericError(std::string(name) + ": a derivative is not finite at probe " +
                               std::to_string(probe));
          return not_equal(g, 0);
        },
        v.y, generator);
  }
}

Tensor either(const Tensor& a, const Tensor& b) { return a.defined() ? logical_or(a, b) : b; }

}  // namespace

Tensor support(const TensorFunction& f, const Tensor& x, const Shape& at, ProbeOptions options,
               Here here) {
  Tensor found;
  at_points("support", f, x, options, here, [&](const auto& touched, const Tensor& y, Generator&) {
    require(at.size() == y.dim(), "support: index ", at, " for an output of shape ", y.shape());
    const Tensor one = zeros(y.shape(), y.dtype(), y.device());
    Tensor element = one;
    for (int a = 0; a < at.size(); ++a) {
      require(at[a] >= 0 && at[a] < y.shape()[a], "support: index ", at,
              " lies outside of an output of shape ", y.shape());
      element = element.slice(a, at[a], at[a] + 1);
    }
    element.fill_(1);
    found = either(found, touched(one));
  });
  return found;
}

ReceptiveField receptive_field(const TensorFunction& f, const Tensor& x, const Shape& at,
                               ProbeOptions options, Here here) {
  const Tensor found = support(f, x, at, options, here);
  ReceptiveField field{found.shape(), found.shape()};
  for (int a = 0; a < found.dim(); ++a) {
    Axes others{Shape{}};
    for (int b = 0; b < found.dim(); ++b)
      if (b != a) others.list->push_back(b);
    const std::vector<bool> places = any(found, others).to_vector<bool>();
    const auto first = std::find(places.begin(), places.end(), true);
    const auto last = std::find(places.rbegin(), places.rend(), true);
    field.first[a] = first == places.end() ? 0 : first - places.begin();
    field.size[a] = first == places.end() ? 0 : last.base() - first;
  }
  return field;
}

Tensor dependence(const TensorFunction& f, const Tensor& x, std::int64_t output_axis,
                  std::int64_t input_axis, ProbeOptions options, Here here) {
  const int in = checked_axis("dependence", input_axis, x.dim());
  Axes others{Shape{}};
  for (int a = 0; a < x.dim(); ++a)
    if (a != in) others.list->push_back(a);
  Tensor found;
  at_points("dependence", f, x, options, here,
            [&](const auto& touched, const Tensor& y, Generator& generator) {
              const int out = checked_axis("dependence", output_axis, y.dim());
              require(y.shape()[out] > 0, "dependence: f(x) is empty: ", y.shape());
              // Weights of both signs: a sum of outputs may be constant where each is not.
              const Tensor weights = randn(y.shape(), generator, y.dtype(), y.device());
              std::vector<Tensor> rows;
              for (std::int64_t i = 0; i < y.shape()[out]; ++i) {
                const Tensor chosen = zeros(y.shape(), y.dtype(), y.device());
                chosen.slice(out, i, i + 1).copy_(weights.slice(out, i, i + 1));
                rows.push_back(any(touched(chosen), others));
              }
              found = either(found, stack(rows, 0));
            });
  return found;
}

Causality causality(const TensorFunction& f, const Tensor& x, std::int64_t axis,
                    ProbeOptions options, Here here) {
  const Tensor found = dependence(f, x, axis, axis, options, here);
  const std::vector<bool> seen = found.to_vector<bool>();
  const std::int64_t inputs = found.size(1);
  for (std::int64_t i = 0; i < found.size(0); ++i)
    for (std::int64_t j = i + 1; j < inputs; ++j)
      if (seen[static_cast<std::size_t>(i * inputs + j)]) return {false, i, j};
  return {};
}

Tensor hessian_matrix(const TensorsFunction& f, const std::vector<Tensor>& x, Here here) {
  require(!x.empty(), "hessian_matrix: no inputs");
  const std::vector<std::vector<Tensor>> blocks = hessian(f, x, here);
  std::vector<Tensor> rows;
  for (std::size_t i = 0; i < x.size(); ++i) {
    std::vector<Tensor> row;
    for (std::size_t j = 0; j < x.size(); ++j)
      row.push_back(reshape(blocks[i][j], {x[i].numel(), x[j].numel()}));
    rows.push_back(concat(row, 1, here));
  }
  return concat(rows, 0, here);
}

}  // namespace gradus
