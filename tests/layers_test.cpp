// Linear, MLP, Embedding, Dropout.
#include "gradus/nn/dropout.h"
#include "gradus/nn/embedding.h"
#include "gradus/nn/linear.h"
#include "gradus/nn/mlp.h"
#include "gradus/tests/support.h"

namespace gradus::test {
namespace {

TEST(Layers, LinearIsXTimesWTransposedPlusB) {
  Generator generator(1);
  nn::Linear layer(3, 2, generator, {.dtype = f64});
  EXPECT_EQ(layer.weight.shape(), (Shape{2, 3}));
  layer.weight.copy_(from_vector<double>({1, 2, 3, 4, 5, 6}, Shape{2, 3}));
  layer.bias.copy_(from_vector<double>({10, 20}));
  const Tensor y = layer(from_vector<double>({1, 0, -1, 2, 1, 0}, Shape{2, 3}));
  EXPECT_EQ(doubles(y), (std::vector<double>{8, 18, 14, 33}));
  EXPECT_EQ(layer(ones({4, 5, 3}, f64)).shape(), (Shape{4, 5, 2}));
  layer.bias = {};
  EXPECT_EQ(doubles(layer(ones({1, 3}, f64))), (std::vector<double>{6, 15}));
}

TEST(Layers, LinearStartsUniformWithinOneOverRootIn) {
  Generator generator(1);
  const nn::Linear layer(400, 300, generator);
  for (const Tensor& t : {layer.weight, layer.bias}) {
    EXPECT_TRUE(t.requires_grad());
    EXPECT_LE(max(abs(t)).item(), 0.05);
    EXPECT_GT(max(t).item(), 0.048);
    EXPECT_LT(min(t).item(), -0.048);
  }
  EXPECT_NEAR(var(layer.weight).item(), 0.05 * 0.05 / 3, 1e-5);
  const nn::Linear bare(4, 3, generator, {.bias = false});
  EXPECT_FALSE(bare.bias.defined());
}

TEST(Layers, SameSeedSameWeights) {
  Generator a(5), b(5), c(6);
  const nn::Linear x(7, 5, a), y(7, 5, b), z(7, 5, c);
  EXPECT_TRUE(same_bits(x.weight.detach(), y.weight.detach()));
  EXPECT_TRUE(same_bits(x.bias.detach(), y.bias.detach()));
  EXPECT_FALSE(same_bits(x.weight.detach(), z.weight.detach()));
}

TEST(Layers, MlpIsLinearAndActivationInTurn) {
  Generator generator(2);
  const nn::MLP mlp({3, 8, 8, 2}, generator, {.activation = gradus::tanh, .dtype = f64});
  const Tensor x = randn({5, 3}, generator, f64);
  const Tensor wanted = mlp.layers[2](gradus::tanh(mlp.layers[1](gradus::tanh(mlp.layers[0](x)))));
  EXPECT_TRUE(same_bits(mlp(x).detach(), wanted.detach()));
  EXPECT_EQ(nn::named_tensors(mlp)[2].first, "layers.1.weight");
  EXPECT_EQ(nn::parameter_count(mlp), 3 * 8 + 8 + 8 * 8 + 8 + 8 * 2 + 2);
  const nn::MLP gelus({3, 4, 2}, generator, {.activation = [](At t) { return gelu(t); }});
  EXPECT_EQ(gelus(ones({1, 3})).shape(), (Shape{1, 2}));
}

TEST(Layers, EmbeddingPicksRows) {
  Generator generator(3);
  const nn::Embedding table(5, 4, generator);
  const Tensor y = table(from_vector<std::int64_t>({3, 0, 3, 1}, Shape{2, 2}));
  EXPECT_EQ(y.shape(), (Shape{2, 2, 4}));
  EXPECT_TRUE(same_bits(y[0][0].detach(), table.weight[3].detach()));
  const std::vector<Tensor> g = grad(sum(y), {table.weight});
  EXPECT_EQ(doubles(sum(g[0], 1)), (std::vector<double>{4, 4, 0, 8, 0}));
}

TEST(Layers, DropoutKeepsTheMeanAndTheSeedKeepsTheMask) {
  Generator a(4), b(4);
  const Tensor x = full({100000}, 2.0);
  const Tensor y = nn::dropout(x, 0.25, a);
  std::int64_t zeros = 0;
  for (const float v : y.to_vector<float>()) {
    if (v == 0)
      ++zeros;
    else
      ASSERT_FLOAT_EQ(v, 2 / 0.75f);
  }
  EXPECT_NEAR(static_cast<double>(zeros), 25000, 5 * std::sqrt(1e5 * 0.25 * 0.75));
  EXPECT_TRUE(same_bits(y, nn::dropout(x, 0.25, b)));
  EXPECT_FALSE(same_bits(y, nn::dropout(x, 0.25, b)));
}

TEST(Layers, DropoutPassesTheGradientOfWhatItKept) {
  Generator generator(4);
  const Tensor x = leaf(full({1000}, 2.0, f64));
  const Tensor y = nn::dropout(x, 0.5, generator);
  EXPECT_EQ(saved_bytes(y), 1000);  // the mask alone
  const Tensor g = grad(sum(y), {x})[0];
  EXPECT_TRUE(close(g, y.detach() / 2.0, 0));
  // What is dropped leaves no trace, whatever it was.
  const Tensor bad = nn::dropout(full({1000}, nan), 0.5, generator);
  EXPECT_TRUE(any(equal(bad, 0)).item<bool>());
}

TEST(Layers, DropoutDoesNothingInEvalOrAtZero) {
  Generator generator(4);
  const Tensor x = ones({10});
  const nn::Dropout layer{0.5};
  EXPECT_EQ(layer(x, generator, nn::Mode::eval).handle(), x.handle());
  EXPECT_EQ(nn::dropout(x, 0, generator).handle(), x.handle());
  EXPECT_EQ(generator.offset(), 0u);
  EXPECT_FALSE(same_bits(layer(x, generator, nn::Mode::train), x));
}

TEST(Layers, RefuseBadInput) {
  Generator generator(1);
  const nn::Linear layer(3, 2, generator);
  EXPECT_TRUE(throws("linear", "(4, 5)", [&] { layer(ones({4, 5})); }));
  EXPECT_TRUE(throws("Linear", "0 -> 2", [&] { nn::Linear(0, 2, generator); }));
  EXPECT_TRUE(throws("MLP", "two sizes", [&] { nn::MLP({3}, generator); }));
  EXPECT_TRUE(throws("MLP", "needs an activation", [&] {
    nn::MLP({3, 4}, generator, {.activation = nullptr});
  }));
  EXPECT_TRUE(throws("MLP", "before it was given layers", [] { nn::MLP()(ones({1})); }));
  EXPECT_TRUE(throws("Embedding", "-1 rows", [&] { nn::Embedding(-1, 2, generator); }));
  EXPECT_TRUE(throws("dropout", "[0, 1): 1", [&] { nn::dropout(ones({1}), 1, generator); }));
  EXPECT_TRUE(throws("dropout", "[0, 1)", [&] { nn::dropout(ones({1}), nan, generator); }));
  EXPECT_TRUE(throws("dropout", "[0, 1)",
                     [&] { nn::Dropout{-0.5}(ones({1}), generator, nn::Mode::eval); }));
  EXPECT_ANY_THROW(nn::Linear()(ones({1, 3})));
}

}  // namespace
}  // namespace gradus::test
