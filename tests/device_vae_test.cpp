// Steps of a variational autoencoder on a device: fused kernels only, the CPU's numbers, and the
// same bits where they are recorded.
#include <gtest/gtest.h>

#include "examples/common/latent.h"
#include "gradus/autograd/walk.h"
#include "gradus/gradus.h"
#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

using examples::kl_divergence;
using examples::Latent;
using examples::make_latent;
using examples::rsample;

struct Vae {
  std::string family;
  bool gaussian;
  Generator start{3}, noise{5};
  nn::Linear encode{16, 8, start}, to_latent{8, 4, start}, decode{2, 8, start},
      to_pixels{8, 16, start};
  optim::Adam adam;
  optim::EMA ema;

  Vae(std::string latent, bool of_variance_1, Device d)
      : family(std::move(latent)),
        gaussian(of_variance_1),
        adam((nn::to(*this, d), nn::parameters(*this)), {.learning_rate = 0.01}),
        ema(nn::parameters(*this), 0.9) {}

  static void each(auto& self, auto&& f) {
    f("encode", self.encode);
    f("to_latent", self.to_latent);
    f("decode", self.decode);
    f("to_pixels", self.to_pixels);
  }

  Tensor likelihood(const Tensor& z, const Tensor& x) const {
    const Tensor decoded = to_pixels(relu(decode(z)));
    return sum(gaussian ? distributions::Normal{decoded, 1.0}.log_prob(x)
                        : distributions::Bernoulli{.logits = decoded}.log_prob(x),
               -1);
  }
  // The loss of the ELBO and of the importance-weighted bound, and the norm of the gradients.
  Tensor step(const Tensor& x) {
    const auto latent = split(to_latent(relu(encode(x))), 2, -1);
    const Latent q = make_latent(family, latent[0], exp(clamp(latent[1], -20, 20)));
    const Latent prior = make_latent(family, 0.0, 1.0);
    const Tensor elbo = likelihood(rsample(q, noise), x) - kl_divergence(q, prior).sum(-1);
    const Tensor z = rsample(q, noise, {2});
    const Tensor iwae = examples::importance_weighted_bound(q, prior, z, likelihood(z, x));
    const Tensor loss = -mean(elbo) - mean(iwae);
    const auto clipped = optim::clip_global_norm(grad(loss, adam.parameters()), 10);
    adam.step(clipped.gradients);
    ema.update();
    return stack({mean(elbo).detach(), mean(iwae).detach(), clipped.norm.to(f32)}, 0);
  }
};

Tensor images(int step) {
  Generator generator(100 + static_cast<std::uint64_t>(step));
  return bernoulli(0.3, {5, 16}, generator).to(f32);
}

void expect_same_state(const Vae& a, const Vae& b) {
  for (const auto& [p, q] : {std::pair{nn::parameters(a), nn::parameters(b)},
                             std::pair{a.ema.averages(), b.ema.averages()}})
    for (std::size_t i = 0; i < p.size(); ++i)
      EXPECT_TRUE(same_bits(p[i].detach().to(Device::cpu), q[i].detach().to(Device::cpu))) << i;
}

TEST(DeviceVae, StepsAreFusedRecordedAndTheCpus) {
  for (const Device d : tested_devices()) {
    if (d == Device::cpu) continue;
    for (const char* family : {"normal", "log-normal"})
      for (const bool gaussian : {false, true}) {
        SCOPED_TRACE(std::string(family) + (gaussian ? ", gaussian" : ", bernoulli"));
        Vae here(family, gaussian, Device::cpu), there(family, gaussian, d),
            recorded(family, gaussian, d);
        auto step = cuda::graphed([&](const Tensor& x) { return recorded.step(x); });
        const std::int64_t composed = detail::composed_maps();
        const int steps = family == std::string("normal") && !gaussian ? 20 : 4;
        for (int i = 0; i < steps; ++i) {
          const Tensor x = images(i), on_device = x.to(d), seen = there.step(on_device);
          EXPECT_TRUE(same_bits(step(on_device).to(Device::cpu), seen.to(Device::cpu))) << i;
          EXPECT_TRUE(close(seen.to(Device::cpu), here.step(x), 1e-4)) << i;
        }
        EXPECT_EQ(detail::composed_maps(), composed);
        expect_same_state(there, recorded);
      }
  }
}

TEST(DeviceVae, WhatIsComposedIsCounted) {
  for (const Device d : tested_devices()) {
    if (d == Device::cpu) continue;
    const std::int64_t composed = detail::composed_maps();
    map([](const auto& x) { return x * x; }, ones({3}, f32, d));
    EXPECT_EQ(detail::composed_maps(), composed + 1);
  }
}

// Of distributions and layers, forth and back.
TEST(DeviceVae, OtherFormulasAreFused) {
  for (const Device d : tested_devices()) {
    if (d == Device::cpu) continue;
    const std::int64_t composed = detail::composed_maps();
    Generator noise(7);
    const Tensor p = leaf(rand({2, 3}, noise, f64, d));
    const distributions::Bernoulli bernoulli{.probabilities = p};
    const distributions::Normal normal{p, p + 1.0};
    const distributions::LogNormal log_normal{p, p + 1.0};
    const Tensor y = normal.cdf(p) + normal.icdf(p) + log_normal.cdf(p) + log_normal.icdf(p) +
                     bernoulli.entropy() + nn::dropout(p, 0.5, noise);
    grad(sum(y), {p});
    EXPECT_EQ(detail::composed_maps(), composed);
  }
}

// What a device finds wrong with a norm, the next call that waits tells.
TEST(DeviceVae, ClippingOnADevice) {
  for (const Device d : tested_devices()) {
    if (d == Device::cpu) continue;
    const Tensors gradients{full({4}, 1e25, f32, d), full({2}, -1, f64, d)};
    const auto clipped = optim::clip_global_norm(gradients, 1);
    EXPECT_NEAR(clipped.norm.item() / 2e25, 1, 1e-6);
    EXPECT_NEAR(clipped.gradients[0][2].item(), 0.5, 1e-6);
    EXPECT_NEAR(clipped.gradients[1][1].item() * -2e25, 1, 1e-6);
    const auto same = optim::clip_global_norm({full({4}, 0.25, f32, d)}, 1);
    EXPECT_EQ(same.gradients[0].to_vector<float>(), std::vector<float>(4, 0.25F));
    for (const double wrong : {inf, nan}) {
      optim::clip_global_norm({full({4}, wrong, f32, d)}, 1);
      EXPECT_THROW(synchronize(d), NumericError);
    }
  }
}

}  // namespace
}  // namespace gradus::test
