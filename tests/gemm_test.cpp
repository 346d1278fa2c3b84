#include "gradus/kernels/gemm.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "gradus/kernels/cpu/pool.h"

namespace gradus {
namespace {

using std::int64_t;

template <class T>
class GemmTest : public testing::Test {
 protected:
  void TearDown() override { set_threads(before_); }

  std::vector<T> random(int64_t n) {
    std::normal_distribution<double> normal;
    std::vector<T> x(static_cast<std::size_t>(n));
    for (T& v : x) v = static_cast<T>(normal(engine_));
    return x;
  }

  // A product of contiguous operands.
  static GemmShape shape(int64_t m, int64_t n, int64_t k, bool ta = false, bool tb = false) {
    GemmShape s;
    s.m = m, s.n = n, s.k = k;
    s.lda = ta ? m : k, s.ldb = tb ? k : n, s.ldc = n;
    s.transpose_a = ta, s.transpose_b = tb;
    return s;
  }

  static void run(const GemmShape& s, double alpha, const T* a, const T* b, double beta, T* c) {
    const auto bytes = static_cast<std::size_t>(cpu::gemm_scratch<T>(s));
    std::unique_ptr<void, decltype(&std::free)> scratch(
        std::aligned_alloc(64, (bytes + 127) / 64 * 64), &std::free);
    cpu::gemm(s, alpha, a, b, beta, c, scratch.get());
  }

  // Runs the product on C and compares it with three loops in double.
  void check(const GemmShape& s, double alpha, const std::vector<T>& a, const std::vector<T>& b,
             double beta, std::vector<T> c) {
    SCOPED_TRACE(testing::Message()
                 << s.m << " x " << s.n << " x " << s.k << (s.transpose_a ? " T" : " N")
                 << (s.transpose_b ? "T" : "N") << " alpha " << alpha << " beta " << beta);
    const std::vector<T> old = c;
    run(s, alpha, a.data(), b.data(), beta, c.data());

    // Large products are compared in some of their elements.
    const int64_t step = s.m * s.n * s.k > 2000000 ? 19 : 1;
    std::vector<char> written(c.size());
    const double eps = std::numeric_limits<T>::epsilon();
    const double tolerance = (4 + 2 * std::sqrt(static_cast<double>(s.k))) * eps;
    for (int64_t at = 0; at < s.batch.count(); ++at) {
      int64_t offset[3] = {}, rest = at;
      for (int d = s.batch.rank - 1; d >= 0; --d) {
        const int64_t i = rest % s.batch.size[d];
        rest /= s.batch.size[d];
        offset[0] += i * s.stride_a[d], offset[1] += i * s.stride_b[d],
            offset[2] += i * s.stride_c[d];
      }
      for (int64_t i = 0; i < s.m; ++i) {
        for (int64_t j = 0; j < s.n; ++j) {
          const auto to = static_cast<std::size_t>(offset[2] + i * s.ldc + j);
          written[to] = 1;
          if ((i * s.n + j) % step != 0) continue;
          double sum = 0, size = 0;
          for (int64_t l = 0; l < s.k; ++l) {
            const double x = a[offset[0] + (s.transpose_a ? l * s.lda + i : i * s.lda + l)];
            const double y = b[offset[1] + (s.transpose_b ? j * s.ldb + l : l * s.ldb + j)];
            sum += alpha * x * y;
            size += std::abs(alpha * x * y);
          }
          if (beta != 0) {
            sum += beta * old[to];
            size += std::abs(beta * old[to]);
          }
          ASSERT_LE(std::abs(c[to] - sum), tolerance * size) << "at " << i << ", " << j;
        }
      }
    }
    for (std::size_t i = 0; i < c.size(); ++i)
      if (!written[i]) {
        ASSERT_EQ(std::memcmp(&c[i], &old[i], sizeof(T)), 0) << "outside C";
      }
  }

  std::mt19937_64 engine_{20};

