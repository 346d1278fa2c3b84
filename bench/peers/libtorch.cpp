// PyTorch from C++: what an operation costs beside its arithmetic, without Python in the way.
// compare.py compiles it against the libraries of the Python package.
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <functional>

#include "sampling.h"

namespace {

using torch::Tensor;

struct Job {
  std::function<void()> call;
  std::vector<double> check;
};

// Numbers of the .npy file of f32 that gradus_peers wrote.
Tensor load(const std::string& path, at::IntArrayRef shape) {
  std::ifstream file(path, std::ios::binary);
  std::string head(10, ' ');
  file.read(head.data(), 10);
  file.ignore(static_cast<unsigned char>(head[8]) + 256 * static_cast<unsigned char>(head[9]));
  Tensor x = torch::empty(shape);
  file.read(static_cast<char*>(x.data_ptr()), static_cast<std::streamsize>(x.nbytes()));
  TORCH_CHECK(file, path, ": cannot be read");
  return x;
}

std::vector<double> probe(const std::vector<Tensor>& tensors) {
  std::vector<double> values;
  for (const Tensor& tensor : tensors) {
    const Tensor flat = tensor.detach().reshape(-1);
    for (int i = 0; i < 5; ++i) values.push_back(flat[i * (flat.numel() - 1) / 4].item<double>());
    values.push_back(flat.to(torch::kDouble).norm().item<double>());
  }
  return values;
}

Job add_16(const std::string& folder, bool recorded) {
  const Tensor x = load(folder + "/normal1.npy", {16}), y = load(folder + "/normal2.npy", {16});
  x.requires_grad_(recorded);
  return {[=] { x + y; }, probe({x + y})};
}

Job chain_1000(const std::string& folder, bool backward) {
  const Tensor x = load(folder + "/normal1.npy", {16}), y = load(folder + "/normal2.npy", {16});
  x.requires_grad_();
  const auto run = [=] {
    Tensor z = x;
    for (int i = 0; i < 1000; ++i) z = z + y;
    return backward ? torch::autograd::grad({z}, {x}, {y})[0] : z;
  };
  return {[=] { run(); }, probe({run()})};
}

Job perceptron(const std::string& folder) {
  const std::string layer = folder + "/mlp.layers.";
  std::vector<Tensor> p{load(layer + "0.weight.npy", {8, 16}), load(layer + "0.bias.npy", {8}),
                        load(layer + "1.weight.npy", {1, 8}), load(layer + "1.bias.npy", {1})};
  for (const Tensor& parameter : p) parameter.requires_grad_();
  const Tensor x = load(folder + "/normal1.npy", {4, 16});
  const Tensor target = load(folder + "/normal2.npy", {4, 1});
  const auto run = [=] {
    const Tensor y = at::linear(at::relu(at::linear(x, p[0], p[1])), p[2], p[3]);
    return torch::autograd::grad({at::mse_loss(y, target)}, p);
  };
  return {[=] { run(); }, probe(run())};
}

}  // namespace

// Usage: libtorch_peer --data FOLDER [--threads N] [--samples N] [--seconds S] NAME...
int main(int argc, char** argv) {
  peers::Sampling sampling;
  int threads = 1;
  std::string folder;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto measure = [&](const Job& job) {
      at::set_num_threads(threads);
      peers::print_line(word, "libtorch", threads, peers::measure(sampling, job.call), job.check);
    };
    if (word == "--data" && ++i < argc)
      folder = argv[i];
    else if (word == "--threads" && ++i < argc)
      threads = std::atoi(argv[i]);
    else if (word == "--samples" && ++i < argc)
      sampling.samples = std::atoi(argv[i]);
    else if (word == "--seconds" && ++i < argc)
      sampling.seconds = std::atof(argv[i]);
    else if (word == "overhead/add_16" || word == "overhead/add_16_recorded")
      measure(add_16(folder, word.ends_with("recorded")));
    else if (word == "overhead/chain_1000" || word == "overhead/chain_1000/backward")
      measure(chain_1000(folder, word.ends_with("backward")));
    else if (word == "overhead/mlp_16_8_1")
      measure(perceptron(folder));
  }
}
