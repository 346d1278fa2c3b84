// What the trainers share: run directories, pictures, reports, signals, exit codes.
#include <gtest/gtest.h>
#include <png.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>

#include "examples/common/errors.h"
#include "examples/common/picture.h"
#include "examples/common/program.h"
#include "examples/common/progress.h"
#include "examples/common/report.h"
#include "examples/common/run_directory.h"
#include "gradus/tests/examples_support.h"

namespace gradus::examples {
namespace {

// ---- run directories ----

using RunDirectories = InFolder;

TEST_F(RunDirectories, AreNumberedOrNamed) {
  const Json config{{"epochs", 3}};
  EXPECT_EQ(RunDirectory::create("vae", "", config).folder(), "runs/vae");
  EXPECT_EQ(RunDirectory::create("vae", "", config).name(), "vae-2");
  EXPECT_EQ(RunDirectory::create("vae", "mine", config).name(), "mine");
  EXPECT_EQ(Json::parse(read_text("runs/mine/config.json")), config);
  const auto taken = message_of<UsageError>([&] { RunDirectory::create("vae", "mine", config); });
  EXPECT_TRUE(contains(taken, "runs/mine: exists")) << taken;
  EXPECT_TRUE(contains(taken, "--resume mine")) << taken;
}

TEST_F(RunDirectories, RefuseNamesThatAreNoPlainFileNames) {
  for (const char* name : {".", "..", ".hidden", "a/b", "../x", "-x", "a b", "a\n", "\xc3\xa9"}) {
    EXPECT_THROW(RunDirectory::create("vae", name, {}), UsageError) << name;
  }
  EXPECT_THROW(RunDirectory::create("vae", std::string(101, 'a'), {}), UsageError);
  EXPECT_FALSE(std::filesystem::exists("runs"));
}

TEST_F(RunDirectories, ThatCannotBeMadeAreDataErrors) {
  write_file("runs", "a file in the way");
  const auto message = message_of<DataError>([] { RunDirectory::create("vae", "", {}); });
  EXPECT_TRUE(contains(message, "runs/vae: cannot make the run directory")) << message;
}

TEST_F(RunDirectories, UnwritableOnesAreDataErrors) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  std::filesystem::create_directory("runs");
  ::chmod("runs", 0555);
  EXPECT_THROW(RunDirectory::create("vae", "", {}), DataError);
  ::chmod("runs", 0755);
}

TEST_F(RunDirectories, LogLinesAndRewind) {
  RunDirectory run = RunDirectory::create("vae", "", Json::object());
  for (int step = 1; step <= 5; ++step) run.log({{"step", step}, {"loss", 1.0 / step}});
  run.log({{"step", 6}, {"loss", NAN}});
  ASSERT_EQ(run.metrics().size(), 6u);
  EXPECT_EQ(run.metrics()[2]["loss"], 1.0 / 3);
  EXPECT_TRUE(run.metrics()[5]["loss"].is_null());
  run.rewind(3);
  EXPECT_EQ(run.metrics().size(), 3u);
  run.log({{"step", 4}});
  EXPECT_EQ(run.metrics().back()["step"], 4);

  std::ofstream("runs/vae/metrics.jsonl", std::ios::app) << R"({"step": 5, "lo)";
  EXPECT_EQ(run.metrics().size(), 4u);
}

TEST_F(RunDirectories, AFullDiskIsADataError) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full";
  RunDirectory run = RunDirectory::create("vae", "", Json::object());
  std::filesystem::create_symlink("/dev/full", "runs/vae/metrics.jsonl");
  const auto message = message_of<DataError>([&] { run.log({{"step", 1}}); });
  EXPECT_TRUE(contains(message, "metrics.jsonl: cannot be written: No space left")) << message;
}

TEST_F(RunDirectories, AFailedWriteLeavesTheOldFile) {
  write_file("kept", "old");
  std::filesystem::create_directory("folder");
  EXPECT_THROW(write_file("folder", "new"), DataError);
  EXPECT_THROW(write_file("missing/kept", "new"), DataError);
  write_file("kept", "new");
  EXPECT_EQ(read_text("kept"), "new");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator("."), {}), 2);
}

