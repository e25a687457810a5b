// Programs on a CUDA device, here the emulated one.
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

#include "tests/apps/tiny_run.h"

namespace tessera::test {
namespace {

using Words = std::vector<std::string>;

/// In instrumented programs all of them take minutes, and the op cases run every kernel.
Words objectives() {
  if (std::getenv("TESSERA_TEST_BUILD") != nullptr) return {"rils"};
  return {"rils", "clip", "slip", "simclr", "mae", "mae+clip"};
}

/// The emulated device of the build under test.
std::string emulated() { return (tested_build() / "lib/libtessera_cuda_emulated.so").string(); }

/// Names the plugin to the programs that the test starts.
class OnDevice : public TinyRuns {
 protected:
  void SetUp() override { setenv("TESSERA_CUDA_LIBRARY", emulated().c_str(), 1); }
  void TearDown() override { unsetenv("TESSERA_CUDA_LIBRARY"); }

  /// Twenty steps: two epochs of ten.
  [[nodiscard]] static Words words(const std::string& objective, const std::string& device, const Words& more = {}) {
    Words all = {"--objective",
                 objective,
                 "--device",
                 device,
                 "--epochs",
                 "2",
                 "--batch-size",
                 "8",
                 "--train-num-samples",
                 "80",
                 "--keep",
                 "9",
                 "--set",
                 "model.image_mlp.hidden=32",
                 "--set",
                 "model.image_mlp.output=16"};
    if (objective == "mae" || objective == "simclr") all.insert(all.end(), {"--vocabulary", ""});
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  /// Forgets what a run did after a step, as a kill would have.
  void forget_after(const std::string& name, int64_t step) const {
    for (int64_t s = step + 1; s <= 20; ++s) {
      for (const char* kind : {"", ".state", ".ema"}) std::filesystem::remove(checkpoint(name, s, kind));
    }
    std::filesystem::remove(log_folder(name) / "checkpoints" / "latest");
  }
};

TEST_F(OnDevice, TwentyStepsWithAResumeInTheMiddleAgreeWithTheCpu) {
  for (const std::string& objective : objectives()) {
    train("cpu", words(objective, "cpu"));
    const Outcome o = train("cuda", words(objective, "cuda"));
    EXPECT_NE(o.out.find("device cuda:0 (emulated"), std::string::npos) << o.out;
    const auto here = column("cpu", "loss"), there = column("cuda", "loss");
    ASSERT_EQ(here.size(), 20U) << objective;
    ASSERT_EQ(there.size(), 20U) << objective;
    for (size_t i = 0; i < here.size(); ++i) {
      EXPECT_NEAR(there[i], here[i], 1e-5 * std::max(1.0, std::abs(here[i]))) << objective << ", step " << i + 1;
    }
    std::filesystem::copy(log_folder("cuda"), log_folder("resumed"), std::filesystem::copy_options::recursive);
    forget_after("resumed", 10);
    train("resumed", words(objective, "cuda", {"--resume", checkpoint("resumed", 10).string()}));
    EXPECT_EQ(timeless("resumed"), timeless("cuda")) << objective;
    EXPECT_EQ(different_tensors(checkpoint("resumed", 20), checkpoint("cuda", 20)), Words()) << objective;
    for (const char* name : {"cpu", "cuda", "resumed"}) std::filesystem::remove_all(log_folder(name));
  }
}

TEST_F(OnDevice, PartsCheckpointingAveragesAndBf16RunTwiceToTheSameBits) {
  const Words more = {"--batch-size", "4",     "--accum-freq", "2",          "--grad-checkpointing", "--precision",
                      "amp_bf16",     "--ema", "0.9",          "--val-data", tiny_data().val};
  train("one", words("rils", "cuda:0", more));
  train("two", words("rils", "cuda:0", more));
  expect_same_runs("one", "two", 20, {"", ".ema", ".state"});
  train("cpu", words("rils", "cpu", more));
  const auto here = column("cpu", "loss"), there = column("one", "loss");
  ASSERT_EQ(here.size(), there.size());
  for (size_t i = 0; i < here.size(); ++i) EXPECT_NEAR(there[i], here[i], 0.02 * here[i]) << "step " << i + 1;
}

TEST_F(OnDevice, ARunGoesOnOnTheOtherDeviceWithAWarning) {
  for (const auto& [first, second] : {std::pair{"cpu", "cuda"}, {"cuda", "cpu"}}) {
    const std::string name = std::string("from-") + first;
    train(name, words("rils", first));
    const auto whole = column(name, "loss");
    forget_after(name, 10);
    const Outcome o = train(name, words("rils", second, {"--resume", checkpoint(name, 10).string()}));
    EXPECT_NE(o.out.find("results will agree to rounding only"), std::string::npos) << o.out;
    const auto mixed = column(name, "loss");
    ASSERT_EQ(mixed.size(), 20U);
    for (size_t i = 0; i < mixed.size(); ++i) EXPECT_NEAR(mixed[i], whole[i], 1e-4 * std::abs(whole[i])) << i;
  }
}

TEST_F(OnDevice, OtherProgramsGiveTheSameFigures) {
  const std::string weights = [&] {
    train("run", words("rils", "cpu"));
    return checkpoint("run", 20).string();
  }();
  for (const char* part : {"train", "val"}) {
    std::filesystem::create_directories(root() / "data");
    std::filesystem::create_directory_symlink(tiny_data().labelled, root() / "data" / part);
  }
  const auto figures = [&](const std::string& device) {
    const auto ask = [&](const std::string& program, Words w) {
      w.insert(w.end(), {"--checkpoint", weights, "--device", device});
      const Outcome o = run(program, w);
      EXPECT_EQ(o.code, 0) << device << ": " << o.err;
      return o.out;
    };
    const std::string labelled = tiny_data().labelled;
    std::vector<std::string> out{ask("evaluate", {"retrieval", "--data", tiny_data().val}),
                                 ask("evaluate", {"knn", "--train-data", labelled, "--data", labelled}),
                                 ask("query", {"search", "red", tiny_data().val, "--top", "3"})};
    const Outcome tuned = run(
        "finetune", {"--finetune", weights, "--data_path", (root() / "data").string(), "--epochs", "1", "--batch-size",
                     "12", "--name", "tuned-" + device, "--device", device, "--set", "run.log_every_n_steps=1"});
    EXPECT_EQ(tuned.code, 0) << tuned.err;
    return out;
  };
  const auto here = figures("cpu"), there = figures("cuda");
  EXPECT_EQ(there[0], here[0]);
  EXPECT_EQ(there[1], here[1]);
  EXPECT_EQ(there[2], here[2]);
  const auto loss = column("tuned-cpu", "loss"), other = column("tuned-cuda", "loss");
  ASSERT_EQ(loss.size(), other.size());
  ASSERT_FALSE(loss.empty());
  for (size_t i = 0; i < loss.size(); ++i) EXPECT_NEAR(other[i], loss[i], 1e-5 * std::abs(loss[i])) << i;
}

TEST_F(OnDevice, FineTuningGoesOnAfterAStopToTheSameBits) {
  for (const char* part : {"train", "val"}) {
    std::filesystem::create_directories(root() / "data");
    std::filesystem::create_directory_symlink(tiny_data().labelled, root() / "data" / part);
  }
  // Seven micro-batches an epoch: steps of 2, 2, 2 and 1.
  const auto tune = [&](const std::string& name, const std::string& device, Words more = {}) {
    Words w = {"--data_path",
               (root() / "data").string(),
               "--name",
               name,
               "--device",
               device,
               "--batch-size",
               "8",
               "--accum-iter",
               "2",
               "--epochs",
               "2",
               "--lr",
               "4e-3",
               "--keep",
               "9",
               "--save-every-n-steps",
               "1",
               "--set",
               "run.log_every_n_steps=1"};
    for (const char* key : {"image_size=16", "patch_size=8", "width=16", "layers=1", "heads=2"}) {
      w.insert(w.end(), {"--set", std::string("model.vision.") + key});
    }
    w.insert(w.end(), more.begin(), more.end());
    const Outcome o = run("finetune", w);
    EXPECT_EQ(o.code, 0) << o.err << o.out;
  };
  tune("cpu", "cpu");
  tune("cuda", "cuda");
  const auto here = column("cpu", "loss"), there = column("cuda", "loss");
  ASSERT_EQ(here.size(), 8U);
  ASSERT_EQ(there.size(), 8U);
  for (size_t i = 0; i < here.size(); ++i) EXPECT_NEAR(there[i], here[i], 1e-4 * here[i]) << "step " << i + 1;
  std::filesystem::copy(log_folder("cuda"), log_folder("resumed"), std::filesystem::copy_options::recursive);
  forget_after("resumed", 3);
  tune("resumed", "cuda", {"--resume", checkpoint("resumed", 3).string()});
  EXPECT_EQ(timeless("resumed"), timeless("cuda"));
  EXPECT_EQ(different_tensors(checkpoint("resumed", 8), checkpoint("cuda", 8)), Words());
}

TEST_F(OnDevice, WhatCannotBeUsedIsSaidInOneLine) {
  const auto message = [&](const std::string& device, const std::string& library) {
    setenv("TESSERA_CUDA_LIBRARY", library.c_str(), 1);
    const Outcome o = run("pretrain", training("refused", words("rils", device)));
    EXPECT_NE(o.code, 0);
    EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
    EXPECT_FALSE(std::filesystem::exists(log_folder("refused"))) << "a failed start leaves no folder";
    return o.err;
  };
  EXPECT_NE(message("cuda:7", emulated()).find("cuda:7: expected an index below 1"), std::string::npos);
  EXPECT_NE(message("cuda", "/nowhere/plugin.so").find("cuda:0: "), std::string::npos);
  EXPECT_NE(message("gpu", emulated()).find("gpu"), std::string::npos);
}

}  // namespace
}  // namespace tessera::test
