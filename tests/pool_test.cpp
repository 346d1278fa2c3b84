#include "gradus/kernels/cpu/pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "gradus/kernels/error.h"

namespace gradus {
namespace {

using cpu::parallel;

class PoolTest : public testing::Test {
 protected:
  void TearDown() override { set_threads(before_); }

 private:
  int before_ = threads();
};

void expect_each_once(std::int64_t tiles) {
  const auto calls = std::make_unique<std::atomic<int>[]>(tiles);
  parallel(tiles, [&](std::int64_t i) { ++calls[i]; });
  for (std::int64_t i = 0; i < tiles; ++i) ASSERT_EQ(calls[i], 1) << i << " of " << tiles;
}

TEST_F(PoolTest, RunsEachTileOnce) {
  for (int n : {1, 2, 3, 5, 8, 33}) {
    set_threads(n);
    EXPECT_EQ(threads(), n);
    for (std::int64_t tiles : {0, 1, 2, 3, 4, 7, 8, 9, 31, 64, 1000, 20000, 65535, 65536, 200000})
      expect_each_once(tiles);
  }
}

TEST_F(PoolTest, ManyShortJobs) {
  set_threads(4);
  std::vector<std::int64_t> sum(3);
  for (int round = 0; round < 20000; ++round) parallel(3, [&](std::int64_t i) { sum[i] += i + 1; });
  EXPECT_EQ(sum, (std::vector<std::int64_t>{20000, 40000, 60000}));
}

TEST_F(PoolTest, WorkersSleepAndWake) {
  set_threads(3);
  for (int round = 0; round < 50; ++round) {
    expect_each_once(16);
    std::this_thread::sleep_for(std::chrono::microseconds(10 * round));
  }
}

TEST_F(PoolTest, TheFirstExceptionReachesTheCaller) {
  for (int n : {1, 2, 5}) {
    set_threads(n);
    for (int round = 0; round < 200; ++round) {
      std::atomic<int> calls = 0;
      try {
        parallel(100, [&](std::int64_t i) {
          ++calls;
          if (i == 7) throw std::runtime_error("tile 7");
        });
        FAIL() << "no exception";
      } catch (const std::runtime_error& e) {
        EXPECT_STREQ(e.what(), "tile 7");
      }
      EXPECT_GE(calls, 1);
      EXPECT_LE(calls, 100);
    }
    EXPECT_THROW(parallel(50, [](std::int64_t i) { throw i; }), std::int64_t);
    expect_each_once(100);
  }
}

TEST_F(PoolTest, TilesNotBegunAreSkippedAfterAnException) {
  set_threads(2);
  std::atomic<int> calls = 0;
  EXPECT_THROW(parallel(1000000,
                        [&](std::int64_t) {
                          ++calls;
                          throw std::runtime_error("");
                        }),
               std::runtime_error);
  EXPECT_LE(calls, 2);
}

TEST_F(PoolTest, NestedCallsRunOnTheCaller) {
  set_threads(4);
  std::atomic<int> calls = 0;
  parallel(8, [&](std::int64_t) {
    const auto outer = std::this_thread::get_id();
    parallel(8, [&](std::int64_t) {
      EXPECT_EQ(std::this_thread::get_id(), outer);
      ++calls;
    });
  });
  EXPECT_EQ(calls, 64);
}

TEST_F(PoolTest, ConcurrentCallers) {
  set_threads(3);
  std::vector<std::thread> callers;
  std::atomic<int> failures = 0;
  for (int c = 0; c < 8; ++c) {
    callers.emplace_back([&, c] {
      for (int round = 0; round < 500; ++round) {
        std::vector<int> seen(static_cast<std::size_t>(1 + (c * 37 + round) % 70));
        bool thrown = false;
        try {
          parallel(static_cast<std::int64_t>(seen.size()), [&](std::int64_t i) {
            ++seen[static_cast<std::size_t>(i)];
            if (round % 10 == 0 && i == 0) throw c;
          });
        } catch (int who) {
          thrown = who == c;
        }
        if (thrown != (round % 10 == 0)) ++failures;
        for (int n : seen)
          if (n > 1 || (n == 0 && !thrown)) ++failures;
      }
    });
  }
  for (auto& c : callers) c.join();
  EXPECT_EQ(failures, 0);
}

TEST_F(PoolTest, ACallerNeverWaitsForAWorkerThatHasNotBegun) {
  set_threads(256);  // far more than processors: most workers never get a turn
  for (int round = 0; round < 100; ++round) expect_each_once(300);
}

TEST_F(PoolTest, ThreadCountIsChecked) {
  EXPECT_GE(threads(), 1);
  EXPECT_LE(threads(), 256);
  for (int n : {0, -1, 257, 1 << 20}) EXPECT_THROW(set_threads(n), Error);
  set_threads(2);
  parallel(2, [](std::int64_t) { EXPECT_THROW(set_threads(3), Error); });
  EXPECT_EQ(threads(), 2);
}

TEST_F(PoolTest, BodiesThatAreConstOrTemporary) {
  set_threads(2);
  std::atomic<int> calls = 0;
  const auto body = [&](std::int64_t) { ++calls; };
  parallel(4, body);
  parallel(4, [&](auto) { ++calls; });
  EXPECT_EQ(calls, 8);
}

}  // namespace
}  // namespace gradus