 private:
  int before_ = threads();
};

using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(GemmTest, Types);

TYPED_TEST(GemmTest, AllTransposesOddSizesPaddedRows) {
  for (int64_t m : {1, 2, 7, 16, 33})
    for (int64_t n : {1, 3, 17, 32})
      for (int64_t k : {1, 5, 24, 67})
        for (int layout = 0; layout < 4; ++layout) {
          GemmShape s = this->shape(m, n, k, layout & 1, layout & 2);
          s.lda += 3, s.ldb += 1, s.ldc += 2;
          this->check(s, 1, this->random((m + k) * s.lda), this->random((n + k) * s.ldb), 0,
                      this->random(m * s.ldc));
          this->check(s, -0.5, this->random((m + k) * s.lda), this->random((n + k) * s.ldb), 1.5,
                      this->random(m * s.ldc));
        }
}

TYPED_TEST(GemmTest, SizesThatAreCut) {
  const int64_t sizes[][3] = {{128, 10, 784}, {10, 784, 128},  {20, 401, 128},  {1000, 1, 700},
                              {1, 3001, 300}, {384, 130, 900}, {130, 515, 700}, {1, 1, 100000},
                              {2000, 24, 65}, {3, 5, 90000},   {4000, 3, 200}};
  for (const auto& [m, n, k] : sizes)
    for (int layout = 0; layout < 4; ++layout) {
      const GemmShape s = this->shape(m, n, k, layout & 1, layout & 2);
      this->check(s, 1, this->random(m * k), this->random(k * n), 0, this->random(m * n));
    }
}

TYPED_TEST(GemmTest, BatchesAndBroadcasting) {
  const int64_t m = 5, n = 6, k = 7;
  for (int layout = 0; layout < 4; ++layout)
    for (int64_t stride_a : {int64_t{0}, m * k, m * k + 3})
      for (int64_t stride_b : {int64_t{0}, k * n})
        for (int64_t count : {1, 3, 40}) {
          GemmShape s = this->shape(m, n, k, layout & 1, layout & 2);
          s.batch.rank = 1, s.batch.size[0] = count;
          s.stride_a[0] = stride_a, s.stride_b[0] = stride_b, s.stride_c[0] = m * n;
          this->check(s, 2, this->random(count * (m * k + 3)), this->random(count * k * n), 0.5,
                      this->random(count * m * n));
        }
}

TYPED_TEST(GemmTest, SeveralBatchLoops) {
  // A is (4, 1, 3), B is (1, 5, 3), C is permuted.
  const int64_t m = 30, n = 20, k = 10;
  GemmShape s = this->shape(m, n, k, false, true);
  s.batch.rank = 3;
  const int64_t size[] = {4, 5, 3}, a[] = {3 * m * k, 0, m * k}, b[] = {0, 3 * k * n, k * n},
                c[] = {m * n, 12 * m * n, 4 * m * n};
  for (int d = 0; d < 3; ++d)
    s.batch.size[d] = size[d], s.stride_a[d] = a[d], s.stride_b[d] = b[d], s.stride_c[d] = c[d];
  this->check(s, 1, this->random(12 * m * k), this->random(15 * k * n), 0,
              this->random(60 * m * n));
}

TYPED_TEST(GemmTest, NoElementsAndNoTerms) {
  using T = TypeParam;
  const std::vector<T> x = this->random(100), c = this->random(20);
  this->check(this->shape(0, 5, 3), 1, x, x, 0, c);
  this->check(this->shape(5, 0, 3), 1, x, x, 0, c);
  this->check(this->shape(4, 5, 0), 1, x, x, 0, c);
  this->check(this->shape(4, 5, 0), 1, x, x, 1, c);
  this->check(this->shape(4, 5, 0, true, true), 1, x, x, -2, c);
  this->check(this->shape(4, 1, 0), 1, x, x, 0.5, c);
  GemmShape s = this->shape(4, 5, 6);
  s.batch.rank = 2, s.batch.size[0] = 3, s.batch.size[1] = 0;
  this->check(s, 1, x, x, 0, c);
}

TYPED_TEST(GemmTest, NaN) {
  using T = TypeParam;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  for (const auto& [m, n] : {std::pair{1, 1}, {1, 9}, {9, 1}, {9, 9}, {300, 300}})
    for (int layout = 0; layout < 4; ++layout) {
      const int64_t k = 40;
      const GemmShape s = this->shape(m, n, k, layout & 1, layout & 2);
      std::vector<T> a = this->random(m * k), c(m * n, nan);
      // beta = 0 overwrites whatever C held.
      this->check(s, 1, a, this->random(k * n), 0, c);
      // A NaN times 0 is NaN.
      a[0] = nan;
      this->run(s, 1, a.data(), std::vector<T>(k * n).data(), 0, c.data());
      EXPECT_TRUE(std::isnan(c[0])) << m << " x " << n << " layout " << layout;
      if (m > 1) {
        EXPECT_EQ(c.back(), T(0));
      }
    }
}

// Every thread finds its share of the scratch memory, also where there are fewer tiles than
// threads, and inside a tile of another job.
TYPED_TEST(GemmTest, FewTilesOnManyThreads) {
  using T = TypeParam;
  set_threads(7);
  for (const auto& [m, n, k] :
       {std::array<int64_t, 3>{128, 128, 128}, {300, 70, 200}, {5, 9, 40}}) {
    const GemmShape s = this->shape(m, n, k, false, true);
    const auto a = this->random(m * k), b = this->random(k * n);
    std::vector<T> expected(static_cast<std::size_t>(m * n));
    this->run(s, 1, a.data(), b.data(), 0, expected.data());
    for (int repeat = 0; repeat < 20; ++repeat) {
      std::vector<std::vector<T>> c(14, std::vector<T>(expected.size()));
      this->run(s, 1, a.data(), b.data(), 0, c[0].data());
      EXPECT_EQ(c[0], expected);
      cpu::parallel(14, [&](int64_t i) {
        this->run(s, 1, a.data(), b.data(), 0, c[static_cast<std::size_t>(i)].data());
      });
      for (const auto& one : c) EXPECT_EQ(one, expected);
    }
  }
}

// The rows and columns around an element, and how they are cut, copied or packed, change no bit.
TYPED_TEST(GemmTest, AnElementDependsOnItsRowAndColumnAlone) {
  using T = TypeParam;
  const int64_t m = 150, n = 200;
  for (const int64_t k : {70, 512, 1000})  // rows of A of 512 terms are copied
    for (int layout = 0; layout < 4; ++layout) {
      GemmShape s = this->shape(m, n, k, layout & 1, layout & 2);
      const auto a = this->random(m * k), b = this->random(k * n);
      std::vector<T> whole(static_cast<std::size_t>(m * n));
      this->run(s, 1, a.data(), b.data(), 0, whole.data());
      for (const auto& [row, rows, column, columns] : {std::array<int64_t, 4>{0, 4, 0, 4},
                                                       {37, 40, 5, 77},
                                                       {1, 149, 3, 130},
                                                       {90, 13, 99, 64}}) {
        s.m = rows, s.n = columns;
        std::vector<T> part(static_cast<std::size_t>(rows * n), T(0));
        this->run(s, 1, a.data() + row * (s.transpose_a ? 1 : s.lda),
                  b.data() + column * (s.transpose_b ? s.ldb : 1), 0, part.data());
        for (int64_t i = 0; i < rows; ++i)
          EXPECT_EQ(std::memcmp(&part[static_cast<std::size_t>(i * n)],
                                &whole[static_cast<std::size_t>((row + i) * n + column)],
                                static_cast<std::size_t>(columns) * sizeof(T)),
                    0)
              << k << " terms, layout " << layout << ", row " << row + i << " of " << rows;
      }
    }
}

TYPED_TEST(GemmTest, TheSameBitsForAnyNumberOfThreads) {
  const int64_t sizes[][4] = {{128, 10, 784, 1},   {20, 400, 128, 1},  {512, 784, 128, 1},
                              {384, 128, 1500, 1}, {700, 700, 300, 1}, {64, 64, 64, 37},
                              {2000, 1, 500, 1},   {1, 2000, 500, 1},  {400, 500, 250, 3}};
  for (const auto& [m, n, k, count] : sizes) {
    GemmShape s = this->shape(m, n, k, false, true);
    s.batch.rank = 1, s.batch.size[0] = count;
    s.stride_a[0] = m * k, s.stride_b[0] = k * n, s.stride_c[0] = m * n;
    const auto a = this->random(count * m * k), b = this->random(count * k * n);
    std::vector<TypeParam> first;
    for (int t : {1, 2, 3, 5}) {
      set_threads(t);
      std::vector<TypeParam> c(static_cast<std::size_t>(count * m * n));
      this->run(s, 1, a.data(), b.data(), 0, c.data());
      if (first.empty()) first = c;
      EXPECT_EQ(std::memcmp(c.data(), first.data(), c.size() * sizeof c[0]), 0)
          << m << " x " << n << " x " << k << ", " << t << " threads";
    }
  }
}

}  // namespace
}  // namespace gradus