// ---- pictures ----

Picture decode_png(const Bytes& bytes) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  if (!png_image_begin_read_from_memory(&image, bytes.data(), bytes.size())) return {};
  const int channels = image.format & PNG_FORMAT_FLAG_COLOR ? 3 : 1;
  image.format = channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  Picture picture{static_cast<int>(image.height), static_cast<int>(image.width), channels, {}};
  picture.pixels.resize(PNG_IMAGE_SIZE(image));
  png_image_finish_read(&image, nullptr, picture.pixels.data(), 0, nullptr);
  return picture;
}

TEST(Picture, GridPlacesImages) {
  std::vector<float> images(3 * 2 * 4);
  for (int i = 0; i < 8; ++i) images[i] = 1;          // the first is white
  for (int i = 8; i < 16; ++i) images[i] = 0.5f;      // the second grey
  images[16] = NAN, images[17] = 7, images[18] = -7;  // the third odd
  const Picture picture = grid(images, 2, 4, {.columns = 2, .padding = 1, .scale = 3});
  EXPECT_EQ(picture.rows, (2 * (2 + 1) + 1) * 3);
  EXPECT_EQ(picture.columns, (2 * (4 + 1) + 1) * 3);
  ASSERT_EQ(picture.pixels.size(), static_cast<std::size_t>(picture.rows) * picture.columns);
  const auto at = [&](int row, int column) {
    return int{picture.pixels[row * picture.columns + column]};
  };
  EXPECT_EQ(at(3, 3), 255);
  EXPECT_EQ(at(8, 14), 255);
  EXPECT_EQ(at(9, 14), at(0, 0));  // the gap below
  EXPECT_EQ(at(3, 18), 128);
  EXPECT_EQ(at(12, 3), 0);
  EXPECT_EQ(at(12, 6), 255);
  EXPECT_EQ(at(12, 9), 0);
  EXPECT_EQ(at(12, 18), at(0, 0));  // the empty place
}

TEST(Picture, PngDecodesBack) {
  const Picture grey = grid(std::vector<float>(5 * 28 * 28, 0.25f), 28, 28);
  const Picture grey_back = decode_png(encode_png(grey));
  EXPECT_EQ(grey_back.rows, grey.rows);
  EXPECT_EQ(grey_back.pixels, grey.pixels);

  const std::vector<float> points{0, 0, 1, 1, -1, 1, NAN, 0, INFINITY, 1, 0.5f, -0.5f};
  const std::vector<std::uint8_t> labels{0, 1, 2, 3, 4, 255};
  const Picture color = scatter(points, labels, 100);
  const Picture color_back = decode_png(encode_png(color));
  EXPECT_EQ(color.rows, 100);
  EXPECT_EQ(color_back.channels, 3);
  EXPECT_EQ(color_back.pixels, color.pixels);
}

TEST(Picture, ScatterSurvivesOddPoints) {
  EXPECT_EQ(scatter({}, {}, 32).pixels.size(), 32u * 32 * 3);
  const std::vector<float> huge{3e38f, -3e38f, 0, 0, 1e-45f, 0};
  EXPECT_EQ(scatter(huge, std::vector<std::uint8_t>(3), 32).rows, 32);
}

// ---- reports ----

