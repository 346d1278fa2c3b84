// Threads that train at the same time: the pool is theirs together, everything else is each one's.
#include <gtest/gtest.h>

#include <thread>

#include "gradus/gradus.h"
#include "gradus/kernels/cpu/pool.h"

namespace gradus {
namespace {

std::vector<float> values(const Tensor& t) {
  return {t.data<float>(), t.data<float>() + t.numel()};
}

// The parameters and moments after a few steps of a model that is large enough for the pool, with
// draws, dropout and a measurement without a graph in between.
std::vector<std::vector<float>> train(std::uint64_t seed) {
  Generator generator(seed);
  nn::MLP model({64, 384, 10}, generator);
  data::Loader loader({randn({512, 64}, generator), randint(0, 10, {512}, generator)}, 256,
                      generator.fork(1));
  optim::Adam adam(nn::parameters(model), {.learning_rate = 0.01});
  std::vector<std::vector<float>> result;
  for (int step = 0; step < 4; ++step) {
    const data::Batch batch = loader.next();
    const Tensor noisy = batch[0] + 0.1 * randn(batch[0].shape(), generator);
    const Tensor logits = model(nn::dropout(noisy, 0.1, generator));
    Tensor loss = cross_entropy(logits, batch[1]);
    adam.step(grad(std::move(loss), adam.parameters()));
    const NoGrad no_grad;
    result.push_back(values(softmax(model(batch[0]), -1)));
  }
  for (const auto& [name, tensor] : nn::named_tensors(model)) result.push_back(values(tensor));
  for (const auto& [name, tensor] : adam.state())
    if (tensor.dtype() == f32) result.push_back(values(tensor));
  return result;
}

TEST(ThreadsTrain, EightAtATimeAsOneAfterTheOther) {
  constexpr std::size_t count = 8;
  const int before = threads();
  std::vector<std::vector<float>> expected[count], got[count];
  set_threads(1);
  for (std::size_t i = 0; i < count; ++i) expected[i] = train(i);
  for (const int pool : {1, 3}) {
    set_threads(pool);
    std::vector<std::thread> runs;
    for (std::size_t i = 0; i < count; ++i) runs.emplace_back([&, i] { got[i] = train(i); });
    for (std::thread& run : runs) run.join();
    for (std::size_t i = 0; i < count; ++i)
      EXPECT_TRUE(got[i] == expected[i]) << "model " << i << ", pool of " << pool;
  }
  set_threads(before);
}

// What was made in one thread is used, and dropped, in another.
TEST(ThreadsTrain, AModelIsHandedFromThreadToThread) {
  Generator generator(1);
  nn::MLP model({20, 64, 5}, generator), alone = nn::clone(model);
  const Tensor x = randn({64, 20}, generator);
  const auto step = [&](const nn::MLP& m) {
    optim::SGD sgd(nn::parameters(m), {.learning_rate = 0.1});
    sgd.step(grad(mean(m(x) * m(x)), sgd.parameters()));
  };
  for (int i = 0; i < 4; ++i) {
    step(alone);
    Tensor loss;
    std::thread([&] { loss = mean(model(x) * model(x)); }).join();
    std::thread([&] {
      optim::SGD sgd(nn::parameters(model), {.learning_rate = 0.1});
      sgd.step(grad(std::move(loss), sgd.parameters()));
    }).join();
  }
  const auto left = nn::named_tensors(model), right = nn::named_tensors(alone);
  for (std::size_t i = 0; i < left.size(); ++i)
    EXPECT_TRUE(values(left[i].second) == values(right[i].second)) << left[i].first;
}

// Readers of shared weights, each with a graph of its own.
TEST(ThreadsTrain, WeightsAreReadByAllAtOnce) {
  Generator generator(1);
  const nn::MLP model({20, 64, 5}, generator);
  const Tensor x = randn({64, 20}, generator);
  const auto gradients = [&] {
    std::vector<std::vector<float>> list;
    for (const Tensor& g : grad(mean(model(x) * model(x)), nn::parameters(model)))
      list.push_back(values(g));
    return list;
  };
  const auto expected = gradients();
  std::vector<std::vector<float>> got[8];
  std::vector<std::thread> runs;
  for (auto& result : got) runs.emplace_back([&] { result = gradients(); });
  for (std::thread& run : runs) run.join();
  for (const auto& result : got) EXPECT_TRUE(result == expected);
}

}  // namespace
}  // namespace gradus
