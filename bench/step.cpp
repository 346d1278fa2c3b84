// Whole training: FLOPs are those of the matrix products.
#include "gradus/gradus.h"
#include "limits.h"

namespace gradus::bench {
namespace {

using std::int64_t;

constexpr int64_t batch = 128, pixels = 784;

void thread_counts(benchmark::internal::Benchmark* b) {
  b->ArgName("threads")->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->UseRealTime();
}

struct VAE {
  nn::Linear encode, to_mean, to_log_variance, decode, to_pixels;

  VAE(int64_t hidden, int64_t latent, Generator& generator)
      : encode(pixels, hidden, generator),
        to_mean(hidden, latent, generator),
        to_log_variance(hidden, latent, generator),
        decode(latent, hidden, generator),
        to_pixels(hidden, pixels, generator) {}
  static void each(auto& self, auto&& f) {
    f("encode", self.encode);
    f("to_mean", self.to_mean);
    f("to_log_variance", self.to_log_variance);
    f("decode", self.decode);
    f("to_pixels", self.to_pixels);
  }

  Tensor loss(const Tensor& x, Generator& generator) const {
    const Tensor h = relu(encode(x)), mean = to_mean(h), log_variance = to_log_variance(h);
    const Tensor z = mean + randn(mean.shape(), generator) * exp(0.5 * log_variance);
    const Tensor logits = to_pixels(relu(decode(z)));
    const Tensor kl = 0.5 * sum(square(mean) + exp(log_variance) - log_variance - 1);
    return (binary_cross_entropy_with_logits(logits, x, {Reduction::sum}) + kl) / batch;
  }
};

// A step of Adam on 784-400-20, the loss read back.
void vae_step(benchmark::State& state) {
  const int before = threads();
  set_threads(static_cast<int>(state.range(0)));
  constexpr int64_t hidden = 400, latent = 20;
  Generator generator(1);
  const VAE model(hidden, latent, generator);
  optim::Adam adam(nn::parameters(model));
  const Tensor x = rand({batch, pixels}, generator);
  for (auto _ : state) {
    Tensor loss = model.loss(x, generator);
    benchmark::DoNotOptimize(loss.item());
    adam.step(grad(std::move(loss), adam.parameters()));
  }
  // Forward, and twice that backward, where only the gradient of x is not needed.
  constexpr int64_t weights = 2 * pixels * hidden + 3 * hidden * latent;
  count_flops(state, 2.0 * batch * (3 * weights - pixels * hidden));
  set_threads(before);
}
BENCHMARK(vae_step)->Apply(thread_counts);

// One pass of SGD over 60,000 images.
void logistic_regression_pass(benchmark::State& state) {
  const int before = threads();
  set_threads(static_cast<int>(state.range(0)));
  constexpr int64_t batches = 468, classes = 10;
  Generator generator(1);
  const nn::Linear model(pixels, classes, generator);
  optim::SGD sgd(nn::parameters(model), {.learning_rate = 0.1});
  const Tensor x = rand({batches * batch, pixels}, generator);
  const Tensor target = randint(0, classes, {batches * batch}, generator);
  for (auto _ : state)
    for (int64_t i = 0; i < batches * batch; i += batch) {
      Tensor loss = cross_entropy(model(x.slice(0, i, i + batch)), target.slice(0, i, i + batch));
      benchmark::DoNotOptimize(loss.item());
      sgd.step(grad(std::move(loss), sgd.parameters()));
    }
  count_flops(state, 4.0 * batches * batch * pixels * classes);
  set_threads(before);
}
BENCHMARK(logistic_regression_pass)->Apply(thread_counts);

}  // namespace
}  // namespace gradus::bench
