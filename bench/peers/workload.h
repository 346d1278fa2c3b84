// What gradus_peers measures. A workload is known to all peers by its name; its
// numbers come from functions that --export writes down for them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "gradus/gradus.h"

namespace peers {

struct Job {
  std::function<void()> call;
  std::vector<double> check;  // taken before the first call
};

struct Workload {
  std::string name;
  double flops = 0;  // of the matrix products of a call, or
  std::int64_t bytes = 0,
               floats = 0;  // what it moves, and the size of the copy it is held against
  std::function<Job()> make;
};

// The second operand of an operation: none, one like the first, a class for each row, or 32x128
// indices of rows.
enum class Second { none, same, classes, rows };

struct Operation {
  std::string name;
  gradus::Tensor (*f)(const gradus::Tensor& x, const gradus::Tensor& y);
  double arrays,
      arrays_backward;  // of x's size, moved forward and, in addition, backward; below 0: not done
  Second second = Second::none;
};
// "gelu_tanh"; another name throws std::invalid_argument.
const Operation& operation(const std::string& name);

// Standard normal numbers and indices. The numbers of a smaller size begin
// those of a larger one.
gradus::Tensor normal(const gradus::Shape& shape, std::uint64_t seed);
gradus::Tensor indices(const gradus::Shape& shape, std::int64_t limit);

// Five elements, evenly spaced from the first to the last, and the Euclidean norm of all.
std::vector<double> probe(const gradus::Tensor& tensor);
std::vector<double> probe(const std::vector<gradus::Tensor>& tensors);

std::vector<Workload> operations();
std::vector<Workload> overheads();
std::vector<Workload> trainings();

// Numbers, weights and data as .npy files.
void export_numbers(const std::filesystem::path& folder);
void export_models(const std::filesystem::path& folder);

// The first loss and its gradients of a perceptron, what a fresh process is
// measured at.
Job perceptron();

}  // namespace peers
