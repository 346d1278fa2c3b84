// A stranger's program: fits a plane, reads a formula of its own, catches an error across the edge
// of the library.
#include <gradus/gradus.h>

#include <cmath>
#include <cstdio>
#include <string>

int main() {
  using namespace gradus;
  Generator generator{7};
  const Tensor x = randn({256, 3}, generator);
  const Tensor truth = from_vector(std::vector{2.0f, -1.0f, 0.5f}, Shape{3, 1});
  const Tensor y = matmul(x, truth) + 0.25;

  Tensor weight = zeros({3, 1}).requires_grad_(), bias = zeros({1}).requires_grad_();
  double loss_now = 0;
  for (int step = 0; step < 200; ++step) {
    const Tensor loss = mse_loss(matmul(x, weight) + bias, y);
    const auto g = grad(loss, {weight, bias});
    loss_now = loss.item();
    NoGrad off;
    weight = (weight - g[0] * 0.1).detach().requires_grad_();
    bias = (bias - g[1] * 0.1).detach().requires_grad_();
  }
  // A formula of one's own is compiled for every instruction set, from this file.
  const Tensor cube = map([](auto v) { return v * v * v; }, from_vector(std::vector{2.0f}));

  bool caught = false;
  try {
    matmul(x, y);
  } catch (const Error& error) {
    caught = std::string(error.what()).find("matmul: ") == 0;
  }
  std::printf("loss %.3g, bias %.3f\n", loss_now, bias.item());
  return loss_now < 1e-6 && std::abs(bias.item() - 0.25) < 1e-3 && cube.item() == 8 && caught ? 0
                                                                                              : 1;
}
