#include "rils/run/run_folder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/config/toml.h"
#include "rils/run/version.h"
#include "tests/support/temporary_folder.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;

class RunFolderTest : public ::testing::Test {
 protected:
  static void put(const fs::path& path, const std::string& text = "x") { std::ofstream(path) << text; }
  static void checkpoint(const RunFolder& run, int64_t step) {
    put(run.checkpoint(step).state);
    put(run.checkpoint(step).weights);
  }
  /// The message of the error that an action throws.
  template <class E, class F>
  static std::string message(F&& action) {
    try {
      action();
    } catch (const E& e) {
      return e.what();
    }
    return "no error";
  }

  const test::TemporaryFolder folder_;
  const fs::path root_ = folder_.path();
};

TEST_F(RunFolderTest, RefusesAnExistingName) {
  RunFolder::create(root_ / "logs" / "a").write_config(Config(), "command");
  EXPECT_TRUE(fs::is_directory(root_ / "logs" / "a" / "checkpoints"));
  EXPECT_EQ(message<ConfigError>([&] { (void)RunFolder::create(root_ / "logs" / "a"); }),
            fmt::format("--name: {} exists already; expected a new name, or --resume latest to continue this run",
                        (root_ / "logs" / "a").string()));
  put(root_ / "file");
  EXPECT_NE(message<ConfigError>([&] { (void)RunFolder::create(root_ / "file"); }), "no error");
}

TEST_F(RunFolderTest, WhatARunKilledBeforeItsFirstFileLeftIsTakenOver) {
  const fs::path folder = root_ / "a";
  fs::create_directories(folder);
  (void)RunFolder::create(folder);
  put(folder / "config.toml.tmp.1.0");
  (void)RunFolder::create(folder);
  put(folder / "checkpoints" / "step_00000001.safetensors");
  EXPECT_NE(message<ConfigError>([&] { (void)RunFolder::create(folder); }), "no error");
}

TEST_F(RunFolderTest, AStartThatFailedDoesNotBlockTheName) {
  const fs::path folder = root_ / "a";
  const auto fail = [&] {
    const RunFolder run = RunFolder::create(folder);
    run.write_config({}, "pretrain");
    for (const fs::path& log : {run.metrics(), run.results(), run.saves()}) put(log, "");
    put(run.vocabulary(), "#version");
    put(run.vocabulary().concat(".tmp.1.0"));
    put(run.log(), "the first lines\n");
    fs::create_directories(run.tensorboard());
    put(run.tensorboard() / "events.out.tfevents.1.host.1");
    put(run.checkpoints() / "step_00000001.state.safetensors.tmp.1.0");
  };
  fail();
  fail();
  (void)RunFolder::create(folder);
  EXPECT_FALSE(fs::exists(folder / "config.toml") || fs::exists(folder / "out.log"));
  fs::create_directories(folder);
  put(folder / "out.log", "of a shell\n");
  EXPECT_NE(message<ConfigError>([&] { (void)RunFolder::create(folder); }), "no error") << "not ours";
  EXPECT_EQ(read_file(folder / "out.log"), "of a shell\n");
  fs::remove(folder / "out.log");
  put(folder / "vocabulary.txt", "of a user\n");
  EXPECT_NE(message<ConfigError>([&] { (void)RunFolder::create(folder); }), "no error") << "not ours";
  fs::remove(folder / "vocabulary.txt");
  // What tells of a step, or is not ours, blocks.
  for (const char* file : {"metrics.jsonl", "results.jsonl", "checkpoints.jsonl", "config.toml", "notes.txt",
                           "checkpoints/latest", "tensorboard/x", "a.tmp.1.0"}) {
    fail();
    put(folder / file, "{\"step\":1}\n");
    EXPECT_NE(message<ConfigError>([&] { (void)RunFolder::create(folder); }), "no error") << file;
    EXPECT_EQ(read_file(folder / file), "{\"step\":1}\n");
    fs::remove_all(folder);
  }
}

TEST_F(RunFolderTest, HistoryIsWhatTheLogsTell) {
  const RunFolder run = RunFolder::create(root_ / "a");
  put(run.metrics(), "{\"step\":1}\n");
  EXPECT_TRUE(run.has_history()) << "a run of an earlier version, without a list of checkpoints";
  put(run.saves(), "");
  EXPECT_FALSE(run.has_history()) << "never saved";
  put(run.saves(), "{\"step\":1}\n");
  EXPECT_TRUE(run.has_history());
  run.drop_lines_beyond(0);
  EXPECT_FALSE(run.has_history());
}

