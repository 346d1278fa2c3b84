// Layers of networks: attention with heads, transformers, convolution, norms as layers.
#include "gradus/nn/transformer.h"

#include "gradus/autograd/check.h"
#include "gradus/autograd/graphed.h"
#include "gradus/autograd/probe.h"
#include "gradus/nn/conv.h"
#include "gradus/nn/optim.h"
#include "gradus/tests/files.h"
#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

nn::TransformerOptions tiny(DType dtype = f64, std::int64_t key_heads = 0) {
  return {.vocabulary = 11,
          .context = 9,
          .size = 8,
          .heads = 4,
          .layers = 2,
          .key_heads = key_heads,
          .dtype = dtype};
}
Tensor some_ids(std::int64_t batch, std::int64_t time, std::uint64_t seed = 3) {
  Generator generator(seed);
  return randint(0, 11, {batch, time}, generator);
}

TEST(Transformer, OnePassIsTokenByToken) {
  const NoGrad off;
  for (const std::int64_t key_heads : {0, 2, 1})
    for (const DType dtype : {f32, f64}) {
      Generator generator(1);
      const nn::Transformer model(tiny(dtype, key_heads), generator);
      const Tensor ids = some_ids(2, 9), whole = model(ids);
      EXPECT_EQ(whole.shape(), (Shape{2, 9, 11}));
      nn::Transformer::Cache cache;
      std::vector<Tensor> steps;
      for (std::int64_t t = 0; t < 9; ++t) steps.push_back(model(ids.slice(1, t, t + 1), cache));
      EXPECT_EQ(cache[1].length(), 9);
      EXPECT_TRUE(close(concat(steps, 1), whole, dtype == f64 ? 1e-14 : 1e-6));
      // A prompt at once, then the rest in pieces.
      nn::Transformer::Cache other;
      const Tensor pieces =
          concat({model(ids.slice(1, 0, 4), other), model(ids.slice(1, 4, 6), other),
                  model(ids.slice(1, 6, 9), other)},
                 1);
      EXPECT_TRUE(close(pieces, whole, dtype == f64 ? 1e-14 : 1e-6));
    }
}

TEST(Transformer, LogitsDependOnNoLaterToken) {
  Generator generator(1);
  const nn::Transformer model(tiny(), generator);
  const auto decode = [&](const Tensor& x) { return model.decode(x); };
  const Tensor x = model.embed(some_ids(1, 6)).detach();
  const Tensor seen = dependence(decode, x, 1, 1, {.probes = 2});
  EXPECT_EQ(doubles(seen), doubles(tril(ones({6, 6}))));
  EXPECT_TRUE(causality(decode, x, 1, {.probes = 2}).causal);
  // And in the values: other tokens to come, the same bits.
  const NoGrad off;
  Tensor ids = some_ids(1, 6), others = ids.clone();
  others.mutable_data<std::int64_t>()[5] = (ids[0][5].item<std::int64_t>() + 1) % 11;
  EXPECT_TRUE(same_bits(model(others).slice(1, 0, 5), model(ids).slice(1, 0, 5)));
  EXPECT_FALSE(same_bits(model(others), model(ids)));
}

TEST(Transformer, AnEncodersLayerIsNotCausal) {
  Generator generator(1);
  const nn::TransformerBlock layer(8, 2, generator, {.dtype = f64});
  const Causality c =
      causality([&](const Tensor& x) { return layer(x); }, ones({1, 4, 8}, f64), 1, {.probes = 2});
  EXPECT_FALSE(c.causal);
  EXPECT_EQ(c.output, 0);
  EXPECT_EQ(c.input, 1);
}

TEST(Transformer, GradientsAgreeWithDifferences) {
  Generator generator(2);
  const nn::TransformerBlock layer(4, 2, generator, {.mlp_size = 6, .dtype = f64});
  const CheckResult r =
      check_gradients([&](const Tensors& x) { return layer(x[0], {.causal = true}); },
                      {randn({1, 3, 4}, generator, f64)}, {.order = 2});
  EXPECT_TRUE(r.ok) << r.text;
}

TEST(Transformer, IsSavedAndLoadedByName) {
  const TemporaryDirectory folder;
  Generator a(1), b(2);
  const nn::Transformer model(tiny(f32), a), other(tiny(f32), b);
  const std::string path = folder / "model.safetensors";
  nn::save(model, path);
  EXPECT_EQ(nn::named_tensors(model)[2].first, "blocks.0.attention_norm.gain");
  EXPECT_EQ(nn::named_tensors(model)[4].first, "blocks.0.attention.query.weight");
  const Tensor ids = some_ids(1, 5);
  EXPECT_FALSE(close(other(ids), model(ids), 1e-3));
  nn::load(other, path);
  EXPECT_TRUE(same_bits(other(ids).detach(), model(ids).detach()));
  // Embeddings, of each block 12 D^2 + 13 D, the last norm and the head.
  EXPECT_EQ(nn::parameter_count(model), 11 * 8 + 9 * 8 + 2 * (12 * 64 + 13 * 8) + 16 + 8 * 11);
}

