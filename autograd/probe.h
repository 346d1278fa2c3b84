// What a function depends on, read off the support of its gradients, and how it bends.
//
// An element is depended on where a derivative is not 0 at one of several random points; so what
// reads 0 everywhere is never seen to depend (a derivative that vanishes at all of them, or
// underflows, is missed, which more probes make less likely). A derivative that is not finite is a
// NumericError: there 0 * infinity would pass for a dependence.
#pragma once

#include "gradus/autograd/transforms.h"

namespace gradus {

struct ProbeOptions {
  int probes = 4;          // points: x itself, then points around it,
  double spread = 1;       // normal with this standard deviation
  std::uint64_t seed = 1;  // of the points and of the weights of outputs
};

// The elements of x that element `at` of f(x) depends on: boolean, of x's shape.
GRADUS_API Tensor support(const TensorFunction& f, const Tensor& x, const Shape& at,
                          ProbeOptions options = {}, Here here = Here::now());

// The smallest box around the support: from `first` on `size` elements along each axis of x; the
// sizes are 0 where f(x)[at] depends on nothing.
struct ReceptiveField {
  Shape first, size;
};
GRADUS_API ReceptiveField receptive_field(const TensorFunction& f, const Tensor& x, const Shape& at,
                                          ProbeOptions options = {}, Here here = Here::now());

// Boolean, (places along output_axis of f(x), places along input_axis of x): whether anything at
// the one depends on anything at the other.
GRADUS_API Tensor dependence(const TensorFunction& f, const Tensor& x, std::int64_t output_axis,
                             std::int64_t input_axis, ProbeOptions options = {},
                             Here here = Here::now());

// Whether no place along the axis of f(x) depends on a later one of x; otherwise the first that
// does, and the first later place that it sees.
struct Causality {
  bool causal = true;
  std::int64_t output = -1, input = -1;
};
GRADUS_API Causality causality(const TensorFunction& f, const Tensor& x, std::int64_t axis,
                               ProbeOptions options = {}, Here here = Here::now());

// All second derivatives of an f of one element in one symmetric matrix, whose rows and columns are
// the elements of the inputs, one input after the other. Where an eigenvalue is negative f is not
// convex in its inputs together.
GRADUS_API Tensor hessian_matrix(const TensorsFunction& f, const std::vector<Tensor>& x,
                                 Here here = Here::now());

}  // namespace gradus
