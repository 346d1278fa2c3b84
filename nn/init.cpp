#include "gradus/nn/init.h"

#include <cmath>

#include "gradus/autograd/ops.h"

namespace gradus::nn {
namespace {

double kaiming_deviation(const char* name, const Shape& shape, const KaimingOptions& options) {
  const Fan f = fan(shape);
  const std::int64_t n = options.mode == FanMode::in ? f.in : f.out;
  require(n > 0, name, ": a weight without inputs or outputs: ", shape);
  return options.gain / std::sqrt(static_cast<double>(n));
}

double xavier_deviation(const char* name, const Shape& shape, const XavierOptions& options) {
  const Fan f = fan(shape);
  require(f.in + f.out > 0, name, ": a weight without inputs and outputs: ", shape);
  return options.gain * std::sqrt(2.0 / static_cast<double>(f.in + f.out));
}

Tensor symmetric(const Shape& shape, double limit, Generator& generator, DType dtype) {
  return uniform(shape, -std::abs(limit), std::abs(limit), generator, dtype);
}

// Overwrites the columns of a (rows, columns), rows >= columns, with the Q of its QR factorisation
// whose R has a positive diagonal: then Q of a normal matrix is uniform. Householder reflections.
void orthonormalise(std::int64_t rows, std::int64_t columns, double* a) {
  auto at = [&](std::int64_t i, std::int64_t j) -> double& { return a[i * columns + j]; };
  std::vector<double> scale(static_cast<std::size_t>(columns)), sign(scale);
  std::vector<double> diagonal(scale);
  // Column k from its diagonal on becomes the vector v of the reflection 1 - scale v v'.
  auto reflect = [&](std::int64_t k, std::int64_t j) {
    double dot = 0;
    for (std::int64_t i = k; i < rows; ++i) dot += at(i, k) * at(i, j);
    dot *= scale[static_cast<std::size_t>(k)];
    for (std::int64_t i = k; i < rows; ++i) at(i, j) -= dot * at(i, k);
  };
  for (std::int64_t k = 0; k < columns; ++k) {
    double square = 0;
    for (std::int64_t i = k; i < rows; ++i) square += at(i, k) * at(i, k);
    const double length = std::copysign(std::sqrt(square), at(k, k));
    at(k, k) += length;
    const double v = length * at(k, k);  // half of the new column's squared length
    scale[static_cast<std::size_t>(k)] = v > 0 ? 1 / v : 0;
    sign[static_cast<std::size_t>(k)] = length > 0 ? -1 : 1;  // of R's diagonal
    for (std::int64_t j = k + 1; j < columns; ++j) reflect(k, j);
  }
  // Q = H_0 H_1 ... applied to the first columns of the identity, from the last reflection back.
  for (std::int64_t k = columns; k-- > 0;) {
    for (std::int64_t j = k + 1; j < columns; ++j) reflect(k, j);
    const double s = scale[static_cast<std::size_t>(k)], top = at(k, k);
    for (std::int64_t i = k; i < rows; ++i) at(i, k) *= -s * top;
    at(k, k) += 1;
    for (std::int64_t i = 0; i < k; ++i) at(i, k) = 0;
  }
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) at(i, j) *= sign[static_cast<std::size_t>(j)];
}

}  // namespace

Fan fan(const Shape& weight) {
  require(weight.size() >= 2, "fan: a weight has at least two axes (out, in, ...): ", weight);
  std::int64_t field = 1;
  for (int i = 2; i < weight.size(); ++i) field *= weight[i];
  return {weight[1] * field, weight[0] * field};
}

double gain(Activation activation, double slope) {
  switch (activation) {
    case Activation::relu:
      return std::sqrt(2.0);
    case Activation::leaky_relu:
      return std::sqrt(2 / (1 + slope * slope));
    case Activation::tanh:
      return 5.0 / 3.0;
    case Activation::none:
    case Activation::sigmoid:
      break;
  }
  return 1;
}

Tensor uniform(const Shape& shape, double low, double high, Generator& generator, DType dtype) {
  require(low <= high && std::isfinite(high - low),
          "uniform: limits must be finite and in order: ", low, " and ", high);
  return rand(shape, generator, dtype) * (high - low) + low;
}

Tensor normal(const Shape& shape, double mean, double standard_deviation, Generator& generator,
              DType dtype) {
  require(standard_deviation >= 0 && std::isfinite(standard_deviation) && std::isfinite(mean),
          "normal: mean must be finite and the standard deviation at least 0: ", mean, " and ",
          standard_deviation);
  return randn(shape, generator, dtype) * standard_deviation + mean;
}

Tensor kaiming_normal(const Shape& shape, Generator& generator, KaimingOptions options) {
  const double deviation = kaiming_deviation("kaiming_normal", shape, options);
  return normal(shape, 0, std::abs(deviation), generator, options.dtype);
}

Tensor kaiming_uniform(const Shape& shape, Generator& generator, KaimingOptions options) {
  const double deviation = kaiming_deviation("kaiming_uniform", shape, options);
  return symmetric(shape, std::sqrt(3.0) * deviation, generator, options.dtype);
}

Tensor xavier_normal(const Shape& shape, Generator& generator, XavierOptions options) {
  const double deviation = xavier_deviation("xavier_normal", shape, options);
  return normal(shape, 0, std::abs(deviation), generator, options.dtype);
}

Tensor xavier_uniform(const Shape& shape, Generator& generator, XavierOptions options) {
  const double deviation = xavier_deviation("xavier_uniform", shape, options);
  return symmetric(shape, std::sqrt(3.0) * deviation, generator, options.dtype);
}

Tensor orthogonal(const Shape& shape, Generator& generator, OrthogonalOptions options) {
  require(shape.size() >= 2, "orthogonal: a weight has at least two axes: ", shape);
  const std::int64_t rows = shape[0], columns = rows ? shape.numel() / rows : 0;
  const bool wide = rows < columns;
  const Shape tall = wide ? Shape{columns, rows} : Shape{rows, columns};
  Tensor q = randn(tall, generator, DType::f64);
  orthonormalise(tall[0], tall[1], q.mutable_data<double>());
  if (wide) q = q.t().contiguous();
  return (q * options.gain).to(options.dtype).reshape(shape);
}

}  // namespace gradus::nn
