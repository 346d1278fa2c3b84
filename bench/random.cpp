// Random numbers: elements a second, and the bytes of the result beside a copy of as many floats.
#include "gradus/gradus.h"
#include "limits.h"

namespace gradus::bench {
namespace {

template <class Draw>
void random(benchmark::State& state, Draw draw) {
  using benchmark::Counter;
  const std::int64_t n = state.range(0);
  Generator generator(1);
  std::int64_t bytes = 0;
  for (auto _ : state) bytes = draw(n, generator).bytes();
  count_bytes(state, bytes, n);
  state.counters["Gelem/s"] =
      Counter(static_cast<double>(n) / 1e9, Counter::kIsIterationInvariantRate);
}

void sizes(benchmark::internal::Benchmark* b) {
  b->Arg(1000)->Arg(1000000)->Arg(10000000)->UseRealTime();
}
#define GRADUS_DRAW(name, ...)                                       \
  BENCHMARK_CAPTURE(random, name, [](std::int64_t n, Generator& g) { \
    return __VA_ARGS__;                                              \
  })->Apply(sizes)
GRADUS_DRAW(rand, rand({n}, g));
GRADUS_DRAW(randn, randn({n}, g));
GRADUS_DRAW(randint, randint(0, 10, {n}, g));
GRADUS_DRAW(bernoulli, bernoulli(0.5, {n}, g));
GRADUS_DRAW(permutation, permutation(n, g));

}  // namespace
}  // namespace gradus::bench
