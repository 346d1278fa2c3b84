// What nodes keep, what lives how long, and the allocator's account of it.
#include "gradus/kernels/size_class.h"
#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

TEST(Memory, BytesKeptByEveryRow) {
  for_rows_on_cpu([](const Row& row) {
    if (!row.differentiable) return;
    for_calls(row, [&](std::size_t call) {
      const Tensors x = leaves(sample(row, call));
      const Tensor y = row.f(x);
      std::int64_t expected = row.also_kept ? row.also_kept(x, y) : 0;
      for (char c : row.kept) {
        if (c == 'y') {
          expected += y.bytes();
        } else {
          const auto k = static_cast<std::size_t>(c - '0');
          if (k < x.size()) expected += x[k].bytes();
        }
      }
      // Of all nodes: some operations are made of others.
      std::int64_t kept = 0;
      each_node(y, [&](const Node& n) { kept += n.saved_bytes; });
      EXPECT_EQ(kept, expected);
    });
  });
}

TEST(Memory, NothingIsKeptWithoutAGraph) {
  const NoGrad off;
  for_rows_on_cpu([](const Row& row) {
    const Tensors x = sample(row, 0);
    const std::int64_t before = memory_statistics().blocks;
    {
      const Tensor y = row.f(x);
      EXPECT_EQ(saved_bytes(y), 0);
      EXPECT_LE(memory_statistics().blocks, before + 1);
    }
    EXPECT_EQ(memory_statistics().blocks, before);
  });
}

TEST(Memory, AGraphGoesWithItsOutput) {
  for_rows_on_cpu([](const Row& row) {
    if (!row.differentiable) return;
    const Tensors x = leaves(sample(row, 0));
    const std::int64_t before = memory_statistics().blocks;
    {
      const Tensor y = row.f(x);
      const Tensors d = grad(y, x, {.grad_output = ones(y.shape(), f64), .create_graph = true});
    }
    EXPECT_EQ(memory_statistics().blocks, before);
  });
}

// A rule that captured its output would keep itself alive.
TEST(Memory, NoCyclesAtAnyOrder) {
  for_rows_on_cpu([](const Row& row) {
    if (!row.differentiable) return;
    const std::int64_t before = memory_statistics().blocks;
    {
      const Tensors x = leaves(sample(row, 0));
      Tensor y = weighted_sum(row.f(x));
      for (int order = 0; order < 3 && y.requires_grad(); ++order) {
        Tensor total = zeros({}, f64);
        for (const Tensor& d : grad(y, x, {.create_graph = true, .allow_unused = true}))
          total = total + weighted_sum(d);
        y = total;
      }
    }
    EXPECT_EQ(memory_statistics().blocks, before);
  });
}

TEST(Memory, ErrorsLeaveNothingBehind) {
  for_rows_on_cpu([](const Row& row) {
    const std::int64_t before = memory_statistics().blocks;
    for (const Misuse& m : row.misuses) EXPECT_THROW(m.call(), Error);
    EXPECT_EQ(memory_statistics().blocks, before);
  });
}

TEST(Memory, ViewsShareTheirStorage) {
  const Tensor x = ones({4, 6});
  const std::int64_t before = memory_statistics().blocks;
  for (const Tensor& v :
       {x.t(), x[1], x.slice(1, 0, 6, 2), x.slice(0, 3, -5, -1), flip(x, 0), expand(x[0], {3, 6}),
        x.reshape({24}), x.permute({1, 0}), x.unsqueeze(0), split(x, 2, 0)[1], x.detach()})
    EXPECT_EQ(v.impl().storage, x.impl().storage);
  EXPECT_EQ(memory_statistics().blocks, before);
  EXPECT_NE(x.t().contiguous().impl().storage, x.impl().storage);
  EXPECT_EQ(x.contiguous().impl().storage, x.impl().storage);
}

TEST(Memory, StatisticsAddUp) {
  const MemoryStatistics before = memory_statistics();
  reset_peak_memory();
  {
    const Tensor a = ones({1000}, f64);
    EXPECT_EQ(memory_statistics().blocks, before.blocks + 1);
    EXPECT_GE(memory_statistics().live, before.live + 8000);
    const Tensor b = a;  // a handle
    EXPECT_EQ(memory_statistics().blocks, before.blocks + 1);
  }
  const MemoryStatistics after = memory_statistics();
  EXPECT_EQ(after.blocks, before.blocks);
  EXPECT_EQ(after.live, before.live);
  EXPECT_GE(after.peak, before.live + 8000);
}

// Those beyond all memory too: asking for one is an error, no place beyond the lists.
TEST(Memory, EverySizeHasAClass) {
  for (int bit = 0; bit <= 62; ++bit)
    for (const std::int64_t more : {-1, 0, 1, 128}) {
      const std::int64_t bytes = (std::int64_t{1} << bit) + more;
      const int c = size_class(bytes, 64);
      EXPECT_TRUE(c >= 0 && c < size_classes) << bytes;
      EXPECT_GE(class_bytes(c, 64), bytes);
      EXPECT_LE(class_bytes(c, 64) - bytes, bytes / 4 + 64) << bytes;
    }
}

TEST(Memory, ALimitIsAnErrorAndLosesNothing) {
  const Tensor x = leaf(ones({1000}, f64));
  set_memory_limit(memory_statistics().live + (1 << 20));
  const Tensor y = x * 2.0;
  EXPECT_THROW(zeros({1 << 20}, f64), OutOfMemory);
  EXPECT_EQ(doubles(grad(sum(y), {x})[0])[0], 2);
  set_memory_limit(-5);  // as 0: none
  EXPECT_NO_THROW(zeros({1 << 20}, f64));
}

}  // namespace
}  // namespace gradus::test
