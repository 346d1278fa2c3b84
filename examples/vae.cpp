// Trains a variational autoencoder (Kingma and Welling, 2013) on grey images of the MNIST family.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "examples/common/errors.h"
#include "examples/common/images.h"
#include "examples/common/latent.h"
#include "examples/common/latent_figures.h"
#include "examples/common/program.h"
#include "examples/common/report.h"
#include "examples/common/run_directory.h"
#include "examples/common/training.h"
#include "gradus/gradus.h"

namespace gradus::examples {
namespace {

struct Config : TrainingFlags {
  std::string data = fashion_mnist, latent = "normal", prior = "same", likelihood = "bernoulli";
  std::int64_t epochs = 10, batch = 128, latent_dim = 20, hidden = 400, iwae = 0;
  double lr = 1e-3, beta = 1;

  void declare(Options& options) {
    options.add("data", &data, "folder with the four IDX files, or synthetic");
    options.add("latent", &latent, "family of the posterior",
                {.choices = {"normal", "log-normal"}});
    options.add("prior", &prior, "family of the prior",
                {.choices = {"same", "normal", "log-normal"}});
    options.add("likelihood", &likelihood, "of the pixels (gaussian: of variance 1)",
                {.choices = {"bernoulli", "gaussian"}});
    options.add("beta", &beta, "weight of the KL divergence in the loss", {.low = 0});
    options.add(
        "iwae", &iwae,
        "train on the importance-weighted bound of so many samples; 0: on the ELBO with its KL "
        "divergence in closed form",
        {.low = 0});
    options.add("epochs", &epochs, "passes over the training images",
                {.low = 1, .may_change = true});
    options.add("batch", &batch, "images in a step", {.low = 1});
    options.add("lr", &lr, "learning rate of Adam", {.low = 0, .above_low = true});
    options.add("latent-dim", &latent_dim, "numbers in a latent", {.low = 1});
    options.add("hidden", &hidden, "units of each hidden layer", {.low = 1});
    TrainingFlags::declare(options);
  }
};

struct VAE {
  const Config& config;
  nn::Linear encode, to_latent, decode, to_pixels;

  VAE(const Config& c, std::int64_t pixels, Generator generator)
      : config(c),
        encode(pixels, c.hidden, generator, {.dtype = c.type()}),
        to_latent(c.hidden, 2 * c.latent_dim, generator, {.dtype = c.type()}),
        decode(c.latent_dim, c.hidden, generator, {.dtype = c.type()}),
        to_pixels(c.hidden, pixels, generator, {.dtype = c.type()}) {
    nn::to(*this, c.where());
  }

  static void each(auto& self, auto&& f) {
    f("encode", self.encode);
    f("to_latent", self.to_latent);
    f("decode", self.decode);
    f("to_pixels", self.to_pixels);
  }

