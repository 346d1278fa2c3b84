// The machine layer (runtime.h) over the emulated devices: the source that runs on real ones.
#include "gradus/tests/device_runtime.h"

#include <algorithm>
#include <numeric>
#include <thread>

namespace gradus::emulated {
namespace {

// ---- devices

TEST_F(DeviceRuntime, SaysWhichDevicesThereAre) {
  EXPECT_EQ(device_count(), 2);
  EXPECT_EQ(problem(), "");
  EXPECT_EQ(message([] { use_device(2); }), "use_device: no such device: index 2, there are 2");
  EXPECT_EQ(message([] { use_device(-1); }), "use_device: no such device: index -1, there are 2");
  use_device(1);
  Ints x;
  EXPECT_GT(memory(1).live, 0);
  use_device(0);
  x.free();  // lies on the other one
  EXPECT_EQ(memory(1).live, 0);
}

TEST_F(DeviceRuntime, SaysWhyThereIsNone) {
  const auto refused = [] {
    std::string text;
    std::thread([&] { text = message([] { allocate(1); }); }).join();
    return text;
  };
  emulator::pretend_driver(0, 0);
  EXPECT_EQ(device_count(), 0);
  EXPECT_EQ(problem(), "there is no NVIDIA driver");
  EXPECT_EQ(refused(), "use_device: no device: there is no NVIDIA driver");
  emulator::pretend_driver(12040, 1);
  EXPECT_EQ(device_count(), 0);
  EXPECT_EQ(problem(),
            "the NVIDIA driver is too old: it supports CUDA 12.4, this build needs 13.0");
  emulator::pretend_driver(13010, 0);
  EXPECT_EQ(problem(), "there is no CUDA device");
  emulator::pretend_driver(13000, 2);
  EXPECT_EQ(problem(), "");
}

TEST_F(DeviceRuntime, AskingTouchesNoDevice) {
  const auto before = emulator::resources();
  std::thread([] {
    EXPECT_EQ(device_count(), 2);
    EXPECT_EQ(problem(), "");
    EXPECT_EQ(memory(7).live, 0);
    reset_peak(7);
    release_cached(7);
    set_memory_limit(7, 0);
    EXPECT_FALSE(is_capturing());
    deallocate(nullptr, 0);
  }).join();
  EXPECT_EQ(emulator::resources(), before);
}

// ---- memory

TEST_F(DeviceRuntime, AFreedBlockIsTheNextOfItsClass) {
  void* const a = allocate(1000);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a) % 256, 0u);
  void* const b = allocate(1000);
  EXPECT_NE(a, b);
  deallocate(a, 1000);
  void* const larger = allocate(5000);
  EXPECT_NE(larger, a);
  EXPECT_EQ(allocate(900), a);
  deallocate(a, 900);
  deallocate(b, 1000);
  deallocate(larger, 5000);
  void* const none = allocate(0);
  EXPECT_NE(none, nullptr);
  deallocate(none, 0);
}

TEST_F(DeviceRuntime, CountsBytesAndBlocks) {
  const DeviceMemory before = memory(0);
  void* const a = allocate(1 << 20);
  void* const b = allocate((1 << 20) + 1);
  DeviceMemory now = memory(0);
  EXPECT_EQ(now.live - before.live, (1 << 20) + (5 << 18));  // b's class is a quarter larger
  EXPECT_EQ(now.blocks - before.blocks, 2);
  deallocate(b, (1 << 20) + 1);
  now = memory(0);
  EXPECT_EQ(now.live - before.live, 1 << 20);
  EXPECT_EQ(now.cached - before.cached, 5 << 18);
  EXPECT_GE(now.peak - before.live, (1 << 20) + (5 << 18));
  reset_peak(0);
  EXPECT_EQ(memory(0).peak, memory(0).live);
  deallocate(a, 1 << 20);
  const auto held = emulator::resources().device_bytes;
  release_cached(0);
  EXPECT_EQ(memory(0).cached, 0);
  EXPECT_LT(emulator::resources().device_bytes, held);
}