TEST_F(RunFolderTest, FilesOfAUserStay) {
  const RunFolder run = RunFolder::create(root_ / "a");
  const std::vector<fs::path> theirs = {run.path() / "notes.tmp.txt", run.path() / "notes.tmp.1.0",
                                        run.checkpoints() / "step_1.tmp.x", run.path() / "metrics.jsonl.tmp.old"};
  for (const fs::path& path : theirs) put(path);
  run.remove_unfinished();
  for (const fs::path& path : theirs) EXPECT_TRUE(fs::exists(path)) << path;
}

TEST_F(RunFolderTest, APointerThatIsALinkIsNotWrittenThrough) {
  const RunFolder run = RunFolder::create(root_ / "a");
  for (const int64_t step : {10, 20}) checkpoint(run, step);
  fs::create_symlink("step_00000010.safetensors", run.checkpoints() / "latest");
  EXPECT_EQ(run.latest(), 20);
  EXPECT_NE(message<IoError>([&] { run.mark_latest(20); }), "no error");
  EXPECT_EQ(read_file(run.checkpoint(10).weights), "x");
}

TEST_F(RunFolderTest, WeightsAreNamedByRunOrPointer) {
  const fs::path folder = root_ / "a";
  const RunFolder run = RunFolder::create(folder);
  run.write_config({}, "pretrain");
  EXPECT_EQ(message<ConfigError>([&] { (void)weights_file(folder.string()); }),
            fmt::format("{}: expected a run with a checkpoint, found none", folder.string()));
  for (const int64_t step : {10, 20, 30}) checkpoint(run, step);
  run.mark_latest(20);
  run.mark_best(10);
  for (const auto& [word, step] : {std::pair{"", 20}, std::pair{"/", 20}, std::pair{"/checkpoints/latest", 20},
                                   std::pair{"/checkpoints/best", 10}}) {
    EXPECT_EQ(fs::path(weights_file(folder.string() + word)).lexically_normal(), run.checkpoint(step).weights) << word;
  }
  RunConfig any;
  EXPECT_EQ(find_resume_point((run.checkpoints() / "best").string(), any).step, 10);
  EXPECT_EQ(find_resume_point((run.checkpoints() / "latest").string(), any).step, 20);
  EXPECT_EQ(weights_file((folder / "checkpoints").string()), run.checkpoint(20).weights.string());
  EXPECT_EQ(find_resume_point((folder / "checkpoints/").string(), any).folder, folder);
  // Any other path is the file itself, or a folder of another program.
  fs::create_directories(root_ / "hub");
  for (const fs::path& path : {run.checkpoint(30).weights, root_ / "hub"}) {
    EXPECT_EQ(weights_file(path.string()), path.string());
  }
}

TEST_F(RunFolderTest, WeightsThatTravelledNeedNoRun) {
  const RunFolder run = RunFolder::create(root_ / "a");
  for (const int64_t step : {10, 20}) checkpoint(run, step);
  run.mark_latest(20);
  run.mark_best(10);
  fs::create_directories(root_ / "moved" / "checkpoints");
  for (const char* file : {"latest", "best", "step_00000010.safetensors", "step_00000020.safetensors"}) {
    fs::copy_file(run.checkpoints() / file, root_ / "moved" / "checkpoints" / file);
    fs::copy_file(run.checkpoints() / file, root_ / "moved" / file);
  }
  for (const fs::path& folder : {root_ / "moved" / "checkpoints", root_ / "moved"}) {
    EXPECT_EQ(weights_file((folder / "best").string()), folder / "step_00000010.safetensors");
    EXPECT_EQ(weights_file((folder / "latest").string()), folder / "step_00000020.safetensors");
    fs::remove(folder / "latest");
  }
  EXPECT_EQ(weights_file((root_ / "moved").string()), root_ / "moved/checkpoints/step_00000020.safetensors");
}

TEST_F(RunFolderTest, ACopyOfLatestIsNoCopyOfTheWeights) {
  const RunFolder run = RunFolder::create(root_ / "a");
  checkpoint(run, 20);
  run.mark_latest(20);
  for (const char* name : {"moved.safetensors", "latest", "best"}) {
    const fs::path copy = root_ / name;
    fs::copy_file(run.checkpoints() / "latest", copy);
    EXPECT_EQ(message<IoError>([&] { (void)weights_file(copy.string()); }),
              copy.string() +
                  ": expected weights, found the name step_00000020.safetensors, which is what a run's "
                  "latest and best hold; copy the file of that name");
  }
}

