// Curves of runs, from the files that they wrote.
#include <gtest/gtest.h>

#include <filesystem>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/picture/sheets.h"
#include "tests/support/temporary_folder.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;

class CurvesOfRuns : public ::testing::Test {
 protected:
  /// The drawing of a run with these lines in metrics.jsonl.
  std::string drawn(const std::string& lines) {
    const fs::path run = folder_.path() / "run";
    fs::create_directories(run / "checkpoints");
    write_file_atomically(run / "config.toml", "");
    write_file_atomically(run / "metrics.jsonl", lines);
    return curves_sheet({run}).str();
  }
  static bool has(const std::string& svg, const std::string& text) { return svg.find(text) != std::string::npos; }

  const test::TemporaryFolder folder_;
};

TEST_F(CurvesOfRuns, ShowMeansWhereTheyAreLogged) {
  const std::string means = drawn(
      "{\"step\":10,\"clip_loss\":1000,\"clip_loss_mean\":2}\n{\"step\":20,\"clip_loss\":2000,\"clip_loss_mean\":3}\n");
  EXPECT_TRUE(has(means, ">2.2<")) << means;
  EXPECT_FALSE(has(means, ">1200<"));
  EXPECT_TRUE(has(means, "a point is the mean of its interval"));
  const std::string older = drawn("{\"step\":10,\"clip_loss\":1000}\n{\"step\":20,\"clip_loss\":2000}\n");
  EXPECT_TRUE(has(older, ">1200<")) << older;
  EXPECT_FALSE(has(older, "interval"));
}

TEST_F(CurvesOfRuns, AreDrawnForAnyFigures) {
  for (const char* lines :
       {"{\"step\":1,\"clip_loss\":8e15}\n{\"step\":2,\"clip_loss\":8e15}\n",
        "{\"step\":9007199254740992,\"clip_loss\":3}\n{\"step\":9007199254740994,\"clip_loss\":2}\n",
        "{\"step\":1,\"clip_loss\":-1.7e308}\n{\"step\":2,\"clip_loss\":1.7e308}\n",
        "{\"step\":1,\"clip_loss\":null}\n{\"step\":2,\"clip_loss\":\"x\"}\n",
        "{\"step\":\"x\"}\n{\"step\":null}\n{\"step\":-0.0,\"clip_loss\":-0.0}\n{\"step\":3,\"clip_loss\":1}\n"}) {
    const std::string svg = drawn(lines);
    EXPECT_LT(svg.size(), 20000U) << lines;
    for (const char* word : {"nan", "inf", ">-0<"}) EXPECT_FALSE(has(svg, word)) << svg;
  }
  EXPECT_THROW((void)drawn("{\"step\":\"x\"}\n"), IoError) << "no record of a step";
}

}  // namespace
}  // namespace tessera::rils
