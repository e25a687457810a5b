// Run folders as a kill leaves them at each point of saving, and runs that resume from them.
#include <fmt/format.h>

#include "engine/core/atomic_file.h"
#include "rils/run/run_folder.h"
#include "tests/apps/tiny_run.h"

namespace tessera::test {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

constexpr int64_t kSteps = 12, kSaved = 6, kBefore = 4, kEarlier = 2;

/// Saving writes one file after the other: state, averages, weights, then the pointers, and then removes what is no
/// longer kept, weights first. Here step 6 is saved, which is also the first that is validated.
class Crash : public TinyRuns {
 protected:
  [[nodiscard]] static Words words(const std::string& name, const Words& more = {}) {
    Words all = {"--epochs", "2",          "--save-every-steps", "2",     "--ema",
                 "0.9",      "--val-data", tiny_data().val,      "--set", "data.train_num_samples=192"};
    all.insert(all.end(), more.begin(), more.end());
    return training(name, all);
  }

  void put(const std::string& name, const std::string& file, const std::string& text) const {
    write_file_atomically(log_folder(name) / file, text);
  }
  void copy(const std::string& name, int64_t step, const std::string& kind) const {
    fs::copy_file(checkpoint("all", step, kind), checkpoint(name, step, kind));
  }
  /// The lines of a log up to a step.
  [[nodiscard]] std::string lines_to(const std::string& file, int64_t step) const {
    std::string kept;
    for (const nlohmann::json& line : lines("all", file)) {
      if (line.at("step").get<int64_t>() <= step) kept += line.dump() + "\n";
    }
    return kept;
  }

  /// How far a run has come in saving step 6, each point after the one before.
  enum Point {
    kNothing,
    kTornState,
    kState,
    kTornAverages,
    kAverages,
    kTornWeights,
    kWeights,
    kBest,
    kTornLatest,
    kLatest,
    kPrunedWeights,
    kPrunedState,
    kPruned,
    kEnd
  };

