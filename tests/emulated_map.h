// Maps on the emulated device against the formula read, element by element, by a register of the
// CPU's baseline.
#pragma once

#include <array>
#include <cmath>
#include <cstring>
#include <random>
#include <type_traits>

#include "gradus/kernels/bf16.h"
#include "gradus/kernels/cpu/simd.h"
#include "gradus/kernels/elementwise.h"
#include "gradus/kernels/gradient.h"
#include "gradus/tests/emulated.h"

namespace gradus::test {

// How an operand lies in a nest.
enum class Place { contiguous, last_axis, first_axis, scalar, transposed, reversed };

inline std::int64_t stride_of(const Extents& e, int axis, Place place) {
  std::int64_t stride = 1;
  if (place == Place::transposed)
    for (int a = 0; a < axis; ++a) stride *= e.size[a];
  else
    for (int a = axis + 1; a < e.rank; ++a) stride *= e.size[a];
  switch (place) {
    case Place::last_axis:
      return axis == e.rank - 1;
    case Place::first_axis:
      return axis == 0;
    case Place::scalar:
      return 0;
    case Place::reversed:
      return -stride;
    default:
      return stride;
  }
}

// An operand on both sides. `skip` elements lie before it.
template <class S>
class Operand {
 public:
  template <class Draw>
  Operand(const Extents& e, Place place, std::int64_t skip, Draw draw) : extents_(e), skip_(skip) {
    std::int64_t low = 0, high = 0;
    for (int a = 0; a < e.rank; ++a) {
      input.stride[a] = stride_of(e, a, place);
      (input.stride[a] < 0 ? low : high) +=
          input.stride[a] * std::max<std::int64_t>(e.size[a] - 1, 0);
    }
    origin_ = -low;
    for (std::int64_t i = 0; i <= high - low; ++i) host.push_back(static_cast<S>(draw()));
    device_.emplace_back(host, skip);
    input.data = device_.back().data() + origin_;
    input.boolean = std::is_same_v<S, std::uint8_t>;
  }
  // Element i of the nest.
  S operator[](std::int64_t i) const {
    std::int64_t at = origin_;
    for (int a = extents_.rank; a-- > 0; i /= extents_.size[a])
      at += i % extents_.size[a] * input.stride[a];
    return host[static_cast<std::size_t>(at)];
  }

  MapInput input;
  std::vector<S> host;

 private:
  Extents extents_;
  std::int64_t origin_ = 0, skip_;
  std::vector<EmulatedArray<S>> device_;
};

template <class S>
inline constexpr int dtype_place = std::is_same_v<S, float>          ? 0
                                   : std::is_same_v<S, double>       ? 1
                                   : std::is_same_v<S, std::int32_t> ? 2
                                   : std::is_same_v<S, std::int64_t> ? 3
                                                                     : 4;

// Distance in ULP of `expected`, or of `scale` where that is larger; infinite where only one is
// NaN, and from any other infinity.
template <class T>
double error_in_ulp(T got, double expected, double scale) {
  const T rounded = static_cast<T>(expected);
  if ((std::isnan(got) && std::isnan(rounded)) || got == rounded) return 0;
  if (!std::isfinite(got) || !std::isfinite(rounded))
    return std::numeric_limits<double>::infinity();
  using Limits = std::numeric_limits<T>;
  const double size = std::max({std::abs(expected), scale, double{Limits::min()}});
  const int exponent = std::ilogb(size) - (Limits::digits - 1);
  return std::ldexp(std::abs(static_cast<double>(got) - expected), -exponent);
}

template <class T>
using One = cpu::baseline::Lane<T>;
template <class T>
T first(const One<T>& lane) {
  return lane[0];
}
template <class T>
T first(const cpu::baseline::Mask<T>& mask) {
  return select(mask, One<T>(1.0), One<T>(0.0))[0];
}
template <class T>
One<T> one(T x) {
  return One<T>::load(&x, 1);
}

template <class F>
constexpr unsigned booleans_of() {
  if constexpr (requires { F::boolean_inputs; })
    return F::boolean_inputs;
  else
    return 0;
}

// A formula on operands stored as S.
template <class F, class S, int K>
class EmulatedMap {
 public:
  using T = computed<S>;
  using L = One<T>;
  static constexpr bool comparison =
      std::is_same_v<decltype(std::apply(std::declval<F>(), std::declval<std::array<L, K>>())),
                     typename L::Bits>;

  // Input k lies as places[k % size]; `draw` gives its elements.
  template <class Draw>
  EmulatedMap(F f, const Extents& e, const std::vector<Place>& places, std::int64_t skip, Draw draw)
      : f_(f), e_(e), map_(*emulated::find_map(typeid(F), K)) {
    const auto place = [&](int k) { return places[static_cast<std::size_t>(k) % places.size()]; };
    for (int k = 0; k < K; ++k)
      if (booleans_of<F>() >> k & 1)
        flags_.emplace_back(e, place(k), skip, [&] { return static_cast<T>(draw()) > 0 ? 1 : 0; });
      else
        x_.emplace_back(e, place(k), skip, draw);
    g_.emplace_back(e, place(K), skip, draw);
    skip_ = skip;
  }

