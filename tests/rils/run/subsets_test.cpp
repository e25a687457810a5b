// Every subset of a checkpoint's files, with and without a pointer to it: only a whole one counts.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "rils/run/run_folder.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;

TEST(CheckpointSubsets, OnlyAWholeOneIsLatestOrBest) {
  const fs::path root = fs::path(testing::TempDir()) / ("tessera_subsets_" + std::to_string(::getpid()));
  for (int files = 0; files < 8; ++files) {
    for (const bool named : {false, true}) {
      SCOPED_TRACE(files);
      fs::remove_all(root);
      const RunFolder run = RunFolder::create(root);
      const auto put = [](const fs::path& path) { std::ofstream(path) << "x"; };
      for (const fs::path& path : {run.checkpoint(1).weights, run.checkpoint(1).state}) put(path);
      const CheckpointFiles second = run.checkpoint(2);
      if ((files & 1) != 0) put(second.weights);
      if ((files & 2) != 0) put(second.state);
      if ((files & 4) != 0) put(second.ema);
      if (named) {
        run.mark_latest(2);
        run.mark_best(2);
      }
      const bool whole = (files & 3) == 3;
      EXPECT_EQ(run.latest(), whole ? 2 : 1);
      EXPECT_EQ(run.best(), whole && named ? std::optional<int64_t>(2) : std::nullopt);
      EXPECT_EQ(run.complete(), whole ? (std::vector<int64_t>{1, 2}) : std::vector<int64_t>{1});
    }
  }
  fs::remove_all(root);
}

}  // namespace
}  // namespace tessera::rils