TEST_F(RunFolderTest, ANameThatIsMissingListsWhatIsThere) {
  const fs::path folder = root_ / "a";
  const RunFolder run = RunFolder::create(folder);
  run.write_config({}, "pretrain");
  for (int64_t step = 1; step <= 10; ++step) checkpoint(run, step);
  run.mark_latest(10);
  const std::string there = fmt::format(
      "; {} has step_00000004.safetensors, step_00000005.safetensors, step_00000006.safetensors, "
      "step_00000007.safetensors, step_00000008.safetensors, step_00000009.safetensors, step_00000010.safetensors, "
      "latest and 3 more",
      run.checkpoints().string());
  const std::string gone = ": cannot open: No such file or directory";
  RunConfig any;
  for (const fs::path& path : {run.checkpoint(11).weights, run.checkpoints() / "best"}) {
    EXPECT_EQ(message<IoError>([&] { (void)weights_file(path.string()); }), path.string() + gone + there);
    EXPECT_EQ(message<ConfigError>([&] { (void)find_resume_point(path.string(), any); }),
              fmt::format("--resume: expected latest, a run's folder or its checkpoints/step_NNNNNNNN.safetensors, "
                          "found {}{}",
                          path.string(), there));
  }
  const std::string best = (folder / "best").string();
  EXPECT_EQ(message<IoError>([&] { (void)weights_file(best); }), best + gone + there) << "not in checkpoints/";
  // Of a run's name that is mistyped, and of a folder of runs.
  const std::string other = (root_ / "b").string();
  EXPECT_EQ(message<IoError>([&] { (void)weights_file(other); }),
            fmt::format("{}{}; {} has the runs a", other, gone, root_.string()));
  const std::string deep = (root_ / "b" / "checkpoints" / "best").string();
  EXPECT_EQ(message<IoError>([&] { (void)weights_file(deep); }),
            fmt::format("{}{}; {} has the runs a", deep, gone, root_.string()));
  EXPECT_EQ(message<ConfigError>([&] { (void)weights_file(root_.string()); }),
            fmt::format("{}: expected a checkpoint or the folder of one run, found the runs a", root_.string()));
}

TEST_F(RunFolderTest, AFolderThatCannotBeMadeIsAnIoError) {
  put(root_ / "file");
  const std::string text = message<IoError>([&] { (void)RunFolder::create(root_ / "file" / "run"); });
  EXPECT_EQ(text, fmt::format("{}: cannot create the folder: Not a directory", (root_ / "file" / "run").string()));
}

TEST_F(RunFolderTest, OpensOnlyRuns) {
  EXPECT_EQ(message<ConfigError>([&] { (void)RunFolder::open(root_ / "none", "--resume"); }),
            fmt::format("--resume: expected a run's folder with config.toml and checkpoints, found no folder {}",
                        (root_ / "none").string()));
  EXPECT_EQ(message<ConfigError>([&] { (void)RunFolder::open(root_); }),
            fmt::format("expected a run's folder with config.toml and checkpoints, found {}", root_.string()));
  const RunFolder run = RunFolder::create(root_ / "a");
  run.write_config({}, "pretrain");
  EXPECT_EQ(RunFolder::open(root_ / "a").path(), root_ / "a");
  EXPECT_EQ(
      message<ConfigError>([&] { (void)RunFolder::open(root_ / "b"); }),
      fmt::format("expected a run's folder with config.toml and checkpoints, found no folder {}; {} has the runs a",
                  (root_ / "b").string(), root_.string()));
}

TEST_F(RunFolderTest, NamesItsFiles) {
  const RunFolder run = RunFolder::create(root_ / "a");
  EXPECT_EQ(run.checkpoint(1000).weights, root_ / "a/checkpoints/step_00001000.safetensors");
  EXPECT_EQ(run.checkpoint(1000).state, root_ / "a/checkpoints/step_00001000.state.safetensors");
  EXPECT_EQ(run.checkpoint(123456789).ema, root_ / "a/checkpoints/step_123456789.ema.safetensors");
}

