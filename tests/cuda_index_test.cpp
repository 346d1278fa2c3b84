// Index kernels on the emulated device: the CPU twins' bits, and indices out of range.
#include "gradus/kernels/index.h"

#include "gradus/kernels/error.h"
#include "gradus/tests/emulated_bits.h"
#include "gradus/tests/windows.h"

namespace gradus::test {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

std::vector<std::int64_t> indices(std::int64_t n, std::int64_t limit, unsigned seed = 1) {
  Random random(seed);
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < n; ++i) ids.push_back(pick(random, 0, limit - 1));
  return ids;
}
template <class U>
std::vector<U> numbers(std::int64_t n) {
  Random random(2);
  std::vector<U> x;
  for (std::int64_t i = 0; i < n; ++i) x.push_back(static_cast<U>(random() % 1000));
  return x;
}

const IndexShape shapes[] = {{1, 7, 5, 1}, {3, 5, 9, 1},   {2, 6, 33, 3}, {1, 70, 65, 16},
                             {2, 1, 4, 8}, {1, 4, 300, 2}, {2, 3, 0, 4},  {0, 3, 2, 4}};

template <class U>
void check_reads(const IndexShape& s, std::int64_t skip) {
  const std::vector<U> x = numbers<U>(s.outer * s.axis * s.inner);
  const std::int64_t count = s.outer * s.picks * s.inner;
  std::vector<U> expected(at(count));
  const auto run = [&](auto kernel, const std::vector<std::int64_t>& ids) {
    return on_every_schedule([&] {
      const EmulatedArray<U> from(x, skip), to(count, skip);
      const EmulatedArray<std::int64_t> index(ids);
      kernel(from.data(), index.data(), s, to.data());
      return to.values();
    });
  };
  const auto each = indices(count, s.axis), rows = indices(s.picks, s.axis);
  cpu::gather(x.data(), each.data(), s, expected.data());
  EXPECT_EQ(run(emulated::gather<U>, each), expected);
  cpu::index_select(x.data(), rows.data(), s, expected.data());
  EXPECT_EQ(run(emulated::index_select<U>, rows), expected);
}

TEST(CudaIndex, Reads) {
  for (const IndexShape& s : shapes)
    for (const std::int64_t skip : {0, 1}) {
      check_reads<std::uint8_t>(s, skip);
      check_reads<std::uint16_t>(s, skip);
      check_reads<std::uint32_t>(s, skip);
      check_reads<std::uint64_t>(s, skip);
    }
}

// Additions happen in the CPU's order: the same bits.
template <class T>
void check_adds(const IndexShape& s) {
  SCOPED_TRACE(testing::Message() << s.outer << " " << s.axis << " " << s.picks << " " << s.inner);
  Random random(3);
  const std::int64_t picked = s.outer * s.picks * s.inner;
  const std::vector<T> g = random_values<T>(random, picked);
  const std::vector<T> y = random_values<T>(random, s.outer * s.axis * s.inner);
  const auto run = [&](auto kernel, const std::vector<std::int64_t>& ids) {
    return on_every_schedule([&] {
      const EmulatedArray<T> from(g), to(y);
      const EmulatedArray<std::int64_t> index(ids);
      kernel(from.data(), index.data(), s, to.data());
      return to.values();
    });
  };
  const auto each = indices(picked, s.axis), rows = indices(s.picks, s.axis);
  std::vector<T> expected = y;
  cpu::scatter_add(g.data(), each.data(), s, expected.data());
  EXPECT_EQ(run(emulated::scatter_add<T>, each), expected);
  expected = y;
  cpu::index_add(g.data(), rows.data(), s, expected.data());
  EXPECT_EQ(run(emulated::index_add<T>, rows), expected);
}

TEST(CudaIndex, AddsInOrder) {
  for (const IndexShape& s : shapes) {
    check_adds<float>(s);
    check_adds<double>(s);
  }
}

// Too many picks for every destination to look at: they are sorted.
TEST(CudaIndex, ManyAddsInOrder) {
  check_adds<float>({1, 9000, 2100, 1});
  check_adds<double>({2, 1200, 2500, 3});
  check_adds<float>({1, 300, 1800, 40});
}

