// Copies on write: a gradient that is the seed's values, until one of the two is written.
#include <algorithm>
#include <thread>

#include "gradus/nn/linear.h"
#include "gradus/tensor/copy.h"
#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

constexpr std::int64_t many = 1 << 18;

struct Sum {
  Tensor x = full({many}, 1).requires_grad_(), y = full({many}, 2).requires_grad_();
  std::vector<Tensor> gradients(const Tensor& seed) const {
    return grad(x + y, {x, y}, {.grad_output = seed});
  }
};

bool all_are(const Tensor& t, float value) {
  const float* x = t.data<float>();
  return std::all_of(x, x + t.numel(), [value](float v) { return v == value; });
}

std::int64_t blocks() { return memory_statistics().blocks; }

TEST(LazyCopy, GradientsShareTheSeed) {
  const Sum sum;
  const Tensor seed = full({many}, 3);
  const std::int64_t before = blocks();
  const std::vector<Tensor> g = sum.gradients(seed);
  EXPECT_EQ(blocks(), before);
  EXPECT_EQ(g[0].data<float>(), seed.data<float>());
  EXPECT_TRUE(all_are(g[0], 3) && all_are(g[1], 3));
}

TEST(LazyCopy, AWrittenGradientLeavesTheOthers) {
  const Sum sum;
  const Tensor seed = full({many}, 3);
  std::vector<Tensor> g = sum.gradients(seed);
  g[0].fill_(4);
  EXPECT_TRUE(all_are(g[0], 4));
  EXPECT_TRUE(all_are(g[1], 3) && all_are(seed, 3));
  g[1].mutable_data<float>()[0] = 5;
  EXPECT_EQ(g[1].data<float>()[0], 5);
  EXPECT_TRUE(all_are(g[0], 4) && all_are(seed, 3));
}

TEST(LazyCopy, AWrittenSeedLeavesTheGradients) {
  const Sum sum;
  Tensor seed = full({many}, 3);
  const Tensor half = seed.slice(0, 0, many / 2);
  const std::vector<Tensor> g = sum.gradients(seed);
  half.alias({many / 2}, {1}, 0).fill_(4);  // through a view, which sees the seed change as before
  EXPECT_EQ(seed.data<float>()[0], 4);
  EXPECT_EQ(half.data<float>(), seed.data<float>());
  EXPECT_EQ(seed.data<float>()[many - 1], 3);
  EXPECT_TRUE(all_are(g[0], 3) && all_are(g[1], 3));
}

TEST(LazyCopy, TheLastOwnerWritesInPlace) {
  const Sum sum;
  Tensor seed = full({many}, 3);
  Tensor g = sum.gradients(seed)[0];
  const float* shared = seed.data<float>();
  seed = {};
  std::int64_t before = blocks();
  g.fill_(4);
  EXPECT_EQ(blocks(), before);
  EXPECT_EQ(g.data<float>(), shared);

  Tensor other = full({many}, 3);
  sum.gradients(other);  // dropped at once
  const float* own = other.data<float>();
  before = blocks();
  other.fill_(5);
  EXPECT_EQ(blocks(), before);
  EXPECT_EQ(other.data<float>(), own);
}

TEST(LazyCopy, CopiesOfCopies) {
  Tensor a = full({many}, 1);
  Tensor b = detail::lazy_copy(a), c = detail::lazy_copy(b);
  a.fill_(2);
  Tensor d = detail::lazy_copy(a), e = detail::lazy_copy(b);
  b.fill_(3);
  a.fill_(4);
  EXPECT_TRUE(all_are(a, 4) && all_are(b, 3) && all_are(c, 1) && all_are(d, 2) && all_are(e, 1));
  EXPECT_EQ(c.data<float>(), e.data<float>());
  c = {};
  const float* last = e.data<float>();
  a = b = d = {};
  e.fill_(5);
  EXPECT_EQ(e.data<float>(), last);
}

