// gemm.cu in the emulator: against three loops in double, and against the bits of the CPU's twin.
#include "gradus/tests/cuda_gemm.h"

namespace gradus::test {
namespace {

// The CPU multiplies and adds with one rounding, as the device does.
bool cpu_has_fma() { return cpu::isa() != cpu::Isa::baseline; }

template <class Types>
class CudaGemmTest : public testing::Test {
 protected:
  using T = typename Types::first_type;  // of A and B
  using C = typename Types::second_type;

  template <class X = T>
  std::vector<X> random(int64_t n) {
    std::normal_distribution<float> normal;
    std::vector<X> x(static_cast<std::size_t>(n));
    for (X& v : x) v = static_cast<X>(normal(engine_));
    return x;
  }

  // A product of contiguous operands.
  static GemmShape shape(int64_t m, int64_t n, int64_t k, int layout = 0) {
    GemmShape s;
    s.m = m, s.n = n, s.k = k;
    s.transpose_a = layout & 1, s.transpose_b = layout & 2;
    s.lda = s.transpose_a ? m : k, s.ldb = s.transpose_b ? k : n, s.ldc = n;
    return s;
  }
  static int64_t room_a(const GemmShape& s) { return (s.transpose_a ? s.k : s.m) * s.lda; }
  static int64_t room_b(const GemmShape& s) { return (s.transpose_b ? s.n : s.k) * s.ldb; }

  std::vector<C> check(const GemmShape& s, const Case& how, const std::vector<T>& a,
                       const std::vector<T>& b, const std::vector<C>& c) {
    const std::vector<C> result = run(s, how, a, b, c);
    expect_product(s, how, a, b, c, result);
    if constexpr (!std::is_same_v<T, bf16>) {
      if (s.m > 3 && s.n > 3 && cpu_has_fma()) {
        std::vector<C> on_cpu = c;
        std::vector<std::max_align_t> scratch(cpu::gemm_scratch<T>(s) / sizeof(std::max_align_t) +
                                              8);
        void* p = scratch.data();
        std::size_t room = scratch.size() * sizeof(std::max_align_t);
        std::align(64, 1, p, room);
        cpu::gemm(s, how.alpha, a.data(), b.data(), how.beta, on_cpu.data(), p);
        EXPECT_TRUE(same_bits(result, on_cpu)) << "other bits than the CPU's";
      }
    }
    return result;
  }
  std::vector<C> check(const GemmShape& s, const Case& how = {}) {
    return check(s, how, random(room_a(s)), random(room_b(s)), random<C>(s.m * s.ldc));
  }

