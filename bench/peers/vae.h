// The variational autoencoder that all peers train, on 28x28 pictures.
#pragma once

#include "gradus/gradus.h"

namespace peers {

struct VAE {
  static constexpr std::int64_t batch = 128, pixels = 784, hidden = 400, latent = 20;

  gradus::nn::Linear encode, to_mean, to_log_variance, decode, to_pixels;

  explicit VAE(gradus::Generator generator)
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

  gradus::Tensor loss(const gradus::Tensor& x, const gradus::Tensor& noise) const {
    const gradus::Tensor h = relu(encode(x)), mean = to_mean(h), log_variance = to_log_variance(h);
    const gradus::Tensor logits = to_pixels(relu(decode(mean + noise * exp(0.5 * log_variance))));
    const gradus::Tensor kl = 0.5 * sum(square(mean) + exp(log_variance) - log_variance - 1);
    return (binary_cross_entropy_with_logits(logits, x, {gradus::Reduction::sum}) + kl) / batch;
  }
};

}  // namespace peers
