// Tensors on devices: moving, refusing to mix, drawing, and the bits of every row under every
// schedule of the emulator. (That values and gradients are right is what the table's loops say,
// which run on every device.)
#include <gtest/gtest.h>

#include <iostream>
#include <sstream>

#include "gradus/kernels/cuda/emulator/engine.h"
#include "gradus/nn/init.h"
#include "gradus/nn/linear.h"
#include "gradus/nn/optim.h"
#include "gradus/tensor/random.h"
#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

// Devices other than the CPU.
std::vector<Device> devices() {
  std::vector<Device> list;
  for (const Device d : tested_devices())
    if (d != Device::cpu) list.push_back(d);
  return list;
}

template <class Body>
void for_devices(const Body& body) {
  for (const Device d : devices()) {
    std::ostringstream name;
    name << d;
    SCOPED_TRACE(name.str());
    body(d);
  }
}

TEST(Devices, TheEmulatorIsAlwaysHere) {
  const std::vector<Device> all = available_devices();
  EXPECT_EQ(all.front(), Device::cpu);
  EXPECT_NE(std::find(all.begin(), all.end(), Device::emulated), all.end());
}

TEST(Devices, Names) {
  EXPECT_EQ(device_named("cpu"), Device::cpu);
  EXPECT_EQ(device_named("cuda"), Device::cuda(0));
  EXPECT_EQ(device_named("cuda:3"), Device::cuda(3));
  for (const int index : {-1, 256})
    EXPECT_TRUE(throws("cuda", "[0, 255]", [&] { Device::cuda(index); }));
  EXPECT_EQ(device_named("emulated"), Device::emulated);
  for (const char* wrong : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:100", "CPU", "cuda 0"})
    EXPECT_TRUE(throws("device", "", [&] { device_named(wrong); })) << wrong;
}

TEST(Devices, WhatIsNotThereIsRefusedWithTheReason) {
  EXPECT_TRUE(throws("cuda:63", "", [] { zeros({2}, f32, Device::cuda(63)); }));
  const Device none{Device::Kind::emulated, 40};
  EXPECT_TRUE(throws("emulated:40", "devices of this kind", [&] { zeros({2}, f32, none); }));
  EXPECT_TRUE(throws("emulated:40", "", [&] { zeros({2}).to(none); }));
}

TEST(Devices, ValuesTravel) {
  for_devices([](Device d) {
    for (const DType t : {f32, f64, DType::bf16, i32, i64, u8, boolean}) {
      const Tensor x = arange(24, f64).to(t).reshape({2, 3, 4});
      const Tensor there = x.to(d);
      EXPECT_EQ(there.device(), d);
      EXPECT_EQ(there.dtype(), t);
      EXPECT_TRUE(same_bits(there.to(Device::cpu), x)) << t;
      EXPECT_TRUE(same_bits(there.transpose(0, 2).to(Device::cpu), x.transpose(0, 2))) << t;
      EXPECT_TRUE(same_bits(there.to(f64).to(Device::cpu), x.to(f64))) << t;
    }
    EXPECT_EQ(zeros({0, 3}, f32, d).to(Device::cpu).shape(), (Shape{0, 3}));
  });
}

TEST(Devices, ScalarsTextAndVectorsAreRead) {
  for_devices([](Device d) {
    const Tensor x = from_vector(std::vector<float>{1, 2, 3}).to(d);
    EXPECT_EQ(x[1].item(), 2);
    EXPECT_EQ(x.sum().item<int>(), 6);
    EXPECT_EQ(x.to_vector<float>(), (std::vector<float>{1, 2, 3}));
    std::ostringstream there, here;
    there << x, here << x.to(Device::cpu);
    EXPECT_EQ(there.str(), here.str());
    EXPECT_TRUE(throws("data", "lives on", [&] { (void)x.data<float>(); }));
  });
}

TEST(Devices, MixedOperandsAreRefusedByName) {
  for_devices([](Device d) {
    const Tensor a = ones({2, 2}), b = ones({2, 2}, f32, d);
    const Tensor ids = zeros({2}, i64);
    EXPECT_TRUE(throws("add", "devices differ", [&] { add(a, b); }));
    EXPECT_TRUE(throws("matmul", "devices differ", [&] { matmul(b, a); }));
    EXPECT_TRUE(throws("where", "devices differ", [&] { where(a > 0.0, b, b); }));
    EXPECT_TRUE(throws("concat", "devices differ", [&] { concat({a, b}, 0); }));
    EXPECT_TRUE(throws("linear", "devices differ", [&] { linear(a, b); }));
    EXPECT_TRUE(throws("embedding", "devices differ", [&] { embedding(b, ids); }));
    EXPECT_TRUE(throws("index_select", "devices differ", [&] { index_select(b, 0, ids); }));
    EXPECT_TRUE(throws("cross_entropy", "devices differ", [&] { cross_entropy(b, ids); }));
    EXPECT_TRUE(throws("gather", "devices differ", [&] { gather(b, 0, zeros({1, 2}, i64)); }));
    optim::SGD sgd({leaf(b.clone())}, {});
    EXPECT_TRUE(throws("SGD", "its parameter on", [&] { sgd.step({a}); }));
    EXPECT_TRUE(throws("SGD", "parameter 0 on", [&] {
      optim::SGD both({leaf(b.clone()), leaf(a.clone())}, {});
    }));
  });
}

TEST(Devices, CopiesBetweenDevices) {
  for_devices([](Device d) {
    Tensor x = zeros({2, 3}, f32, d);
    x.copy_(from_vector(std::vector<float>{1, 2, 3}));
    EXPECT_EQ(x.to_vector<float>(), (std::vector<float>{1, 2, 3, 1, 2, 3}));
    Tensor y = zeros({3, 2});
    y.t().copy_(x);
    EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{1, 1, 2, 2, 3, 3}));
  });
}

