// Dropout: elements set to 0 at random, the others enlarged so that the mean stays.
#pragma once

#include "gradus/nn/module.h"
#include "gradus/tensor/random.h"

namespace gradus::nn {

// Each element is 0 with probability p, and x / (1 - p) otherwise; 0 <= p < 1. It draws one number
// an element; with p = 0 it draws none and returns x.
GRADUS_API Tensor dropout(At x, double p, Generator& generator);

// The same in Mode::train, and x itself in Mode::eval.
struct GRADUS_API Dropout {
  double p = 0.5;

  Tensor operator()(At x, Generator& generator, Mode mode) const;
  static void each(auto&, auto&&) {}
};

}  // namespace gradus::nn
