// The ledger: exact counts where they are known, and that nothing runs uncounted.
#include "gradus/tensor/ledger.h"

#include <sstream>
#include <thread>

#include "gradus/kernels/cpu/pool.h"
#include "gradus/nn/optim.h"
#include "gradus/nn/transformer.h"
#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

TEST(Ledger, MatrixProductsForwardAndBackward) {
  const Tensor a = leaf(ones({3, 4})), b = leaf(ones({4, 5}));
  Ledger ledger;
  const Tensor y = matmul(a, b);
  EXPECT_EQ(ledger.of("matmul").calls, 1);
  EXPECT_EQ(ledger.of("matmul").operations, 2 * 3 * 4 * 5);
  EXPECT_EQ(ledger.of("matmul").bytes, 4 * (12 + 20 + 15));
  grad(y, {a, b}, {.grad_output = ones({3, 5})});
  EXPECT_EQ(ledger.total(Work::product).calls, 3);
  EXPECT_EQ(ledger.total(Work::product).operations, 3 * 2 * 3 * 4 * 5);
}

TEST(Ledger, BroadcastOperandsAreReadOnce) {
  const Tensor a = ones({7, 3, 4}, f64), b = ones({4, 5}, f64).expand({7, 4, 5});
  Ledger ledger;
  matmul(a, b);
  EXPECT_EQ(ledger.of("matmul").operations, 2 * 7 * 3 * 4 * 5);
  EXPECT_EQ(ledger.of("matmul").bytes, 8 * (7 * 12 + 20 + 7 * 15));
}

TEST(Ledger, MapsReductionsAndMoves) {
  const Tensor x = leaf(ones({10, 3}));
  Ledger ledger;
  const Tensor y = sum(tanh(x), 0);
  EXPECT_EQ(ledger.of("tanh").operations, 30);
  EXPECT_EQ(ledger.of("tanh").bytes, 2 * 120);
  EXPECT_EQ(ledger.of("sum").operations, 30);
  EXPECT_EQ(ledger.of("sum").bytes, 120 + 12);
  grad(y, {x}, {.grad_output = ones({3})});
  EXPECT_EQ(ledger.of("tanh").calls, 2);
  EXPECT_EQ(ledger.of("tanh").operations, 60);
  EXPECT_EQ(ledger.of("tanh").bytes, 2 * 120 + 12 + 2 * 120);  // 3 numbers, broadcast over 10 rows
  ledger.clear();
  x.detach().t().contiguous();
  EXPECT_EQ(ledger.total().operations, 0);
  EXPECT_EQ(ledger.total(Work::move).bytes, 240);
}

TEST(Ledger, OptimisersAndRandomNumbers) {
  const Tensor w = leaf(ones({6}));
  optim::Adam adam({w}, {});
  Generator generator(1);
  Ledger ledger;
  adam.step({ones({6})});
  EXPECT_EQ(ledger.of("Adam").calls, 1);
  EXPECT_EQ(ledger.of("Adam").operations, 6);
  EXPECT_EQ(ledger.of("Adam").bytes, 4 * 6 * 7);  // the gradient; parameter and moments twice
  randn({5}, generator);
  EXPECT_EQ(ledger.of("randn").bytes, 20);
  optim::global_norm({ones({6})});
  EXPECT_EQ(ledger.of("global_norm").operations, 6);
}

// An encoder's layer with an MLP of four times its size: N (24 S D^2 + 4 S^2 D) in products,
// masked or not; three times that with the backward pass.
TEST(Ledger, AnEncoderLayerIsItsPolynomial) {
  for (const Device device : tested_devices())
    for (const auto& [n, s, d, heads] :
         std::vector<std::array<std::int64_t, 4>>{{1, 1, 4, 1}, {2, 7, 8, 2}, {3, 16, 12, 4}}) {
      Generator generator(1);
      const nn::TransformerBlock layer(d, heads, generator);
      nn::to(layer, device);
      const Tensor x = leaf(randn({n, s, d}, generator, f32, device));
      const std::int64_t expected = n * (24 * s * d * d + 4 * s * s * d);
      for (const bool causal : {false, true}) {
        Ledger ledger;
        const Tensor y = layer(x, {.causal = causal});
        EXPECT_EQ(ledger.total(Work::product).operations, expected);
        Tensors all = nn::parameters(layer);
        all.push_back(x);
        grad(sum(y), all);
        EXPECT_EQ(ledger.total(Work::product).operations, 3 * expected);
      }
    }
}

TEST(Ledger, NestsAndBelongsToItsThread) {
  const Tensor x = ones({4});
  Ledger outer;
  exp(x);
  {
    Ledger inner;
    exp(x);
    EXPECT_EQ(inner.of("exp").calls, 1);
    std::thread([&] { exp(x); }).join();
    EXPECT_EQ(inner.of("exp").calls, 1);
  }
  exp(x);
  EXPECT_EQ(outer.of("exp").calls, 3);
  EXPECT_EQ(outer.of("log").calls, 0);
  std::ostringstream text;
  text << outer;
  EXPECT_NE(text.str().find("exp                     map"), std::string::npos) << text.str();
}

// Whatever makes new memory, forward or backward, was counted with at least the bytes it wrote.
TEST(Ledger, NoKernelOfAnyRowRunsUncounted) {
  for_rows([](const Row& row) {
    for_calls(row, [&](std::size_t call) {
      const Tensors x = leaves(sample(row, call));
      Ledger ledger;
      const Tensor y = row.f(x);
      bool view = y.numel() == 0;
      for (const Tensor& t : x) view = view || y.impl().storage == t.impl().storage;
      EXPECT_GE(ledger.total().bytes, view ? 0 : y.bytes());
      if (!row.differentiable || y.numel() == 0) return;
      const Tensor g = ones(y.shape(), f64);
      ledger.clear();
      std::int64_t written = 0;
      for (const Tensor& d : grad(y, x, {.grad_output = g, .allow_unused = true}))
        written += d.bytes();
      EXPECT_GE(ledger.total().bytes, written);
    });
  });
}

TEST(Ledger, CopiesOnWriteCountWhenTheyAreMade) {
  const Tensor x = ones({100, 100}).requires_grad_(), seed = ones({100, 100});
  Ledger ledger;
  const Tensor g = grad(x + 1.0, {x}, {.grad_output = seed})[0];
  EXPECT_EQ(ledger.of("copy").calls, 0);
  g[0].mutable_data<float>()[0] = 2;
  EXPECT_EQ(ledger.of("copy").calls, 1);
  EXPECT_EQ(ledger.of("copy").bytes, 80000);
}

// The same run counts the same, with any number of threads.
TEST(Ledger, CountsFollowFromTheSizes) {
  const auto counted = [](Device device) {
    Generator generator(1);
    const nn::TransformerBlock layer(8, 2, generator);
    nn::to(layer, device);
    const Tensor x = ones({2, 5, 8}, f32, device);
    Ledger ledger;
    grad(sum(layer(x, {.causal = true})), nn::parameters(layer));
    std::ostringstream text;
    text << ledger;
    return text.str();
  };
  const std::string once = counted(Device::cpu);
  const int before = threads();
  set_threads(3);
  EXPECT_EQ(counted(Device::cpu), once);
  set_threads(before);
}

}  // namespace
}  // namespace gradus::test
