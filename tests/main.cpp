// The test program. After every test as many blocks of memory live as before it: a tensor or a
// graph that stays behind is a leak, and fails the test.
#include <gtest/gtest.h>

#include "gradus/tensor/allocator.h"

namespace {

class LeakListener : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo&) override { before_ = gradus::memory_statistics(); }
  void OnTestEnd(const testing::TestInfo& test) override {
    const gradus::MemoryStatistics now = gradus::memory_statistics();
    EXPECT_EQ(now.blocks, before_.blocks)
        << test.name() << " leaves " << now.live - before_.live << " bytes in tensors behind";
  }
  gradus::MemoryStatistics before_;
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  // Before the printer, which would report the test as passed first. The listeners own it.
  testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
  testing::TestEventListener* printer = listeners.Release(listeners.default_result_printer());
  listeners.Append(new LeakListener);
  listeners.Append(printer);
  return RUN_ALL_TESTS();
}
