// Operations on rows: softmax, log-softmax, cross-entropy.
#include "gradus/gradus.h"
#include "limits.h"

namespace gradus::bench {
namespace {

Tensor softmax_of(const Tensor& x, const Tensor&) { return softmax(x, -1); }
Tensor log_softmax_of(const Tensor& x, const Tensor&) { return log_softmax(x, -1); }
Tensor cross_entropy_of(const Tensor& x, const Tensor& target) { return cross_entropy(x, target); }

// Traffic counts the arrays of x's size: x and, unless it is a number, the result; backward the
// incoming gradient and the result again (of a loss: x), and the gradient.
void rows(benchmark::State& state, Tensor (*f)(const Tensor&, const Tensor&), bool backward) {
  const std::int64_t count = state.range(0), size = state.range(1);
  Generator generator(1);
  Tensor x = randn({count, size}, generator);
  x.requires_grad_(backward);
  const Tensor target = randint(0, size, {count}, generator);
  const bool loss = f == cross_entropy_of;
  const Tensor g = loss ? ones({}) : ones({count, size});
  for (auto _ : state) {
    if (backward)
      benchmark::DoNotOptimize(grad(f(x, target), {x}, {.grad_output = g}));
    else
      benchmark::DoNotOptimize(f(x, target));
  }
  const int arrays = loss ? (backward ? 3 : 1) : (backward ? 5 : 2);
  count_bytes(state, 4 * count * size * arrays, count * size);
}

void matrices(benchmark::internal::Benchmark* b) {
  b->Args({4096, 65})->Args({4096, 128})->Args({2048, 512})->Args({1024, 8192})->UseRealTime();
}
BENCHMARK_CAPTURE(rows, softmax, softmax_of, false)->Apply(matrices);
BENCHMARK_CAPTURE(rows, softmax_gradient, softmax_of, true)->Apply(matrices);
BENCHMARK_CAPTURE(rows, log_softmax, log_softmax_of, false)->Apply(matrices);
BENCHMARK_CAPTURE(rows, log_softmax_gradient, log_softmax_of, true)->Apply(matrices);
BENCHMARK_CAPTURE(rows, cross_entropy, cross_entropy_of, false)->Apply(matrices);
BENCHMARK_CAPTURE(rows, cross_entropy_gradient, cross_entropy_of, true)->Apply(matrices);

}  // namespace
}  // namespace gradus::bench
