// Results on the emulated device that may hold NaN: the same bits under every schedule.
#pragma once

#include <bit>
#include <cstring>
#include <functional>

#include "gradus/tests/emulated.h"

namespace gradus::test {

// What f() gives, a vector.
template <class F>
auto same_bits(const F& f) {
  using V = std::invoke_result_t<F>;
  const auto bytes = on_every_schedule([&] {
    const V v = f();
    std::vector<unsigned char> b(v.size() * sizeof(typename V::value_type));
    if (!b.empty()) std::memcpy(b.data(), v.data(), b.size());
    return b;
  });
  V v(bytes.size() / sizeof(typename V::value_type));
  if (!bytes.empty()) std::memcpy(v.data(), bytes.data(), bytes.size());
  return v;
}

}  // namespace gradus::test
