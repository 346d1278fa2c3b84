#include "workload.h"

#include <cmath>
#include <memory>
#include <stdexcept>

namespace peers {

using namespace gradus;
using std::int64_t;

namespace {

constexpr int64_t most_floats = 8192 * 1536, most_indices = 468 * 128;

std::string title(const char* family, const std::string& name, const Shape& shape) {
  std::string text = family + ('/' + name) + '/';
  for (int i = 0; i < shape.size(); ++i) text += (i ? "x" : "") + std::to_string(shape[i]);
  return text;
}

Tensor second_operand(const Operation& operation, const Shape& shape) {
  switch (operation.second) {
    case Second::same:
      return normal(shape, 2);
    case Second::classes:
      return indices({shape[0]}, shape[1]);
    case Second::rows:
      return indices({32, 128}, shape[0]);
    default:
      return {};
  }
}

Job make(const Operation& operation, const Shape& shape, bool backward) {
  Tensor x = normal(shape, 1), y = second_operand(operation, shape);
  const auto f = operation.f;
  if (!backward) return {[=] { f(x, y); }, probe(f(x, y))};
  std::vector<Tensor> leaves{x.requires_grad_()};
  if (operation.second == Second::same) leaves.push_back(y.requires_grad_());
  const Tensor g = normal(f(x, y).shape(), 2);
  const auto gradients = [=] { return grad(f(x, y), leaves, {.grad_output = g}); };
  return {[=] { gradients(); }, probe(gradients())};
}

void add(std::vector<Workload>& list, const char* family, const std::vector<Operation>& operations,
         const std::vector<Shape>& shapes) {
  for (const Operation& operation : operations)
    for (const Shape& shape : shapes)
      for (const bool backward : {false, true}) {
        if (backward && operation.arrays_backward < 0) continue;
        const double arrays = operation.arrays + (backward ? operation.arrays_backward : 0);
        const int64_t n = shape.numel();
        list.push_back({title(family, operation.name, shape) + (backward ? "/backward" : ""), 0,
                        static_cast<int64_t>(4 * arrays * static_cast<double>(n)), n,
                        [=] { return make(operation, shape, backward); }});
      }
}

// (m, k) times (k, n); `how` says as BLAS does which operand is stored
// transposed.
void add_product(std::vector<Workload>& list, const std::string& how, int64_t m, int64_t n,
                 int64_t k, int64_t batch = 0) {
  const Shape shape = batch ? Shape{m, n, k, batch} : Shape{m, n, k};
  const double flops = 2.0 * static_cast<double>(m * n * k * (batch ? batch : 1));
  list.push_back({title("product", how, shape), flops, 0, 0, [=] {
                    const auto operand = [&](int64_t rows, int64_t columns, bool transposed,
                                             std::uint64_t seed) {
                      Shape stored{rows, columns};
                      if (transposed) stored = {columns, rows};
                      if (batch) stored.insert(0, batch);
                      const Tensor x = normal(stored, seed);
                      return transposed ? x.transpose(-2, -1) : x;
                    };
                    const Tensor a = operand(m, k, how[0] == 't', 1);
                    const Tensor b = operand(k, n, how[1] == 't', 2);
                    return Job{[=] { matmul(a, b); }, probe(matmul(a, b))};
                  }});
}

void add_random(std::vector<Workload>& list, const char* name,
                Tensor (*draw)(const Shape&, Generator&, DType)) {
  for (const int64_t n : {1000000, 10000000})
    list.push_back({title("random", name, {n}), 0, 4 * n, n, [=] {
                      Generator generator(1);
                      return Job{[=]() mutable { draw({n}, generator, DType::f32); }, {}};
                    }});
}

void add_adam(std::vector<Workload>& list) {
  for (const int64_t n : {1000000, 10000000})
    list.push_back({title("optim", "adam", {n}), 0, 4 * 7 * n, n, [=] {
                      Tensor parameter = normal({n}, 1);
                      const std::vector<Tensor> gradients{normal({n}, 2)};
                      const auto adam = std::make_shared<optim::Adam>(
                          std::vector<Tensor>{parameter.requires_grad_()});
                      adam->step(gradients);
                      return Job{[=] { adam->step(gradients); }, probe(parameter)};
                    }});
}

}  // namespace

Tensor normal(const Shape& shape, std::uint64_t seed) {
  Generator generator(seed);
  return randn(shape, generator);
}

Tensor indices(const Shape& shape, int64_t limit) {
  Generator generator(3);
  auto values = randint(0, 1 << 20, shape, generator).to_vector<int64_t>();
  for (int64_t& value : values) value %= limit;
  return from_vector(values, shape);
}

std::vector<double> probe(const Tensor& tensor) {
  const std::vector<float> all = tensor.detach().to_vector<float>();
  std::vector<double> values;
  for (std::size_t i = 0; i < 5; ++i) values.push_back(all[i * (all.size() - 1) / 4]);
  double squares = 0;
  for (const double value : all) squares += value * value;
  values.push_back(std::sqrt(squares));
  return values;
}

std::vector<double> probe(const std::vector<Tensor>& tensors) {
  std::vector<double> values;
  for (const Tensor& tensor : tensors)
    for (const double value : probe(tensor)) values.push_back(value);
  return values;
}

namespace {

#define GRADUS_F(...) [](const Tensor& x, [[maybe_unused]] const Tensor& y) { return __VA_ARGS__; }

struct Family {
  const char* name;
  std::vector<Operation> operations;
  std::vector<Shape> shapes;
};

// Backward, a map reads the incoming gradient and an operand, and writes a
// gradient; the gradients of a sum are the incoming one.
const std::vector<Family>& families() {
  static const std::vector<Family> all{
      {"map",
       {{"add", GRADUS_F(x + y), 3, 0, Second::same},
        {"mul", GRADUS_F(x * y), 3, 5, Second::same},
        {"relu", GRADUS_F(relu(x)), 2, 3},
        {"exp", GRADUS_F(exp(x)), 2, 3},
        {"sigmoid", GRADUS_F(sigmoid(x)), 2, 3},
        {"tanh", GRADUS_F(tanh(x)), 2, 3},
        {"gelu", GRADUS_F(gelu(x)), 2, 3},
        {"gelu_tanh", GRADUS_F(gelu(x, Gelu::tanh)), 2, 3},
        {"gelu_sigmoid", GRADUS_F(gelu(x, Gelu::sigmoid)), 2, 3}},
       {{1000000}, {10000000}}},
      {"rows",
       {{"softmax", GRADUS_F(softmax(x, -1)), 2, 3},
        {"log_softmax", GRADUS_F(log_softmax(x, -1)), 2, 3}},
       {{4096, 128}, {2048, 512}}},
      {"rows",
       {{"cross_entropy", GRADUS_F(cross_entropy(x, y)), 1, 2, Second::classes}},
       {{4096, 65}, {1024, 8192}}},
      {"reduce",
       {{"sum_all", GRADUS_F(sum(x)), 1, -1},
        {"sum_last", GRADUS_F(sum(x, -1)), 1, -1},
        {"sum_first", GRADUS_F(sum(x, 0)), 1, -1},
        {"mean_last", GRADUS_F(mean(x, -1)), 1, -1},
        {"max_last", GRADUS_F(max(x, -1)), 1, 2}},
       {{1000, 1000}, {4096, 2560}}},
      {"move",
       {{"copy", GRADUS_F(x.clone()), 2, -1}, {"transpose", GRADUS_F(x.t().contiguous()), 2, -1}},
       {{1000, 1000}, {4096, 2560}}},
      {"move", {{"embedding", GRADUS_F(embedding(x, y)), 8.2, 5.1, Second::rows}}, {{1000, 128}}}};
  return all;
}

}  // namespace

const Operation& operation(const std::string& name) {
  for (const Family& family : families())
    for (const Operation& operation : family.operations)
      if (operation.name == name) return operation;
  throw std::invalid_argument("no operation has the name " + name);
}

std::vector<Workload> operations() {
  std::vector<Workload> list;
  for (const Family& family : families()) add(list, family.name, family.operations, family.shapes);
  add_random(list, "randn", [](const Shape& s, Generator& g, DType t) { return randn(s, g, t); });
  add_random(list, "rand", [](const Shape& s, Generator& g, DType t) { return rand(s, g, t); });
  add_adam(list);
  for (const int64_t n : {16, 64, 128, 256, 512, 1024, 2048}) add_product(list, "nn", n, n, n);
  add_product(list, "nt", 128, 512, 784);    // a linear layer, forward
  add_product(list, "nn", 128, 784, 512);    // its input's gradient
  add_product(list, "tn", 512, 784, 128);    // its weight's
  add_product(list, "nt", 128, 10, 784);     // logistic regression
  add_product(list, "tn", 10, 784, 128);     // its gradient
  add_product(list, "nt", 4096, 384, 128);   // a transformer's projection
  add_product(list, "tn", 384, 128, 4096);   // its gradient
  add_product(list, "nt", 8192, 1536, 384);  // a wide transformer's
  add_product(list, "tn", 1536, 384, 8192);
  add_product(list, "nn", 64, 64, 64, 512);  // attention
  add_product(list, "nt", 256, 256, 64, 48);
  return list;
}

std::vector<Workload> overheads() {
  std::vector<Workload> list;
  for (const bool recorded : {false, true})
    list.push_back({recorded ? "overhead/add_16_recorded" : "overhead/add_16", 0, 0, 0, [=] {
                      Tensor x = normal({16}, 1);
                      const Tensor y = normal({16}, 2);
                      x.requires_grad_(recorded);
                      return Job{[=] { x + y; }, probe(x + y)};
                    }});
  for (const bool backward : {false, true})
    list.push_back(
        {backward ? "overhead/chain_1000/backward" : "overhead/chain_1000", 0, 0, 0, [=] {
           Tensor x = normal({16}, 1).requires_grad_();
           const Tensor y = normal({16}, 2);
           const auto run = [=] {
             Tensor z = x;
             for (int i = 0; i < 1000; ++i) z = z + y;
             return backward ? grad(std::move(z), {x}, {.grad_output = y})[0] : z;
           };
           return Job{[=] { run(); }, probe(run())};
         }});
  list.push_back({"overhead/mlp_16_8_1", 0, 0, 0, perceptron});
  return list;
}

void export_numbers(const std::filesystem::path& folder) {
  save_npy(folder / "normal1.npy", normal({most_floats}, 1));
  save_npy(folder / "normal2.npy", normal({most_floats}, 2));
  save_npy(folder / "indices.npy", indices({most_indices}, 1 << 20));
}

}  // namespace peers
