#include "examples/common/latent_figures.h"

#include <algorithm>

#include "examples/common/picture.h"
#include "gradus/autograd/ops.h"
#include "gradus/tensor/random.h"

namespace gradus::examples {
namespace {

constexpr std::int64_t most_rows = 10;

// Equally likely values of one coordinate.
Tensor levels(const LatentModel& model, std::int64_t count, const Tensor& like) {
  return model.quantile(linspace(0.02, 0.98, count, like.dtype(), like.device()));
}

Tensor draws(const LatentModel& model, std::int64_t count, const Tensor& like) {
  Generator generator(0);
  // Away from 0, whose quantile may be infinite.
  const Tensor u = rand({count, model.size}, generator, like.dtype(), like.device());
  return model.quantile(clamp(u, 1e-6, 1 - 1e-6));
}

// Latents of `steps` columns and a row for each of the coordinates that carry most: along it one
// coordinate moves through the prior while the others stay at those of the first image.
Tensor traversal(const LatentModel& model, const Tensor& images, std::int64_t steps) {
  std::vector<std::pair<double, std::int64_t>> order;
  const Tensor carried = model.carried(images.slice(0, 0, 500)).mean(0);
  for (const double nats : carried.to(f64).to_vector<double>())
    order.push_back({-nats, std::ssize(order)});
  std::sort(order.begin(), order.end());
  if (std::ssize(order) > most_rows) order.resize(most_rows);

  const Tensor start = model.median(images.slice(0, 0, 1)).expand({steps, model.size});
  const Tensor moving = levels(model, steps, images).unsqueeze(1);
  std::vector<Tensor> rows;
  for (const auto& [nats, axis] : order)
    rows.push_back(
        concat({start.slice(1, 0, axis), moving, start.slice(1, axis + 1, model.size)}, 1));
  return concat(rows, 0);
}

Tensor plane(const LatentModel& model, std::int64_t side, const Tensor& like) {
  const Tensor values = levels(model, side, like);
  const Tensor across = values.unsqueeze(0).expand({side, side});
  const Tensor down = flip(values, 0).unsqueeze(1).expand({side, side});
  return stack({across, down}, -1).reshape({side * side, 2});
}

}  // namespace

std::vector<Figure> latent_figures(const LatentModel& model, const Tensor& images,
                                   const LabelledImages& facts) {
  const NoGrad no_grad;
  const auto tiles = [&](const char* name, const char* caption, const Tensor& pixels, int across) {
    return Figure{name, caption,
                  encode_png(grid(pixels.to(f32).to_vector<float>(), static_cast<int>(facts.rows),
                                  static_cast<int>(facts.columns), {.columns = across}))};
  };
  const Tensor some = images.slice(0, 0, 64);
  std::vector<Figure> figures{
      tiles("reconstructions", "Test images, each beside its reconstruction.",
            stack({some, model.image(model.median(some))}, 1), 16),
      tiles("samples", "Decoded draws from the prior.", model.image(draws(model, 96, images)), 16),
      tiles("traversal",
            "Along a row one latent coordinate moves through the prior while the others stay at "
            "those "
            "of the first test image. The coordinates that carry most come first.",
            model.image(traversal(model, images, 12)), 12)};
  if (model.size == 2) {
    const auto points = model.median(images).to(f32).to_vector<float>();
    figures.push_back({"latents",
                       "Medians of the posteriors of the test images, coloured by label.",
                       encode_png(scatter(points, facts.labels))});
    figures.push_back(tiles("manifold", "A decoded grid of equally likely latents.",
                            model.image(plane(model, 20, images)), 20));
  }
  return figures;
}

}  // namespace gradus::examples
