// Anomaly mode names the first operation that makes a NaN or an infinity, forward or backward.
#include <algorithm>
#include <set>

#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

// One of the operations, and the file.
testing::AssertionResult reports(const std::set<std::string>& operations, const std::string& file,
                                 const std::function<void()>& call) {
  try {
    call();
  } catch (const NumericError& e) {
    const std::string text = e.what();
    if (std::none_of(operations.begin(), operations.end(),
                     [&](const std::string& name) { return text.find(name + ": ") < 32; }))
      return testing::AssertionFailure() << "does not name the operation: " << text;
    if (text.find(file) == std::string::npos)
      return testing::AssertionFailure() << "does not name " << file << ": " << text;
    return testing::AssertionSuccess();
  } catch (const std::exception& e) {
    return testing::AssertionFailure() << "another error: " << e.what();
  }
  return testing::AssertionFailure() << "no error";
}

TEST(Anomaly, NamesThePlaceForward) {
  const AnomalyMode on;
  const Tensor x = leaf(from_vector(std::vector<double>{1, 0, -1}));
  const std::string line = "anomaly_test.cpp:" + std::to_string(__LINE__ + 1);
  EXPECT_TRUE(reports({"log"}, line, [&] { sum(exp(log(x) * 2.0)); }));
  EXPECT_NO_THROW(log(x.slice(0, 0, 1)));
  EXPECT_TRUE(reports({"div"}, "anomaly_test.cpp", [&] { x / x.detach(); }));
  EXPECT_TRUE(reports({"exp"}, "anomaly_test.cpp", [&] { exp(x * 1e4); }));
}

// sqrt(0) is fine, its derivative is not: found in the walk, with the place of the forward call.
TEST(Anomaly, NamesThePlaceBackward) {
  const AnomalyMode on;
  const Tensor x = leaf(from_vector(std::vector<double>{1, 0}));
  const Tensor y = sum(sqrt(x) * 2.0);
  const std::string line = "anomaly_test.cpp:" + std::to_string(__LINE__ - 1);
  EXPECT_TRUE(reports({"sqrt"}, line, [&] { grad(y, {x}); }));
}

TEST(Anomaly, IsOffAgainAfterwardsAndPerThread) {
  const Tensor zero = zeros({2});
  {
    const AnomalyMode on;
    EXPECT_THROW(log(zero), NumericError);
    { const AnomalyMode again; }
    EXPECT_THROW(log(zero), NumericError);
  }
  EXPECT_NO_THROW(log(zero));
}

TEST(Anomaly, ErrorsAreGradusErrors) {
  const AnomalyMode on;
  EXPECT_THROW(log(zeros({2})), Error);
}

// What a row is made of; its first operation to see the NaN is the one to be named.
std::set<std::string> operations_of(const Tensor& y) {
  std::set<std::string> names;
  each_node(y, [&](const Node& n) {
    if (!n.is_leaf()) names.insert(n.name);
  });
  return names;
}

// A NaN in an input of any row is found there: the operation, and the file of the row.
TEST(Anomaly, ForwardOfEveryRow) {
  for_rows_on_cpu([](const Row& row) {
    if (!row.differentiable) return;
    const Tensors values = sample(row, 0);
    for (std::size_t k = row.matrices ? 1 : 0; k < values.size(); ++k) {
      Tensors x = leaves(values);
      x[k] = leaf(full(values[k].shape(), nan, f64));
      {
        const NoGrad off;
        bool any = false;
        for (double v : doubles(row.f(x))) any |= !std::isfinite(v);
        if (!any) continue;  // gone: a clamp, a choice, a power of 0
      }
      const std::set<std::string> names = operations_of(row.f(x));
      const AnomalyMode on;
      EXPECT_TRUE(reports(names, "_test.cpp", [&] { row.f(x); })) << "input " << k;
    }
  });
}

// A NaN that enters with the gradient is found in the rule it reaches first.
TEST(Anomaly, BackwardOfEveryRow) {
  for_rows_on_cpu([](const Row& row) {
    if (!row.differentiable) return;
    const Tensors x = leaves(sample(row, 0));
    const Tensor y = row.f(x);
    const Tensor g = full(y.shape(), nan, f64);
    bool any = false;
    for (const Tensor& d : grad(y, x, {.grad_output = g}))
      for (double v : doubles(d)) any |= !std::isfinite(v);
    if (!any) return;
    const AnomalyMode on;
    EXPECT_TRUE(reports(operations_of(y), "_test.cpp", [&] { grad(y, x, {.grad_output = g}); }));
  });
}

}  // namespace
}  // namespace gradus::test
