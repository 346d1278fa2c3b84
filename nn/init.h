// Initial values of weights. Every function returns a new tensor, f32 or f64, and draws its
// elements in row-major order from the generator.
#pragma once

#include "gradus/tensor/random.h"

namespace gradus::nn {

// Inputs and outputs of one unit: of a weight (out, in, ...) in * k and out * k, where k is the
// product of the sizes after the second. A weight has at least two axes.
struct Fan {
  std::int64_t in, out;
};
GRADUS_API Fan fan(const Shape& weight);

// The factor that keeps the variance through an activation: 1 for none and sigmoid, sqrt(2) for
// relu, sqrt(2 / (1 + slope^2)) for leaky relu, 5/3 for tanh.
enum class Activation { none, sigmoid, relu, leaky_relu, tanh };
GRADUS_API double gain(Activation activation, double slope = 0.01);

GRADUS_API Tensor uniform(const Shape& shape, double low, double high, Generator& generator,
                          DType dtype = DType::f32);
GRADUS_API Tensor normal(const Shape& shape, double mean, double standard_deviation,
                         Generator& generator, DType dtype = DType::f32);

enum class FanMode { in, out };
struct KaimingOptions {
  double gain = 1.4142135623730951;  // relu's
  FanMode mode = FanMode::in;
  DType dtype = DType::f32;
};
// Standard deviation gain / sqrt(fan). The uniform one has the limits +-sqrt(3) times that.
GRADUS_API Tensor kaiming_normal(const Shape& shape, Generator& generator,
                                 KaimingOptions options = {});
GRADUS_API Tensor kaiming_uniform(const Shape& shape, Generator& generator,
                                  KaimingOptions options = {});

struct XavierOptions {
  double gain = 1;
  DType dtype = DType::f32;
};
// Standard deviation gain sqrt(2 / (in + out)).
GRADUS_API Tensor xavier_normal(const Shape& shape, Generator& generator,
                                XavierOptions options = {});
GRADUS_API Tensor xavier_uniform(const Shape& shape, Generator& generator,
                                 XavierOptions options = {});

struct OrthogonalOptions {
  double gain = 1;
  DType dtype = DType::f32;
};
// A random matrix with orthonormal rows or columns, whichever are fewer, times the gain, uniform
// among all of those. Axes after the first are one axis.
GRADUS_API Tensor orthogonal(const Shape& shape, Generator& generator,
                             OrthogonalOptions options = {});

}  // namespace gradus::nn