  /// A run's folder at such a point, from the files of the run "all", which kept every checkpoint.
  void make(const std::string& name, Point point) const {
    fs::create_directories(log_folder(name) / "checkpoints");
    fs::copy_file(log_folder("whole") / "config.toml", log_folder(name) / "config.toml");
    put(name, "metrics.jsonl", lines_to("metrics.jsonl", kSaved));
    put(name, "results.jsonl", lines_to("results.jsonl", kSaved));
    put(name, "out.log", "");
    const std::string torn = ".tmp.4711.0", folder = "checkpoints/";
    const auto torn_file = [&](const std::string& kind) {
      put(name, fmt::format("{}step_{:08}{}.safetensors{}", folder, kSaved, kind, torn), "the beginning of it");
    };
    // Two are kept: 2 and 4 before, 4 and 6 after.
    for (const int64_t step : {kEarlier, kBefore}) {
      if (step == kBefore || point < kPrunedWeights) copy(name, step, "");
      if (step == kBefore || point < kPrunedState) copy(name, step, ".state");
      if (step == kBefore || point < kPruned) copy(name, step, ".ema");
    }
    if (point == kTornState) torn_file(".state");
    if (point >= kState) copy(name, kSaved, ".state");
    if (point == kTornAverages) torn_file(".ema");
    if (point >= kAverages) copy(name, kSaved, ".ema");
    if (point == kTornWeights) torn_file("");
    if (point >= kWeights) copy(name, kSaved, "");
    const auto named = [](int64_t step) { return fmt::format("step_{:08}.safetensors\n", step); };
    if (point >= kBest) put(name, folder + "best", named(kSaved));
    if (point == kTornLatest) put(name, folder + "latest" + torn, "step_0");
    put(name, folder + "latest", named(point >= kLatest ? kSaved : kBefore));
  }
};

TEST_F(Crash, ARunGoesOnFromEveryPointOfSaving) {
  train("all", words("all", {"--keep", "0"}));
  train("whole", words("whole", {"--keep", "2"}));
  for (int point = kNothing; point < kEnd; ++point) {
    const std::string name = fmt::format("killed{}", point);
    SCOPED_TRACE(name);
    make(name, static_cast<Point>(point));
    const Outcome resumed = run("pretrain", words(name, {"--keep", "2", "--resume", "latest"}));
    ASSERT_EQ(resumed.code, 0) << resumed.err;
    const int64_t from = point >= kLatest ? kSaved : kBefore;
    EXPECT_NE(resumed.out.find(fmt::format("resumed after step {}\n", from)), std::string::npos) << resumed.out;
    expect_same_runs(name, "whole", kSteps, {"", ".ema", ".state"});
  }
}

TEST_F(Crash, APointerNamesACheckpointOnlyOnceItIsWhole) {
  train("all", words("all", {"--keep", "0"}));
  train("whole", words("whole", {"--keep", "2"}));
  const auto text_of = [&](const std::string& name, const char* file) {
    const fs::path path = log_folder(name) / "checkpoints" / file;
    return fs::exists(path) ? read_file(path) : "none";
  };
  for (const std::string kind : {"", ".ema", ".state"}) {
    const std::string name = "blocked" + kind;
    SCOPED_TRACE(name);
    make(name, kNothing);
    // A folder stands where the file is to be: it cannot be put there.
    const fs::path obstacle = checkpoint(name, kSaved, kind);
    fs::create_directories(obstacle / "x");
    const Outcome stopped = run("pretrain", words(name, {"--keep", "2", "--resume", "latest"}));
    EXPECT_EQ(stopped.code, 1) << stopped.err;
    EXPECT_EQ(text_of(name, "latest"), fmt::format("step_{:08}.safetensors\n", kBefore));
    EXPECT_EQ(text_of(name, "best"), "none");
    EXPECT_TRUE(fs::exists(checkpoint(name, kEarlier))) << "nothing is pruned for a checkpoint that is not there";
    if (!kind.empty()) {
      EXPECT_FALSE(fs::exists(checkpoint(name, kSaved))) << "weights are written last";
    }
    fs::remove_all(obstacle);
    const Outcome resumed = run("pretrain", words(name, {"--keep", "2", "--resume", "latest"}));
    ASSERT_EQ(resumed.code, 0) << resumed.err;
    expect_same_runs(name, "whole", kSteps, {"", ".ema", ".state"});
  }
}

TEST_F(Crash, WhatIsUnfinishedGoesAsSoonAsARunGoesOn) {
  train("run", words("run", {"--keep", "2"}));
  const auto before = read_file(log_folder("run") / "checkpoints/latest");
  const Words leftovers = {"metrics.jsonl.tmp.1.0",
                           "results.jsonl.tmp.1.0",
                           "config.toml.tmp.1.0",
                           "checkpoints/latest.tmp.1.0",
                           "checkpoints/best.tmp.1.0",
                           "checkpoints/step_00000012.safetensors.tmp.1.0",
                           "checkpoints/step_00000003.state.safetensors",
                           "checkpoints/step_00000003.ema.safetensors"};
  for (const std::string& file : leftovers) put("run", file, "left behind");
  put("run", "metrics.jsonl", read_file(log_folder("run") / "metrics.jsonl") + "{\"step\": 13, \"lo");
  // The run is at its end: nothing is saved that would clean up on the way.
  const Outcome resumed = run("pretrain", words("run", {"--keep", "2", "--resume", "latest"}));
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  for (const std::string& file : leftovers) EXPECT_FALSE(fs::exists(log_folder("run") / file)) << file;
  EXPECT_EQ(read_file(log_folder("run") / "checkpoints/latest"), before);
  EXPECT_EQ(std::ssize(lines("run")), kSteps);
  EXPECT_TRUE(read_file(log_folder("run") / "metrics.jsonl").ends_with("}\n")) << "the torn line is gone";
}

TEST_F(Crash, AnotherVocabularyOfTheSameSizeIsRefused) {
  train("run");
  std::string merges = read_file(tiny_data().vocabulary);
  // The first two merges change places.
  const size_t first = merges.find('\n') + 1, second = merges.find('\n', first) + 1,
               end = merges.find('\n', second) + 1;
  merges = merges.substr(0, first) + merges.substr(second, end - second) + merges.substr(first, second - first) +
           merges.substr(end);
  const std::string other = folder().write("other.txt", std::string_view(merges)).string();
  const auto files = [&] {
    std::map<std::string, std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(log_folder("run"))) {
      if (entry.is_regular_file()) found[entry.path().string()] = read_file(entry.path());
    }
    return found;
  };
  const auto before = files();
  const Outcome refused = run("pretrain", training("run", {"--resume", "latest", "--vocabulary", other}));
  EXPECT_EQ(refused.code, 2) << refused.out;
  EXPECT_NE(refused.err.find("--resume: data.vocabulary: expected the run's own"), std::string::npos) << refused.err;
  EXPECT_EQ(files(), before) << "nothing is touched";
  fs::copy_file(tiny_data().vocabulary, root() / "copy.txt");
  EXPECT_EQ(run("pretrain", training("run", {"--resume", "latest", "--vocabulary", "copy.txt"})).code, 0)
      << "the same one elsewhere";
}

}  // namespace
}  // namespace tessera::test
