// Products on the CPU with an epilogue, and products of bf16, in every instruction set.
#include "gradus/autograd/ops.h"
#include "gradus/tensor/random.h"
#include "gradus/tests/cuda_gemm.h"
#include "gradus/tests/windows.h"

namespace gradus::test {
namespace {

using std::int64_t;

template <class T>
std::vector<T> random(int64_t n, unsigned seed) {
  Random engine(seed);
  std::vector<T> x(static_cast<std::size_t>(n));
  std::normal_distribution<float> normal;
  for (T& v : x) v = static_cast<T>(normal(engine));
  return x;
}

GemmShape shape(int64_t m, int64_t n, int64_t k, int layout = 0) {
  GemmShape s;
  s.m = m, s.n = n, s.k = k;
  s.transpose_a = layout & 1, s.transpose_b = layout & 2;
  s.lda = (s.transpose_a ? m : k) + 3;
  s.ldb = (s.transpose_b ? k : n) + 1;
  s.ldc = n + 2;
  return s;
}

template <class T, class C>
std::vector<C> run_on_cpu(const GemmShape& s, const Case& how, const std::vector<T>& a,
                          const std::vector<T>& b, std::vector<C> c, const Epilogue<C>& epilogue) {
  const auto bytes = static_cast<std::size_t>(cpu::gemm_scratch<T>(s));
  std::vector<char> memory(bytes + 64);
  void* scratch = memory.data();
  std::size_t room = memory.size();
  std::align(64, bytes, scratch, room);
  cpu::gemm_epilogue<T, C>(s, how.alpha, a.data(), b.data(), how.beta, c.data(), epilogue, scratch);
  return c;
}

template <class T, class C>
void check(const GemmShape& s, const Case& how, bool with_bias, Activation f) {
  const auto a = random<T>((s.m + s.k) * s.lda, 1), b = random<T>((s.n + s.k) * s.ldb, 2);
  const auto old = random<C>(s.m * s.ldc, 3), bias = random<C>(with_bias ? s.n : 0, 4);
  const Epilogue<C> epilogue{with_bias ? bias.data() : nullptr, f};
  expect_product(s, how, a, b, old, run_on_cpu(s, how, a, b, old, epilogue), bias, f);
}

template <class Pair>
class GemmEpilogue : public testing::Test {
 public:
  using T = typename Pair::first_type;
  using C = typename Pair::second_type;
};
using Pairs = testing::Types<std::pair<float, float>, std::pair<double, double>,
                             std::pair<bf16, bf16>, std::pair<bf16, float>>;
TYPED_TEST_SUITE(GemmEpilogue, Pairs);

TYPED_TEST(GemmEpilogue, AllSizesAndLayouts) {
  using T = typename TestFixture::T;
  using C = typename TestFixture::C;
  for_each_isa([] {
    for (const int64_t m : {1, 3, 7, 33})
      for (const int64_t n : {1, 2, 17, 64})
        for (const int64_t k : {0, 5, 67})
          for (int layout = 0; layout < 4; ++layout) {
            const GemmShape s = shape(m, n, k, layout);
            check<T, C>(s, {}, true, Activation::none);
            check<T, C>(s, {.alpha = -0.5, .beta = 1.5}, true, Activation::relu);
          }
    for (const auto& [m, n, k] : {std::array<int64_t, 3>{40, 600, 900}, {300, 130, 385}})
      check<T, C>(shape(m, n, k), {}, true, Activation::relu);
  });
}

TYPED_TEST(GemmEpilogue, Activations) {
  for (const auto f : {Activation::none, Activation::relu, Activation::gelu, Activation::gelu_tanh,
                       Activation::gelu_sigmoid})
    for (const bool with_bias : {false, true}) {
      check<typename TestFixture::T, typename TestFixture::C>(shape(20, 37, 400), {}, with_bias, f);
      check<typename TestFixture::T, typename TestFixture::C>(shape(2, 37, 9), {}, with_bias, f);
    }
}

TYPED_TEST(GemmEpilogue, Batches) {
  using T = typename TestFixture::T;
  using C = typename TestFixture::C;
  for (const bool shared : {false, true}) {
    GemmShape s = shape(5, 6, 7);
    s.batch = {2, {3, 2}};
    const int64_t of_a[] = {s.m * s.lda, 0}, of_b[] = {0, shared ? 0 : s.k * s.ldb + 3},
                  of_c[] = {2 * s.m * s.ldc, s.m * s.ldc};
    std::copy_n(of_a, 2, s.stride_a), std::copy_n(of_b, 2, s.stride_b);
    std::copy_n(of_c, 2, s.stride_c);
    const auto a = random<T>(3 * s.m * s.lda, 5), b = random<T>(2 * s.k * s.ldb + 3, 6);
    const auto old = random<C>(6 * s.m * s.ldc, 7), bias = random<C>(s.n, 8);
    expect_product(s, {}, a, b, old,
                   run_on_cpu<T, C>(s, {}, a, b, old, {bias.data(), Activation::none}), bias);
  }
}

// The bits of the product, then the sum, then the activation.
TYPED_TEST(GemmEpilogue, HasTheBitsOfSeparateSteps) {
  using T = typename TestFixture::T;
  using C = typename TestFixture::C;
  using Sum = computed<T>;
  for_each_isa([] {
    for (const auto& [m, n, k] : {std::array<int64_t, 3>{1, 9, 30},
                                  {9, 1, 30},
                                  {20, 40, 1000},
                                  {64, 64, 64},
                                  {3, 600, 50}}) {
      GemmShape s = shape(m, n, k);
      s.lda = k, s.ldb = n, s.ldc = n;  // few rows or columns: bits depend on the layout
      const auto a = random<T>(m * s.lda, 9), b = random<T>(k * s.ldb, 10);
      const auto bias = random<C>(n, 11);
      const std::vector<C> c =
          run_on_cpu<T, C>(s, {}, a, b, std::vector<C>(static_cast<std::size_t>(m * n)),
                           {bias.data(), Activation::relu});
      std::vector<Sum> wide_a(a.size()), wide_b(b.size());
      std::transform(a.begin(), a.end(), wide_a.begin(), [](T x) { return static_cast<Sum>(x); });
      std::transform(b.begin(), b.end(), wide_b.begin(), [](T x) { return static_cast<Sum>(x); });
      const std::vector<Sum> sums =
          run_on_cpu<Sum, Sum>(s, {}, wide_a, wide_b, std::vector<Sum>(c.size()), {});
      for (std::size_t i = 0; i < c.size(); ++i) {
        const Sum x = sums[i] + static_cast<Sum>(bias[i % bias.size()]);
        const C expected(x <= 0 ? Sum(0) : x);
        ASSERT_EQ(std::memcmp(&c[i], &expected, sizeof(C)), 0) << i;
      }
    }
  });
}

TYPED_TEST(GemmEpilogue, TheSameBitsForAnyNumberOfThreads) {
  using T = typename TestFixture::T;
  using C = typename TestFixture::C;
  const GemmShape s = shape(150, 200, 500);
  const auto a = random<T>(s.m * s.lda, 12), b = random<T>(s.k * s.ldb, 13);
  const auto bias = random<C>(s.n, 14);
  expect_same_for_any_threads([&] {
    const std::vector<C> c =
        run_on_cpu<T, C>(s, {}, a, b, std::vector<C>(static_cast<std::size_t>(s.m * s.ldc)),
                         {bias.data(), Activation::gelu});
    std::vector<double> values;
    for (const C x : c) values.push_back(number(x));
    return values;
  });
}

// linear() is its definition, in one pass.
TEST(Linear, HasTheBitsOfItsDefinition) {
  const NoGrad off;
  Generator generator(1);
  for (const DType t : {f32, f64})
    for (const auto& [rows, in, out] : {std::array<int64_t, 3>{3, 4, 2},
                                        {1, 300, 50},
                                        {5, 1000, 1},
                                        {40, 785, 401},
                                        {128, 64, 64},
                                        {0, 3, 2},
                                        {4, 0, 3}}) {
      const Tensor x = randn({rows, in}, generator, t), w = randn({out, in}, generator, t);
      const Tensor b = randn({2 * out}, generator, t).slice(0, 0, 2 * out, 2);
      const Tensor y = linear(x, w, b), expected = matmul(x, w.t()) + b;
      ASSERT_EQ(y.shape(), expected.shape());
      EXPECT_EQ(y.to(f64).to_vector<double>(), expected.to(f64).to_vector<double>())
          << rows << ' ' << in << ' ' << out << ' ' << t;
    }
}

}  // namespace
}  // namespace gradus::test
