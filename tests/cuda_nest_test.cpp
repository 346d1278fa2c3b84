// Loop nests of kernels: division by multiplication, and where elements lie in both widths.
#include "gradus/kernels/cuda/nest.cuh"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace gradus::emulated {
namespace {

TEST(CudaNest, DividesByMultiplication) {
  constexpr Index limit = Index{1} << 31;
  std::mt19937_64 random(1);
  std::vector<Index> divisors{1,        2, 3, 5, 7, 10, 641, 65535, 65536, 65537, limit / 2 + 1,
                              limit - 1};
  for (int i = 0; i < 200; ++i)
    divisors.push_back(1 + static_cast<Index>(random() >> (33 + random() % 30)));
  for (const Index d : divisors) {
    const Divider divide(d);
    std::vector<Index> numbers{0, 1, d - 1, d, d + 1, limit - 1, limit / d * d - 1, limit / d * d};
    for (int i = 0; i < 50; ++i) numbers.push_back(static_cast<Index>(random() >> 33));
    for (const Index n : numbers)
      if (n >= 0 && n < limit) {
        EXPECT_EQ(divide(static_cast<std::uint32_t>(n)), n / d) << n << " / " << d;
      }
  }
}

TEST(CudaNest, MergesAndLocates) {
  // (4, 3, 1, 5): operand 0 contiguous, 1 without the two last axes, 2 flipped along the first.
  Nest<3> nest;
  nest.add(4, {15, 3, -15});
  nest.add(3, {5, 1, 5});
  nest.add(1, {77, 0, 77});
  nest.add(5, {1, 0, 1});
  nest.close();
  ASSERT_EQ(nest.rank, 3);  // no two loops can be joined for all three
  EXPECT_EQ(nest.count(), 60);
  for (const bool narrow : {true, false}) {
    nest.narrow = narrow;
    for (Index i = 0; i < 60; ++i) {
      Index offset[3];
      nest.locate(i, offset);
      EXPECT_EQ(offset[0], i);
      EXPECT_EQ(offset[1], i / 5);
      EXPECT_EQ(offset[2], i % 15 - i / 15 * 15);
    }
  }

  Nest<1> whole;
  for (const Index n : {4, 3, 5}) whole.add(n, {n == 4 ? 15 : n == 3 ? 5 : 1});
  whole.close();
  EXPECT_EQ(whole.rank, 1);
  EXPECT_TRUE(whole.contiguous(0));

  Nest<1> nothing;
  nothing.add(0, {1});
  nothing.close();
  EXPECT_EQ(nothing.count(), 0);
  EXPECT_FALSE(nothing.narrow);  // nothing to divide by
}

// More elements than 31 bits count.
TEST(CudaNest, LocatesFarOut) {
  constexpr Index n = Index{1} << 20;
  Nest<2> nest;
  nest.add(n, {n, 1});
  nest.add(n, {1, 0});
  nest.close();
  EXPECT_FALSE(nest.narrow);
  Index offset[2];
  const Index i = n * n - n - 3;
  nest.locate(i, offset);
  EXPECT_EQ(offset[0], i);
  EXPECT_EQ(offset[1], n - 2);
}

}  // namespace
}  // namespace gradus::emulated