TEST_F(RunFolderTest, ConfigIsReadBackWhateverTheCommandHolds) {
  const RunFolder run = RunFolder::create(root_ / "a");
  Config config;
  config.optim.lr = 0.1 + 0.2;
  run.write_config(config, "pretrain --name 'a\n[optim]\r\nlr = 9'");
  EXPECT_EQ(load_config(run.config()), config);
  const std::string bytes = "caf\xe9 \xc3\xa9 \xee\xbe\xa9 \xff\xc0\x80 \xed\xa0\x80 \xf4\x90";
  config.data.train_data = bytes;
  run.write_config(config, "pretrain --train-data " + bytes);
  EXPECT_EQ(load_config(run.config()).data.train_data, bytes) << "any bytes";
  config.data.train_data.clear();
  run.write_config(config, "pretrain --name 'a\n[optim]\r\nlr = 9'");
  EXPECT_TRUE(read_file(run.config())
                  .starts_with(fmt::format("# tessera {}\n# pretrain --name 'a [optim]  lr = 9'\n", version())));
}

TEST_F(RunFolderTest, OnlyCompleteCheckpointsCount) {
  const RunFolder run = RunFolder::create(root_ / "a");
  EXPECT_EQ(run.latest(), std::nullopt);
  checkpoint(run, 20);
  checkpoint(run, 100000000);
  checkpoint(run, 3);
  put(run.checkpoint(40).state);    // killed before the weights
  put(run.checkpoint(50).weights);  // state lost
  put(run.checkpoints() / "step_7.safetensors");
  put(run.checkpoints() / "step_7.state.safetensors");
  put(run.checkpoints() / "step_00000060.safetensors.tmp.1.0");
  EXPECT_EQ(run.complete(), (std::vector<int64_t>{3, 20, 100000000}));
}

TEST_F(RunFolderTest, PointersNameCheckpoints) {
  const RunFolder run = RunFolder::create(root_ / "a");
  for (const int64_t step : {10, 20, 30}) checkpoint(run, step);
  EXPECT_EQ(run.latest(), 30) << "without a pointer the newest";
  run.mark_latest(20);
  run.mark_best(10);
  EXPECT_EQ(run.latest(), 20);
  EXPECT_EQ(run.best(), 10);
  EXPECT_EQ(read_file(run.checkpoints() / "latest"), "step_00000020.safetensors\n");
  fs::remove(run.checkpoint(20).state);
  EXPECT_EQ(run.latest(), 30) << "what it names is not complete";
  put(run.checkpoints() / "best", "../../etc/passwd");
  EXPECT_EQ(run.best(), std::nullopt);
}

TEST_F(RunFolderTest, PruneKeepsTheNewestAndTheBest) {
  const RunFolder run = RunFolder::create(root_ / "a");
  for (const int64_t step : {10, 20, 30, 40, 50}) checkpoint(run, step);
  put(run.checkpoint(20).ema);
  put(run.checkpoint(50).weights.string() + ".tmp.77.0");
  put(run.metrics().string() + ".tmp.78.0");
  run.mark_best(10);
  run.mark_latest(50);
  run.prune(0);
  EXPECT_EQ(run.complete().size(), 5U);
  run.prune(2);
  EXPECT_EQ(run.complete(), (std::vector<int64_t>{10, 40, 50}));
  EXPECT_FALSE(fs::exists(run.checkpoint(20).ema));
  EXPECT_FALSE(fs::exists(run.checkpoint(50).weights.string() + ".tmp.77.0"));
  EXPECT_FALSE(fs::exists(run.metrics().string() + ".tmp.78.0"));
}

TEST_F(RunFolderTest, PruneOfARunThatWentBackKeepsWhatItJustWrote) {
  const RunFolder run = RunFolder::create(root_ / "a");
  for (const int64_t step : {10, 20, 30, 40, 50}) checkpoint(run, step);
  checkpoint(run, 25);
  run.mark_latest(25);
  run.prune(1);
  EXPECT_EQ(run.complete(), (std::vector<int64_t>{25, 30, 40, 50}));
}

