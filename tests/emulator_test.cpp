// Primitives of CUDA that many threads perform together, against definitions, under three
// schedules.
#include "gradus/tests/conformance.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace gradus::conformance {
namespace {

class EmulatorConformance : public Conformance {};

TEST_P(EmulatorConformance, Indices) {
  const Words out = run(Primitive::indices, random_words());
  const auto packed = [](Word x, Word y, Word z) { return x | y << 16 | z << 32; };
  std::size_t i = 0;
  for (Word bz = 0; bz < 2; ++bz)
    for (Word by = 0; by < 3; ++by)
      for (Word bx = 0; bx < 2; ++bx)
        for (Word z = 0; z < 8; ++z)
          for (Word y = 0; y < 2; ++y)
            for (Word x = 0; x < 4; ++x, i += 4) {
              ASSERT_EQ(out[i], packed(x, y, z));
              ASSERT_EQ(out[i + 1], packed(bx, by, bz));
              ASSERT_EQ(out[i + 2], packed(4, 2, 8));
              ASSERT_EQ(out[i + 3], packed(2, 3, 2));
            }
}

// In the words of the programming guide: a segment is `width` lanes; whoever would read outside of
// the own one keeps the own value, and xor may read earlier segments.
TEST_P(EmulatorConformance, Shuffles) {
  const Words in = random_words();
  for (const int width : {1, 2, 4, 8, 16, 32})
    for (int by = 0; by < 32; ++by) {
      const Words out = run(Primitive::shuffles, in, width, by);
      expect(out, [&](int thread) {
        const int lane = thread % 32, warp = thread - lane, start = lane / width * width;
        const auto at = [&](int l) { return in[static_cast<std::size_t>(warp + l)]; };
        const int index = start + by * lane % width, same_index = start + by % width;
        const int up = lane - by < start ? lane : lane - by;
        const int down = lane + by >= start + width ? lane : lane + by;
        const int flipped = (lane ^ by) >= start + width ? lane : lane ^ by;
        return Words{at(index),
                     at(up),
                     at(down),
                     at(flipped),
                     low(at(same_index)),
                     word(static_cast<float>(up)),
                     word(static_cast<double>(down)),
                     low(at(flipped))};
      });
    }
}

TEST_P(EmulatorConformance, Votes) {
  const Words in = random_words();
  expect(run(Primitive::votes, in), [&](int thread) {
    const int lane = thread % 32;
    Word all = 0;
    for (int l = 0; l < 32; ++l)
      all |= Word(in[static_cast<std::size_t>(thread - lane + l)] % 3 == 0) << l;
    const Word half = lane < 16 ? 0xffff : 0xffff0000;
    const Word alternate = lane % 2 ? 0xaaaaaaaa : 0x55555555;
    return Words{
        all, all & half, all & alternate, Word((all & half) != 0), Word((all & half) == half), 1,
        0,   1};
  });
}

TEST_P(EmulatorConformance, Reductions) {
  const Words in = random_words();
  expect(run(Primitive::reductions, in), [&](int thread) {
    unsigned sum = 0, least = ~0u, most = 0, both = ~0u, either = 0, one = 0;
    int signed_least = std::numeric_limits<int>::max(), signed_most = ~signed_least;
    for (int i = thread / 32 * 32 + thread % 2; i < thread / 32 * 32 + 32; i += 2) {
      const unsigned x = low(in[static_cast<std::size_t>(i)]);
      sum += x, both &= x, either |= x, one ^= x;
      least = std::min(least, x), most = std::max(most, x);
      signed_least = std::min(signed_least, static_cast<int>(x));
      signed_most = std::max(signed_most, static_cast<int>(x));
    }
    return Words{sum, word(signed_least), word(signed_most), least, most, both, either, one};
  });
}

TEST_P(EmulatorConformance, Barriers) {
  const Words in = random_words();
  for (const int divisor : {1, 2, 3, 1 << 30}) {
    expect(run(Primitive::barriers, in, divisor), [&](int thread) {
      const auto begin = in.begin() + thread / conform_block * conform_block;
      const auto n = std::count_if(begin, begin + conform_block,
                                   [&](Word x) { return x % static_cast<Word>(divisor) == 0; });
      return Words{Word(n > 0), Word(n == conform_block), static_cast<Word>(n)};
    });
  }
}

TEST_P(EmulatorConformance, WarpBarrier) {
  const Words in = random_words();
  expect(run(Primitive::warp_barrier, in), [&](int thread) {
    const auto begin = in.begin() + thread / 32 * 32;
    return Words{std::accumulate(begin, begin + 32, Word{0})};
  });
}

TEST_P(EmulatorConformance, SharedMemory) {
  const Words in = random_words();
  for (const int by : {0, 1, 50}) {
    expect(run(Primitive::shared, in, by), [&](int thread) {
      const int i = thread % conform_block;
      const auto at = [&](int n) {
        return in[static_cast<std::size_t>(thread - i + (i + n) % conform_block)];
      };
      return Words{at(by), ~at(by), at(by), at(2 * by)};
    });
  }
}

TEST_P(EmulatorConformance, LastBlock) {
  const Words in = random_words();
  const Words out = run(Primitive::last_block, in);
  EXPECT_EQ(out[0], std::accumulate(in.begin(), in.end(), Word{0}));
  EXPECT_EQ(out[1], Word(conform_grid));
}

TEST_P(EmulatorConformance, Atomics) {
  const Words in = random_words();
  Words start(conform_words);
  start[4] = word(std::numeric_limits<int>::max());
  start[5] = word(std::numeric_limits<int>::min());
  start[6] = start[10] = 0xffffffff;
  start[8] = start[13] = ~Word{0};
  start[17] = 3;
  start[19] = 42;
  Words expected = start;
  for (const Word x : in) {
    expected[1] = low(expected[1] + x);
    expected[2] += x;
    expected[3] = low(expected[3] - x);
    expected[4] = word(std::min(static_cast<int>(expected[4]), static_cast<int>(x)));
    expected[5] = word(std::max(static_cast<int>(expected[5]), static_cast<int>(x)));
    expected[6] = std::min(low(expected[6]), low(x));
    expected[7] = std::max(low(expected[7]), low(x));
    expected[8] = std::min(expected[8], x);
    expected[9] = std::max(expected[9], x);
    expected[10] &= low(x);
    expected[11] |= x & 0xff00ff;
    expected[12] ^= low(x);
    expected[13] &= x;
    expected[14] |= x & 0xff00ff;
    expected[15] ^= x;
    expected[20] += x;
  }
  expected[0] = conform_threads;
  expected[16] = conform_threads % 50;                  // counts 0, ..., 49, 0, ...
  expected[17] = (3 - conform_threads % 50 + 50) % 50;  // counts 3, 2, 1, 0, 49, ...
  expected[18] = 42;
  expected[19] = 7;

  for (const auto schedule :
       {emulator::Schedule::forward, emulator::Schedule::reverse, emulator::Schedule::random}) {
    emulator::options().schedule = schedule;
    Words out = start;
    out.resize(conform_threads * conform_words);
    out = once(Primitive::atomics, in, 0, 0, out);
    for (std::size_t i = 0; i < 21; ++i) EXPECT_EQ(out[i], expected[i]) << i;
    // Each addition saw another number.
    const auto seen = out.begin() + conform_words;
    std::sort(seen, seen + conform_threads);
    for (int i = 0; i < conform_threads; ++i) EXPECT_EQ(seen[i], static_cast<Word>(i));
  }
}

TEST_P(EmulatorConformance, Vectors) {
  const Words in = random_words();
  expect(run(Primitive::vectors, in), [&](int thread) {
    const auto i = static_cast<std::size_t>(thread), pair = i / 2 * 2;
    return Words{in[pair], in[pair + 1], in[i], in[i], in[i], in[i], in[i], in[i]};
  });
}

TEST_P(EmulatorConformance, ArgumentsAreCopied) {
  expect(run(Primitive::arguments, random_words(), 3, -1),
         [](int thread) { return Words{static_cast<Word>(thread % conform_block * 3 - 1)}; });
}

INSTANTIATE_TEST_SUITE_P(, EmulatorConformance, testing::ValuesIn(machines),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace gradus::conformance
