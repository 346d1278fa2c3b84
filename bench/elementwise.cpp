// Maps of one array or two, forward, and forward with the gradients of all operands.
#include <string>

#include "gradus/gradus.h"
#include "limits.h"

namespace gradus::bench {
namespace {

struct Map {
  const char* name;
  Tensor (*forward)(const Tensor& x, const Tensor& y);
  int arrays, arrays_backward;  // of memory traffic
};

// The gradients of a sum are the incoming gradient itself.
const Map maps[] = {
    {"add", [](const Tensor& x, const Tensor& y) { return x + y; }, 3, 0},
    {"mul", [](const Tensor& x, const Tensor& y) { return x * y; }, 3, 6},
    {"relu", [](const Tensor& x, const Tensor&) { return relu(x); }, 2, 3},
    {"exp", [](const Tensor& x, const Tensor&) { return exp(x); }, 2, 3},
    {"tanh", [](const Tensor& x, const Tensor&) { return tanh(x); }, 2, 3},
    {"sigmoid", [](const Tensor& x, const Tensor&) { return sigmoid(x); }, 2, 3},
    {"gelu", [](const Tensor& x, const Tensor&) { return gelu(x); }, 2, 3},
    {"gelu_tanh", [](const Tensor& x, const Tensor&) { return gelu(x, Gelu::tanh); }, 2, 3},
    {"gelu_sigmoid", [](const Tensor& x, const Tensor&) { return gelu(x, Gelu::sigmoid); }, 2, 3},
};

void run(benchmark::State& state, const Map& map, bool backward) {
  const std::int64_t n = state.range(0);
  Generator generator(1);
  Tensor x = randn({n}, generator), y = randn({n}, generator);
  const Tensor g = ones({n});
  std::vector<Tensor> operands{x.requires_grad_(backward)};
  if (map.arrays == 3) operands.push_back(y.requires_grad_(backward));
  for (auto _ : state) {
    if (backward)
      benchmark::DoNotOptimize(grad(map.forward(x, y), operands, {.grad_output = g}));
    else
      benchmark::DoNotOptimize(map.forward(x, y));
  }
  count_bytes(state, 4 * n * (map.arrays + (backward ? map.arrays_backward : 0)), n);
}

[[maybe_unused]] const bool registered = [] {
  for (const Map& map : maps)
    for (const bool backward : {false, true})
      benchmark::RegisterBenchmark(
          (std::string("map/") + map.name + (backward ? "/gradient" : "")).c_str(),
          [&map, backward](benchmark::State& state) { run(state, map, backward); })
          ->RangeMultiplier(10)
          ->Range(1000, 10000000)
          ->UseRealTime();
  return true;
}();

}  // namespace
}  // namespace gradus::bench