TEST_F(RunFolderTest, PartsOfCheckpointsWithoutWeightsAreRemoved) {
  const RunFolder run = RunFolder::create(root_ / "a");
  for (const int64_t step : {10, 20, 30}) checkpoint(run, step);
  put(run.checkpoint(20).ema);
  put(run.checkpoint(30).ema);
  fs::remove(run.checkpoint(20).weights);  // killed while it pruned 20
  put(run.checkpoint(40).state);           // killed before the weights of 40, which are written again
  put(run.checkpoints() / "step_7.ema.safetensors");
  run.mark_latest(30);
  run.remove_unfinished();
  EXPECT_FALSE(fs::exists(run.checkpoint(20).state));
  EXPECT_FALSE(fs::exists(run.checkpoint(20).ema));
  EXPECT_TRUE(fs::exists(run.checkpoint(30).ema));
  EXPECT_TRUE(fs::exists(run.checkpoint(40).state));
  EXPECT_TRUE(fs::exists(run.checkpoints() / "step_7.ema.safetensors")) << "no file of ours";
  EXPECT_EQ(run.complete(), (std::vector<int64_t>{10, 30}));
}

TEST_F(RunFolderTest, LinesBeyondTheStepAreDropped) {
  const RunFolder run = RunFolder::create(root_ / "a");
  run.drop_lines_beyond(3);  // nothing there yet
  put(run.metrics(),
      "{\"step\":1,\"loss\":2.5}\n{\"step\":2}\n{\"step\":3,\"x\":\"}\\n\"}\n{\"step\":4}\n{\"step\":5,\"lo");
  put(run.results(), "{\"step\":2}\nnonsense\n\n{\"other\":1}\n{\"step\":\"3\"}\n{\"step\":3}");
  run.drop_lines_beyond(3);
  EXPECT_EQ(read_file(run.metrics()), "{\"step\":1,\"loss\":2.5}\n{\"step\":2}\n{\"step\":3,\"x\":\"}\\n\"}\n");
  EXPECT_EQ(read_file(run.results()), "{\"step\":2}\n") << "a last line without end may be torn within a number";
  run.drop_lines_beyond(0);
  EXPECT_EQ(read_file(run.metrics()), "");
}

TEST_F(RunFolderTest, ResumePoints) {
  RunConfig run;
  run.logs = root_.string();
  EXPECT_EQ(message<ConfigError>([&] { (void)find_resume_point("latest", run); }),
            "--resume latest: expected --name with the run to continue, found none");
  run.name = "a";
  EXPECT_EQ(find_resume_point("latest", run).folder, root_ / "a");
  const RunFolder folder = RunFolder::create(root_ / "a");
  checkpoint(folder, 12);
  EXPECT_EQ(find_resume_point((root_ / "a").string(), run).folder, root_ / "a");
  EXPECT_EQ(find_resume_point((root_ / "a").string() + "/", run).folder, root_ / "a");
  EXPECT_EQ(find_resume_point((root_ / "a").string(), run).step, std::nullopt);
  const ResumePoint point = find_resume_point(folder.checkpoint(12).weights.string(), run);
  EXPECT_EQ(point.folder, root_ / "a");
  EXPECT_EQ(point.step, 12);
  const std::string listed = fmt::format("; {} has step_00000012.safetensors", folder.checkpoints().string());
  for (const auto& [path, there] :
       {std::pair{folder.checkpoint(12).state, listed}, std::pair{folder.checkpoint(13).weights, listed},
        std::pair{root_ / "b", std::string()}}) {
    EXPECT_EQ(message<ConfigError>([&] { (void)find_resume_point(path.string(), run); }),
              fmt::format("--resume: expected latest, a run's folder or its checkpoints/step_NNNNNNNN.safetensors, "
                          "found {}{}",
                          path.string(), there));
  }
}

TEST_F(RunFolderTest, LabelsTellRunsApart) {
  using Labels = std::vector<std::string>;
  EXPECT_EQ(run_labels({"logs/a", "logs/b/"}), (Labels{"a", "b"}));
  EXPECT_EQ(run_labels({"x/run", "y/run", "z/other"}), (Labels{"x/run", "y/run", "other"}));
  EXPECT_EQ(run_labels({"/run", "/x/run", "/y/x/run"}), (Labels{"run", "x/run", "y/x/run"}));
  EXPECT_EQ(run_labels({"logs/a", "./logs/a/"}), (Labels{"a", "a"})) << "one run, twice";
}

TEST_F(RunFolderTest, AutomaticNamesSayWhatRuns) {
  const std::string name = automatic_name(ModelConfig{});
  EXPECT_TRUE(name.ends_with("-rils-768x12p16")) << name;
  EXPECT_EQ(name.size(), std::string("2026_01_31-17_05_09-rils-768x12p16").size());
}

}  // namespace
}  // namespace tessera::rils
