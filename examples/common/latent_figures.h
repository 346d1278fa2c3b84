// Pictures of what an autoencoder of grey images has learnt.
#pragma once

#include <functional>
#include <vector>

#include "examples/common/images.h"
#include "examples/common/report.h"
#include "gradus/tensor/tensor.h"

namespace gradus::examples {

// The latent coordinates are independent under the prior, and all alike.
struct LatentModel {
  std::int64_t size = 0;                                  // coordinates of a latent
  std::function<Tensor(const Tensor& u)> quantile;        // of a coordinate under the prior
  std::function<Tensor(const Tensor&x)> median, carried;  // (n, pixels) -> (n, size); nats
  std::function<Tensor(const Tensor& z)> image;           // (n, size) -> (n, pixels), 0 to 1
};

// Reconstructions of `images` (n, pixels), draws from the prior, a traversal; with two coordinates
// also the latents of all images and the images of a grid of latents. `facts` are the same images'.
std::vector<Figure> latent_figures(const LatentModel& model, const Tensor& images,
                                   const LabelledImages& facts);

}  // namespace gradus::examples
