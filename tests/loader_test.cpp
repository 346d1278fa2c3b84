// Data sets and loaders: order, coverage, resuming, conversion.
#include "gradus/nn/data.h"

#include <algorithm>

#include "gradus/tests/support.h"

namespace gradus::test {
namespace {

using namespace data;
using Numbers = std::vector<std::int64_t>;

Dataset numbers(std::int64_t n) {
  Numbers rows(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) rows[static_cast<std::size_t>(i)] = i;
  return Dataset{from_vector(rows)};
}

std::vector<Numbers> epoch(Loader& loader) {
  std::vector<Numbers> batches;
  for (const Batch& batch : loader) batches.push_back(batch[0].to_vector<std::int64_t>());
  return batches;
}

Numbers joined(const std::vector<Numbers>& batches) {
  Numbers all;
  for (const Numbers& b : batches) all.insert(all.end(), b.begin(), b.end());
  return all;
}

TEST(Loader, EveryEpochHasEachExampleOnceInAnOrderOfItsOwn) {
  Loader loader(numbers(103), 10, Generator(1));
  EXPECT_EQ(loader.batches(), 11);
  const std::vector<Numbers> first = epoch(loader), second = epoch(loader);
  EXPECT_EQ(first.size(), 11u);
  EXPECT_EQ(first.back().size(), 3u);
  EXPECT_NE(joined(first), joined(second));
  for (Numbers all : {joined(first), joined(second)}) {
    std::sort(all.begin(), all.end());
    for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], static_cast<std::int64_t>(i));
    EXPECT_EQ(all.size(), 103u);
  }
  EXPECT_EQ(loader.position(), (Position{2, 0}));
}

TEST(Loader, TheOrderIsAFunctionOfSeedAndEpoch) {
  Loader a(numbers(50), 7, Generator(1)), b(numbers(50), 7, Generator(1));
  Loader c(numbers(50), 7, Generator(2)), d(numbers(50), 7, Generator(1).fork(1));
  epoch(a);
  b.set_position({1, 0});
  const auto second = epoch(a);
  EXPECT_EQ(second, epoch(b));
  c.set_position({1, 0});
  d.set_position({1, 0});
  EXPECT_NE(second, epoch(c));
  EXPECT_NE(second, epoch(d));
}

TEST(Loader, ResumesAfterAnyBatch) {
  Loader whole(numbers(23), 5, Generator(3));
  std::vector<Numbers> batches;
  std::vector<Position> after;
  for (int e = 0; e < 3; ++e)
    for (const Batch& batch : whole) {
      batches.push_back(batch[0].to_vector<std::int64_t>());
      after.push_back(whole.position());
    }
  for (std::size_t cut = 0; cut < after.size(); ++cut) {
    Loader resumed(numbers(23), 5, Generator(3));
    resumed.set_position(after[cut]);
    for (std::size_t i = cut + 1; i < batches.size(); ++i)
      ASSERT_EQ(resumed.next()[0].to_vector<std::int64_t>(), batches[i]) << cut << ' ' << i;
  }
  // A range goes on in the middle of an epoch, and ends with it.
  Loader resumed(numbers(23), 5, Generator(3));
  resumed.set_position({1, 3});
  EXPECT_EQ(epoch(resumed), (std::vector<Numbers>{batches[8], batches[9]}));
}

TEST(Loader, ABreakLosesNothing) {
  Loader loader(numbers(20), 5, Generator(3), {.shuffle = false});
  for ([[maybe_unused]] const Batch& batch : loader) break;
  EXPECT_EQ(loader.position(), (Position{0, 1}));
  EXPECT_EQ(joined(epoch(loader)),
            joined({{5, 6, 7, 8, 9}, {10, 11, 12, 13, 14}, {15, 16, 17, 18, 19}}));
}

TEST(Loader, InOrderAndWithoutTheRest) {
  Loader plain(numbers(8), 3, Generator(1), {.shuffle = false});
  EXPECT_EQ(epoch(plain), (std::vector<Numbers>{{0, 1, 2}, {3, 4, 5}, {6, 7}}));
  Loader full_only(numbers(8), 3, Generator(1), {.shuffle = false, .drop_last = true});
  EXPECT_EQ(full_only.batches(), 2);
  EXPECT_EQ(epoch(full_only), (std::vector<Numbers>{{0, 1, 2}, {3, 4, 5}}));
  Loader one(numbers(1), 3, Generator(1));
  EXPECT_EQ(epoch(one), (std::vector<Numbers>{{0}}));
}

TEST(Loader, ColumnsStayTogetherAndBytesBecomeUnitNumbers) {
  std::vector<std::uint8_t> pixels(256 * 2);
  Numbers labels(256);
  for (std::size_t i = 0; i < 256; ++i) {
    pixels[2 * i] = static_cast<std::uint8_t>(i);
    pixels[2 * i + 1] = 255;
    labels[i] = static_cast<std::int64_t>(i);
  }
  const Tensor images = from_vector(pixels, Shape{256, 2});
  for (const bool shuffle : {true, false}) {
    Loader loader({unit(images), images, from_vector(labels)}, 60, Generator(5),
                  {.shuffle = shuffle});
    for (const Batch& batch : loader) {
      ASSERT_EQ(batch.size(), 3u);
      EXPECT_EQ(batch[0].dtype(), f32);
      EXPECT_EQ(batch[1].dtype(), u8);
      EXPECT_TRUE(batch[0].is_contiguous());
      const std::vector<float> x = batch[0].to_vector<float>();
      const std::vector<std::uint8_t> raw = batch[1].to_vector<std::uint8_t>();
      const Numbers y = batch[2].to_vector<std::int64_t>();
      ASSERT_EQ(x.size(), 2 * y.size());
      for (std::size_t i = 0; i < y.size(); ++i) {
        EXPECT_EQ(x[2 * i], static_cast<float>(y[i]) / 255.0f);
        EXPECT_EQ(x[2 * i + 1], 1.0f);
        EXPECT_EQ(raw[2 * i], y[i]);
      }
    }
  }
}

TEST(Loader, RefusesBadInput) {
  const Generator g(1);
  EXPECT_TRUE(throws("Loader", "positive: 0", [&] { Loader(numbers(5), 0, g); }));
  EXPECT_TRUE(throws("Loader", "no examples", [&] { Loader(numbers(0), 2, g); }));
  EXPECT_TRUE(throws("Loader", "do not fill a batch of 6",
                     [&] { Loader(numbers(5), 6, g, {.drop_last = true}); }));
  Loader loader(numbers(5), 2, g);
  EXPECT_TRUE(throws("Loader", "batch 3 of 3", [&] { loader.set_position({0, 3}); }));
  EXPECT_TRUE(throws("Loader", "epoch -1", [&] { loader.set_position({-1, 0}); }));
  EXPECT_TRUE(throws("Dataset", "no columns", [] { Dataset(std::vector<Column>{}); }));
  EXPECT_TRUE(throws("Dataset", "column 1 has 3", [] { Dataset{zeros({2}), zeros({3})}; }));
  EXPECT_TRUE(throws("Dataset", "column 0 has no rows", [] { Dataset{zeros({})}; }));
  EXPECT_TRUE(throws("Dataset", "f32, not u8", [] { Dataset{unit(zeros({2}))}; }));
  EXPECT_TRUE(throws("Dataset", "range 3 .. 6 of 5", [] { numbers(5).range(3, 6); }));
  EXPECT_TRUE(throws("index_select", "", [] { numbers(5).rows(from_vector<std::int64_t>({5})); }));
}

}  // namespace
}  // namespace gradus::test
