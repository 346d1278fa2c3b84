// Graphs of the machine layer (runtime.h), over the emulated devices.
#include "gradus/tests/device_runtime.h"

#include <algorithm>
#include <thread>

namespace gradus::emulated {
namespace {

// ---- graphs

TEST_F(DeviceRuntime, AGraphRunsWhenItIsReplayed) {
  Ints x;
  run(set_to, x.get(), 0);
  begin_capture();
  EXPECT_TRUE(is_capturing());
  run(add_to, x.get(), 1);
  run(add_to, x.get(), x.get() ? 10 : 0);
  DeviceGraph* const graph = end_capture();
  EXPECT_EQ(x.first(), 0);
  for (int i = 0; i < 3; ++i) replay(graph);
  EXPECT_EQ(x.first(), 33);
  DeviceStream* const other = stream();
  {
    const OnStream elsewhere(other);
    replay(graph);
  }
  replay(graph);  // one at a time, whatever the stream
  EXPECT_EQ(x.first(), 55);
  destroy_graph(graph);
}

TEST_F(DeviceRuntime, MemoryOfAGraphIsItsOwn) {
  Ints before, out;
  int* const outside = before.get();
  begin_capture();
  int* const a = static_cast<int*>(allocate(4));
  run(set_to, a, 5);
  deallocate(a, 4);
  int* const b = static_cast<int*>(allocate(4));
  EXPECT_EQ(b, a);  // within the graph
  run(set_to, b, 6);
  run(copy_one, out.get(), b);
  deallocate(b, 4);
  run(copy_one, out.get(), outside);
  before.free();  // the graph reads it at every replay
  DeviceGraph* const graph = end_capture();
  EXPECT_GT(memory(0).graphs, 0);
  {
    Ints others[3];
    for (const Ints& x : others) {
      EXPECT_NE(x.get(), a);
      EXPECT_NE(x.get(), outside);
    }
  }
  release_cached(0);
  replay(graph);
  synchronize();

  // Its last replay has not run when the memory is somebody else's.
  set_stream(stream());
  replay(graph);
  DeviceStream* const replayed_on = set_stream(nullptr);
  destroy_graph(graph);
  EXPECT_EQ(memory(0).graphs, 0);
  Ints x, y;
  EXPECT_TRUE(x.get() == a || y.get() == a);
  run(set_to, x.get(), 7);
  run(set_to, y.get(), 8);
  synchronize();
  set_stream(replayed_on);
  synchronize();
  set_stream(nullptr);
  EXPECT_EQ(x.first(), 7);
  EXPECT_EQ(y.first(), 8);
}

TEST_F(DeviceRuntime, AGraphMayForkAndJoin) {
  DeviceStream* const side = stream();
  for (const StreamOrder order : {StreamOrder::lazy, StreamOrder::eager, StreamOrder::random}) {
    emulator::set_stream_order(order);
    Ints x, y, z;
    begin_capture();
    run(set_to, x.get(), 3);
    DeviceStream* const main = set_stream(side);
    wait_for(main);
    run(copy_one, y.get(), x.get());
    set_stream(main);
    run(set_to, z.get(), 4);
    wait_for(side);
    run(add_to, y.get(), 10);
    DeviceGraph* const graph = end_capture();
    replay(graph);
    EXPECT_EQ(y.first(), 13);
    EXPECT_EQ(z.first(), 4);
    destroy_graph(graph);
  }
}

TEST_F(DeviceRuntime, AnUnfinishedForkIsAnError) {
  DeviceStream* const side = stream();
  Ints x;
  begin_capture();
  DeviceStream* const main = set_stream(side);
  wait_for(main);
  run(set_to, x.get(), 3);
  set_stream(main);
  EXPECT_EQ(message([] { end_capture(); }).substr(0, 59),
            "end_capture: CUDA failed: cudaErrorStreamCaptureUnjoined (c");
  EXPECT_FALSE(is_capturing());
}

TEST_F(DeviceRuntime, AGraphHoldsNoStepThatTheHostTakesPartIn) {
  Ints x;
  int host = 1;
  DeviceGraph* const other = (begin_capture(), run(set_to, x.get(), 1), end_capture());
  const auto refusal = [&](auto f) {
    begin_capture();
    run(set_to, x.get(), 9);
    const std::string text = message(f);
    EXPECT_FALSE(is_capturing());  // the recording is over
    return text;
  };
  const std::string waits =
      ": not while a graph is recorded: the host would wait for what has not run";
  EXPECT_EQ(refusal([&] { copy_to_host(&host, x.get(), 4); }), "copy_to_host" + waits);
  EXPECT_EQ(refusal([] { synchronize(); }), "synchronize" + waits);
  EXPECT_EQ(refusal([&] { copy_from_host(x.get(), &host, 4); }),
            "copy_from_host: not while a graph is recorded: every replay would copy the bytes of "
            "now");
  EXPECT_EQ(refusal([&] { replay(other); }),
            "replay: not while a graph is recorded: a graph holds no other one");
  EXPECT_EQ(refusal([] { use_device(1); }),
            "use_device: not while a graph is recorded: all of its steps run on one device");
  EXPECT_EQ(refusal([] { begin_capture(); }), "begin_capture: this thread records a graph already");
  EXPECT_EQ(message([] { end_capture(); }), "end_capture: this thread records no graph");
  run(set_to, x.get(), 2);
  EXPECT_EQ(x.first(), 2);
  destroy_graph(other);
}

TEST_F(DeviceRuntime, OtherThreadsWorkWhileOneRecords) {
  Ints x, y;
  begin_capture();
  run(set_to, x.get(), 1);
  std::thread([&] {
    Ints z;
    run(set_to, y.get(), 2);  // on the stream that the recording thread had
    EXPECT_EQ(y.first(), 2);
    release_cached(0);
  }).join();
  run(add_to, x.get(), 1);
  DeviceGraph* const graph = end_capture();
  replay(graph);
  EXPECT_EQ(x.first(), 2);
  destroy_graph(graph);
}

TEST_F(DeviceRuntime, MemoryOutlivesItsGraph) {
  begin_capture();
  Ints x;
  run(set_to, x.get(), 11);
  DeviceGraph* const graph = end_capture();
  replay(graph);
  destroy_graph(graph);
  EXPECT_EQ(x.first(), 11);
  int* const block = x.get();
  x.free();
  EXPECT_EQ(Ints().get(), block);
}

TEST_F(DeviceRuntime, AStreamThatGoesLeavesTheMemoryOfOthers) {
  DeviceStream* const gone = make_stream();
  begin_capture();
  Ints x;
  DeviceGraph* const graph = end_capture();
  destroy_stream(gone);
  const std::int64_t before = memory(0).graphs;
  x.free();
  EXPECT_GT(memory(0).graphs, before);
  destroy_graph(graph);
}

}  // namespace
}  // namespace gradus::emulated
