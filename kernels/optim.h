// Optimiser steps: one pass over all parameters with their gradients and moments. On a device the
// arrays lie there and the slices on the host. In a graph (cuda/replay.h) all numbers of a step can
// change between replays; the arrays stay.
#pragma once

#include "gradus/kernels/kernel.h"

namespace gradus {

// n elements of a parameter, its gradient and its state, none overlapping another; every slice has
// its own learning rate and weight decay. The state starts as zeros; what a step does not use may
// be null: m without momentum, v outside Adam.
template <class T>
struct Slice {
  T* parameter = nullptr;
  const T* gradient = nullptr;
  T* m = nullptr;
  T* v = nullptr;
  std::int64_t n = 0;
  double learning_rate = 0, weight_decay = 0;
};

struct SgdStep {
  double momentum = 0;
  bool nesterov = false;
  double gradient_scale = 1;  // multiplies every gradient: clipping by the global norm
};

struct AdamStep {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  bool decoupled = false;  // AdamW: the decay shrinks the parameter instead of joining the gradient
  std::int64_t step = 1;   // from 1, this one included
  double gradient_scale = 1;
};

// d = scale * g + decay * p; m = momentum * m + d; p -= rate * (nesterov ? d + momentum * m : m).
// Without momentum, p -= rate * d.
GRADUS_KERNEL(template <class T>
              void sgd(const Slice<T>* slices, std::int64_t count, const SgdStep&))

// d = scale * g, + decay * p unless decoupled; then p *= 1 - rate * decay.
// m += (1 - beta1) * (d - m); v = beta2 * v + (1 - beta2) * d^2;
// p -= rate / (1 - beta1^step) * m / (sqrt(v / (1 - beta2^step)) + eps).
GRADUS_KERNEL(template <class T>
              void adam(const Slice<T>* slices, std::int64_t count, const AdamStep&))

// p += (1 - decay) * (g - p): the moving average p of the values g. Other fields are not read.
GRADUS_KERNEL(template <class T>
              void moving_average(const Slice<T>* slices, std::int64_t count, double decay))

// *sum = the sum of the squares of all gradients, in double, in an order that follows from the
// sizes alone. (The CPU sums leaves of a few hundred elements in T: squares of f32 may overflow
// there.) Only gradient and n are read. Scratch: sum_of_squares_scratch(total number of elements)
// bytes.
inline constexpr std::int64_t sum_of_squares_partial = 1024;  // sums that a device makes, at most
GRADUS_API std::int64_t sum_of_squares_scratch(std::int64_t elements);
GRADUS_KERNEL(template <class T> void sum_of_squares(const Slice<T>* slices, std::int64_t count,
                                                     void* scratch, double* sum))

}  // namespace gradus