TEST(CudaIndex, OneHot) {
  const auto ids = indices(65, 7);
  std::vector<float> expected(65 * 7);
  cpu::one_hot(ids.data(), 65, 7, expected.data());
  const EmulatedArray<std::int64_t> d(ids);
  EXPECT_EQ(on_every_schedule([&] {
              const EmulatedArray<float> y(65 * 7);
              emulated::one_hot(d.data(), 65, 7, y.data());
              return y.values();
            }),
            expected);
}

// Indices outside: the first is found, in one block's and in many blocks' search.
TEST(CudaIndex, FirstIndexOutOfRangeIsFound) {
  for (const std::int64_t n : {5, 40000}) {
    std::vector<std::int64_t> ids = indices(n, 9);
    {
      const EmulatedArray<std::int64_t> good(ids);
      EXPECT_EQ(emulated::find_out_of_range("gather", good.data(), n, 9), -1);
      EXPECT_NO_THROW(emulated::synchronize());
    }
    ids[at(n - 1)] = -7;
    ids[at(n - 3)] = 9;
    for (int schedule = 0; schedule < 3; ++schedule) {
      emulator::options().schedule = static_cast<emulator::Schedule>(schedule);
      const EmulatedArray<std::int64_t> bad(ids);
      EXPECT_EQ(emulated::find_out_of_range("gather", bad.data(), n, 9), -1);
      try {
        emulated::synchronize();
        ADD_FAILURE() << "nothing was found";
      } catch (const Error& e) {
        const std::string text = e.what();
        EXPECT_EQ(text.rfind("gather: ", 0), 0u) << text;
        EXPECT_NE(text.find(std::to_string(n - 3)), std::string::npos) << text;
      }
      EXPECT_NO_THROW(emulated::synchronize());
    }
    emulator::options().schedule = emulator::Schedule::forward;
  }
}

TEST(CudaIndex, IndicesOutOfRangeReadNothingAndAddNothing) {
  const IndexShape s{1, 4, 3, 2};
  const std::vector<std::int64_t> rows{4, 2, -1}, each{4, -1, 1, 2, 1000000000000, 0};
  const EmulatedArray<std::int64_t> row(rows), element(each);
  const std::vector<float> x{1, 2, 3, 4, 5, 6, 7, 8}, g{1, 1, 1, 1, 1, 1};
  const EmulatedArray<float> values(x), gains(g);
  const EmulatedArray<std::uint32_t> words(6);
  const auto* bits = reinterpret_cast<const std::uint32_t*>(values.data());
  const auto floats = [&] {
    std::vector<float> f;
    for (const std::uint32_t w : words.values()) f.push_back(std::bit_cast<float>(w));
    return f;
  };
  emulated::index_select(bits, row.data(), s, words.data());
  EXPECT_EQ(floats(), (std::vector<float>{0, 0, 5, 6, 0, 0}));
  emulated::gather(bits, element.data(), s, words.data());
  EXPECT_EQ(floats(), (std::vector<float>{0, 0, 3, 6, 0, 2}));
  const EmulatedArray<float> a(x), b(x);
  emulated::index_add(gains.data(), row.data(), s, a.data());
  EXPECT_EQ(a.values(), (std::vector<float>{1, 2, 3, 4, 6, 7, 7, 8}));
  emulated::scatter_add(gains.data(), element.data(), s, b.data());
  EXPECT_EQ(b.values(), (std::vector<float>{1, 3, 4, 4, 5, 7, 7, 8}));

  // The same where they are sorted.
  const IndexShape many{1, 9000, 2100, 1};
  std::vector<std::int64_t> ids = indices(2100, 9000);
  std::vector<float> ones(2100, 1.0f), expected(9000);
  for (const std::size_t j : {0u, 77u, 2099u}) ids[j] = j == 77 ? -1 : 9000;
  for (const std::int64_t i : ids)
    if (i >= 0 && i < 9000) expected[at(i)] += 1;
  const EmulatedArray<std::int64_t> index(ids);
  const EmulatedArray<float> from(ones), to(std::vector<float>(9000));
  emulated::scatter_add(from.data(), index.data(), many, to.data());
  EXPECT_EQ(to.values(), expected);
}

}  // namespace
}  // namespace gradus::test