TEST(Devices, MovingIsRecorded) {
  for_devices([](Device d) {
    const Tensor x = leaf(from_vector(std::vector<double>{1, 2, 3}));
    const Tensor g = grad(sum(square(x.to(d))).to(Device::cpu), {x})[0];
    EXPECT_EQ(g.device(), Device::cpu);
    EXPECT_EQ(g.to_vector<double>(), (std::vector<double>{2, 4, 6}));
  });
}

// The same numbers as on the CPU; normals to 2 ULP.
TEST(Devices, DrawTheSameNumbers) {
  for_devices([](Device d) {
    for (const std::int64_t n : {1, 5, 1000}) {
      Generator here(7, 3), there(7, 3);
      here.set_offset(6), there.set_offset(6);
      EXPECT_TRUE(same_bits(rand({n}, there, f32, d).to(Device::cpu), rand({n}, here)));
      EXPECT_TRUE(same_bits(rand({n}, there, f64, d).to(Device::cpu), rand({n}, here, f64)));
      EXPECT_TRUE(
          same_bits(randint(-5, 9, {n}, there, d).to(Device::cpu), randint(-5, 9, {n}, here)));
      EXPECT_TRUE(
          same_bits(bernoulli(0.3, {n}, there, d).to(Device::cpu), bernoulli(0.3, {n}, here)));
      EXPECT_TRUE(same_bits(permutation(n, there, d).to(Device::cpu), permutation(n, here)));
      EXPECT_TRUE(close(randn({n}, there, f32, d).to(Device::cpu), randn({n}, here), 3e-7));
      EXPECT_EQ(here.offset(), there.offset());
    }
  });
}

// A formula without a kernel on the device runs its definition.
TEST(Devices, FormulasOfOnesOwnRunTheirDefinition) {
  const auto f = [](const auto& x, const auto& y) {
    return select(x > 0.0, x * exp(tanh(y)), log1p(y * y) - 2.0 * x) / (1.0 + abs(y));
  };
  for_devices([&](Device d) {
    const Tensors x = leaves({from_vector(std::vector<double>{-1, 0.5, 2}),
                              from_vector(std::vector<double>{0.3, -0.7, 1.1})});
    const Tensors there = leaves({x[0].to(d), x[1].to(d)});
    const Tensor y = map(f, x[0], x[1]), z = map(f, there[0], there[1]);
    EXPECT_EQ(z.device(), d);
    EXPECT_TRUE(close(z.to(Device::cpu), y, 1e-15));
    const Tensors g = grad(sum(y), x), h = grad(sum(z), there);
    for (int k = 0; k < 2; ++k) EXPECT_TRUE(close(h[k].to(Device::cpu), g[k], 1e-14));
  });
}

