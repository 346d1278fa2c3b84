// Matrix products beside OpenBLAS called directly on one thread. With one thread the two take
// turns, so that a busy machine slows both; `of_openblas` is the time of the call over ours.
#include <cblas.h>

#include <sstream>
#include <string>
#include <vector>

#include "gradus/gradus.h"
#include "limits.h"

namespace gradus::bench {
namespace {

using std::int64_t;

struct Product {
  const char* name;
  int64_t m, n, k;
  char transposed = ' ';  // operand 'A' or 'B', stored the other way
  int64_t batch = 1;

  // As the product reads them, and as they are stored.
  Tensor a(Generator& generator) const { return operand(m, k, transposed == 'A', generator); }
  Tensor b(Generator& generator) const { return operand(k, n, transposed == 'B', generator); }
  double flops() const { return 2.0 * static_cast<double>(m * n * k * batch); }
  std::string title() const {
    std::ostringstream title;
    title << "gemm/" << name << '/' << m << 'x' << n << 'x' << k;
    if (batch > 1) title << 'x' << batch;
    return title.str();
  }

 private:
  Tensor operand(int64_t rows, int64_t columns, bool other_way, Generator& generator) const {
    if (other_way) return operand(columns, rows, false, generator).transpose(-2, -1);
    return batch > 1 ? randn({batch, rows, columns}, generator) : randn({rows, columns}, generator);
  }
};

const Product products[] = {
    {"square", 16, 16, 16},
    {"square", 32, 32, 32},
    {"square", 64, 64, 64},
    {"square", 128, 128, 128},
    {"square", 256, 256, 256},
    {"square", 512, 512, 512},
    {"square", 1024, 1024, 1024},
    {"square", 2048, 2048, 2048},
    {"linear_forward_wT", 128, 512, 784, 'B'},
    {"linear_forward", 128, 512, 784},
    {"linear_forward_wT", 256, 512, 784, 'B'},
    {"linear_dx", 128, 784, 512},
    {"linear_dW", 512, 784, 128, 'A'},
    {"logistic_forward", 128, 10, 784, 'B'},
    {"logistic_dW", 10, 784, 128, 'A'},
    {"transformer_mlp", 8192, 1536, 384},
    {"transformer_mlp_wT", 8192, 1536, 384, 'B'},
    {"transformer_mlp_dW", 1536, 384, 8192, 'A'},
    {"gpt_qkv_wT", 4096, 384, 128, 'B'},
    {"gpt_qkv_dW", 384, 128, 4096, 'A'},
    {"convolution_columns", 64, 784, 288},
    {"attention_small", 64, 64, 64, ' ', 512},
    {"attention_qkT", 256, 256, 64, 'B', 48},
    {"attention_pv", 256, 64, 256, ' ', 48},
};

void call_openblas(const Product& p, const float* a, const float* b, float* c) {
  const auto m = static_cast<int>(p.m), n = static_cast<int>(p.n), k = static_cast<int>(p.k);
  const bool ta = p.transposed == 'A', tb = p.transposed == 'B';
  for (int64_t i = 0; i < p.batch; ++i)
    cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, m, n,
                k, 1, a + i * p.m * p.k, ta ? m : k, b + i * p.k * p.n, tb ? k : n, 0,
                c + i * p.m * p.n, n);
}

void run(benchmark::State& state, const Product& product) {
  const int before = threads();
  const auto used = static_cast<int>(state.range(0));
  set_threads(used);
  openblas_set_num_threads(1);
  Generator generator(1);
  const Tensor a = product.a(generator), b = product.b(generator);
  std::vector<float> c(static_cast<std::size_t>(product.m * product.n * product.batch));

  const auto ours = [&] { benchmark::DoNotOptimize(matmul(a, b)); };
  const auto direct = [&] { call_openblas(product, a.data<float>(), b.data<float>(), c.data()); };
  const int64_t calls = calls_to_time(ours);
  double time = 0, direct_time = 0;
  while (state.KeepRunningBatch(calls)) {
    const double batch = seconds(calls, ours);
    state.SetIterationTime(batch);
    time += batch;
    if (used == 1) direct_time += seconds(calls, direct);
  }
  count_flops(state, product.flops());
  if (used == 1) state.counters["of_openblas"] = direct_time / time;
  set_threads(before);
}

[[maybe_unused]] const bool registered = [] {
  for (const Product& product : products)
    benchmark::RegisterBenchmark(product.title().c_str(),
                                 [&product](benchmark::State& state) { run(state, product); })
        ->ArgName("threads")
        ->Arg(1)
        ->Arg(2)
        ->UseManualTime();
  return true;
}();

}  // namespace
}  // namespace gradus::bench
