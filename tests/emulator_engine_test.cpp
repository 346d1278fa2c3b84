// The emulator's own promises: schedules, several OS threads, asynchronous copies, memory, options.
#include "gradus/kernels/cuda/emulator/emulator.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "gradus/kernels/cuda/emulator/memory.h"
#include "gradus/kernels/cuda/runtime.h"

namespace gradus::emulator {
namespace {

class EmulatorEngine : public testing::Test {
 protected:
  void TearDown() override { options() = saved_; }

 private:
  Options saved_ = options();
};

// The order in which threads pass a place, of those of block 0.
std::vector<unsigned> order_of(Schedule schedule, std::uint64_t seed, bool after_barrier) {
  options().schedule = schedule;
  options().seed = seed;
  std::vector<unsigned> order;
  run_grid("order", 1, 64, 0, [&] {
    if (after_barrier) __syncthreads();
    order.push_back(threadIdx.x);
  });
  return order;
}

TEST_F(EmulatorEngine, SchedulesAreDifferentOrders) {
  for (const bool after_barrier : {false, true}) {
    std::vector<unsigned> up(64), down(64);
    for (unsigned i = 0; i < 64; ++i) up[i] = down[63 - i] = i;
    EXPECT_EQ(order_of(Schedule::forward, 1, after_barrier), up);
    EXPECT_EQ(order_of(Schedule::reverse, 1, after_barrier), down);
    const std::vector<unsigned> drawn = order_of(Schedule::random, 1, after_barrier);
    EXPECT_NE(drawn, up);
    EXPECT_EQ(drawn, order_of(Schedule::random, 1, after_barrier)) << "as the seed says";
    EXPECT_NE(drawn, order_of(Schedule::random, 2, after_barrier));
    EXPECT_EQ(std::set<unsigned>(drawn.begin(), drawn.end()).size(), 64u);
  }
}

// A warp that is released runs on before one that waits longer.
TEST_F(EmulatorEngine, TheWarpReleasedLastRunsAhead) {
  std::string passed;
  run_grid("ahead", 1, 64, 0, [&] {
    __syncthreads();
    __syncwarp();
    if (threadIdx.x % 32 == 0) passed += static_cast<char>('a' + threadIdx.x / 32);
    __syncwarp();
    if (threadIdx.x % 32 == 0) passed += static_cast<char>('a' + threadIdx.x / 32);
  });
  EXPECT_EQ(passed, "aabb");
}

TEST_F(EmulatorEngine, OsThreadsShareTheBlocks) {
  options().os_threads = 4;
  for (int round = 0; round < 20; ++round) {
    std::vector<int> sums(97);
    run_grid("sums", 97, 96, 0, [&] {
      const int sum = __reduce_add_sync(0xffffffffu, static_cast<int>(threadIdx.x));
      const int count = __syncthreads_count(1);
      if (threadIdx.x == 64) sums[blockIdx.x] = sum + count;
    });
    EXPECT_EQ(sums, std::vector<int>(97, (64 + 95) * 16 + 96));
  }
}

TEST_F(EmulatorEngine, GridsOfSeveralHostThreads) {
  std::vector<std::thread> threads;
  std::vector<unsigned> sums(4);
  for (std::size_t t = 0; t < sums.size(); ++t)
    threads.emplace_back([&, t] {
      for (int round = 0; round < 10; ++round)
        run_grid("sum", 8, 128, 0, [&] {
          const unsigned sum = __reduce_add_sync(0xffffffffu, threadIdx.x);
          __syncthreads();
          if (threadIdx.x == 0) sums[t] += sum;
        });
    });
  for (std::thread& thread : threads) thread.join();
  for (const unsigned sum : sums) EXPECT_EQ(sum, 10u * 8 * 496);
}

// A block of less than whole warps, and the largest one.
TEST_F(EmulatorEngine, SizesOfBlocks) {
  for (const unsigned threads : {1u, 5u, 33u, 1023u, 1024u}) {
    unsigned count = 0;
    run_grid("count", dim3(2, 1, 3), threads, 0, [&] {
      __syncwarp();
      if (__syncthreads_and(1)) ++count;
    });
    EXPECT_EQ(count, 6 * threads);
  }
}

TEST_F(EmulatorEngine, CopiesLandWhenTheScheduleSays) {
  auto* const from = static_cast<int*>(device_allocate(16));
  const int numbers[] = {1, 2, 3, 4};
  std::memcpy(from, numbers, 16);
  mark_written(from, 16);
  const auto copied = [&](Schedule schedule, unsigned valid) {
    options().schedule = schedule;
    std::vector<int> before(4), after(4);
    run_grid("copy", 1, 1, 64, [&] {
      void* const to = dynamic_shared();
      cp_async(to, from, 16, valid, Loc::current());
      cp_async_commit();
      cp_async_wait(1);
      std::memcpy(before.data(), to, 16);
      cp_async_wait(0);
      std::memcpy(after.data(), to, 16);
    });
    EXPECT_EQ(before, schedule == Schedule::forward ? std::vector<int>(4, -1) : after);
    return after;
  };
  EXPECT_EQ(copied(Schedule::forward, 16), (std::vector{1, 2, 3, 4}));
  EXPECT_EQ(copied(Schedule::reverse, 16), (std::vector{1, 2, 3, 4}));
  EXPECT_EQ(copied(Schedule::forward, 8), (std::vector{1, 2, 0, 0}));
  EXPECT_EQ(copied(Schedule::reverse, 0), (std::vector{0, 0, 0, 0}));
  device_free(from);
}

TEST_F(EmulatorEngine, SharedMemoryIsNewForEachBlock) {
  std::vector<std::uint32_t> found;
  run_grid("fresh", 3, 1, 64, [&] {
    auto* const words = static_cast<std::uint32_t*>(dynamic_shared());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(words) % 256, 128u) << "128-byte aligned, no more";
    EXPECT_TRUE(in_shared(words));
    found.push_back(words[15]);
    words[15] = 0;
  });
  EXPECT_EQ(found, std::vector<std::uint32_t>(3, 0xffffffff));
}

TEST_F(EmulatorEngine, ReportsOfKernelsThatThrow) {
  const auto report = [](const std::function<void()>& body) {
    try {
      run_grid("thrower", dim3(2, 2), 64, 0, body);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_EQ(report([] { throw Error("what"); }), "what");
  EXPECT_EQ(report([] { throw 1; }), "kernel thrower, block (0,0,0): the kernel throws");
  const std::string inner = report([] { run_grid("inner", 1, 1, 0, [] {}); });
  EXPECT_EQ(inner, "kernel inner: launched by a kernel");
  // Threads that wait are unwound: what lies on their stacks is destroyed.
  int alive = 0;
  struct Counted {
    int& n;
    explicit Counted(int& n) : n(n) { ++n; }
    ~Counted() { --n; }
  };
  EXPECT_NE(report([&] {
              const Counted counted(alive);
              __syncthreads();
              if (threadIdx.x == 7) throw Error("seven");
              __syncthreads();
            }),
            "");
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(report([] {}), "") << "the engine works on";
}

TEST_F(EmulatorEngine, SizesThatNoDeviceHas) {
  const auto nothing = [] {};
  EXPECT_THROW(run_grid("g", 0, 32, 0, nothing), Error);
  EXPECT_THROW(run_grid("g", 1, 0, 0, nothing), Error);
  EXPECT_THROW(run_grid("g", 1, 1025, 0, nothing), Error);
  EXPECT_THROW(run_grid("g", dim3(1 << 16, 1 << 15, 2), 1, 0, nothing), Error);
  EXPECT_THROW(run_grid("g", 1, 32, (227 << 10) + 1, nothing), Error);
  EXPECT_NO_THROW(run_grid("g", 1, 1024, 227 << 10, nothing));
}

TEST(EmulatorOptions, AsTheEnvironmentSays) {
  EXPECT_EQ(parse_options(nullptr, nullptr).schedule, Schedule::forward);
  EXPECT_EQ(parse_options("forward", nullptr).schedule, Schedule::forward);
  EXPECT_EQ(parse_options("reverse", nullptr).schedule, Schedule::reverse);
  EXPECT_EQ(parse_options("random", nullptr).schedule, Schedule::random);
  EXPECT_EQ(parse_options("random:18446744073709551615", "3").seed, ~std::uint64_t{0});
  EXPECT_EQ(parse_options(nullptr, "3").os_threads, 3);
  for (const char* wrong : {"", "Forward", "randomly", "random:", "random:x", "random:1 ",
                            "random:18446744073709551616", "reverse:1"})
    EXPECT_THROW(parse_options(wrong, nullptr), Error) << wrong;
  for (const char* wrong : {"", "0", "-1", "257", "two", "99999999999"})
    EXPECT_THROW(parse_options(nullptr, wrong), Error) << wrong;
  std::uint64_t seed = 1;
  EXPECT_EQ(parse_stream_order(nullptr, seed), StreamOrder::lazy);
  EXPECT_EQ(parse_stream_order("eager", seed), StreamOrder::eager);
  EXPECT_EQ(parse_stream_order("random", seed), StreamOrder::random);
  EXPECT_EQ(seed, 1u);
  EXPECT_EQ(parse_stream_order("random:7", seed), StreamOrder::random);
  EXPECT_EQ(seed, 7u);
  for (const char* wrong : {"", "Lazy", "randomly", "random:", "random:x", "eager:1"})
    EXPECT_THROW(parse_stream_order(wrong, seed), Error) << wrong;
}

TEST(EmulatorMemory, BlocksBeginAsNaNAndAreKnown) {
  for (const std::size_t bytes : {0, 1, 255, 256, 4097, 1 << 20}) {
    auto* const block = static_cast<unsigned char*>(device_allocate(bytes));
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % 256, 0u);
    for (std::size_t i = 0; i < bytes; ++i) ASSERT_EQ(block[i], 0xff);
    EXPECT_TRUE(covers(block, bytes));
    EXPECT_TRUE(covers(block + bytes / 2, bytes - bytes / 2));
    EXPECT_FALSE(covers(block, bytes + 1));
    EXPECT_FALSE(covers(block + bytes + 1, 0));
    device_free(block);
    EXPECT_FALSE(covers(block, 0));
    EXPECT_THROW(device_free(block), Error) << "freed twice";
  }
  int host = 0;
  EXPECT_FALSE(covers(&host, 1));
  EXPECT_THROW(device_free(&host), Error);
  EXPECT_NO_THROW(device_free(nullptr));
}

// An allocator that keeps blocks lends parts of them: bounds and first bytes are those of a new
// one.
TEST(EmulatorMemory, IsLentInParts) {
  auto* const block = static_cast<unsigned char*>(device_allocate(1024));
  std::memset(block, 1, 1024);
  for (const std::size_t bytes : {100, 1024, 0, 1000}) {
    device_lend(block, bytes);
    for (std::size_t i = 0; i < bytes; ++i) ASSERT_EQ(block[i], 0xff);
    EXPECT_TRUE(covers(block, bytes));
    EXPECT_FALSE(covers(block, bytes + 1));
    std::memset(block, 1, bytes);
  }
  EXPECT_THROW(device_lend(block, 1025), Error);
  EXPECT_THROW(device_lend(block + 256, 1), Error);
  device_free(block);
  EXPECT_THROW(device_lend(block, 1), Error);
}

TEST(EmulatorMemory, TheRuntimeLendsWhatIsAskedFor) {
  for (const std::int64_t bytes : {100, 90, 101}) {
    auto* const block = static_cast<unsigned char*>(emulated::allocate(bytes));
    emulated::synchronize();
    const auto n = static_cast<std::size_t>(bytes);
    EXPECT_TRUE(covers(block, n));
    EXPECT_FALSE(covers(block, n + 1));
    EXPECT_EQ(block[0] & block[n - 1], 0xff);
    std::memset(block, 1, n);
    emulated::deallocate(block, bytes);
  }
}

// What was freed rests, and is then handed out again.
TEST(EmulatorMemory, IsUsedAgain) {
  std::set<void*> addresses;
  for (int i = 0; i < 200; ++i) {
    void* const block = device_allocate(1 << 20);
    ASSERT_NE(block, nullptr);
    addresses.insert(block);
    device_free(block);
  }
  EXPECT_GT(addresses.size(), 10u);
  EXPECT_LT(addresses.size(), 100u);
  EXPECT_EQ(device_allocate(std::size_t(1) << 50), nullptr);
}

}  // namespace
}  // namespace gradus::emulator
