// Elements moved: copies of views, conversions, and the operations that pick rows.
#include "gradus/gradus.h"
#include "limits.h"

namespace gradus::bench {
namespace {

// What one call reads and writes of its result's size; strided reads touch more.
template <class Copy>
void copy(benchmark::State& state, Copy f) {
  const std::int64_t n = state.range(0);
  Generator generator(1);
  const Tensor x = randn({n, n}, generator);
  std::int64_t bytes = 0, elements = 0;
  for (auto _ : state) {
    const Tensor y = f(x);
    bytes = y.numel() * item_size(x.dtype()) + y.bytes();
    elements = y.numel();
  }
  count_bytes(state, bytes, elements);
}

void sides(benchmark::internal::Benchmark* b) { b->Arg(100)->Arg(1000)->Arg(3000)->UseRealTime(); }
#define GRADUS_COPY(name, ...) \
  BENCHMARK_CAPTURE(copy, name, [](const Tensor& x) { return __VA_ARGS__; })->Apply(sides)
GRADUS_COPY(clone, x.clone());
GRADUS_COPY(transpose, x.t().contiguous());
GRADUS_COPY(flip, flip(x, 1).contiguous());
GRADUS_COPY(left_half, x.slice(1, 0, x.size(1) / 2).contiguous());
GRADUS_COPY(every_other, x.slice(1, 0, x.size(1), 2).contiguous());
GRADUS_COPY(to_f64, x.to(DType::f64));
GRADUS_COPY(to_bf16, x.to(DType::bf16));
GRADUS_COPY(concat, concat({x, x}, 1));

// `picked` of 1000 rows of 128, with repetitions.
void pick(benchmark::State& state, Tensor (*f)(const Tensor&, const Tensor&), bool backward) {
  const std::int64_t rows = 1000, size = 128, picked = state.range(0);
  Generator generator(1);
  Tensor table = randn({rows, size}, generator);
  table.requires_grad_(backward);
  const Tensor ids = randint(0, rows, {picked}, generator), g = ones({picked, size});
  for (auto _ : state) {
    if (backward)
      benchmark::DoNotOptimize(grad(f(table, ids), {table}, {.grad_output = g}));
    else
      benchmark::DoNotOptimize(f(table, ids));
  }
  const std::int64_t forward = 4 * 2 * picked * size;
  count_bytes(state, backward ? forward + 4 * (picked + rows) * size : forward, picked * size);
}

Tensor embedding_of(const Tensor& table, const Tensor& ids) { return embedding(table, ids); }
Tensor rows_of(const Tensor& table, const Tensor& ids) { return index_select(table, 0, ids); }

void counts(benchmark::internal::Benchmark* b) {
  b->Arg(128)->Arg(4096)->Arg(65536)->UseRealTime();
}
BENCHMARK_CAPTURE(pick, embedding, embedding_of, false)->Apply(counts);
BENCHMARK_CAPTURE(pick, embedding_gradient, embedding_of, true)->Apply(counts);
BENCHMARK_CAPTURE(pick, index_select, rows_of, false)->Apply(counts);
BENCHMARK_CAPTURE(pick, index_select_gradient, rows_of, true)->Apply(counts);

}  // namespace
}  // namespace gradus::bench
