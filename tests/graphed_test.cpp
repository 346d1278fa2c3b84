// Steps recorded as graphs: the bits of the steps themselves, and what cannot be recorded.
#include "gradus/autograd/graphed.h"

#include <gtest/gtest.h>

#include "gradus/kernels/cuda/runtime.h"
#include "gradus/nn/dropout.h"
#include "gradus/nn/linear.h"
#include "gradus/nn/optim.h"
#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

// A small model with everything that changes on the host: noise, rates, the count of steps.
struct Training {
  Generator start{3}, noise{5};
  nn::Linear layer{6, 4, start};
  optim::Adam adam;

  explicit Training(Device d) : adam((nn::to(layer, d), nn::parameters(layer)), {}) {}

  Tensor step(const Tensor& x) {
    const Tensor hidden = nn::dropout(x, 0.25, noise);
    const Tensor jitter = randn({x.size(0), 4}, noise, f32, x.device());
    Tensor loss = mean(square(layer(hidden) + jitter));
    const Tensor shown = loss.detach();
    adam.step(grad(std::move(loss), adam.parameters()));
    return shown;
  }
};

Tensor batch(int i, std::int64_t rows, Device d) {
  Generator generator(100 + static_cast<std::uint64_t>(i));
  return randn({rows, 6}, generator).to(d);
}

TEST(Graphed, StepsHaveTheBitsOfTheFunction) {
  for (const Device d : tested_devices()) {
    Training plain(d), recorded(d);
    auto step = cuda::graphed([&](const Tensor& x) { return recorded.step(x); });
    for (int i = 0; i < 9; ++i) {
      const std::int64_t rows = i % 3 == 2 ? 3 : 5;  // a last batch, recorded apart
      plain.adam.set_learning_rate(0.1 / (i + 1));
      recorded.adam.set_learning_rate(0.1 / (i + 1));
      const Tensor a = plain.step(batch(i, rows, d)), b = step(batch(i, rows, d));
      EXPECT_TRUE(same_bits(a.to(Device::cpu), b.to(Device::cpu))) << i;
      EXPECT_EQ(plain.noise.offset(), recorded.noise.offset());
      EXPECT_EQ(plain.adam.steps(), recorded.adam.steps());
    }
    const auto p = plain.adam.state(), q = recorded.adam.state();
    for (std::size_t i = 0; i < p.size(); ++i)
      EXPECT_TRUE(same_bits(p[i].second.to(Device::cpu), q[i].second.to(Device::cpu)));
    EXPECT_TRUE(same_bits(plain.layer.weight.detach().to(Device::cpu),
                          recorded.layer.weight.detach().to(Device::cpu)));
  }
}

// What makes numbers of its own on the device, in a step within a step.
TEST(Graphed, MasksAndDrawsWithinAnotherStep) {
  for (const Device d : tested_devices()) {
    Generator here(5), there(5);
    const auto f = [](const Tensor& p, Generator& g) {
      return where(bernoulli(p, g), tril(p), triu(p)).detach();
    };
    auto inner = cuda::graphed([&](const Tensor& p) { return f(p, there); });
    auto outer = cuda::graphed([&](const Tensor& p) { return inner(p) + inner(p); });
    for (int i = 1; i < 6; ++i) {
      const Tensor p = full({3, 4}, 0.15 * i, f32, d);
      const Tensor expected = f(p, here) + f(p, here);
      EXPECT_TRUE(same_bits(outer(p).to(Device::cpu), expected.to(Device::cpu))) << i;
      EXPECT_EQ(here.offset(), there.offset());
    }
  }
}

TEST(Graphed, SeveralArgumentsAndResults) {
  for (const Device d : tested_devices()) {
    auto f = cuda::graphed([](const Tensor& a, const Tensor& b) { return Tensors{a + b, a * b}; });
    for (int i = 1; i < 5; ++i) {
      const Tensors y = f(full({2}, i, f32, d), full({2}, 3, f32, d));
      EXPECT_EQ(y[0].to_vector<float>(), (std::vector<float>(2, static_cast<float>(i + 3))));
      EXPECT_EQ(y[1].to_vector<float>(), (std::vector<float>(2, static_cast<float>(i * 3))));
    }
  }
}

TEST(Graphed, AStepThatReadsBackOrSendsSaysWhere) {
  for (const Device d : tested_devices()) {
    if (d == Device::cpu) continue;
    bool read = true;
    auto step = cuda::graphed([&](const Tensor& x) {
      const Tensor y = x * 2.0;
      if (read) (void)y.sum().item();
      return y;
    });
    const Tensor x = ones({3}, f32, d);
    step(x);
    EXPECT_TRUE(throws("item", "graphed_test.cpp", [&] { step(x); }));
    read = false;
    EXPECT_EQ(step(x).sum().item(), 6);  // recorded now
    EXPECT_EQ(step(x * 2.0).sum().item(), 12);
    auto sending = cuda::graphed([](const Tensor& y) { return y + ones({3}).to(y.device()); });
    sending(x);
    EXPECT_TRUE(throws("to", "graphed_test.cpp", [&] { sending(x); }));
    auto writing = cuda::graphed([](const Tensor& y) { return y.clone().copy_(ones({3})); });
    writing(x);
    EXPECT_TRUE(throws("copy_", "graphed_test.cpp", [&] { writing(x); }));
  }
}

TEST(Graphed, WrongCalls) {
  auto f = cuda::graphed([](const Tensor& a) { return a; });
  EXPECT_TRUE(throws("graphed", "undefined", [&] { f(Tensor()); }));
  EXPECT_TRUE(throws("graphed", "at least one", [] { cuda::graphed([] { return ones({1}); })(); }));
  for (const Device d : tested_devices()) {
    if (d == Device::cpu) continue;
    auto g = cuda::graphed([](const Tensor& a, const Tensor& b) { return a + b; });
    EXPECT_TRUE(throws("graphed", "devices differ", [&] { g(ones({2}, f32, d), ones({2})); }));
  }
}

// A replay has no graph of its operations, so no call may seem to have one.
TEST(Graphed, GradientsStayInside) {
  for (const Device d : tested_devices()) {
    const Tensor weight = ones({3}, f32, d).requires_grad_();
    auto f = cuda::graphed([&](const Tensor& x) { return x * weight; });
    for (int i = 0; i < 3; ++i) EXPECT_FALSE(f(ones({3}, f32, d)).requires_grad());
    EXPECT_TRUE(throws("graphed", "requires a gradient", [&] { f(weight); }));
  }
}

// One that fails at its end: work on another stream that is not waited for.
TEST(Graphed, AFailedRecordingLeavesNothing) {
  DeviceStream* const side = emulated::make_stream();
  int calls = 0;
  auto f = cuda::graphed([&](const Tensor& x) {
    if (++calls == 2) {
      DeviceStream* const main = emulated::set_stream(side);
      emulated::wait_for(main);
      (void)(x * 2.0);
      emulated::set_stream(main);
    }
    return Tensors{x + 1.0};
  });
  const Tensor x = ones({3}, f32, Device::emulated);
  f(x);
  EXPECT_TRUE(throws("end_capture", "Unjoined", [&] { f(x); }));
  for (int i = 0; i < 3; ++i) {
    const Tensors y = f(x);
    ASSERT_EQ(y.size(), 1u);
    EXPECT_EQ(y[0].sum().item(), 6);
  }
  emulated::destroy_stream(side);
}

}  // namespace
}  // namespace gradus::test
