#include "gradus/tensor/random.h"

#include <limits>

#include "gradus/kernels/domain.h"
#include "gradus/kernels/random.h"
#include "gradus/tensor/copy.h"
#include "gradus/tensor/dispatch.h"
#include "gradus/tensor/ledger.h"
#include "gradus/tensor/replay.h"

namespace gradus {
namespace {

using detail::out_pointer;
using detail::pointer;

// Calls kernel(key, offset) for a draw that fills t; again, further on, at each replay of a step
// that is being recorded.
template <class Kernel>
void draw(const char* name, Generator& g, const Tensor& t, Kernel kernel) {
  detail::count(name, Work::map, t.numel(), {&t});
  detail::call_at_replays([&g, count = static_cast<std::uint64_t>(t.numel()), kernel] {
    const std::uint64_t at = g.advance(count);
    kernel(PhiloxKey{g.seed(), g.stream()}, at);
  });
}

}  // namespace

std::uint64_t Generator::advance(std::uint64_t count) {
  const std::uint64_t at = offset_;
  offset_ += count + (count & 1);  // a draw begins at a pair, which Box and Muller make at once
  return at;
}

Tensor rand(const Shape& shape, Generator& generator, DType dtype, Device device) {
  Tensor t = empty(shape, dtype, device);
  with_float("rand", dtype, [&](auto zero) {
    using T = decltype(zero);
    draw("rand", generator, t, [=](PhiloxKey key, std::uint64_t at) {
      GRADUS_RUN(device, random_uniform(key, at, t.numel(), out_pointer<T>(t)));
    });
  });
  return t;
}

Tensor randn(const Shape& shape, Generator& generator, DType dtype, Device device) {
  Tensor t = empty(shape, dtype, device);
  with_float("randn", dtype, [&](auto zero) {
    using T = decltype(zero);
    draw("randn", generator, t, [=](PhiloxKey key, std::uint64_t at) {
      GRADUS_RUN(device, random_normal(key, at, t.numel(), out_pointer<T>(t)));
    });
  });
  return t;
}

Tensor randint(std::int64_t low, std::int64_t high, const Shape& shape, Generator& generator,
               Device device) {
  require(low < high, "randint: low must be below high: ", low, " and ", high);
  Tensor t = empty(shape, DType::i64, device);
  draw("randint", generator, t, [=](PhiloxKey key, std::uint64_t at) {
    GRADUS_RUN(device,
               random_integers(key, at, t.numel(), low, high, out_pointer<std::int64_t>(t)));
  });
  return t;
}

Tensor bernoulli(double p, const Shape& shape, Generator& generator, Device device) {
  require(p >= 0 && p <= 1, "bernoulli: p must lie in [0, 1], got ", p);
  Tensor t = empty(shape, DType::boolean, device);
  const Tensor one = full({}, p, DType::f64, device);
  draw("bernoulli", generator, t, [=](PhiloxKey key, std::uint64_t at) {
    GRADUS_RUN(device, random_bernoulli<double>(key, at, t.numel(), pointer<double>(one), 0,
                                                out_pointer<bool>(t)));
  });
  return t;
}

Tensor bernoulli(const Tensor& p, Generator& generator) {
  detail::require_floating("bernoulli", p);
  const Tensor x = detail::contiguous_value(p);
  Tensor t = empty(p.shape(), DType::boolean, p.device());
  with_float("bernoulli", p.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* values = pointer<T>(x);
    if (x.device() != Device::cpu)  // found out when the device is waited for
      GRADUS_RUN_ON_DEVICE(x.device(), note_outside("bernoulli", ": p must lie in [0, 1]", values,
                                                    x.numel(), 0.0, 1.0));
    else
      for (std::int64_t i = 0; i < x.numel(); ++i)
        require(values[i] >= 0 && values[i] <= 1, "bernoulli: p must lie in [0, 1], got ",
                values[i], " at position ", i);
    draw("bernoulli", generator, t, [=, device = p.device()](PhiloxKey key, std::uint64_t at) {
      GRADUS_RUN(device,
                 random_bernoulli<T>(key, at, t.numel(), pointer<T>(x), 1, out_pointer<bool>(t)));
    });
  });
  return t;
}

Tensor permutation(std::int64_t n, Generator& generator, Device device) {
  require(n >= 0, "permutation: n must not be negative, got ", n);
  Tensor t = empty({n}, DType::i64, device);
  const Tensor scratch = empty({random_permutation_scratch(n)}, DType::u8, device);
  draw("permutation", generator, t, [=](PhiloxKey key, std::uint64_t at) {
    GRADUS_RUN(device, random_permutation(key, at, n, out_pointer<std::int64_t>(t),
                                          out_pointer<std::uint8_t>(scratch)));
  });
  return t;
}

}  // namespace gradus
