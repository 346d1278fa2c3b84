#include "limits.h"

#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gradus/kernels/copy.h"
#include "gradus/kernels/cpu/pool.h"
#include "gradus/kernels/cpu/simd.h"
#include "gradus/tensor/tensor.h"

namespace gradus::bench {
namespace {

using std::int64_t;

// Multiply-adds done: enough independent chains to hide the latency of two units, few enough for
// sixteen registers.
int64_t multiply_adds(int64_t rounds) {
  int64_t lanes = 0;
  cpu::with_isa([&](auto set) GRADUS_LAMBDA {
    using L = typename decltype(set)::template Lane<float>;
    const L factor(0.75), term(0.25);
    L a(0), b(1), c(2), d(3), e(4), f(5), g(6), h(7), i(8), j(9), k(10), l(11);
    for (int64_t round = 0; round < rounds; ++round) {
      a = fma(a, factor, term), b = fma(b, factor, term), c = fma(c, factor, term);
      d = fma(d, factor, term), e = fma(e, factor, term), f = fma(f, factor, term);
      g = fma(g, factor, term), h = fma(h, factor, term), i = fma(i, factor, term);
      j = fma(j, factor, term), k = fma(k, factor, term), l = fma(l, factor, term);
    }
    float result[L::size];
    (a + b + c + d + e + f + g + h + i + j + k + l).store(result);
    benchmark::DoNotOptimize(result);
    lanes = L::size;
  });
  return rounds * 12 * lanes;
}

void copy_by_memcpy(const Tensor& from, const Tensor& to) {
  const int64_t bytes = from.bytes(), tile = std::max<int64_t>(bytes / threads(), 1 << 16);
  const std::byte* const x = from.raw_data();
  std::byte* const y = to.raw_mutable_data();
  cpu::parallel((bytes + tile - 1) / tile, [&](int64_t i) {
    std::memcpy(y + i * tile, x + i * tile,
                static_cast<std::size_t>(std::min(tile, bytes - i * tile)));
  });
}

void copy_by_kernel(const Tensor& from, const Tensor& to) {
  const Extents loop{1, {from.numel()}};
  cpu::copy_strided<std::uint8_t>(loop,
                                  {reinterpret_cast<const std::uint8_t*>(from.raw_data()), {1}},
                                  {reinterpret_cast<std::uint8_t*>(to.raw_mutable_data()), {1}});
}

void count(benchmark::State& state, const char* unit, double work, double limit) {
  using benchmark::Counter;
  const double all = work * static_cast<double>(state.iterations());
  state.counters[unit] = Counter(all / 1e9, Counter::kIsRate);
  state.counters["limit"] = limit / 1e9;
  state.counters["of_limit"] = Counter(all / limit, Counter::kIsRate);
}

}  // namespace

double fma_peak() {
  static std::map<int, double> known;
  double& peak = known[threads()];
  if (peak == 0) {
    const int64_t rounds = 10000, tiles = threads();
    const double flops = 2.0 * static_cast<double>(tiles * multiply_adds(rounds));
    peak = flops / fastest([&] { cpu::parallel(tiles, [&](int64_t) { multiply_adds(rounds); }); });
  }
  return peak;
}

double copy_bandwidth(int64_t bytes) {
  static std::map<std::pair<int64_t, int>, double> known;
  double& bandwidth = known[{bytes, threads()}];
  if (bandwidth == 0) {
    const Tensor from = zeros({bytes}, DType::boolean), to = zeros({bytes}, DType::boolean);
    const double time = std::min(fastest([&] { copy_by_memcpy(from, to); }),
                                 fastest([&] { copy_by_kernel(from, to); }));
    bandwidth = 2.0 * static_cast<double>(bytes) / time;
  }
  return bandwidth;
}

void count_bytes(benchmark::State& state, int64_t bytes, int64_t elements) {
  count(state, "GB/s", static_cast<double>(bytes), copy_bandwidth(4 * elements));
}

void count_flops(benchmark::State& state, double flops) {
  count(state, "GFLOP/s", flops, fma_peak());
}

}  // namespace gradus::bench
