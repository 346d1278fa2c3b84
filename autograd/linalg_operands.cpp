#include "gradus/autograd/linalg_operands.h"

#include <cmath>
#include <limits>

#include "gradus/kernels/domain.h"

namespace gradus::linalg::detail {
namespace {

// Row counts of work arrays, 4 n^2 and more, must fit LAPACK's 32 bits.
constexpr std::int64_t largest_size = 16384;

std::string matrix_name(std::int64_t i, std::int64_t count) {
  if (count == 1) return "the matrix";
  return "matrix " + std::to_string(i) + " of " + std::to_string(count);
}

// Notes elements outside of [low, high] where x's device is not the CPU.
bool noted_on_device(const char* operation, const char* noted, const Tensor& x, double low,
                     double high) {
  if (x.device() == Device::cpu) return false;
  with_float(operation, x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    GRADUS_RUN_ON_DEVICE(x.device(),
                         note_outside(operation, noted, pointer<T>(x), x.numel(), low, high));
  });
  return true;
}

double largest_of(DType t) {
  return t == DType::f32 ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
}

}  // namespace

void require_matrices(const char* operation, const Tensor& a) {
  gradus::detail::require_floating(operation, a);
  require(a.dim() >= 2, operation, ": needs matrices, got ", a.shape());
  require(a.size(-1) <= largest_size && a.size(-2) <= largest_size, operation,
          ": sizes of a matrix must be at most ", largest_size, ", got ", a.shape());
}

void require_square(const char* operation, const Tensor& a) {
  require_matrices(operation, a);
  require(a.size(-1) == a.size(-2), operation, ": needs square matrices, got ", a.shape());
}

Shape batch_shape(const Tensor& a) {
  return Shape(std::span(a.shape().begin(), static_cast<std::size_t>(a.dim() - 2)));
}

Shape with_sizes(Shape batch, std::initializer_list<std::int64_t> sizes) {
  for (const std::int64_t size : sizes) batch.push_back(size);
  return batch;
}

void require_each(const char* operation, const Tensor& value, const char* rule, const char* noted,
                  const std::function<std::string(std::int64_t)>& describe) {
  const Tensor x = gradus::detail::contiguous_value(value);
  const double least = x.dtype() == DType::f32 ? std::numeric_limits<float>::denorm_min()
                                               : std::numeric_limits<double>::denorm_min();
  if (x.numel() == 0 || noted_on_device(operation, noted, x, least, largest_of(x.dtype()))) return;
  with_float(operation, x.dtype(), [&](auto zero) {
    const auto* p = pointer<decltype(zero)>(x);
    for (std::int64_t i = 0; i < x.numel(); ++i)
      if (!(p[i] > 0))
        fail(operation, ": ", matrix_name(i, x.numel()), rule, describe ? describe(i) : "");
  });
}

void require_finite(const char* operation, const Tensor& t, const char* rule, const char* noted) {
  const Tensor x = gradus::detail::contiguous_value(t);
  const double largest = largest_of(x.dtype());
  if (x.numel() == 0 || noted_on_device(operation, noted, x, -largest, largest)) return;
  with_float(operation, x.dtype(), [&](auto zero) {
    const auto* p = pointer<decltype(zero)>(x);
    const std::int64_t size = x.size(-1) * x.size(-2);
    for (std::int64_t i = 0; i < x.numel(); ++i)
      if (!std::isfinite(p[i])) {
        std::ostringstream text;
        text << operation << ": " << matrix_name(i / size, x.numel() / size) << rule;
        throw NumericError(text.str());
      }
  });
}

void require_finite(const char* operation, const Tensor& x) {
  require_finite(operation, x, " holds a NaN or an infinity", ": a matrix must be finite");
}

std::string condition(const Tensor& a, std::int64_t i) {
  const std::int64_t n = a.size(-1);
  const Tensor s = svd(reshape(values_of(a), {-1, n, n})[i]).s;
  std::ostringstream text;
  const double least = s[-1].item();
  text << " (condition number " << (least > 0 ? s[0].item() / least : INFINITY) << ')';
  return text.str();
}

Tensor symmetric(const char* operation, At a) {
  require_square(operation, *a);
  require_finite(operation, *a);
  const std::int64_t n = a->size(-1);
  if (a->numel()) {
    const Tensor x = reshape(values_of(*a), {-1, n * n});
    const Tensor y = reshape(transposed(values_of(*a)), {-1, n * n});
    const double tolerance =
        std::sqrt(a->dtype() == DType::f32 ? std::numeric_limits<float>::epsilon()
                                           : std::numeric_limits<double>::epsilon());
    const Tensor fine = max(abs(x - y), 1) <= max(abs(x), 1) * tolerance;
    require_each(operation, fine.to(a->dtype()), " is not symmetric",
                 ": a matrix must be symmetric");
  }
  return (a + at(transposed(*a), a)) * 0.5;
}

Shape system_batch(const char* operation, const Tensor& a, const Tensor& b) {
  require_matrices(operation, b);
  gradus::detail::require_same_dtype(operation, a, b);
  require(a.size(-2) == b.size(-2), operation, ": rows differ: ", a.shape(), " and ", b.shape());
  return broadcast_shapes(operation, batch_shape(a), batch_shape(b));
}

}  // namespace gradus::linalg::detail