TEST_F(DeviceRuntime, TheCapIsOnWhatIsHeld) {
  set_memory_limit(0, memory(0).live + (3 << 20));
  void* const a = allocate(2 << 20);
  const std::string text = message([] { allocate(2 << 20); });
  EXPECT_NE(text.find("allocate: out of memory: asked for 2097152 bytes on device 0"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find(", limit "), std::string::npos) << text;
  EXPECT_THROW(allocate(2 << 20), OutOfMemory);
  deallocate(a, 2 << 20);
  void* const c = allocate(3 << 20);  // what is cached gives way
  EXPECT_EQ(memory(0).cached, 0);
  deallocate(c, 3 << 20);
  set_memory_limit(0, 0);
}

TEST_F(DeviceRuntime, TheCacheGivesWayBeforeMemoryIsOut) {
  Ints kept;
  run(set_to, kept.get(), 7);
  emulator::set_device_memory(emulator::resources().device_bytes + (3 << 20));
  void* const a = allocate(2 << 20);
  EXPECT_THROW(allocate(3 << 20), OutOfMemory);
  deallocate(a, 2 << 20);
  void* const b = allocate(3 << 20);
  const std::string text = message([] { allocate(1 << 20); });
  EXPECT_NE(text.find(" 0 cached, "), std::string::npos) << text;
  deallocate(b, 3 << 20);
  emulator::set_device_memory(std::size_t{8} << 30);
  EXPECT_EQ(kept.first(), 7);
}

TEST_F(DeviceRuntime, ABlockOfAnotherStreamIsReusedAfterItsWork) {
  DeviceStream *const one = stream(), *const two = stream();
  set_stream(one);
  int* const x = static_cast<int*>(allocate(4));
  run(set_to, x, 1);
  deallocate(x, 4);
  set_stream(two);
  Ints y;
  ASSERT_EQ(y.get(), x);
  run(set_to, y.get(), 2);
  synchronize();
  set_stream(one);
  synchronize();
  set_stream(two);
  EXPECT_EQ(y.first(), 2);
  set_stream(nullptr);
}

TEST_F(DeviceRuntime, ABlockFreedOnAnotherStreamIsReusedAfterItsWork) {
  DeviceStream *const one = stream(), *const two = stream();
  set_stream(one);
  int* const x = static_cast<int*>(allocate(4));
  Ints seen(100);
  run(set_to, x, 1);
  set_stream(two);
  wait_for(one);
  run(copy_one, seen.get(), x);
  deallocate(x, 4);
  set_stream(one);
  Ints y;
  ASSERT_EQ(y.get(), x);
  run(set_to, y.get(), 2);
  synchronize();
  set_stream(two);
  EXPECT_EQ(seen.first(), 1);
  set_stream(nullptr);
}

TEST_F(DeviceRuntime, ABlockOfAStreamThatIsGoneIsReusedAfterItsWork) {
  set_stream(make_stream());
  Ints kept;
  run(set_to, kept.get(), 3);
  int* const x = static_cast<int*>(allocate(4));
  run(set_to, x, 1);
  deallocate(x, 4);
  destroy_stream(set_stream(nullptr));
  Ints y;
  ASSERT_EQ(y.get(), x);
  run(set_to, y.get(), 2);
  synchronize();
  cudaDeviceSynchronize();
  EXPECT_EQ(y.first(), 2);
  EXPECT_EQ(kept.first(), 3);
}

// ---- copies and streams

TEST_F(DeviceRuntime, CopiesAnySizeAndKeepsNoHoldOfTheSource) {
  for (const int n : {0, 1, 1000, 65536, 5'000'003}) {
    std::vector<int> host(static_cast<std::size_t>(n));
    std::iota(host.begin(), host.end(), 1);
    const std::vector<int> expected = host;
    Ints a(n), b(n);
    copy_from_host(a.get(), host.data(), 4 * n);
    std::fill(host.begin(), host.end(), -1);
    copy_within(b.get(), a.get(), 4 * n);
    copy_to_host(host.data(), b.get(), 4 * n);
    EXPECT_EQ(host, expected) << n;
  }
}

TEST_F(DeviceRuntime, ManySmallCopiesNeedNoWait) {
  Ints x(200);
  for (int i = 0; i < 200; ++i) {
    const int value = i * i;
    copy_from_host(x.get() + i, &value, 4);
  }
  std::vector<int> host(200);
  copy_to_host(host.data(), x.get(), 800);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(host[static_cast<std::size_t>(i)], i * i);
}

int passed_on(StreamOrder order, bool wait, DeviceStream* one, DeviceStream* two) {
  emulator::set_stream_order(order);
  Ints x, y;
  const OnStream producer(one);
  run(set_to, x.get(), 0);
  synchronize();
  run(set_to, x.get(), 42);
  const OnStream consumer(two);
  if (wait) wait_for(one);
  run(copy_one, y.get(), x.get());
  const int seen = y.first();
  wait_for(one);  // before x and y go
  synchronize();
  return seen;
}

TEST_F(DeviceRuntime, AStreamWaitsForAnotherOnlyWhereItIsTold) {
  DeviceStream *const one = stream(), *const two = stream();
  for (const StreamOrder order : {StreamOrder::lazy, StreamOrder::eager, StreamOrder::random})
    EXPECT_EQ(passed_on(order, true, one, two), 42);
  EXPECT_EQ(passed_on(StreamOrder::eager, false, one, two), 42);
  EXPECT_EQ(passed_on(StreamOrder::lazy, false, one, two), 0);  // so a missing wait shows
}

TEST_F(DeviceRuntime, TwoThreadsWithAStreamEach) {
  for (const StreamOrder order : {StreamOrder::lazy, StreamOrder::random}) {
    emulator::set_stream_order(order);
    const auto work = [](int seed, int& wrong) {
      DeviceStream* const own = make_stream();
      set_stream(own);
      for (int i = 0; i < 50; ++i) {
        Ints a(1 + i), b(1 + i);
        run(set_to, a.get(), seed + i);
        run(copy_one, b.get(), a.get());
        run(add_to, b.get(), 1);
        wrong += b.first() != seed + i + 1;
      }
      destroy_stream(own);
    };
    int wrong[2] = {0, 0};
    std::thread a(work, 1000, std::ref(wrong[0])), b(work, 2000, std::ref(wrong[1]));
    a.join();
    b.join();
    EXPECT_EQ(wrong[0] + wrong[1], 0);
  }
}

// ---- what goes wrong

TEST_F(DeviceRuntime, AFindingIsThrownOnceByTheNextCallThatWaits) {
  const std::string text = "embedding: an index is out of range: index 12 at position 3, limit 10";
  int host = 0;
  Ints x;
  run(set_to, x.get(), 1);
  const auto find = [] { GRADUS_LAUNCH(look_up, 2, 32, 0, findings(), std::int64_t{12}); };
  find();
  EXPECT_EQ(message([] { synchronize(); }), text);
  synchronize();
  find();
  EXPECT_EQ(message([&] { copy_to_host(&host, x.get(), 4); }), text);
  copy_to_host(&host, x.get(), 4);
  EXPECT_EQ(host, 1);
  begin_capture();
  find();
  DeviceGraph* const graph = end_capture();
  synchronize();
  for (int i = 0; i < 2; ++i) {
    replay(graph);
    EXPECT_EQ(message([] { synchronize(); }), text);
  }
  destroy_graph(graph);
}

TEST_F(DeviceRuntime, ALaunchThatNoDeviceTakesIsRefusedAtOnce) {
  EXPECT_EQ(message([] { GRADUS_LAUNCH(diverge, 1, 2048, 0, 32u); }),
            "diverge: CUDA failed: cudaErrorInvalidConfiguration (invalid configuration argument)");
  EXPECT_EQ(message([] { GRADUS_LAUNCH(diverge, 0, 32, 0, 32u); }),
            "diverge: CUDA failed: cudaErrorInvalidConfiguration (invalid configuration argument)");
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);  // told once
  synchronize();
}

