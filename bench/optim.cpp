// Steps of the optimisers over one parameter.
#include "gradus/gradus.h"
#include "limits.h"

namespace gradus::bench {
namespace {

// Arrays of a step's traffic: the gradient is read, the parameter and each moment read and written.
constexpr int arrays(int moments) { return 3 + 2 * moments; }

void sizes(benchmark::internal::Benchmark* b) { b->Arg(1000000)->Arg(10000000)->UseRealTime(); }

template <class Make>
void step(benchmark::State& state, Make make, int moments) {
  const std::int64_t n = state.range(0);
  Generator generator(1);
  Tensor parameter = randn({n}, generator);
  auto optimizer = make({parameter.requires_grad_()});
  const std::vector<Tensor> gradients{randn({n}, generator)};
  for (auto _ : state) optimizer.step(gradients);
  count_bytes(state, 4 * n * arrays(moments), n);
}
using Parameters = std::vector<Tensor>;
optim::SGD make_sgd(Parameters p) { return {std::move(p)}; }
optim::SGD make_momentum(Parameters p) { return {std::move(p), {.momentum = 0.9}}; }
optim::Adam make_adam(Parameters p) { return {std::move(p)}; }
optim::AdamW make_adamw(Parameters p) { return {std::move(p)}; }
BENCHMARK_CAPTURE(step, sgd, make_sgd, 0)->Apply(sizes);
BENCHMARK_CAPTURE(step, momentum, make_momentum, 1)->Apply(sizes);
BENCHMARK_CAPTURE(step, adam, make_adam, 2)->Apply(sizes);
BENCHMARK_CAPTURE(step, adamw, make_adamw, 2)->Apply(sizes);

void ema(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  optim::EMA averages({ones({n}).requires_grad_()});
  for (auto _ : state) averages.update();
  count_bytes(state, 4 * n * 3, n);
}
BENCHMARK(ema)->Apply(sizes);

}  // namespace
}  // namespace gradus::bench
