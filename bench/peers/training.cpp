#include <memory>

#include "vae.h"
#include "workload.h"

namespace peers {

using namespace gradus;
using std::int64_t;

namespace {

constexpr int64_t batch = VAE::batch, pixels = VAE::pixels, hidden = VAE::hidden,
                  latent = VAE::latent;
constexpr int64_t classes = 10, batches = 468;
constexpr int64_t checked_steps = 5;

Tensor pictures(const Shape& shape) {
  Generator generator(4);
  return rand(shape, generator);
}

// The noise of the checked steps; later ones draw their own.
Tensor noise() { return normal({checked_steps, batch, latent}, 5); }

Job vae() {
  struct State {
    VAE model{Generator(6)};
    optim::Adam adam{nn::parameters(model)};
    Tensor x = pictures({batch, pixels});
    Generator generator{7};

    double step(const Tensor& noise) {
      Tensor loss = model.loss(x, noise);
      const double value = loss.item();
      adam.step(grad(std::move(loss), adam.parameters()));
      return value;
    }
  };
  const auto state = std::make_shared<State>();
  Job job{[=] { state->step(randn({batch, latent}, state->generator)); }, {}};
  const Tensor given = noise();
  for (int64_t i = 0; i < checked_steps; ++i) job.check.push_back(state->step(given[i]));
  return job;
}

nn::Linear logistic_regression() {
  Generator generator(8);
  return {pixels, classes, generator};
}

Job logistic_regression_pass() {
  struct State {
    nn::Linear model = logistic_regression();
    optim::SGD sgd{nn::parameters(model), {.learning_rate = 0.1}};
    Tensor x = pictures({batches * batch, pixels}), target = indices({batches * batch}, classes);

    double step(int64_t i) {
      const int64_t from = i * batch, to = from + batch;
      Tensor loss = cross_entropy(model(x.slice(0, from, to)), target.slice(0, from, to));
      const double value = loss.item();
      sgd.step(grad(std::move(loss), sgd.parameters()));
      return value;
    }
  };
  const auto state = std::make_shared<State>();
  Job job{[=] {
            for (int64_t i = 0; i < batches; ++i) state->step(i);
          },
          {}};
  for (int64_t i = 0; i < checked_steps; ++i) job.check.push_back(state->step(i));
  return job;
}

nn::MLP small_model() {
  Generator generator(9);
  return nn::MLP({16, 8, 1}, generator);
}

template <class Model>
void save_parts(const std::filesystem::path& folder, const std::string& name, const Model& model) {
  for (const auto& [part, tensor] : nn::named_tensors(model))
    save_npy(folder / (name + '.' + part + ".npy"), tensor.detach());
}

}  // namespace

Job perceptron() {
  const nn::MLP model = small_model();
  const std::vector<Tensor> parameters = nn::parameters(model);
  const Tensor x = normal({4, 16}, 1), target = normal({4, 1}, 2);
  const auto gradients = [=] { return grad(mse_loss(model(x), target), parameters); };
  return {[=] { gradients(); }, probe(gradients())};
}

// FLOPs: forward, and twice that backward, without the gradient of the data.
std::vector<Workload> trainings() {
  constexpr int64_t weights = 2 * pixels * hidden + 3 * hidden * latent;
  constexpr double vae_flops = 2.0 * batch * (3 * weights - pixels * hidden);
  constexpr double logistic_flops = 4.0 * batches * batch * pixels * classes;
  return {{"train/vae", vae_flops, 0, 0, vae},
          {"train/logreg", logistic_flops, 0, 0, logistic_regression_pass}};
}

void export_models(const std::filesystem::path& folder) {
  save_parts(folder, "vae", VAE(Generator(6)));
  save_npy(folder / "vae.noise.npy", noise());
  save_parts(folder, "logreg", logistic_regression());
  save_parts(folder, "mlp", small_model());
  save_npy(folder / "pictures.npy", pictures({batches * batch, pixels}));
}

}  // namespace peers
