// Wrong calls: an Error that begins with the operation's name, never a crash, never a wrong result.
#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

TEST(Errors, WrongCallsOfEveryRow) {
  int cases = 0;
  for_rows_on_cpu([&](const Row& row) {
    for (std::size_t i = 0; i < row.misuses.size(); ++i) {
      ++cases;
      EXPECT_TRUE(throws(row.name, row.misuses[i].rule, row.misuses[i].call)) << "case " << i;
    }
  });
  EXPECT_GT(cases, 120);
}

// Rows whose function makes further operations of its inputs: those answer under their own name.
bool calls_others_first(const Row& row) {
  if (row.matrices) return true;
  for (const char* name : {"logical_and", "logical_or", "logical_not", "isfinite", "isnan", "any",
                           "all", "where", "split", "one_hot", "all_close"})
    if (row.name == name) return true;
  return false;
}

TEST(Errors, UndefinedInputs) {
  for_rows_on_cpu([](const Row& row) {
    if (calls_others_first(row) || row.name == "gather" || row.name == "scatter_add" ||
        row.name == "index_select" || row.name == "embedding" || row.name == "cross_entropy" ||
        row.name == "nll_loss")
      return;
    const Tensors x = sample(row, 0);
    for (std::size_t k = 0; k < x.size(); ++k) {
      if ((row.name == "linear" || row.name == "conv2d") && k == 2) continue;  // no bias
      Tensors broken = x;
      broken[k] = Tensor();
      EXPECT_TRUE(throws(row.name, "undefined", [&] { row.f(broken); })) << "input " << k;
    }
  });
}

TEST(Errors, UndefinedInputsOfTheRest) {
  const Tensor none, x = ones({2, 3}), b = ones({2, 3}, boolean);
  const Tensor ids = zeros({2}, i64), ids2 = zeros({1, 3}, i64);
  const auto undefined = [](const char* name, const std::function<void()>& call) {
    EXPECT_TRUE(throws(name, "undefined", call)) << name;
  };
  undefined("logical_and", [&] { logical_and(none, b); });
  undefined("logical_or", [&] { logical_or(b, none); });
  undefined("logical_not", [&] { logical_not(none); });
  undefined("isfinite", [&] { isfinite(none); });
  undefined("isnan", [&] { isnan(none); });
  undefined("any", [&] { any(none); });
  undefined("all", [&] { all(none); });
  undefined("where", [&] { where(none, x, x); });
  undefined("where", [&] { where(b, none, x); });
  undefined("where", [&] { where(b, x, none); });
  undefined("where", [&] { where(b, none, 1.0); });
  undefined("split", [&] { split(none, 2, 0); });
  undefined("split", [&] { split(none, Shape{1, 1}, 0); });
  undefined("one_hot", [&] { one_hot(none, 3); });
  undefined("all_close", [&] { all_close(none, x); });
  undefined("all_close", [&] { all_close(x, none); });
  undefined("gather", [&] { gather(none, 0, ids2); });
  undefined("gather", [&] { gather(x, 0, none); });
  undefined("index_select", [&] { index_select(none, 0, ids); });
  undefined("index_select", [&] { index_select(x, 0, none); });
  undefined("scatter_add", [&] { scatter_add(none, 0, ids2, ones({1, 3})); });
  undefined("scatter_add", [&] { scatter_add(x, 0, none, ones({1, 3})); });
  undefined("scatter_add", [&] { scatter_add(x, 0, ids2, none); });
  undefined("embedding", [&] { embedding(none, ids); });
  undefined("embedding", [&] { embedding(x, none); });
  undefined("cross_entropy", [&] { cross_entropy(none, ids); });
  undefined("cross_entropy", [&] { cross_entropy(x, none); });
  undefined("nll_loss", [&] { nll_loss(none, ids); });
  undefined("nll_loss", [&] { nll_loss(x, none); });
  undefined("concat", [&] { concat({x, none}, 0); });
  undefined("stack", [&] { stack({none, x}, 0); });
}

// Operations of numbers take floating dtypes only (bf16_test.cpp has those of bf16), and never mix
// them.
TEST(Errors, OtherDtypes) {
  for_rows_on_cpu([](const Row& row) {
    if (row.any_dtype || calls_others_first(row) || row.name == "argmax") return;
    const bool integers =
        row.name == "add" || row.name == "sub" || row.name == "mul" || row.name == "sum" ||
        row.name == "sum_to" || row.name == "pad" || row.name == "tril" || row.name == "triu" ||
        row.name == "cumsum" || row.name == "neg" || row.name == "abs" || row.name == "sign" ||
        row.name == "max" || row.name == "min" || row.name == "prod" || row.name == "gather" ||
        row.name == "index_select" || row.name == "scatter_add" || row.name == "embedding";
    for (DType dtype : {u8, boolean}) {
      if (integers) continue;
      Tensors x;
      for (const Tensor& t : sample(row, 0)) x.push_back(t.to(dtype));
      EXPECT_TRUE(throws(row.name, name(dtype), [&] { row.f(x); })) << dtype;
    }
    if (row.calls[0].size() < 2) return;
    Tensors mixed = sample(row, 0);
    mixed[1] = mixed[1].to(f32);
    EXPECT_TRUE(throws(row.name, "f32", [&] { row.f(mixed); }));
  });
}

TEST(Errors, NothingIsLeftHalfDone) {
  const Tensor a = leaf(ones({2, 3})), b = leaf(ones({2, 4}));
  EXPECT_THROW(a + b, Error);
  EXPECT_EQ(saved_bytes(a * 2.0), 0);  // bytes noted before the error belong to no later operation
  EXPECT_THROW(matmul(a, a), Error);
  EXPECT_EQ(saved_bytes(a + 1.0), 0);
}

TEST(Errors, MembersAndTensors) {
  const Tensor x = zeros({2, 3});
  EXPECT_THROW(x.item(), Error);
  EXPECT_THROW(x[2], Error);
  EXPECT_THROW(x[-3], Error);
  EXPECT_THROW(x.size(2), Error);
  EXPECT_THROW(x.data<double>(), Error);
  EXPECT_THROW(x.unsqueeze(4), Error);
  EXPECT_THROW(x.squeeze(0), Error);
  EXPECT_THROW(x.flatten(1, 0), Error);
  EXPECT_THROW(zeros({3}).t(), Error);
  EXPECT_THROW(Tensor().shape(), Error);
  EXPECT_THROW(Tensor().requires_grad(), Error);
  EXPECT_THROW(zeros({2}, i64).requires_grad_(), Error);
  EXPECT_THROW(zeros({-1}), Error);
  EXPECT_THROW(zeros({std::int64_t{1} << 40, std::int64_t{1} << 40}), Error);
  EXPECT_THROW(zeros({0, std::int64_t{1} << 40, std::int64_t{1} << 40}), Error);
}

}  // namespace
}  // namespace gradus::test