  Latent posterior(const Tensor& x) const {
    auto latent = split(to_latent(relu(encode(x))), 2, -1);
    // The limits keep the scale positive; training that goes astray shows in the loss.
    return make_latent(config.latent, latent[0], exp(clamp(latent[1], -20, 20)));
  }
  Latent prior() const {
    return make_latent(config.prior == "same" ? config.latent : config.prior, 0.0, 1.0);
  }
  // Logits or means of the pixels.
  Tensor decoded(const Tensor& z) const { return to_pixels(relu(decode(z))); }
  Tensor log_likelihood(const Tensor& decoded, const Tensor& x) const {
    if (config.likelihood == "gaussian") return distributions::Normal{decoded, 1.0}.log_prob(x);
    return distributions::Bernoulli{.logits = decoded}.log_prob(x);
  }
  Tensor image(const Tensor& z) const {
    return config.likelihood == "gaussian" ? decoded(z) : sigmoid(decoded(z));
  }
};

// The evidence lower bound is likelihood - kl, here one number an image each.
struct Bound {
  Tensor likelihood, kl;
};

Bound elbo(const VAE& vae, const Tensor& x, Generator& generator) {
  const Latent q = vae.posterior(x);
  const Tensor decoded = vae.decoded(rsample(q, generator));
  return {vae.log_likelihood(decoded, x).sum(-1), kl_divergence(q, vae.prior()).sum(-1)};
}

// The bound of --iwae samples, one number an image.
Tensor iwae(const VAE& vae, const Tensor& x, Generator& generator) {
  const Latent q = vae.posterior(x);
  const Tensor z = rsample(q, generator, {vae.config.iwae});
  const Tensor likelihood = vae.log_likelihood(vae.decoded(z), x).sum(-1);
  return importance_weighted_bound(q, vae.prior(), z, likelihood);
}

struct Score {
  double likelihood = 0, kl = 0, iwae = 0;
  double elbo() const { return likelihood - kl; }
};

Score evaluate(const VAE& vae, const data::Dataset& images, Generator generator) {
  const NoGrad no_grad;
  Score score;
  Generator more = generator.fork(4);
  const std::int64_t samples = vae.config.iwae;
  const std::int64_t chunk = std::max<std::int64_t>(500 / std::max<std::int64_t>(samples, 1), 1);
  for (std::int64_t start = 0; start < images.size(); start += chunk) {
    const std::int64_t stop = std::min(start + chunk, images.size());
    const Tensor x = images.range(start, stop)[0].to(vae.config.type());
    const Bound bound = elbo(vae, x, generator);
    score.likelihood += bound.likelihood.to(f64).sum().item();
    score.kl += bound.kl.to(f64).sum().item();
    if (samples) score.iwae += iwae(vae, x, more).to(f64).sum().item();
  }
  const auto count = static_cast<double>(images.size());
  return {score.likelihood / count, score.kl / count, score.iwae / count};
}

LatentModel latent_model(const VAE& vae) {
  return {.size = vae.config.latent_dim,
          .quantile = [&](const Tensor& u) { return icdf(vae.prior(), u); },
          .median =
              [&](const Tensor& x) {
                return icdf(vae.posterior(x), full({}, 0.5, x.dtype(), x.device()));
              },
          .carried = [&](const Tensor& x) { return kl_divergence(vae.posterior(x), vae.prior()); },
          .image = [&](const Tensor& z) { return vae.image(z); }};
}

void check(const Config& config) {
  if (config.iwae && config.beta != 1)
    refuse<UsageError>(
        "--iwae --beta: the importance-weighted bound has no KL divergence to weigh");
  const std::string& prior = config.prior == "same" ? config.latent : config.prior;
  try {
    kl_divergence(make_latent(config.latent, 0.0, 1.0), make_latent(prior, 0.0, 1.0));
  } catch (const Error& error) {
    refuse<UsageError>("--latent ", config.latent, " --prior ", prior, ": ", error.what());
  }
}

data::Dataset dataset(const LabelledImages& images, Device device) {
  const Shape shape{images.count, images.rows * images.columns};
  return {data::unit(from_vector(images.pixels, shape).to(device))};
}

// Everything that a step changes.
struct State {
  VAE vae;
  optim::Adam adam;
  Generator noise;
  data::Loader loader;

  State(const Config& config, const data::Dataset& images, std::int64_t pixels)
      : vae(config, pixels, Generator(config.seed, 0)),
        adam(nn::parameters(vae), {.learning_rate = config.lr}),
        noise(config.seed, 1),
        loader(images, config.batch, Generator(config.seed, 2)) {}

  std::int64_t steps_done() const {
    return loader.position().epoch * loader.batches() + loader.position().batch;
  }

  // One step of Adam on the negative bound.
  Score step() {
    const Tensor x = loader.next()[0].to(vae.config.type());
    const auto shown = descend(x).to(f64).to_vector<double>();
    if (!std::isfinite(shown[0])) refuse<NumericError>("the loss is ", shown[0]);
    if (vae.config.iwae) return {.iwae = -shown[0]};
    return {shown[1], shown[2]};
  }

  // The step itself: the loss, and what it is made of. A GPU replays it.
  cuda::Graphed<std::function<Tensor(const Tensor&)>> descend{[this](const Tensor& x) {
    Tensor loss, shown;
    if (vae.config.iwae) {
      loss = -mean(iwae(vae, x, noise));
      shown = loss.detach().unsqueeze(0);
    } else {
      const Bound bound = elbo(vae, x, noise);
      loss = mean(vae.config.beta * bound.kl - bound.likelihood);
      shown = stack({loss.detach(), mean(bound.likelihood.detach()), mean(bound.kl.detach())}, 0);
    }
    adam.step(grad(std::move(loss), adam.parameters()));
    return shown;
  }};

  Checkpoint save() const {
    Checkpoint checkpoint;
    checkpoint.put("model", nn::named_tensors(vae));
    checkpoint.put("adam", adam.state());
    checkpoint.count("epoch", static_cast<std::uint64_t>(loader.position().epoch));
    checkpoint.count("batch", static_cast<std::uint64_t>(loader.position().batch));
    checkpoint.count("noise", noise.offset());
    return checkpoint;
  }

