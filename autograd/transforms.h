// Functions of functions: derivatives as values of their own, and functions with a rule of their
// own.
//
// The function is called once with arguments that are nodes of their own, so what it closes over
// counts as constant. A result is recorded like any operation's: when an argument, a vector or
// something the function closes over is part of a graph. So transforms nest, to any order. Where
// the function does not depend on an argument the derivative is zeros.
#pragma once

#include <functional>
#include <vector>

#include "gradus/autograd/graph.h"
#include "gradus/tensor/random.h"

namespace gradus {

using TensorFunction = std::function<Tensor(const Tensor&)>;
using TensorsFunction = std::function<Tensor(const std::vector<Tensor>&)>;

// y = f(x) and the pullback u -> J^T u, for u of y's shape and dtype; to be called any number of
// times.
template <class X>
struct Vjp {
  Tensor y;
  std::function<X(const Tensor& u)> pullback;
};
GRADUS_API Vjp<Tensor> vjp(const TensorFunction& f, const Tensor& x, Here here = Here::now());
GRADUS_API Vjp<std::vector<Tensor>> vjp(const TensorsFunction& f, const std::vector<Tensor>& x,
                                        Here here = Here::now());

// y = f(x) and J v, for v of x's shapes and dtypes. (J^T u is linear in u; its derivative is J.)
struct Jvp {
  Tensor y, tangent;
};
GRADUS_API Jvp jvp(const TensorFunction& f, const Tensor& x, const Tensor& v,
                   Here here = Here::now());
GRADUS_API Jvp jvp(const TensorsFunction& f, const std::vector<Tensor>& x,
                   const std::vector<Tensor>& v, Here here = Here::now());

// d f(x) / d x, of shape f(x).shape + x.shape: one walk for each element of f(x).
GRADUS_API Tensor jacobian(const TensorFunction& f, const Tensor& x, Here here = Here::now());
GRADUS_API std::vector<Tensor> jacobian(const TensorsFunction& f, const std::vector<Tensor>& x,
                                        Here here = Here::now());

// Second derivatives of an f of one element: [i][j] of shape x[i].shape + x[j].shape.
GRADUS_API Tensor hessian(const TensorFunction& f, const Tensor& x, Here here = Here::now());
GRADUS_API std::vector<std::vector<Tensor>> hessian(const TensorsFunction& f,
                                                    const std::vector<Tensor>& x,
                                                    Here here = Here::now());

// H v for an f of one element, in two walks.
GRADUS_API Tensor hvp(const TensorFunction& f, const Tensor& x, const Tensor& v,
                      Here here = Here::now());
GRADUS_API std::vector<Tensor> hvp(const TensorsFunction& f, const std::vector<Tensor>& x,
                                   const std::vector<Tensor>& v, Here here = Here::now());

// f(inputs), keeping the inputs alone: the walk computes f again for its gradient. Generators that
// f draws from are named, so that the second run draws the same numbers; afterwards they stand
// where they stood. Whatever f differentiates through must be among the inputs: a tensor of a graph
// that it closes over is an error of the walk, as is a second run of another shape.
GRADUS_API Tensor checkpoint(const TensorsFunction& f, const std::vector<Tensor>& inputs,
                             const std::vector<Generator*>& generators = {},
                             Here here = Here::now());

// forward(inputs) with a rule of the user's: the gradients of all inputs (undefined ones for inputs
// without one: an error only where it is asked for), each of its input's shape and dtype, given the
// output's gradient g. Written in operations, it can be differentiated again. `name` must live as
// long as the graph (a literal).
using CustomRule = std::function<std::vector<Tensor>(const std::vector<Tensor>& inputs,
                                                     const Tensor& y, const Tensor& g)>;
GRADUS_API Tensor custom(const char* name, const std::vector<Tensor>& inputs,
                         const TensorsFunction& forward, CustomRule rule, Here here = Here::now());

}  // namespace gradus
