// bf16 through every row of the table: stored in 8 significant bits, computed in f32, rounded once.
#include <set>

#include "gradus/tensor/random.h"
#include "gradus/tests/ops.h"
#include "gradus/tests/rounding.h"

namespace gradus::test {
namespace {

constexpr DType half = DType::bf16;
const double unit = std::ldexp(1.0, -8);  // of a rounding to nearest

Tensors in(DType dtype, const Tensors& x) {
  Tensors list;
  for (const Tensor& t : x) list.push_back(t.to(dtype));
  return list;
}

bool refuses(const Row& row) {
  try {
    row.f(in(half, sample(row, 0)));
    return false;
  } catch (const Error& e) {
    return std::string(e.what()).find("convert with .to(f32)") != std::string::npos;
  }
}

// Rows that compute with bf16, each beside what it is on the CPU.
template <class Body>
void for_bf16_rows(const Body& body) {
  for (const Device device : tested_devices())
    for (std::size_t i = 0; i < table().size(); ++i) {
      const Row& row = table_on(device)[i];
      if (!row.differentiable || refuses(row)) continue;
      std::ostringstream text;
      text << row.label() << " on " << device;
      SCOPED_TRACE(text.str());
      try {
        body(row, table()[i], device);
      } catch (const std::exception& e) {
        ADD_FAILURE() << text.str() << ": " << e.what();
      }
    }
}

bool one_rounding(const Row& row) { return row.one_rounding || row.elementwise(); }

TEST(Bf16, IsF32RoundedOnce) {
  const NoGrad off;
  for_bf16_rows([](const Row& row, const Row&, Device device) {
    // Sums on a device take as many elements at once as 16 bytes hold: another order.
    if (!one_rounding(row) || (device != Device::cpu && !row.elementwise())) return;
    const auto check = [&](const Tensors& x) {
      const Tensor y = row.f(x), expected = row.f(in(f32, x));
      EXPECT_EQ(y.dtype(), half);
      EXPECT_TRUE(same_bits(y, expected.to(half)));
    };
    for_calls(row, [&](std::size_t call) { check(in(half, sample(row, call))); });
    check(in(half, sample_of(row, row.large)));
  });
}

TEST(Bf16, LayoutsDoNotMatter) {
  const NoGrad off;
  for_bf16_rows([](const Row& row, const Row&, Device) {
    if (!row.elementwise()) return;
    const Tensors x = in(half, sample(row, 0));
    for (const Layout layout : layouts) {
      Tensors other;
      for (const Tensor& t : x) other.push_back(in_layout(t, layout));
      EXPECT_TRUE(same_bits(row.f(other), row.f(x))) << name(layout);
    }
  });
}

// What is kept of a bf16 result for the gradient is the rounded one: f64's is rounded behind its
// back.
void round_storage(const Tensor& y) {
  const auto n = y.impl().storage->bytes() / 8;
  auto* p = reinterpret_cast<double*>(y.impl().storage->data());
  const Tensor memory = from_vector(std::vector<double>(p, p + n));
  const std::vector<double> rounded = doubles(memory.to(half));
  std::copy(rounded.begin(), rounded.end(), p);
}

// The f32 arithmetic and the rounding of its result; of what is made of several operations each
// result is rounded, which is as if the inputs were.
testing::AssertionResult within_bf16(const Tensor& y, const Tensor& exact,
                                     const std::vector<double>& terms, std::int64_t length,
                                     int roundings) {
  if (y.dtype() != half) return testing::AssertionFailure() << "is " << y.dtype();
  const double smallest = std::ldexp(1.0, -134);  // half of the least bf16
  return within(y, exact, [&](double b, std::size_t i) {
    return unit * std::abs(b) + (1.01 * single(length) + unit * (roundings - 1)) * terms[i] +
           smallest;
  });
}

int roundings_of(const Row& row, const Tensor& y) {
  int nodes = 0;
  each_node(y, [&](Node& n) { nodes += !n.is_leaf(); });
  return one_rounding(row) ? 1 : nodes;
}

TEST(Bf16, ValuesAndGradientsAgainstF64) {
  for_bf16_rows([](const Row& row, const Row& exact, Device) {
    for (std::size_t call = 0; call < std::min<std::size_t>(2, row.calls.size()); ++call) {
      const Tensors x = leaves(in(half, sample(row, call)), half), wide = leaves(x);
      if (x[0].numel() == 0) continue;
      const Tensor y = row.f(x), z = exact.f(wide);
      const std::int64_t length = length_of(exact, wide);
      EXPECT_TRUE(within_bf16(y, z, terms_of(exact.f, wide), length, roundings_of(row, y)))
          << "call " << call;

      const Tensor u = sample_of({}, {z.shape()}, 9)[0].to(half);
      Tensors with_u = leaves(wide);
      with_u.push_back(u.to(f64));
      std::vector<std::vector<double>> terms;
      for (std::size_t k = 0; k < x.size(); ++k)
        terms.push_back(terms_of(
            [&](const Tensors& all) {
              return vjp(exact.f, Tensors(all.begin(), all.end() - 1)).pullback(all.back())[k];
            },
            with_u));
      const int roundings = roundings_of(row, y);
      // These compute it anew, or keep it in f32.
      if (row.name != "logsumexp" && row.name != "attention_weights") round_storage(z);
      const Tensors got = grad(y, x, {.grad_output = u, .allow_unused = true});
      const Tensors expected = grad(z, wide, {.grad_output = u.to(f64), .allow_unused = true});
      for (std::size_t k = 0; k < x.size(); ++k)
        EXPECT_TRUE(within_bf16(got[k], expected[k], terms[k], 2 * length + u.numel(), roundings))
            << "call " << call << ", gradient " << k;
      // Recorded, a gradient is computed by its definition.
      const Tensors again =
          grad(y, x, {.grad_output = u, .create_graph = true, .allow_unused = true});
      for (std::size_t k = 0; k < x.size(); ++k)
        EXPECT_TRUE(within_bf16(again[k], expected[k], terms[k], 2 * length + u.numel(), roundings))
            << "call " << call << ", recorded gradient " << k;
    }
  });
}

TEST(Bf16, IsTakenByWhatTrainingNeeds) {
  std::set<std::string> taking;
  for (const Row& row : table())
    if (!refuses(row)) taking.insert(row.name);
  for (const char* name :
       {"add",           "exp",      "gelu",     "where",     "less",    "sum",
        "mean",          "var",      "max",      "min",       "prod",    "argmax",
        "logsumexp",     "cumsum",   "matmul",   "linear",    "softmax", "log_softmax",
        "cross_entropy", "nll_loss", "mse_loss", "embedding", "gather",  "scatter_add",
        "index_select",  "concat",   "tril",     "pad"})
    EXPECT_TRUE(taking.count(name)) << name;
}

TEST(Bf16, WhatTakesNoneSaysToConvert) {
  Generator generator(1);
  const Tensor x = ones({2}).to(half);
  EXPECT_TRUE(throws("randn", "convert with .to(f32)", [&] { randn({2}, generator, half); }));
  EXPECT_TRUE(throws("bernoulli", "convert with .to(f32)", [&] { bernoulli(x, generator); }));
}

TEST(Bf16, PlacesAndComparisonsAreExact) {
  const NoGrad off;
  for (const Device d : tested_devices()) {
    const Tensor x = sample_of({}, {{5, 40}}, 3)[0].to(half).to(d), y = flip(x, 1);
    EXPECT_TRUE(same_bits(argmax(x, 1).to(Device::cpu), argmax(x.to(f32), 1).to(Device::cpu)));
    EXPECT_TRUE(same_bits((x < y).to(Device::cpu), (x.to(f32) < y.to(f32)).to(Device::cpu)));
    EXPECT_TRUE(same_bits((x > 0.5).to(Device::cpu), (x.to(f32) > 0.5).to(Device::cpu)));
  }
}

// A sum over broadcast axes runs in more bits than bf16 has: 1 + 1 + ... stops at 256 there.
TEST(Bf16, SumsOfGradientsDoNotStop) {
  for (const Device d : tested_devices()) {
    const Tensor bias = leaf(zeros({4}, half, d)), x = ones({1000, 4}, half, d);
    const Tensor g = grad(x * bias, {bias}, {.grad_output = x})[0];
    EXPECT_EQ(doubles(g.to(Device::cpu)), (std::vector<double>{1000, 1000, 1000, 1000}));
  }
}

}  // namespace
}  // namespace gradus::test