TEST_F(DeviceRuntime, ABrokenDeviceFailsEveryCallAndNothingElse) {
  Ints x;
  Ints(1000).free();  // is cached
  GRADUS_LAUNCH(diverge, 1, 64, 0, 32u);
  const std::string text = message([] { synchronize(); });
  EXPECT_EQ(text.find("synchronize: CUDA failed: cudaErrorLaunchFailure (unspecified launch "
                      "failure)\n"),
            0u)
      << text;
  EXPECT_NE(text.find("diverge"), std::string::npos) << text;  // the emulator's report
  EXPECT_THROW(run(set_to, x.get(), 1), Error);
  EXPECT_THROW(x.first(), Error);
  EXPECT_THROW(make_stream(), Error);
  EXPECT_THROW(allocate(77 << 20), Error);
  deallocate(allocate(4000), 4000);  // neither asks the device
  use_device(1);
  {
    Ints there;
    run(set_to, there.get(), 5);
    EXPECT_EQ(there.first(), 5);
  }
  use_device(0);
  EXPECT_THROW(synchronize(), Error);
  emulator::reset_devices();
  run(set_to, x.get(), 1);
  EXPECT_EQ(x.first(), 1);
}

TEST_F(DeviceRuntime, NothingLeaks) {
  const auto work = [] {
    DeviceStream* const s = make_stream();
    set_stream(s);
    Ints x(1000);
    begin_capture();
    {
      Ints y(1000);
      run(set_to, y.get(), 1);
      run(copy_one, x.get(), y.get());
    }
    DeviceGraph* const graph = end_capture();
    replay(graph);
    EXPECT_EQ(x.first(), 1);
    destroy_graph(graph);
    begin_capture();
    Ints z(3);
    cancel_capture();
    destroy_stream(s);
  };
  work();
  release_cached(0);
  const auto before = emulator::resources();
  for (int i = 0; i < 5; ++i) work();
  release_cached(0);
  EXPECT_EQ(emulator::resources(), before);
}

}  // namespace
}  // namespace gradus::emulated