TEST(Devices, ABadIndexIsReportedByTheNextWait) {
  for_devices([](Device d) {
    const Tensor weight = ones({10, 3}, f32, d);
    const Tensor ids = from_vector(std::vector<std::int64_t>{1, 2, 5, 12}).to(d);
    const Tensor y = embedding(weight, ids);
    EXPECT_TRUE(throws("embedding", "12", [&] { synchronize(d); }));
    synchronize(d);  // told once
    EXPECT_EQ(weight.sum().item(), 30);
  });
}

TEST(Devices, ABadProbabilityIsReportedByTheNextWait) {
  for_devices([](Device d) {
    const Tensor p = from_vector(std::vector<float>{0, 1, 0.5, 1.5}).to(d);
    Generator generator(1);
    const Tensor y = bernoulli(p, generator);
    EXPECT_TRUE(throws("bernoulli", "got 1.5 at position 3", [&] { synchronize(d); }));
    synchronize(d);  // told once
  });
}

TEST(Devices, AModelMovesAndTrains) {
  for_devices([](Device d) {
    const auto train = [](Device device) {
      Generator generator(1);
      nn::Linear layer(6, 4, generator);
      const Tensor x = randn({5, 6}, generator), y = randn({5, 4}, generator);
      nn::to(layer, device);
      optim::Adam adam(nn::parameters(layer), {.learning_rate = 0.1});
      for (int i = 0; i < 5; ++i) {
        const Tensor loss = mse_loss(tanh(layer(x.to(device))), y.to(device));
        adam.step(grad(loss, adam.parameters()));
      }
      return layer.weight.detach().to(Device::cpu);
    };
    EXPECT_TRUE(close(train(d), train(Device::cpu), 1e-5));
  });
}

// ---- the emulator's schedules

std::vector<Tensor> value_and_gradients(const Row& row, const Tensors& values, DType t = f64) {
  const Tensors x = leaves(values, t);
  const Tensor y = row.f(x);
  std::vector<Tensor> all{y.detach()};
  if (row.differentiable)
    for (const Tensor& g : grad(weighted_sum(y), x, {.allow_unused = true})) all.push_back(g);
  return all;
}

TEST(Devices, EveryRowHasTheSameBitsUnderEverySchedule) {
  const auto& tested = tested_devices();
  if (std::find(tested.begin(), tested.end(), Device::emulated) == tested.end())
    GTEST_SKIP() << "GRADUS_TEST_DEVICES leaves the emulator out";
  const emulator::Options before = emulator::options();
  for_rows_on(Device::emulated, [](const Row& row) {
    const Tensors x = sample(row, 0);
    std::vector<Tensor> expected;
    for (const auto schedule :
         {emulator::Schedule::forward, emulator::Schedule::reverse, emulator::Schedule::random}) {
      emulator::options().schedule = schedule;
      const std::vector<Tensor> results = value_and_gradients(row, x);
      if (expected.empty()) expected = results;
      for (std::size_t i = 0; i < results.size(); ++i)
        EXPECT_TRUE(same_bits(results[i], expected[i])) << "result " << i;
    }
  });
  emulator::options() = before;
}

// What the emulator stands for in all other tests. Mathematics of the C library and of CUDA differ
// in their last bits; how many rows they leave the same is said.
TEST(Devices, TheEmulatorAndAGpuAgree) {
  const std::vector<Device> all = available_devices();
  const Device gpu = Device::cuda();
  if (std::find(all.begin(), all.end(), gpu) == all.end()) GTEST_SKIP() << "no such device";
  int same = 0, compared = 0;
  std::ostringstream others;
  for (std::size_t i = 0; i < table().size(); ++i) {
    const Row &here = table_on(Device::emulated)[i], &there = table_on(gpu)[i];
    SCOPED_TRACE(here.label());
    for (const DType t : {f64, f32}) {
      const Tensors x = sample(here, 0);
      const std::vector<Tensor> a = value_and_gradients(here, x, t);
      const std::vector<Tensor> b = value_and_gradients(there, x, t);
      bool bits = true;
      for (std::size_t k = 0; k < a.size(); ++k) {
        EXPECT_TRUE(close(b[k], a[k], t == f64 ? 1e-13 : 1e-5)) << t << ", result " << k;
        bits = bits && same_bits(b[k], a[k]);
      }
      ++compared;
      if (bits)
        ++same;
      else
        others << here.label() << ' ' << t << '\n';
    }
  }
  std::cout << same << " of " << compared << " rows have the same bits; others:\n" << others.str();
}

}  // namespace
}  // namespace gradus::test
