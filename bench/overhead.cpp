// What an operation costs beside its arithmetic.
#include "gradus/gradus.h"
#include "limits.h"

namespace gradus::bench {
namespace {

void count_operations(benchmark::State& state, double operations) {
  using benchmark::Counter;
  state.counters["s/operation"] =
      Counter(operations, Counter::kIsIterationInvariantRate | Counter::kInvert);
}

void add_16(benchmark::State& state, bool recorded) {
  Tensor x = ones({16});
  const Tensor y = ones({16});
  x.requires_grad_(recorded);
  for (auto _ : state) benchmark::DoNotOptimize(x + y);
  count_operations(state, 1);
}
BENCHMARK_CAPTURE(add_16, plain, false);
BENCHMARK_CAPTURE(add_16, recorded, true);

void chain_1000(benchmark::State& state, bool backward) {
  Tensor x = ones({16});
  x.requires_grad_();
  const Tensor y = ones({16});
  for (auto _ : state) {
    Tensor sum = x;
    for (int i = 0; i < 1000; ++i) sum = sum + y;
    if (backward) benchmark::DoNotOptimize(grad(std::move(sum), {x}, {.grad_output = y}));
  }
  count_operations(state, 1000);
}
BENCHMARK_CAPTURE(chain_1000, forward, false);
BENCHMARK_CAPTURE(chain_1000, gradient, true);

void mlp_16_8_1(benchmark::State& state) {
  Generator generator(1);
  const nn::MLP model({16, 8, 1}, generator);
  const std::vector<Tensor> parameters = nn::parameters(model);
  const Tensor x = randn({4, 16}, generator), target = randn({4, 1}, generator);
  for (auto _ : state) benchmark::DoNotOptimize(grad(mse_loss(model(x), target), parameters));
}
BENCHMARK(mlp_16_8_1);

}  // namespace
}  // namespace gradus::bench
