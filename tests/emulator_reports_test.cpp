// Kernels with one mistake each (tests/cuda/wrong.cu): what the emulator says of them, under each
// of its schedules. What only the race build can see, or only AddressSanitizer, is asked for there.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "gradus/kernels/cuda/emulator/engine.h"
#include "gradus/kernels/cuda/emulator/memory.h"
#include "gradus/tests/cuda/wrong.h"

#if defined(__SANITIZE_ADDRESS__)
#define GRADUS_TESTED_WITH_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GRADUS_TESTED_WITH_ASAN
#endif
#endif

namespace gradus {
namespace {

using emulator::Schedule;

#ifdef GRADUS_TESTED_WITH_ASAN
constexpr bool with_asan = true;
#else
constexpr bool with_asan = false;
#endif
constexpr Schedule schedules[] = {Schedule::forward, Schedule::reverse, Schedule::random};
constexpr std::size_t words = 320;

// Runs the kernel on 320 words 0, 1, 2, ... (or on none); gives back what they are afterwards.
std::vector<int> run(const char* name, bool written = true) {
  const emulated::WrongKernel& wrong = emulated::wrong(name);
  auto* const data = static_cast<int*>(emulator::device_allocate(words * sizeof(int)));
  if (written) {
    for (std::size_t i = 0; i < words; ++i) data[i] = static_cast<int>(i);
    emulator::mark_written(data, words * sizeof(int));
  }
  std::vector<int> after;
  try {
    emulator::run_grid(name, wrong.blocks, wrong.threads, wrong.shared,
                       [&] { wrong.kernel(data, 40); });
    after.assign(data, data + words);
  } catch (...) {
    EXPECT_TRUE(emulator::covers(data, words * sizeof(int)));
    try {
      emulator::device_free(data);
    } catch (const emulator::Error&) {  // the kernel's report says more
    }
    throw;
  }
  emulator::device_free(data);
  return after;
}

class EmulatorReports : public testing::Test {
 protected:
  void TearDown() override { emulator::options() = saved_; }

  // Every schedule's report holds all of the texts.
  void expect(const char* name, const std::vector<std::string>& texts, bool written = true) {
    for (const Schedule schedule : schedules) {
      emulator::options().schedule = schedule;
      try {
        run(name, written);
        ADD_FAILURE() << name << ": no report under schedule " << static_cast<int>(schedule);
      } catch (const emulator::Error& e) {
        for (const std::string& text : texts)
          EXPECT_NE(std::string(e.what()).find(text), std::string::npos)
              << name << ", no \"" << text << "\" in: " << e.what();
      }
    }
  }
  // In the race build; elsewhere the schedules disagree, which every other test demands they do
  // not.
  void expect_race(const char* name, const std::vector<std::string>& texts) {
    if (emulator::race_build()) return expect(name, texts);
    std::vector<std::vector<int>> results;
    for (const Schedule schedule : schedules) {
      emulator::options().schedule = schedule;
      results.push_back(run(name));
    }
    EXPECT_TRUE(results[0] != results[1] || results[0] != results[2]) << name;
  }

