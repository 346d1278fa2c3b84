// Random strided windows on memory of exactly the needed size, for tests of kernels: permuted,
// padded, flipped, broadcast; and each instruction set and several thread counts in turn.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "gradus/kernels/cpu/isa.h"
#include "gradus/kernels/cpu/pool.h"
#include "gradus/kernels/view.h"

namespace gradus::test {

using Random = std::mt19937_64;

inline std::int64_t pick(Random& random, std::int64_t from, std::int64_t to) {
  return std::uniform_int_distribution<std::int64_t>(from, to)(random);
}

struct Window {
  Extents extents;
  std::int64_t stride[max_rank] = {};
  std::int64_t first = 0;   // where element (0, 0, ...) lies
  std::int64_t memory = 0;  // elements that the window spans

  std::int64_t offset(std::int64_t position) const {
    std::int64_t at = first;
    for (int i = extents.rank - 1; i >= 0; --i) {
      at += position % extents.size[i] * stride[i];
      position /= extents.size[i];
    }
    return at;
  }
  std::string text() const {
    std::string s;
    for (int i = 0; i < extents.rank; ++i)
      s += std::to_string(extents.size[i]) + ":" + std::to_string(stride[i]) + " ";
    return s;
  }
};

// A window on `sizes`; no two elements coincide unless `broadcast`.
inline Window random_window(Random& random, const std::vector<std::int64_t>& sizes,
                            bool broadcast) {
  Window w;
  w.extents.rank = static_cast<int>(sizes.size());
  std::vector<int> order;
  for (int i = 0; i < w.extents.rank; ++i) w.extents.size[i] = sizes[static_cast<std::size_t>(i)];
  for (int i = w.extents.rank - 1; i >= 0; --i) order.push_back(i);
  if (pick(random, 0, 2) == 0) std::shuffle(order.begin(), order.end(), random);
  std::int64_t step = pick(random, 0, 4) == 0 ? 2 : 1, last = 0;
  for (const int i : order) {
    const std::int64_t n = w.extents.size[i];
    if (broadcast && pick(random, 0, 7) == 0) continue;  // stride 0
    w.stride[i] = step;
    step *= n + (pick(random, 0, 3) == 0 ? pick(random, 1, 3) : 0);
    step = std::max<std::int64_t>(step, 1);
    last += std::max<std::int64_t>(0, n - 1) * w.stride[i];
    if (pick(random, 0, 5) == 0) {
      w.first += std::max<std::int64_t>(0, n - 1) * w.stride[i];
      w.stride[i] = -w.stride[i];
    }
  }
  w.memory = last + 1;
  return w;
}

template <class T>
std::vector<T> random_values(Random& random, std::int64_t n, double low = -1, double high = 1) {
  std::uniform_real_distribution<double> value(low, high);
  std::vector<T> x(static_cast<std::size_t>(n));
  for (T& v : x) v = static_cast<T>(value(random));
  return x;
}

// Runs body() with every instruction set the processor has.
template <class Body>
void for_each_isa(const Body& body) {
  const cpu::Isa before = cpu::isa();
  for (const cpu::Isa isa : {cpu::Isa::baseline, cpu::Isa::avx2, cpu::Isa::avx512}) {
    if (!cpu::set_isa(isa)) continue;
    SCOPED_TRACE(cpu::name(isa));
    body();
  }
  cpu::set_isa(before);
}

// Runs make() with 1, 2, 3 and 5 threads and expects the same value, bit for bit.
template <class Make>
void expect_same_for_any_threads(const Make& make) {
  const int before = threads();
  set_threads(1);
  const auto one = make();
  for (const int n : {2, 3, 5}) {
    set_threads(n);
    EXPECT_EQ(one, make()) << n << " threads";
  }
  set_threads(before);
}

}  // namespace gradus::test
