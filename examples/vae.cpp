// Trains a variational autoencoder (Kingma and Welling, 2013) on grey images of the MNIST family.
#include <cmath>
#include <cstdio>

#include "examples/common/errors.h"
#include "examples/common/images.h"
#include "examples/common/picture.h"
#include "examples/common/program.h"
#include "examples/common/report.h"
#include "examples/common/training.h"
#include "gradus/gradus.h"

namespace gradus::examples {
namespace {

struct Config : RunFlags {
  std::string data = fashion_mnist, latent = "normal", prior = "same", likelihood = "bernoulli";
  std::int64_t epochs = 10, batch = 128, latent_dim = 20, hidden = 400;
  double lr = 1e-3, beta = 1;

  void declare(Options& options) {
    options.add("data", &data, "folder of the four IDX files, or synthetic");
    options.add("latent", &latent, "posterior family", {.choices = {"normal", "log-normal"}});
    options.add("prior", &prior, "prior family", {.choices = {"same", "normal", "log-normal"}});
    options.add("likelihood", &likelihood, "of pixels (gaussian: with variance 1)",
                {.choices = {"bernoulli", "gaussian"}});
    options.add("beta", &beta, "weight of the KL term in the loss", {.low = 0});
    options.add("epochs", &epochs, "passes over the images", {.low = 1, .may_change = true});
    options.add("batch", &batch, "images in a step", {.low = 1});
    options.add("lr", &lr, "learning rate of Adam", {.low = 0, .above_low = true});
    options.add("latent-dim", &latent_dim, "size of the latent", {.low = 1});
    options.add("hidden", &hidden, "units of the hidden layers", {.low = 1});
    RunFlags::declare(options);
  }
};

struct VAE {
  nn::Linear encode, to_latent, decode, to_pixels;

  VAE(std::int64_t pixels, const Config& config, Generator& generator)
      : encode(pixels, config.hidden, generator),
        to_latent(config.hidden, 2 * config.latent_dim, generator),
        decode(config.latent_dim, config.hidden, generator),
        to_pixels(config.hidden, pixels, generator) {}

  static void each(auto& self, auto&& f) {
    f("encode", self.encode);
    f("to_latent", self.to_latent);
    f("decode", self.decode);
    f("to_pixels", self.to_pixels);
  }
};

// The terms of the evidence lower bound, one number an image each: elbo = likelihood - kl.
struct Bound {
  Tensor likelihood, kl;
};

template <class Posterior, class Prior, class Likelihood>
Bound elbo(const VAE& vae, const Tensor& x, Generator& generator) {
  auto latent = split(vae.to_latent(relu(vae.encode(x))), 2, -1);
  Posterior q{latent[0], exp(latent[1])};
  Prior prior{0.0, 1.0};
}

}  // namespace
}  // namespace gradus::examples
