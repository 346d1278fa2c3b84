// Reductions of a matrix: over everything, down the columns, along the rows. They only read, so a
// copy, which also writes, is no upper bound.
#include "gradus/gradus.h"
#include "limits.h"

namespace gradus::bench {
namespace {

template <class Reduce>
void reduce(benchmark::State& state, Reduce f) {
  const std::int64_t rows = state.range(0), columns = state.range(1);
  Generator generator(1);
  const Tensor x = randn({rows, columns}, generator);
  for (auto _ : state) benchmark::DoNotOptimize(f(x));
  count_bytes(state, x.bytes(), x.numel());
}

void matrices(benchmark::internal::Benchmark* b) {
  b->Args({1000, 100})->Args({1000, 1000})->Args({10000, 1000})->UseRealTime();
}
#define GRADUS_REDUCTION(name, ...) \
  BENCHMARK_CAPTURE(reduce, name, [](const Tensor& x) { return __VA_ARGS__; })->Apply(matrices)
GRADUS_REDUCTION(sum, sum(x));
GRADUS_REDUCTION(sum_0, sum(x, 0));
GRADUS_REDUCTION(sum_1, sum(x, 1));
GRADUS_REDUCTION(mean, mean(x));
GRADUS_REDUCTION(var_0, var(x, 0));
GRADUS_REDUCTION(var_1, var(x, 1));
GRADUS_REDUCTION(max_0, max(x, 0));
GRADUS_REDUCTION(max_1, max(x, 1));
GRADUS_REDUCTION(argmax_1, argmax(x, 1));
GRADUS_REDUCTION(logsumexp_1, logsumexp(x, 1));
GRADUS_REDUCTION(cumsum_1, cumsum(x, 1));

}  // namespace
}  // namespace gradus::bench