TEST(LazyCopy, MemoryGoesWithItsLastOwner) {
  const std::int64_t before = memory_statistics().live;
  Tensor seed = full({many}, 3), copy = detail::lazy_copy(seed);
  seed.fill_(4);
  EXPECT_GT(memory_statistics().live, before + seed.bytes() * 3 / 2);
  copy = {};
  EXPECT_LT(memory_statistics().live, before + seed.bytes() * 3 / 2);
  copy = detail::lazy_copy(seed);
  seed = {};
  EXPECT_FALSE(copy.impl().storage->shares_memory());
  copy = {};
  EXPECT_EQ(memory_statistics().live, before);
}

TEST(LazyCopy, ALoadThatGetsNoMemoryChangesNothing) {
  nn::Linear layer;
  layer.weight = full({256, 256}, 1).requires_grad_();
  layer.bias = full({256}, 1).requires_grad_();
  const Tensor copy = detail::lazy_copy(layer.weight.detach());
  EXPECT_TRUE(layer.weight.impl().storage->shares_memory());
  const NamedTensors values{{"bias", full({256}, 2)}, {"weight", full({256, 256}, 2)}};
  const auto assign = [&] {
    const NamedTensors tensors{{"bias", layer.bias}, {"weight", layer.weight}};
    nn::detail::assign("load", "the model", tensors, "the file", values, Here::now());
  };
  set_memory_limit(memory_statistics().live + 4096);
  EXPECT_THROW(assign(), OutOfMemory);
  set_memory_limit(0);
  EXPECT_TRUE(all_are(layer.weight, 1) && all_are(layer.bias, 1));
  assign();
  EXPECT_TRUE(all_are(layer.weight, 2) && all_are(layer.bias, 2) && all_are(copy, 1));
}

// A rule that hands on a lazy copy: the walk must not add to it in place.
TEST(LazyCopy, SumsOfGradientsLeaveTheSeed) {
  const Tensor x = full({many}, 1).requires_grad_(), seed = full({many}, 3);
  const auto same = [&] {
    return custom(
        "same", {x}, [](const Tensors& in) { return in[0] * 1.0; },
        [](const Tensors&, const Tensor&, const Tensor& g) {
          return Tensors{detail::lazy_copy(g)};
        });
  };
  EXPECT_FALSE(detail::lazy_copy(seed).sole_owner());
  EXPECT_TRUE(all_are(grad(same() + same(), {x}, {.grad_output = seed})[0], 6));
  EXPECT_TRUE(all_are(seed, 3));
}

TEST(LazyCopy, OfOtherMemoryIsACopyAtOnce) {
  const Sum sum;
  std::vector<float> memory(many, 3);
  const std::vector<Tensor> g = sum.gradients(from_blob(memory.data(), {many}));
  memory[0] = 4;
  EXPECT_TRUE(all_are(g[0], 3) && all_are(g[1], 3));

  const Tensor small = full({16}, 3);
  EXPECT_NE(detail::lazy_copy(small).data<float>(), small.data<float>());
  const Tensor part = full({many}, 3).slice(0, 0, 2);  // does not keep the whole
  EXPECT_NE(detail::lazy_copy(part).data<float>(), part.data<float>());
}

TEST(LazyCopy, AWriteIsNoticedBySavedTensors) {
  const Tensor x = full({many}, 2).requires_grad_();
  Tensor copy = detail::lazy_copy(full({many}, 3));
  const Tensor other = detail::lazy_copy(copy);
  const Tensor y = x * copy, z = x * other;
  copy.fill_(4);
  EXPECT_THROW(grad(sum(y), {x}), Error);
  EXPECT_TRUE(all_are(grad(sum(z), {x})[0], 3));
}

TEST(LazyCopy, OwnersOnSeveralThreads) {
  for (int round = 0; round < 50; ++round) {
    std::vector<Tensor> copies{full({10000}, 1)};
    for (int i = 0; i < 3; ++i) copies.push_back(detail::lazy_copy(copies.back()));
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([t = std::move(copies[static_cast<std::size_t>(i)]), i]() mutable {
        const Tensor again = detail::lazy_copy(t);
        t.fill_(i + 2);
        EXPECT_TRUE(all_are(t, static_cast<float>(i + 2)) && all_are(again, 1));
      });
    for (std::thread& t : threads) t.join();
  }
}

}  // namespace
}  // namespace gradus::test
