// Same bits for any number of threads; other instruction sets and f32 within single(K) of exam.md.
#include "gradus/kernels/cpu/isa.h"
#include "gradus/kernels/cpu/pool.h"
#include "gradus/tests/ops.h"
#include "gradus/tests/rounding.h"

namespace gradus::test {
namespace {

class Determinism : public testing::Test {
 protected:
  void TearDown() override {
    set_threads(threads_);
    cpu::set_isa(isa_);
  }

 private:
  int threads_ = threads();
  cpu::Isa isa_ = cpu::isa();
};
using DeterminismSlow = Determinism;

Tensors value_and_gradients(const Row& row, const Tensors& values) {
  Tensors x = leaves(values, values[0].dtype());
  Tensor y = row.f(x);
  Tensors all{y.detach()};
  if (row.differentiable)
    for (Tensor& g : grad(weighted_sum(y), x, {.allow_unused = true})) all.push_back(std::move(g));
  return all;
}

TEST_F(DeterminismSlow, OneThreadOrMoreTheSameBits) {
  for_rows([](const Row& row) {
    if (row.large.empty()) return;
    Tensors x = sample_of(row, row.large, 3);
    for (Tensor& t : x) t = t.to(f32);
    set_threads(1);
    const Tensors expected = value_and_gradients(row, x);
    for (int n : {2, 3, 5}) {
      set_threads(n);
      const Tensors got = value_and_gradients(row, x);
      for (std::size_t i = 0; i < got.size(); ++i)
        EXPECT_TRUE(same_bits(got[i], expected[i])) << n << " threads, result " << i;
    }
  });
}

TEST_F(Determinism, TheSameTwice) {
  for_rows([](const Row& row) {
    const Tensors x = sample(row, 0);
    const Tensors a = value_and_gradients(row, x), b = value_and_gradients(row, x);
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(same_bits(a[i], b[i])) << i;
  });
}

// Inputs that f32 holds exactly, so that only the kernels differ.
Tensors rounded(const Tensors& x) {
  Tensors list;
  for (const Tensor& t : x) list.push_back(t.to(f32).to(f64));
  return list;
}

TEST_F(Determinism, SingleAgainstDoubleInEveryInstructionSet) {
  for (cpu::Isa set : {cpu::Isa::baseline, cpu::Isa::avx2, cpu::Isa::avx512}) {
    if (!cpu::set_isa(set)) continue;
    SCOPED_TRACE(cpu::name(set));
    for_rows([](const Row& row) {
      if (!row.differentiable) return;
      for (std::size_t call = 0; call < std::min<std::size_t>(2, row.calls.size()); ++call) {
        const Tensors x = rounded(sample(row, call));
        if (x[0].numel() == 0) continue;
        Tensors single;
        for (const Tensor& t : x) single.push_back(t.to(f32));
        EXPECT_TRUE(within_single(row.f(single), row.f(x), terms_of(row.f, x), length_of(row, x)))
            << "call " << call;
        // The gradient is a composite of its own, of the inputs and the output's gradient.
        const Tensor u = rounded({sample_of({}, {row.f(x).shape()}, 9)[0]})[0];
        Tensors with_u = x, single_with_u = single;
        with_u.push_back(u);
        single_with_u.push_back(u.to(f32));
        for (std::size_t k = 0; k < x.size(); ++k) {
          const TensorsFunction g = [&](const Tensors& all) {
            return vjp(row.f, Tensors(all.begin(), all.end() - 1)).pullback(all.back())[k];
          };
          EXPECT_TRUE(within_single(g(single_with_u), g(with_u), terms_of(g, with_u),
                                    2 * length_of(row, x) + u.numel()))
              << "call " << call << ", gradient " << k;
        }
      }
    });
  }
}

TEST_F(Determinism, InstructionSetsAgree) {
  const auto results = [](cpu::Isa set) {
    std::vector<Tensors> all;
    if (!cpu::set_isa(set)) return all;
    for (const Row& row : table()) all.push_back(value_and_gradients(row, sample(row, 0)));
    return all;
  };
  const std::vector<Tensors> expected = results(cpu::Isa::baseline);
  ASSERT_FALSE(expected.empty());
  for (cpu::Isa set : {cpu::Isa::avx2, cpu::Isa::avx512}) {
    const std::vector<Tensors> got = results(set);
    for (std::size_t r = 0; r < got.size(); ++r)
      for (std::size_t i = 0; i < got[r].size(); ++i)
        EXPECT_TRUE(close(got[r][i], expected[r][i], 1e-14))
            << cpu::name(set) << ", " << table()[r].label() << ", result " << i;
  }
}

}  // namespace
}  // namespace gradus::test