  std::mt19937_64 engine_{20};
};

using Types = testing::Types<std::pair<float, float>, std::pair<double, double>,
                             std::pair<bf16, bf16>, std::pair<bf16, float>>;
TYPED_TEST_SUITE(CudaGemmTest, Types);

// Around the edges of tiles, and of 16 bytes.
TYPED_TEST(CudaGemmTest, RaggedSizesAndTransposes) {
  const std::array<int64_t, 3> sizes[] = {{4, 4, 1},    {31, 63, 15},  {32, 64, 16}, {33, 65, 17},
                                          {63, 31, 33}, {65, 130, 40}, {8, 24, 72}};
  for (const auto& [m, n, k] : sizes)
    for (int layout = 0; layout < 4; ++layout) this->check(this->shape(m, n, k, layout));
}

TYPED_TEST(CudaGemmTest, AlphaAndBetaAndRowsApart) {
  for (int layout = 0; layout < 4; ++layout)
    for (const int64_t gap : {8, 3}) {
      GemmShape s = this->shape(37, 40, 24, layout);
      s.lda += gap, s.ldb += gap, s.ldc += gap;
      this->check(s, {.alpha = -0.5, .beta = 1.5});
      this->check(s, {.alpha = 2, .beta = 1});
    }
}

// Unaligned operands take other copies into shared memory, and give the same
// bits.
TYPED_TEST(CudaGemmTest, UnalignedOperands) {
  for (int layout = 0; layout < 4; ++layout) {
    const GemmShape s = this->shape(40, 72, 56, layout);
    const auto a = this->random(this->room_a(s)), b = this->random(this->room_b(s));
    const auto c = this->template random<typename TestFixture::C>(s.m * s.n);
    const auto aligned = this->check(s, {.beta = 0.5}, a, b, c);
    for (const int64_t skip : {1, 2, 3})
      EXPECT_TRUE(same_bits(this->check(s, {.beta = 0.5, .skip = skip}, a, b, c), aligned));
  }
}

// Sums of several chains, which blocks of their own compute where tiles are
// few.
TYPED_TEST(CudaGemmTest, ManyTerms) {
  const std::vector<int64_t> terms = std::is_same_v<typename TestFixture::T, bf16>
                                         ? std::vector<int64_t>{4096, 4097}
                                         : std::vector<int64_t>{384, 385, 1153};
  for (const int64_t k : terms) {
    this->check(this->shape(5, 6, k), {.alpha = 0.5, .beta = 2});
    this->check(this->shape(33, 7, k, 2));
    if (k < 1000) this->check(this->shape(20, 70, k, 1), {.beta = 1});
  }
}

// One block computes all chains of its elements where there are tiles enough:
// the same bits.
TYPED_TEST(CudaGemmTest, ChainsOneAfterTheOther) {
  using C = typename TestFixture::C;
  const int64_t k = std::is_same_v<typename TestFixture::T, bf16> ? 4100 : 1153;
  for (const int layout : {0, 3}) {
    const GemmShape s = this->shape(33, 20, k, layout);
    const Case how{.alpha = 0.5, .beta = layout == 0 ? 0 : 1.5};
    const auto a = this->random(this->room_a(s)), b = this->random(this->room_b(s));
    const auto c = this->template random<C>(s.m * s.n);
    const auto in_turn = run_in_tiles(GemmTile::small, s, how, a, b, c);
    expect_product(s, how, a, b, c, in_turn);
    EXPECT_TRUE(same_bits(in_turn, run(s, how, a, b, c)));
  }
}

TYPED_TEST(CudaGemmTest, BatchesAndBroadcasting) {
  using C = typename TestFixture::C;
  for (int layout = 0; layout < 4; ++layout)
    for (const auto& [count, apart_a, apart_b] :
         {std::array<int64_t, 3>{3, 0, 1}, {3, 1, 0}, {5, 1, 1}, {1, 0, 0}}) {
      GemmShape s = this->shape(5, 6, 7, layout);
      s.batch.rank = 1, s.batch.size[0] = count;
      s.stride_a[0] = apart_a * 35, s.stride_b[0] = apart_b * 42, s.stride_c[0] = 31;
      this->check(s, {}, this->random(count * 35), this->random(count * 42),
                  this->template random<C>(count * 31));
      // B for all: the batch's rows are rows of one product.
      s.stride_c[0] = 30;
      this->check(s, {.beta = 1}, this->random(count * 35), this->random(count * 42),
                  this->template random<C>(count * 30));
    }
  // Two axes, each operand broadcast along another.
  GemmShape s = this->shape(5, 6, 7);
  s.batch.rank = 2, s.batch.size[0] = 3, s.batch.size[1] = 4;
  s.stride_a[0] = 35, s.stride_b[1] = 42, s.stride_c[0] = 120, s.stride_c[1] = 30;
  this->check(s, {}, this->random(3 * 35), this->random(4 * 42), this->template random<C>(12 * 30));
}

// So many that large tiles are taken, and those of the middle.
TYPED_TEST(CudaGemmTest, ManyProducts) {
  using C = typename TestFixture::C;
  for (const auto& [count, n] : {std::array<int64_t, 2>{133, 5}, {67, 72}}) {
    GemmShape s = this->shape(4, n, 3, 2);
    s.batch.rank = 1, s.batch.size[0] = count;
    s.stride_a[0] = 12, s.stride_b[0] = 3 * n, s.stride_c[0] = 4 * n;
    this->check(s, {}, this->random(count * 12), this->random(count * 3 * n),
                this->template random<C>(count * 4 * n));
  }
}

// The large tiles at their edges; the bits are those of small ones.
TYPED_TEST(CudaGemmTest, LargeTiles) {
  using C = typename TestFixture::C;
  for (int layout = 0; layout < 4; ++layout)
    for (const auto& [m, n, k] : {std::array<int64_t, 3>{130, 134, 67}, {128, 64, 32}}) {
      const GemmShape s = this->shape(m, n, k, layout);
      const Case how{.alpha = 2, .beta = 1};
      const auto a = this->random(m * k), b = this->random(n * k);
      const auto c = this->template random<C>(m * n);
      const auto large = run_in_tiles(GemmTile::large, s, how, a, b, c);
      EXPECT_TRUE(same_bits(large, this->check(s, how, a, b, c)));
    }
}

TYPED_TEST(CudaGemmTest, NoElementsAndNoTerms) {
  using C = typename TestFixture::C;
  const auto x = this->random(100);
  const auto c = this->template random<C>(20);
  this->check(this->shape(0, 5, 3), {}, x, x, c);
  this->check(this->shape(5, 0, 3), {}, x, x, c);
  for (const double beta : {0.0, 1.0, -2.0}) {
    this->check(this->shape(4, 5, 0), {.beta = beta}, x, x, c);
    this->check(this->shape(4, 5, 0, 3), {.beta = beta}, x, x, c);
    this->check(this->shape(4, 1, 0), {.beta = beta}, x, x, c);
  }
  GemmShape s = this->shape(4, 5, 6);
  s.batch.rank = 2, s.batch.size[0] = 3, s.batch.size[1] = 0;
  this->check(s, {}, x, x, c);
}

TYPED_TEST(CudaGemmTest, NaN) {
  using T = typename TestFixture::T;
  using C = typename TestFixture::C;
  for (const auto& [m, n] : {std::pair{1, 1}, {1, 9}, {9, 1}, {9, 9}, {33, 40}})
    for (int layout = 0; layout < 4; ++layout) {
      const int64_t k = 40;
      const GemmShape s = this->shape(m, n, k, layout);
      std::vector<T> a = this->random(m * k);
      const std::vector<C> c(m * n, C(NAN));
      // beta = 0 overwrites whatever C held.
      this->check(s, {}, a, this->random(k * n), c);
      // A NaN times 0 is NaN, and stays in its row.
      a[0] = T(NAN);
      const auto result = run(s, {}, a, std::vector<T>(k * n, T(0.0f)), c);
      EXPECT_TRUE(std::isnan(number(result[0]))) << m << " x " << n << " layout " << layout;
      if (m > 1) {
        EXPECT_EQ(number(result.back()), 0);
      }
    }
}

// As fast as memory is: at most three rows or columns.
TYPED_TEST(CudaGemmTest, FewRowsOrColumns) {
  for (const auto& [m, n] : {std::pair{1, 1}, {1, 33}, {2, 40}, {3, 3}, {3, 65}, {33, 1}, {70, 3}})
    for (const int64_t k : {1, 31, 72, 1100})
      for (int layout = 0; layout < 4; ++layout) {
        if (k == 1100 && m * n > 40) continue;
        GemmShape s = this->shape(m, n, k, layout);
        this->check(s, {.alpha = 0.5, .beta = k == 31 ? 1.0 : 0.0});
        s.lda += 3, s.ldb += 8, s.ldc += 1;
        if (k == 72) this->check(s);
      }
}

TYPED_TEST(CudaGemmTest, Epilogues) {
  using C = typename TestFixture::C;
  const int64_t many = std::is_same_v<typename TestFixture::T, bf16> ? 4100 : 400;
  for (const auto f : {Activation::none, Activation::relu, Activation::gelu, Activation::gelu_tanh,
                       Activation::gelu_sigmoid})
    for (const auto& [m, n, k] : {std::array<int64_t, 3>{37, 21, 30}, {2, 21, 30}, {5, 6, many}}) {
      const GemmShape s = this->shape(m, n, k, 2);
      const Case how{.alpha = 1 / std::sqrt(static_cast<double>(k)), .beta = 1};
      const auto a = this->random(m * k), b = this->random(k * n);
      const auto c = this->template random<C>(m * n), bias = this->template random<C>(n);
      const EmulatedArray<C> bias_there(bias);
      expect_product(s, how, a, b, c, run(s, how, a, b, c, {bias_there.data(), f}), bias, f);
      expect_product(s, how, a, b, c, run(s, how, a, b, c, {nullptr, f}), {}, f);
    }
}

// The rows and columns around an element change no bit: neither the batch it
// sits in, nor how many blocks there are.
TYPED_TEST(CudaGemmTest, AnElementDependsOnItsRowAndColumnAlone) {
  using C = typename TestFixture::C;
  const int64_t m = 70, n = 80;
  for (int layout = 0; layout < 4; ++layout) {
    GemmShape s = this->shape(m, n, layout == 0 ? 400 : 70, layout);
    const auto a = this->random(m * s.k), b = this->random(s.k * n);
    const std::vector<C> whole = run(s, {}, a, b, std::vector<C>(m * n));
    for (const auto& [row, rows, column, columns] :
         {std::array<int64_t, 4>{0, 4, 0, 4}, {37, 33, 5, 66}}) {
      s.m = rows, s.n = columns;
      const auto from_a = a.begin() + row * (s.transpose_a ? 1 : s.lda);
      const auto from_b = b.begin() + column * (s.transpose_b ? s.ldb : 1);
      const std::vector<C> part =
          run(s, {}, std::vector(from_a, a.end()), std::vector(from_b, b.end()),
              std::vector<C>(static_cast<std::size_t>(rows * n)));
      for (int64_t i = 0; i < rows; ++i)
        EXPECT_EQ(std::memcmp(&part[i * n], &whole[(row + i) * n + column], columns * sizeof(C)), 0)
            << "layout " << layout << ", row " << row + i;
    }
  }
}

TEST(CudaGemmErrorTest, MoreBlocksThanAGridHas) {
  GemmShape s;
  s.m = int64_t{1} << 40, s.n = 1 << 20, s.k = 1, s.lda = 1, s.ldb = s.ldc = s.n;
  try {
    emulated::gemm<float>(s, 1, nullptr, nullptr, 0, nullptr, nullptr);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(std::string(e.what()).rfind("gemm: a grid has fewer than 2^31 blocks: ", 0), 0u);
  }
}

}  // namespace
}  // namespace gradus::test