TEST(Transformer, LearnsToRepeatAPattern) {
  Generator generator(4);
  const nn::Transformer model({.vocabulary = 4, .context = 12, .size = 16, .heads = 2, .layers = 1},
                              generator);
  const Tensor ids =
      from_vector(std::vector<std::int64_t>{0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3}, Shape{1, 12});
  optim::Adam adam(nn::parameters(model), {.learning_rate = 0.01});
  double last = 0;
  for (int i = 0; i < 60; ++i) {
    Tensor loss = cross_entropy(model(ids.slice(1, 0, 11)).reshape({11, 4}),
                                ids.slice(1, 1, 12).reshape({11}));
    last = loss.item();
    adam.step(grad(std::move(loss), adam.parameters()));
  }
  EXPECT_LT(last, 0.1);
}

// A whole step recorded as a graph, masks and windows included: the bits of the plain one.
TEST(Transformer, StepsCanBeRecorded) {
  for (const Device device : tested_devices()) {
    const auto losses = [&](bool recorded) {
      Generator generator(4);
      const nn::Transformer model(
          {.vocabulary = 4, .context = 6, .size = 4, .heads = 2, .layers = 1}, generator);
      const nn::Conv2d conv(1, 2, 3, generator, {.padding = 1});
      nn::to(model, device);
      nn::to(conv, device);
      Tensors parameters = nn::parameters(model);
      for (const Tensor& t : nn::parameters(conv)) parameters.push_back(t);
      optim::SGD sgd(parameters, {.learning_rate = 0.1});
      const auto plain = [&](const Tensor& x) {
        const Tensor image = conv(model.decode(x).unsqueeze(0));
        const Tensor loss = sum(square(avg_pool2d(image, 2)));
        sgd.step(grad(loss, parameters, {.allow_unused = true}));
        return loss.detach();
      };
      auto graph = cuda::graphed(plain);
      std::vector<double> all;
      for (int i = 0; i < 4; ++i) {
        const Tensor x = randn({1, 6, 4}, generator).to(device);
        all.push_back(recorded ? graph(x).item() : plain(x).item());
      }
      return all;
    };
    EXPECT_EQ(losses(true), losses(false));
  }
}

TEST(Transformer, RefusesBadInput) {
  Generator generator(1);
  const nn::Transformer model(tiny(), generator);
  EXPECT_TRUE(throws("Transformer", "positions 0 to 10 lie outside of the context of 9",
                     [&] { model(some_ids(1, 10)); }));
  EXPECT_TRUE(throws("Transformer", "(batch, time), got (3,)", [&] { model(zeros({3}, i64)); }));
  nn::Transformer::Cache cache(5);
  EXPECT_TRUE(
      throws("Transformer", "5 blocks for a model of 2", [&] { model(some_ids(1, 1), cache); }));
  nn::Transformer::Cache full;
  model(some_ids(1, 9), full);
  EXPECT_TRUE(throws("Transformer", "positions 9 to 10", [&] { model(some_ids(1, 1), full); }));
  EXPECT_TRUE(throws("Transformer", "must be positive: 11, 0",
                     [&] { nn::Transformer({.vocabulary = 11, .context = 0}, generator); }));
  EXPECT_TRUE(throws("MultiHeadAttention", "3 heads do not divide the size 8",
                     [&] { nn::MultiHeadAttention(8, 3, generator); }));
  EXPECT_TRUE(throws("MultiHeadAttention", "groups of 3",
                     [&] { nn::MultiHeadAttention(8, 4, generator, {.key_heads = 3}); }));
  const nn::MultiHeadAttention layer(8, 4, generator);
  EXPECT_TRUE(throws("MultiHeadAttention", "(batch, time, size), got (2, 8)", [&] {
    layer(ones({2, 8}));
  }));
}

// ---- convolution