  std::array<T, K> inputs(std::int64_t i) const {
    std::array<T, K> x;
    for (int k = 0, flag = 0, number = 0; k < K; ++k)
      if (booleans_of<F>() >> k & 1)
        x[k] = static_cast<T>(flags_[flag++][i]);
      else
        x[k] = static_cast<T>(x_[number++][i]);
    return x;
  }
  std::array<L, K> lanes(std::int64_t i) const {
    const auto x = inputs(i);
    std::array<L, K> v;
    for (int k = 0; k < K; ++k) v[k] = one<T>(x[k]);
    return v;
  }
  T expected(std::int64_t i) const { return first<T>(std::apply(f_, lanes(i))); }
  template <int k>
  T expected_gradient(std::int64_t i) const {
    return first<T>(L(detail::gradient_of<k>(f_, one<T>(static_cast<T>(g_[0][i])), lanes(i),
                                             one<T>(static_cast<T>(S(expected(i)))))));
  }

  std::vector<T> value() const {
    using Y = std::conditional_t<comparison, std::uint8_t, S>;
    const EmulatedArray<Y> y(e_.count(), skip_);
    map_.value[dtype_place<S>](&f_, e_, map_inputs(), y.data());
    return numbers(y.values());
  }

  // The gradients, one after the other.
  std::vector<std::vector<T>> gradients(unsigned wanted) const {
    std::vector<S> output;
    for (std::int64_t i = 0; i < e_.count(); ++i) output.push_back(S(expected(i)));
    std::size_t next = 0;
    const Operand<S> y(e_, Place::contiguous, skip_,
                       [&] { return next < output.size() ? output[next++] : S(0); });
    std::vector<MapInput> in{g_[0].input};
    for (const MapInput& x : map_inputs()) in.push_back(x);
    in.push_back(y.input);
    std::vector<MapGradient> d(K);
    std::vector<EmulatedArray<S>> results;
    for (int k = 0; k < K; ++k) {
      const auto at = static_cast<std::size_t>(k);
      results.emplace_back(count(k), skip_);
      if (wanted >> k & 1) d[at].data = results[at].data();
      d[at].count = count(k);
      std::int64_t stride = 1;
      for (int a = e_.rank; a-- > 0;) {
        const bool summed = in[at + 1].stride[a] == 0;
        d[at].stride[a] = summed ? 0 : stride;
        if (!summed) stride *= e_.size[a];
      }
    }
    const EmulatedArray<std::uint8_t> scratch(emulated::map_gradient_scratch(e_, d));
    const auto run = map_.gradient[std::is_same_v<S, bf16> ? 2 : dtype_place<S>];
    run(&f_, e_, in, d, scratch.data());
    std::vector<std::vector<T>> all;
    for (int k = 0; k < K; ++k)
      all.push_back(wanted >> k & 1 ? numbers(results[static_cast<std::size_t>(k)].values())
                                    : std::vector<T>());
    return all;
  }
  // Each with the sum of its terms' magnitudes.
  template <int k>
  std::vector<std::pair<long double, long double>> expected_sums() const {
    std::vector<std::pair<long double, long double>> sums(static_cast<std::size_t>(count(k)));
    const std::vector<MapInput> in = map_inputs();
    for (std::int64_t i = 0; i < e_.count(); ++i) {
      std::int64_t at = 0, stride = 1, left = i;
      for (int a = e_.rank; a-- > 0; left /= e_.size[a])
        if (in[k].stride[a] != 0) at += left % e_.size[a] * stride, stride *= e_.size[a];
      const long double term = expected_gradient<k>(i);
      sums[static_cast<std::size_t>(at)].first += term;
      sums[static_cast<std::size_t>(at)].second += std::abs(term);
    }
    return sums;
  }

  std::int64_t count() const { return e_.count(); }
  // The elements of input k.
  std::int64_t count(int k) const {
    std::int64_t n = 1;
    const MapInput in = map_inputs()[static_cast<std::size_t>(k)];
    for (int a = 0; a < e_.rank; ++a) n *= in.stride[a] != 0 ? e_.size[a] : 1;
    return n;
  }

 private:
  template <class U>
  static std::vector<T> numbers(const std::vector<U>& v) {
    std::vector<T> r;
    for (const U& u : v) r.push_back(static_cast<T>(u));
    return r;
  }
  std::vector<MapInput> map_inputs() const {
    std::vector<MapInput> in;
    for (int k = 0, flag = 0, number = 0; k < K; ++k)
      in.push_back(booleans_of<F>() >> k & 1 ? flags_[flag++].input : x_[number++].input);
    return in;
  }

  F f_;
  Extents e_;
  const DeviceMap& map_;
  std::vector<Operand<S>> x_, g_;
  std::vector<Operand<std::uint8_t>> flags_;
  std::int64_t skip_ = 0;
};

}  // namespace gradus::test