  void load(const Path& path) {
    Checkpoint checkpoint;
    checkpoint.tensors = load_safetensors(path, &checkpoint.counters);
    try {
      nn::load(vae, checkpoint.get("model"));
      adam.load_state(checkpoint.get("adam"));
      loader.set_position({static_cast<std::int64_t>(checkpoint.counter("epoch")),
                           static_cast<std::int64_t>(checkpoint.counter("batch"))});
      noise.set_offset(checkpoint.counter("noise"));
    } catch (const Error& error) {
      refuse<DataError>(path.string(), ": not a checkpoint of this model: ", error.what());
    }
  }
};

Report report_on(const State& state, const Score& score, const std::vector<Json>& metrics) {
  Report report;
  report.title = "Variational autoencoder";
  report.summary = text("%lld steps on %s. Numbers in nats per image.",
                        static_cast<long long>(state.steps_done()), state.vae.config.data.c_str());
  report.numbers = {{"test ELBO", text("%.2f", score.elbo())},
                    {"log-likelihood", text("%.2f", score.likelihood)},
                    {"KL, analytic", text("%.2f", score.kl)},
                    {"parameters", std::to_string(nn::parameter_count(state.vae))}};
  std::vector<std::pair<const char*, std::string>> curves = {
      {"elbo", "Evidence lower bound"}, {"kl", "KL divergence from the prior"}};
  if (const auto samples = static_cast<long long>(state.vae.config.iwae)) {
    const std::string title = text("Importance-weighted bound, %lld samples", samples);
    report.numbers.insert(report.numbers.begin(), {"test " + title, text("%.2f", score.iwae)});
    curves.insert(curves.begin(), {"iwae", title});
  }
  for (const auto& [key, title] : curves) {
    report.charts.push_back({title,
                             "step",
                             "nats per image",
                             {series_of("training batches", metrics, key),
                              series_of("test set", metrics, std::string("test_") + key)}});
  }
  return report;
}

int run(int argc, const char* const* argv) {
  Config config;
  Options options("gradus-vae", "Trains a variational autoencoder on grey images.");
  config.declare(options);
  if (!options.parse(argc, argv)) return Exit::success;
  config.apply();
  check(config);

  const ImageSet images = load_images(config.data);
  State state(config, dataset(images.train, config.where()),
              images.train.rows * images.train.columns);
  const bool resumed = !options.resume().empty();
  RunDirectory run = resumed ? RunDirectory::open(options.resume())
                             : RunDirectory::create("vae", config.name, options.json());
  if (resumed) {
    state.load(run.file("checkpoint.safetensors"));
    run.rewind(state.steps_done());
  }

  const data::Dataset test = dataset(images.test, config.where());
  const auto score_now = [&] { return evaluate(state.vae, test, Generator(config.seed, 3)); };
  const auto measured = [&] {
    const Score score = score_now();
    Json numbers = {{"test_elbo", score.elbo()}, {"test_kl", score.kl}};
    if (config.iwae) numbers["test_iwae"] = score.iwae;
    return numbers;
  };
  const auto stepped = [&] {
    const Score score = state.step();
    return config.iwae ? Json{{"iwae", score.iwae}}
                       : Json{{"elbo", score.elbo()}, {"kl", score.kl}};
  };
  const bool finished = train({.epochs = config.epochs,
                               .steps_an_epoch = state.loader.batches(),
                               .steps_done = [&] { return state.steps_done(); },
                               .step = stepped,
                               .epoch = measured,
                               .save = [&] { return state.save(); }},
                              run, config.max_steps);
  if (!finished) return Exit::interrupted;

  const NoGrad no_grad;
  const Score score = score_now();
  Report report = report_on(state, score, run.metrics());
  const Tensor pixels = test.range(0, test.size())[0].to(config.type());
  report.figures = latent_figures(latent_model(state.vae), pixels, images.test);
  report.config = options.json();
  write_report(run, report);
  std::printf("%s\ntest ELBO %.2f nats per image: log-likelihood %.2f - analytic KL %.2f\n",
              run.file("report.html").c_str(), score.elbo(), score.likelihood, score.kl);
  if (config.iwae) {
    std::printf("test bound of %lld samples %.2f nats per image\n",
                static_cast<long long>(config.iwae), score.iwae);
  }
  return Exit::success;
}

}  // namespace
}  // namespace gradus::examples

int main(int argc, char** argv) {
  using namespace gradus::examples;
  return run_program("gradus-vae", [&] { return run(argc, argv); });
}