 private:
  emulator::Options saved_ = emulator::options();
};

TEST_F(EmulatorReports, Barriers) {
  expect("barrier_of_a_part",
         {"kernel barrier_of_a_part, block (0,0,0): divergence: ", "at __syncthreads wrong.cu:"});
  expect("barriers_at_two_places",
         {"threads meet at different calls of __syncthreads", "wrong.cu:"});
  expect("barriers_of_two_kinds", {"threads meet at different calls of __syncthreads"});
  expect("return_before_barrier", {"divergence: ", "ended"});
  expect("deadlock", {"deadlock: no thread can go on",
                      "32 threads at __syncwarp wrong.cu:", "mask 0xffffffff: 0-15 32-47",
                      "32 threads at __syncthreads wrong.cu:", ": 16-31 48-63"});
}

// What CUDA's guide leaves undefined, but hardware does, is allowed when asked for.
TEST_F(EmulatorReports, ThreadsMayEndBeforeABarrierWhereThatIsAllowed) {
  emulator::options().strict = false;
  for (const Schedule schedule : schedules) {
    emulator::options().schedule = schedule;
    const std::vector<int> after = run("return_before_barrier");
    for (int i = 0; i < 64; ++i) EXPECT_EQ(after[static_cast<std::size_t>(i)], i < 40 ? 1 : i);
    EXPECT_NO_THROW(run("barriers_at_two_places"));
  }
}

TEST_F(EmulatorReports, Shuffles) {
  expect("shuffle_of_a_part", {"lane", "ended", "wrong.cu:"});
  expect("shuffle_from_outside_the_mask",
         {"__shfl_sync: reads a lane that is not in the mask", "thread (", "wrong.cu:"});
  expect("shuffle_without_the_caller", {"the calling lane is not in the mask"});
  expect("shuffle_against_barrier",
         {"deadlock", "at __shfl_sync wrong.cu:", "at __syncthreads wrong.cu:"});
  expect("shuffle_against_warp_barrier", {"lanes of one mask meet at different operations"});
  expect("shuffles_at_two_places", {"lanes of one mask meet at different places"});
  expect("shuffle_of_no_width", {"__shfl_sync: the width is not a power of two up to 32"});
  expect("shuffle_too_far", {"__shfl_sync: the distance is not in [0, 32)"});
  expect("shuffle_after_return", {"a lane of the mask has ended"});
}

TEST_F(EmulatorReports, MemoryOutOfBounds) {
  const char* const shared = "the shared array 'a' of 256 bytes";
  if (with_asan) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_DEATH(run("write_beyond_shared"), "use-after-poison");
    EXPECT_DEATH(run("write_before_dynamic_shared"), "use-after-poison");
    EXPECT_DEATH(run("write_beyond_device_memory"), "use-after-poison");
    EXPECT_DEATH(run("read_beyond_device_memory"), "use-after-poison");
    EXPECT_DEATH(run("copy_from_beyond"), "use-after-poison");
  } else if (emulator::race_build()) {
    expect("write_beyond_shared",
           {"thread 63, wrong.cu:", "an access beyond an array: byte 256 of ", shared});
    expect("write_before_dynamic_shared", {"thread 0, wrong.cu:", "an access beyond an array"});
    for (const char* name : {"write_beyond_device_memory", "read_beyond_device_memory"})
      expect(name, {"thread 319, wrong.cu", "byte 1280 of a block of 1280 bytes"});
    expect("copy_from_beyond", {"thread 63, wrong.cu:", "byte 1280 of a block of 1280 bytes"});
  } else {
    expect("write_beyond_shared", {"something was written behind ", shared});
    expect("write_before_dynamic_shared",
           {"something was written in front of the shared array 'dynamic' of 256 bytes"});
    expect("write_beyond_device_memory", {"something wrote behind a block of 1280 bytes"});
    expect("copy_from_beyond", {"an access beyond byte 1280 of a block of 1280 bytes"});
  }
}

TEST_F(EmulatorReports, WhatNobodyWrote) {
  if (emulator::race_build()) {
    expect("read_of_unwritten_shared",
           {"a read of bytes that nobody wrote: byte 252 of the shared array 'a'"});
    expect("read_of_unwritten_device_memory",
           {"a read of bytes that nobody wrote: byte 20 of a block of 1280 bytes"}, false);
  } else {
    EXPECT_EQ(run("read_of_unwritten_shared")[63], -1) << "all bits set: NaN as a float";
    EXPECT_EQ(run("read_of_unwritten_device_memory", false)[40], -1);
  }
}

TEST_F(EmulatorReports, MisalignedNumbers) {
  if (!emulator::race_build()) GTEST_SKIP() << "only the race build looks at plain loads";
  expect("misaligned", {"a misaligned access of 8 bytes"});
}

TEST_F(EmulatorReports, TooMuchSharedMemory) {
  expect("too_much_static_shared", {"more than 48 KiB of static shared memory"});
  EXPECT_THROW(emulator::run_grid("big", 1, 32, (227 << 10) + 1, [] {}), emulator::Error);
}

TEST_F(EmulatorReports, RacesWithinABlock) {
  expect_race("no_warp_barrier",
              {"with no barrier between: byte ", "shared array 'a'", "wrong.cu:"});
  if (emulator::race_build())  // elsewhere the lanes of a shuffle do wait for each other
    expect("shuffle_taken_for_a_barrier", {"with no barrier between"});
  expect_race("read_after_write", {"with no barrier between", "the shared array 'a'"});
  expect_race("write_after_read", {"with no barrier between", "the shared array 'a'"});
  expect_race("write_after_write", {"write after write with no barrier between: byte 0"});
  expect_race("race_in_device_memory", {"with no barrier between: byte 4 of a block of 1280"});
}

TEST_F(EmulatorReports, RacesBetweenBlocks) {
  expect_race("two_blocks_write", {"two blocks write, with no order between them"});
  expect_race("block_reads_another", {"another block"});
  expect_race("fence_of_the_reader_only", {"another block"});
}

TEST_F(EmulatorReports, AsynchronousCopies) {
  expect_race("copy_without_wait", {"a cp.async may still be writing", "the shared array 'a'"});
  expect("copy_without_commit", {""});
  expect_race("copy_without_barrier", {"with no barrier between"});
  expect("copy_misaligned", {"cp.async: misaligned address", "wrong.cu:"});
}

}  // namespace
}  // namespace gradus
