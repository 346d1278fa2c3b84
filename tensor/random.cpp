#include "gradus/tensor/random.h"

#include <limits>

#include "gradus/kernels/random.h"
#include "gradus/tensor/copy.h"

namespace gradus {
namespace {

PhiloxKey key_of(const Generator& g) { return {g.seed(), g.stream()}; }

}  // namespace

std::uint64_t Generator::advance(std::uint64_t count) {
  const std::uint64_t at = offset_;
  offset_ += count + (count & 1);  // a draw begins at a pair, which Box and Muller make at once
  return at;
}

Tensor rand(const Shape& shape, Generator& generator, DType dtype) {
  Tensor t = empty(shape, dtype);
  with_float("rand", dtype, [&](auto zero) {
    using T = decltype(zero);
    const std::uint64_t at = generator.advance(static_cast<std::uint64_t>(t.numel()));
    cpu::random_uniform(key_of(generator), at, t.numel(), t.mutable_data<T>());
  });
  return t;
}

Tensor randn(const Shape& shape, Generator& generator, DType dtype) {
  Tensor t = empty(shape, dtype);
  with_float("randn", dtype, [&](auto zero) {
    using T = decltype(zero);
    const std::uint64_t at = generator.advance(static_cast<std::uint64_t>(t.numel()));
    cpu::random_normal(key_of(generator), at, t.numel(), t.mutable_data<T>());
  });
  return t;
}

Tensor randint(std::int64_t low, std::int64_t high, const Shape& shape, Generator& generator) {
  require(low < high, "randint: low must be below high: ", low, " and ", high);
  Tensor t = empty(shape, DType::i64);
  const std::uint64_t at = generator.advance(static_cast<std::uint64_t>(t.numel()));
  cpu::random_integers(key_of(generator), at, t.numel(), low, high, t.mutable_data<std::int64_t>());
  return t;
}

Tensor bernoulli(double p, const Shape& shape, Generator& generator) {
  require(p >= 0 && p <= 1, "bernoulli: p must lie in [0, 1], got ", p);
  Tensor t = empty(shape, DType::boolean);
  const std::uint64_t at = generator.advance(static_cast<std::uint64_t>(t.numel()));
  cpu::random_bernoulli<double>(key_of(generator), at, t.numel(), &p, 0, t.mutable_data<bool>());
  return t;
}

Tensor bernoulli(const Tensor& p, Generator& generator) {
  detail::require_floating("bernoulli", p);
  const Tensor x = detail::contiguous_value(p);
  Tensor t = empty(p.shape(), DType::boolean);
  with_float("bernoulli", p.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* values = x.data<T>();
    for (std::int64_t i = 0; i < x.numel(); ++i)
      require(values[i] >= 0 && values[i] <= 1, "bernoulli: p must lie in [0, 1], got ", values[i],
              " at position ", i);
    const std::uint64_t at = generator.advance(static_cast<std::uint64_t>(t.numel()));
    cpu::random_bernoulli<T>(key_of(generator), at, t.numel(), values, 1, t.mutable_data<bool>());
  });
  return t;
}

Tensor permutation(std::int64_t n, Generator& generator) {
  require(n >= 0, "permutation: n must not be negative, got ", n);
  Tensor t = empty({n}, DType::i64);
  const Tensor scratch = empty({random_permutation_scratch(n)}, DType::u8);
  const std::uint64_t at = generator.advance(static_cast<std::uint64_t>(n));
  cpu::random_permutation(key_of(generator), at, n, t.mutable_data<std::int64_t>(),
                          scratch.mutable_data<std::uint8_t>());
  return t;
}

}  // namespace gradus
