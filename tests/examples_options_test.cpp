// Flags and configuration files: what is taken, what is refused and how.
#include "examples/common/options.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "examples/common/errors.h"
#include "examples/common/nearest.h"
#include "examples/common/run_directory.h"
#include "gradus/tests/examples_support.h"

namespace gradus::examples {
namespace {

struct Settings {
  std::int64_t epochs = 10;
  std::uint64_t seed = 0;
  double rate = 1e-3, beta = 1;
  std::string latent = "normal", name;

  bool parse(std::vector<const char*> words) {
    Options options("gradus-test", "A test.");
    declare(options);
    words.insert(words.begin(), "gradus-test");
    return options.parse(static_cast<int>(words.size()), words.data());
  }
  void declare(Options& options) {
    options.add("epochs", &epochs, "passes", {.low = 1, .may_change = true});
    options.add("seed", &seed, "of all random numbers");
    options.add("lr", &rate, "step size", {.low = 0, .above_low = true});
    options.add("beta", &beta, "weight of the KL term", {.low = 0});
    options.add("latent", &latent, "family", {.choices = {"normal", "log-normal"}});
    options.add_unsaved("name", &name, "of the run");
  }
  Json json() {
    Options options("gradus-test", "A test.");
    declare(options);
    return options.json();
  }
};

TEST(Options, SetsFields) {
  Settings settings;
  EXPECT_TRUE(settings.parse({"--epochs", "3", "--seed=18446744073709551615", "--lr", "2.5e-4",
                              "--beta", "0", "--latent", "log-normal", "--name", "x"}));
  EXPECT_EQ(settings.epochs, 3);
  EXPECT_EQ(settings.seed, UINT64_MAX);
  EXPECT_EQ(settings.rate, 2.5e-4);
  EXPECT_EQ(settings.beta, 0);
  EXPECT_EQ(settings.latent, "log-normal");
  EXPECT_EQ(settings.name, "x");
}

TEST(Options, TheLastOfRepeatedFlagsWins) {
  Settings settings;
  EXPECT_TRUE(settings.parse({"--epochs", "3", "--epochs", "5"}));
  EXPECT_EQ(settings.epochs, 5);
}

struct Refusal {
  std::vector<const char*> words;
  const char* message;
};

class OptionsRefuse : public testing::TestWithParam<Refusal> {};

TEST_P(OptionsRefuse, WithAMessage) {
  const std::string message = message_of<UsageError>([&] { Settings().parse(GetParam().words); });
  EXPECT_TRUE(contains(message, GetParam().message)) << message;
}

INSTANTIATE_TEST_SUITE_P(
    Options, OptionsRefuse,
    testing::Values(Refusal{{"--epoch", "3"}, "unknown flag --epoch (did you mean --epochs?)"},
                    Refusal{{"--epohcs=3"}, "unknown flag --epohcs (did you mean --epochs?)"},
                    Refusal{{"--latnet", "normal"}, "did you mean --latent?"},
                    Refusal{{"--resum", "x"}, "did you mean --resume?"},
                    Refusal{{"--printconfig"}, "did you mean --print-config?"},
                    Refusal{{"--xyzzyxyzzy"}, "unknown flag --xyzzyxyzzy"},
                    Refusal{{"train"}, "unexpected argument train"},
                    Refusal{{"-e"}, "unexpected argument -e"},
                    Refusal{{"--epochs", "0"}, "--epochs: must be an integer, at least 1: is 0"},
                    Refusal{{"--epochs", "-3"}, "--epochs: must be an integer, at least 1: is -3"},
                    Refusal{{"--epochs", "ten"}, "must be an integer, at least 1: is ten"},
                    Refusal{{"--epochs", "3.5"}, "is 3.5"}, Refusal{{"--epochs", "3x"}, "is 3x"},
                    Refusal{{"--epochs", ""}, "--epochs: must be an integer"},
                    Refusal{{"--epochs", "99999999999999999999"}, "is 99999999999999999999"},
                    Refusal{{"--epochs", "9223372036854775808"}, "is 9223372036854775808"},
                    Refusal{{"--epochs"}, "--epochs"},
                    Refusal{{"--seed", "-1"}, "--seed: must be an integer, at least 0: is -1"},
                    Refusal{{"--lr", "0"}, "--lr: must be a finite number above 0: is 0"},
                    Refusal{{"--lr", "-0.0"}, "is -0.0"}, Refusal{{"--lr", "nan"}, "is nan"},
                    Refusal{{"--lr", "inf"}, "is inf"}, Refusal{{"--lr", "1e999"}, "is 1e999"},
                    Refusal{{"--beta", "-1"}, "--beta: must be a finite number, at least 0: is -1"},
                    Refusal{{"--name", "\xff"}, "--name: must be text in UTF-8"},
                    Refusal{{"--latent", "laplace"},
                            "--latent: must be one of normal, log-normal: is laplace"}));

class OptionsFile : public InFolder {
 protected:
  std::string refused(const std::string& text) {
    write_file("c.json", text);
    return message_of<Error>([] { Settings().parse({"--config", "c.json"}); });
  }
};

TEST_F(OptionsFile, IsReadAndFlagsWin) {
  write_file("c.json",
             R"({"epochs": 4, "lr": 1, "seed": 18446744073709551615, "latent": "log-normal"})");
  Settings settings;
  EXPECT_TRUE(settings.parse({"--epochs", "7", "--config", "c.json"}));
  EXPECT_EQ(settings.epochs, 7);
  EXPECT_EQ(settings.rate, 1);
  EXPECT_EQ(settings.seed, UINT64_MAX);
  EXPECT_EQ(settings.latent, "log-normal");
}

TEST_F(OptionsFile, WhatIsPrintedIsReadBack) {
  Settings written;
  written.rate = 0.1 + 0.2;
  written.seed = 1ull << 63;
  write_file("c.json", written.json().dump());
  Settings read;
  EXPECT_TRUE(read.parse({"--config", "c.json"}));
  EXPECT_EQ(read.rate, written.rate);
  EXPECT_EQ(read.seed, written.seed);
  EXPECT_FALSE(written.json().contains("name"));
}

TEST_F(OptionsFile, IsRefusedByName) {
  EXPECT_TRUE(
      contains(refused(R"({"epoch": 4})"), "c.json: unknown key epoch (did you mean epochs?)"));
  EXPECT_TRUE(contains(refused(R"({"name": "x"})"), "unknown key name"));
  EXPECT_TRUE(
      contains(refused(R"({"epochs": "4"})"), "c.json: epochs: must be an integer, at least 1"));
  EXPECT_TRUE(contains(refused(R"({"epochs": 4.0})"), "epochs: must be an integer"));
  EXPECT_TRUE(
      contains(refused(R"({"epochs": true})"), "epochs: must be an integer, at least 1: is true"));
  EXPECT_TRUE(
      contains(refused(R"({"epochs": 9223372036854775808})"), "epochs: must be an integer"));
  EXPECT_TRUE(contains(refused(R"({"lr": null})"), "lr: must be a finite number above 0: is null"));
  EXPECT_TRUE(contains(refused(R"({"lr": [1]})"), "lr: must be a finite number above 0: is [1]"));
  EXPECT_TRUE(
      contains(refused(R"({"latent": 1})"), "latent: must be one of normal, log-normal: is 1"));
  EXPECT_TRUE(contains(refused(R"({"beta": 1, "beta": 2})"), "key beta appears twice"));
  EXPECT_TRUE(contains(refused("[1, 2]"), "must be a JSON object"));
  EXPECT_TRUE(contains(refused(R"({"beta": 1)"), "c.json: is not JSON"));
  EXPECT_TRUE(contains(refused(R"({"lr": NaN})"), "is not JSON"));
  EXPECT_TRUE(contains(refused(R"({"lr": 1e999})"), "is not JSON"));
  EXPECT_TRUE(contains(refused(""), "is not JSON"));
  EXPECT_TRUE(contains(refused("{\"latent\": \"\xff\"}"), "is not JSON"));
  EXPECT_TRUE(contains(refused(std::string(10'000, '[')), "is not JSON"));
}

TEST_F(OptionsFile, MissingIsADataError) {
  const auto message = message_of<DataError>([] { Settings().parse({"--config", "none.json"}); });
  EXPECT_TRUE(contains(message, "none.json")) << message;
}

TEST_F(OptionsFile, HelpAndPrintConfigEndTheProgram) {
  testing::internal::CaptureStdout();
  EXPECT_FALSE(Settings().parse({"--help"}));
  const std::string help = testing::internal::GetCapturedStdout();
  for (const char* flag :
       {"--epochs", "--lr", "--config", "--print-config", "--resume", "--name"}) {
    EXPECT_TRUE(contains(help, flag)) << help;
  }
  testing::internal::CaptureStdout();
  EXPECT_FALSE(Settings().parse({"--print-config", "--epochs", "2"}));
  const Json printed = Json::parse(testing::internal::GetCapturedStdout());
  EXPECT_EQ(printed["epochs"], 2);
  EXPECT_EQ(printed.size(), 5u);
}

TEST_F(OptionsFile, ResumeTakesTheSavedConfiguration) {
  Settings saved;
  saved.rate = 0.25;
  RunDirectory::create("test", "one", saved.json());
  Settings settings;
  EXPECT_TRUE(settings.parse({"--resume", "one", "--epochs", "20"}));
  EXPECT_EQ(settings.rate, 0.25);
  EXPECT_EQ(settings.epochs, 20);
  EXPECT_TRUE(Settings().parse({"--resume", "runs/one"}));
  const auto changed = message_of<UsageError>([] {
    Settings().parse({"--resume", "one", "--lr", "1"});
  });
  EXPECT_TRUE(contains(changed, "the run was made with lr 0.25, not 1.0")) << changed;
  const auto missing = message_of<DataError>([] { Settings().parse({"--resume", "two"}); });
  EXPECT_TRUE(contains(missing, "no run at runs/two")) << missing;
}

TEST(Nearest, FindsTypingErrorsOnly) {
  EXPECT_EQ(nearest("eposch", {"epochs", "batch"}), "epochs");
  EXPECT_EQ(nearest("vea", {"gan", "vae"}), "vae");
  EXPECT_EQ(nearest("something-else", {"gan", "vae"}), "");
}

}  // namespace
}  // namespace gradus::examples