TEST(Layers, ConvolutionStartsLikeLinear) {
  Generator generator(1);
  const nn::Conv2d layer(8, 40, 5, generator, {.stride = 2, .padding = {1, 2}, .groups = 2});
  EXPECT_EQ(layer.weight.shape(), (Shape{40, 4, 5, 5}));
  for (const Tensor& t : {layer.weight, layer.bias}) {
    EXPECT_TRUE(t.requires_grad());
    EXPECT_LE(max(abs(t)).item(), 0.1);
    EXPECT_GT(max(abs(t)).item(), 0.09);
  }
  const Tensor x = randn({2, 8, 9, 9}, generator);
  const Tensor wanted =
      conv2d(x, layer.weight, layer.bias, {.stride = 2, .padding = {1, 2}, .groups = 2});
  EXPECT_TRUE(same_bits(layer(x).detach(), wanted.detach()));
  EXPECT_EQ(wanted.shape(), (Shape{2, 40, 4, 5}));
  const nn::Conv2d bare(1, 2, 3, generator, {.bias = false});
  EXPECT_EQ(nn::named_tensors(bare).size(), 1u);
  EXPECT_TRUE(throws("Conv2d", "3 groups", [&] { nn::Conv2d(4, 3, 1, generator, {.groups = 3}); }));
  EXPECT_TRUE(throws("Conv2d", "0 -> 3", [&] { nn::Conv2d(0, 3, 1, generator); }));
}

// ---- norms

TEST(Layers, LayerNormStartsAsTheNormAlone) {
  Generator generator(1);
  const nn::LayerNorm layer(64, f64);
  const Tensor y = layer(randn({5, 64}, generator, f64) * 3.0 + 2.0).detach();
  for (double m : doubles(mean(y, -1))) EXPECT_NEAR(m, 0, 1e-15);
  for (double v : doubles(var(y, -1, {.correction = 0}))) EXPECT_NEAR(v, 1, 1e-5);
  EXPECT_TRUE(throws("LayerNorm", "got 0", [] { nn::LayerNorm(0); }));
}

// f(x) = v . phi(W x): affine in x, and (f - y)^2 has the Hessian 2 u u' in W.
TEST(Layers, FixedNormActivationIsAffine) {
  Generator generator(1);
  const Tensor beta = from_vector(std::vector<double>{0.5, -2, 3}), v = randn({3}, generator, f64);
  const Tensor gamma = randn({3}, generator, f64), w = randn({3, 2}, generator, f64);
  const Tensor x = randn({2}, generator, f64);
  for (const bool own_mean : {false, true}) {
    const nn::FixedNormActivation phi =
        own_mean ? nn::FixedNormActivation::centred(beta) : nn::FixedNormActivation(gamma, beta);
    const auto f = [&](const Tensor& weight, const Tensor& at) {
      return sum(v * phi(matmul(weight, at)));
    };
    const Tensor in_x = hessian([&](const Tensor& at) { return f(w, at); }, x);
    EXPECT_EQ(doubles(in_x), (std::vector<double>{0, 0, 0, 0}));
    const Tensor factor = own_mean ? v / beta - mean(v / beta) : v / beta;
    const Tensor u = (factor.unsqueeze(1) * x).reshape({6});
    const Tensor in_w = hessian([&](const Tensor& at) { return square(f(at, x) - 0.7); }, w);
    EXPECT_TRUE(close(in_w.reshape({6, 6}), 2.0 * u.unsqueeze(1) * u, 1e-13));
  }
  // A single unit is its own mean.
  const auto one = nn::FixedNormActivation::centred(ones({1}, f64));
  EXPECT_EQ(one(full({1}, 3.7, f64)).item(), 0);
}

TEST(Layers, FixedNormActivationIsNotTrained) {
  const nn::FixedNormActivation phi(ones({3}), full({3}, 2.0));
  EXPECT_EQ(nn::named_tensors(phi).size(), 2u);
  EXPECT_TRUE(nn::parameters(phi).empty());
  EXPECT_EQ(nn::named_tensors(nn::FixedNormActivation::centred(ones({3})))[0].first, "beta");
}

TEST(Layers, FixedNormActivationRefusesBadInput) {
  const Tensor beta = from_vector(std::vector<double>{1, 0, 2});
  EXPECT_TRUE(throws("FixedNormActivation", "not 0, got 0 for unit 1",
                     [&] { nn::FixedNormActivation(ones({3}, f64), beta); }));
  EXPECT_TRUE(throws("FixedNormActivation", "not 0, got 0 for unit 1",
                     [&] { nn::FixedNormActivation::centred(beta); }));
  EXPECT_TRUE(throws("FixedNormActivation", "finite",
                     [&] { nn::FixedNormActivation::centred(beta + nan); }));
  EXPECT_TRUE(throws("FixedNormActivation", "differ",
                     [&] { nn::FixedNormActivation(ones({2}), ones({3})); }));
  EXPECT_TRUE(throws("FixedNormActivation", "3 units", [&] {
    nn::FixedNormActivation::centred(ones({3}))(ones({2, 4}));
  }));
}

}  // namespace
}  // namespace gradus::test