TEST(Report, HoldsEverythingAndNeedsNothing) {
  Report report;
  report.title = "A <title> & more";
  report.summary = "One sentence.";
  report.numbers = {{"test ELBO", "-243.9"}};
  report.config = {{"epochs", 3}, {"data", "<script>"}};
  std::vector<Json> metrics;
  for (int step = 0; step < 5000; ++step) {
    metrics.push_back({{"step", step}, {"loss", step == 7 ? NAN : std::exp(-step / 1e3)}});
  }
  metrics.push_back({{"step", 5000}, {"other", 1}});
  report.charts = {{"Loss", "step", "nats", {series_of("train", metrics, "loss")}},
                   {"Nothing", "", "", {}}};
  EXPECT_EQ(report.charts[0].series[0].points.size(), 5000u);
  report.figures = {{"Samples", "from the prior", {1, 2, 3}}};
  const std::string page = html(report);
  for (const char* part : {"A &lt;title&gt; &amp; more", "-243.9", "<polyline", "Samples",
                           "base64,AQID", "<td>epochs</td><td>3</td>", "&lt;script&gt;"}) {
    EXPECT_TRUE(contains(page, part)) << part;
  }
  for (const char* part : {"http:", "https:", "<script", "nan", "inf"}) {
    EXPECT_FALSE(contains(page, part)) << part;
  }
  EXPECT_LT(page.size(), 40'000u);
}

TEST(Report, Base64) {
  const auto encode = [](const std::string& text) { return base64({text.begin(), text.end()}); };
  EXPECT_EQ(encode(""), "");
  EXPECT_EQ(encode("f"), "Zg==");
  EXPECT_EQ(encode("fo"), "Zm8=");
  EXPECT_EQ(encode("foo"), "Zm9v");
  EXPECT_EQ(encode("foobar"), "Zm9vYmFy");
}

// ---- programs ----

int run_throwing(auto error) {
  return run_program("gradus-test", [&]() -> int { throw error; });
}

TEST(Program, ErrorsBecomeExitCodes) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(run_program("gradus-test", [] { return 0; }), 0);
  EXPECT_EQ(run_throwing(UsageError("a flag")), 2);
  EXPECT_EQ(run_throwing(DataError("a file")), 3);
  EXPECT_EQ(run_throwing(NumericError("a loss")), 4);
  EXPECT_EQ(run_throwing(OutOfMemory("bytes")), 5);
  EXPECT_EQ(run_throwing(std::bad_alloc()), 5);
  EXPECT_EQ(run_throwing(std::runtime_error("a bug")), 1);
  const std::string errors = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(contains(errors, "gradus-test: error: a flag\n")) << errors;
  EXPECT_TRUE(contains(errors, "gradus-test: error: out of memory\n")) << errors;
}

TEST(Program, RefusesAWrongNumberOfThreadsInTheEnvironment) {
  const char* before = std::getenv("GRADUS_THREADS");
  const std::string kept = before ? before : "";
  for (const auto& [wish, code] :
       {std::pair("1", 0), std::pair("256", 0), std::pair("0", 2), std::pair("257", 2),
        std::pair("-1", 2), std::pair("", 2), std::pair("2x", 2), std::pair("99999999999", 2)}) {
    ::setenv("GRADUS_THREADS", wish, 1);
    testing::internal::CaptureStderr();
    EXPECT_EQ(run_program("gradus-test", [] { return 0; }), code) << wish;
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_EQ(contains(said, std::string("GRADUS_THREADS=") + wish + ": must be"), code == 2);
  }
  before ? ::setenv("GRADUS_THREADS", kept.c_str(), 1) : ::unsetenv("GRADUS_THREADS");
}

TEST(Program, OneSignalAsksAndHandlersComeBack) {
  struct sigaction before, after;
  ::sigaction(SIGTERM, nullptr, &before);
  for (const int signal : {SIGINT, SIGTERM}) {
    const Interrupt interrupt;
    EXPECT_FALSE(interrupt.requested());
    ::raise(signal);
    EXPECT_TRUE(interrupt.requested());
  }
  ::sigaction(SIGTERM, nullptr, &after);
  EXPECT_EQ(before.sa_handler, after.sa_handler);
}

TEST(ProgramDeathTest, TheSecondSignalEndsAtOnce) {
  EXPECT_EXIT(
      {
        const Interrupt interrupt;
        ::raise(SIGINT);
        ::raise(SIGINT);
        std::_Exit(0);
      },
      testing::ExitedWithCode(130), "");
}

TEST(Progress, WithoutATerminalOnlyLinesAppear) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  {
    Progress progress(0, 10);
    progress.step(1, "loss", 2.5);
    progress.say("epoch 1 done");
  }
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "epoch 1 done\n");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace gradus::examples
