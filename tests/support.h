// What the tests share: values, comparisons, errors, and the same values in other layouts.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "gradus/autograd/ops.h"
#include "gradus/autograd/transforms.h"

namespace gradus::test {

using Tensors = std::vector<Tensor>;

inline constexpr double inf = INFINITY, nan = NAN;

inline Tensor leaf(Tensor t) { return t.requires_grad_(); }

inline std::vector<double> doubles(const Tensor& t) { return t.to(f64).to_vector<double>(); }

// |a - b| <= tolerance * (|a| + |b| + 1); NaN equals NaN only where asked for.
inline testing::AssertionResult close(const Tensor& a, const Tensor& b, double tolerance) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype())
    return testing::AssertionFailure()
           << a.shape() << ' ' << a.dtype() << " against " << b.shape() << ' ' << b.dtype();
  const std::vector<double> x = doubles(a), y = doubles(b);
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (x[i] == y[i]) continue;
    const double error = std::abs(x[i] - y[i]);
    if (!(error <= tolerance * (std::abs(x[i]) + std::abs(y[i]) + 1)))
      return testing::AssertionFailure() << "element " << i << ": " << testing::PrintToString(x[i])
                                         << " against " << testing::PrintToString(y[i]);
  }
  return testing::AssertionSuccess();
}

// The same bits, NaNs and signs of zero included.
inline testing::AssertionResult same_bits(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype())
    return testing::AssertionFailure()
           << a.shape() << ' ' << a.dtype() << " against " << b.shape() << ' ' << b.dtype();
  const NoGrad off;
  const Tensor x = a.contiguous(), y = b.contiguous();
  if (x.numel() && std::memcmp(x.raw_data(), y.raw_data(), static_cast<std::size_t>(x.bytes()))) {
    const std::vector<double> p = doubles(x), q = doubles(y);
    for (std::size_t i = 0; i < p.size(); ++i)
      if (std::memcmp(&p[i], &q[i], sizeof(double)))
        return testing::AssertionFailure()
               << "element " << i << ": " << testing::PrintToString(p[i]) << " against "
               << testing::PrintToString(q[i]);
  }
  return testing::AssertionSuccess();
}

// Expects an Error whose text begins with "operation: " and holds `rule`.
template <class Call>
testing::AssertionResult throws(const std::string& operation, const std::string& rule,
                                const Call& call) {
  try {
    call();
  } catch (const Error& e) {
    const std::string text = e.what();
    if (text.rfind(operation + ": ", 0) != 0)
      return testing::AssertionFailure()
             << "does not begin with \"" << operation << ": \": " << text;
    if (text.find(rule) == std::string::npos)
      return testing::AssertionFailure() << "does not say \"" << rule << "\": " << text;
    return testing::AssertionSuccess();
  } catch (const std::exception& e) {
    return testing::AssertionFailure() << operation << " threw something else: " << e.what();
  }
  return testing::AssertionFailure() << operation << " threw nothing";
}

// Other layouts of the same values. All are outside of any graph.
enum class Layout { transposed, stepped, flipped, offset, reversed_axes };
inline constexpr Layout layouts[] = {Layout::transposed, Layout::stepped, Layout::flipped,
                                     Layout::offset, Layout::reversed_axes};
inline const char* name(Layout l) {
  static const char* names[] = {"transposed", "stepped", "flipped", "offset", "reversed_axes"};
  return names[static_cast<int>(l)];
}

// Calls body(index) for each index of the shape, row-major.
template <class Body>
void each_index(const Shape& shape, const Body& body) {
  Shape index(std::vector<std::int64_t>(static_cast<std::size_t>(shape.size()), 0));
  for (std::int64_t n = shape.numel(); n > 0; --n) {
    body(index);
    for (int axis = shape.size() - 1; axis >= 0 && ++index[axis] == shape[axis]; --axis)
      index[axis] = 0;
  }
}

// The element at an index: sizes of 1 are read at 0, and missing leading axes are broadcast.
inline double at(const Tensor& x, const Shape& index) {
  std::int64_t offset = 0;
  const int skipped = index.size() - x.dim();
  for (int axis = 0; axis < x.dim(); ++axis)
    if (x.size(axis) != 1) offset += index[skipped + axis] * x.strides()[axis];
  switch (x.dtype()) {
    case DType::f64:
      return x.data<double>()[offset];
    case DType::f32:
      return x.data<float>()[offset];
    case DType::i64:
      return static_cast<double>(x.data<std::int64_t>()[offset]);
    case DType::boolean:
      return x.data<bool>()[offset];
    default:
      throw std::logic_error("at: dtype");
  }
}

// Values by position, in f64: f(index) for each index of the shape.
template <class F>
Tensor build(const Shape& shape, const F& f) {
  std::vector<double> values;
  each_index(shape, [&](const Shape& index) { values.push_back(f(index)); });
  return from_vector(values, shape);
}

// x's values in memory with other strides, outside of any graph.
inline Tensor in_layout(const Tensor& x, Layout layout) {
  const int rank = x.dim();
  Shape sizes = x.shape(), strides = contiguous_strides(x.shape());
  std::int64_t room = x.numel(), offset = 0;
  switch (layout) {
    case Layout::transposed:  // column-major
      for (int axis = 0; axis < rank; ++axis)
        strides[axis] = axis ? strides[axis - 1] * sizes[axis - 1] : 1;
      break;
    case Layout::stepped:  // every third element, from the second on
      for (int axis = 0; axis < rank; ++axis) strides[axis] *= 3;
      offset = 1;
      room = 3 * room + 1;
      break;
    case Layout::flipped:  // backwards along every axis
      offset = x.numel() ? x.numel() - 1 : 0;
      for (int axis = 0; axis < rank; ++axis) strides[axis] = -strides[axis];
      break;
    case Layout::offset:  // from the fifth element on: not aligned to a register
      offset = 5;
      room += 5;
      break;
    case Layout::reversed_axes:  // backwards along the first axis, columns apart
      for (int axis = 0; axis < rank; ++axis) strides[axis] *= 2;
      room *= 2;
      if (rank && x.numel()) {
        offset = (sizes[0] - 1) * strides[0];
        strides[0] = -strides[0];
      }
      break;
  }
  const Tensor memory = full({std::max<std::int64_t>(room, 1)}, 77, x.dtype());
  Tensor view = memory.alias(sizes, strides, x.numel() ? offset : 0);
  view.copy_(x.detach());
  return view;
}

// A loss: one sum of all elements, weighted by fixed numbers of both signs.
inline Tensor weighted_sum(const Tensor& y) {
  std::vector<double> w(static_cast<std::size_t>(y.numel()));
  std::uint32_t bits = 7;
  for (double& e : w)
    e = std::ldexp(static_cast<double>(bits = 1664525 * bits + 1013904223), -31) - 1;
  return sum(mul(y, from_vector(w, y.shape()).to(y.dtype())));
}

// Calls body(node) once for each node of y's graph.
template <class Body>
void each_node(const Tensor& y, const Body& body) {
  std::vector<Node*> stack, seen;
  const auto visit = [&](Node* n) {
    if (!n || std::find(seen.begin(), seen.end(), n) != seen.end()) return;
    seen.push_back(n);
    stack.push_back(n);
  };
  visit(y.impl().node.get());
  while (!stack.empty()) {
    Node* n = stack.back();
    stack.pop_back();
    body(*n);
    for (int i = 0; i < n->edge_count(); ++i) visit(n->edges()[i].get());
  }
}

}  // namespace gradus::test
