// Models as plain structs: names, copies, moves, files.
#include "gradus/nn/module.h"

#include <filesystem>

#include "gradus/nn/linear.h"
#include "gradus/nn/mlp.h"
#include "gradus/nn/optim.h"
#include "gradus/tests/support.h"

namespace gradus::test {
namespace {

struct Norm {
  Tensor gain = leaf(ones({2})), seen = zeros({}, i64);
  static void each(auto& self, auto&& f) {
    f("gain", self.gain);
    f("seen", self.seen);
  }
};

struct Model {
  nn::Linear encode;
  std::vector<Norm> norms{2};
  std::optional<nn::Linear> extra;
  std::vector<Tensor> tables;

  Model() = default;
  explicit Model(std::uint64_t seed) {
    Generator generator(seed);
    encode = nn::Linear(3, 2, generator);
  }
  static void each(auto& self, auto&& f) {
    f("encode", self.encode);
    f("norms", self.norms);
    f("extra", self.extra);
    f("tables", self.tables);
  }
};

std::vector<std::string> names(const NamedTensors& tensors) {
  std::vector<std::string> list;
  for (const auto& [name, t] : tensors) list.push_back(name);
  return list;
}

class ModuleFile : public testing::Test {
 protected:
  ModuleFile() { std::filesystem::create_directories(folder); }
  ~ModuleFile() override { std::filesystem::remove_all(folder); }
  std::filesystem::path folder =
      std::filesystem::temp_directory_path() /
      ("gradus_module_" + std::to_string(testing::UnitTest::GetInstance()->random_seed()) + '_' +
       testing::UnitTest::GetInstance()->current_test_info()->name());
  std::filesystem::path file = folder / "model.safetensors";
};

TEST(Module, NamesArePathsOfFields) {
  Model model(1);
  EXPECT_EQ(names(nn::named_tensors(model)),
            (std::vector<std::string>{"encode.weight", "encode.bias", "norms.0.gain",
                                      "norms.0.seen", "norms.1.gain", "norms.1.seen"}));
  Generator generator(2);
  model.extra = nn::Linear(2, 2, generator, {.bias = false});
  model.tables = {zeros({1}), zeros({2})};
  const NamedTensors all = nn::named_tensors(model);
  EXPECT_EQ(all[6].first, "extra.weight");
  EXPECT_EQ(all[7].first, "tables.0");
  EXPECT_EQ(all[8].first, "tables.1");
  ASSERT_EQ(all.size(), 9u);
  EXPECT_EQ(names(nn::named_tensors(std::vector<Norm>(1)))[0], "0.gain");
}

TEST(Module, ParametersAreWhatRequiresAGradient) {
  const Model model(1);
  EXPECT_EQ(nn::parameters(model).size(), 4u);
  EXPECT_EQ(nn::parameter_count(model), 6 + 2 + 2 + 2);
  EXPECT_EQ(nn::parameters(model)[0].handle(), model.encode.weight.handle());
  EXPECT_EQ(nn::parameters(Model{}).size(), 2u);
}

TEST(Module, ATensorInTwoFieldsIsOneParameter) {
  Generator generator(1);
  std::vector<nn::Linear> tied{nn::Linear(3, 3, generator), nn::Linear(3, 3, generator)};
  tied[1].weight = tied[0].weight;
  EXPECT_EQ(names(nn::named_tensors(tied)),
            (std::vector<std::string>{"0.weight", "0.bias", "1.bias"}));
  const std::vector<nn::Linear> copy = nn::clone(tied);
  EXPECT_EQ(copy[0].weight.handle(), copy[1].weight.handle());
  EXPECT_NE(copy[0].weight.handle(), tied[0].weight.handle());
}

TEST(Module, ACopySharesAndACloneDoesNot) {
  Model model(1);
  const Model copy = model, clone = nn::clone(model);
  const Tensor before = model.encode.weight.detach().clone();
  model.encode.weight.fill_(7);
  EXPECT_EQ(doubles(copy.encode.weight)[0], 7);
  EXPECT_TRUE(same_bits(clone.encode.weight.detach(), before));
  EXPECT_TRUE(clone.encode.weight.requires_grad());
  EXPECT_FALSE(clone.norms[0].seen.requires_grad());
  EXPECT_EQ(names(nn::named_tensors(clone)), names(nn::named_tensors(model)));
}

TEST(Module, ToChangesTheTensorsBehindTheHandles) {
  Model model(1);
  const Tensor held = model.encode.weight;
  const Tensor values = held.detach().clone();
  const Tensors parameters = nn::parameters(model);
  nn::to(model, f64);
  EXPECT_EQ(held.dtype(), f64);
  EXPECT_TRUE(same_bits(held.detach().to(f32), values));
  EXPECT_EQ(model.norms[0].seen.dtype(), i64);  // only floating tensors
  const Tensor loss = sum(model.encode(ones({4, 3}, f64)));
  const std::vector<Tensor> gradients = grad(loss, {parameters[0], parameters[1]});
  EXPECT_EQ(gradients[0].dtype(), f64);
  EXPECT_TRUE(close(gradients[0], full({2, 3}, 4, f64), 0));
  nn::to(model, Device::cpu);
  EXPECT_EQ(held.dtype(), f64);
  EXPECT_TRUE(throws("to", "floating", [&] { nn::to(model, i64); }));
}

TEST_F(ModuleFile, SavesAndLoadsBitForBit) {
  Model model(1);
  model.norms[1].seen.fill_(41);
  nn::save(model, file, {{"step", "12"}});
  Model other(2);
  optim::SGD sgd{nn::parameters(other), {.learning_rate = 1}};
  std::map<std::string, std::string> metadata;
  nn::load(other, file, &metadata);
  EXPECT_EQ(metadata.at("step"), "12");
  const NamedTensors a = nn::named_tensors(model), b = nn::named_tensors(other);
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_TRUE(same_bits(a[i].second.detach(), b[i].second.detach())) << a[i].first;
  // The optimiser made before goes on with what was loaded.
  Tensors gradients;
  for (const Tensor& p : sgd.parameters()) gradients.push_back(ones(p.shape()));
  sgd.step(gradients);
  EXPECT_TRUE(close(other.encode.weight.detach(), model.encode.weight.detach() - 1.0, 1e-7));
}

TEST_F(ModuleFile, LoadListsAllThatDoesNotFitAndChangesNothing) {
  Model model(1);
  const Tensor before = model.encode.weight.detach().clone();
  save_safetensors(file, {{"encode.weight", ones({2, 3})},
                          {"encode.bias", ones({3})},
                          {"norms.0.gain", ones({2}, f64)},
                          {"norms.0.seen", zeros({}, i64)},
                          {"norms.1.seen", zeros({}, i64)},
                          {"norms.2.gain", ones({2})},
                          {"head.weight", ones({2})}});
  try {
    nn::load(model, file);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(std::string(e.what()),
              "load: " + file.string() +
                  " does not fit the model: of another shape: encode.bias (3,) instead of (2,); of "
                  "another dtype: norms.0.gain f64 instead of f32; missing: norms.1.gain; "
                  "unexpected: norms.2.gain, head.weight");
  }
  EXPECT_TRUE(same_bits(model.encode.weight.detach(), before));
  EXPECT_TRUE(throws("load", "twice: a", [] {
    nn::load(Norm{}, NamedTensors{{"a", ones({1})}, {"a", ones({1})}});
  }));
  EXPECT_TRUE(throws("load", "no value for gain", [] {
    nn::load(Norm{}, NamedTensors{{"gain", Tensor()}});
  }));
  EXPECT_ANY_THROW(nn::load(model, folder / "missing.safetensors"));
}

TEST(Module, LoadTakesAnotherModelsTensorsAndItsOwn) {
  Model a(1), b(2);
  nn::load(a, nn::named_tensors(b));
  EXPECT_TRUE(same_bits(a.encode.weight.detach(), b.encode.weight.detach()));
  EXPECT_NE(a.encode.weight.handle(), b.encode.weight.handle());
  nn::load(a, nn::named_tensors(a));
  EXPECT_TRUE(same_bits(a.encode.weight.detach(), b.encode.weight.detach()));
  EXPECT_TRUE(a.encode.weight.requires_grad());
}

TEST(Module, ALoadIsAChangeThatASavedTensorNotices) {
  Model a(1), b(2);
  const Tensor loss = sum(square(a.encode.weight));
  nn::load(a, nn::named_tensors(b));
  EXPECT_TRUE(throws("grad", "module_test.cpp", [&] { grad(loss, {a.encode.weight}); }));
}

}  // namespace
}  // namespace gradus::test
