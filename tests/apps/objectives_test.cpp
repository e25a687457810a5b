// Training with the objectives other than RILS and CLIP: stopping, resuming, and messages for what they cannot do.
#include "engine/core/atomic_file.h"
#include "rils/data/encode.h"
#include "tests/apps/tiny_run.h"

namespace tessera::test {
namespace {

using Words = std::vector<std::string>;

class Objectives : public TinyRuns {
 protected:
  /// A small head and decoder; no vocabulary where the objective reads no text.
  [[nodiscard]] static Words words(const std::string& objective, const Words& more) {
    Words all = {"--objective", objective, "--set", "model.image_mlp.hidden=32", "--set", "model.image_mlp.output=16"};
    if (objective == "mae" || objective == "simclr") all.insert(all.end(), {"--vocabulary", ""});
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
};

constexpr const char* kAll[] = {"mae", "mae+clip", "simclr", "slip"};

TEST_F(Objectives, StopAndGoOnWithTheSameBitsForAnyWorkers) {
  for (const std::string objective : kAll) {
    train(objective, words(objective, {"--epochs", "2", "--workers", "0"}));
    const std::string name = objective + "-again";
    train(name, words(objective, {"--epochs", "2", "--workers", "3"}));
    std::filesystem::remove(checkpoint(name, 24));
    std::filesystem::remove(checkpoint(name, 24, ".state"));
    std::filesystem::remove(log_folder(name) / "checkpoints" / "latest");
    train(name, words(objective, {"--epochs", "2", "--workers", "2", "--resume", checkpoint(name, 12).string()}));
    EXPECT_EQ(timeless(name), timeless(objective)) << objective;
    EXPECT_EQ(different_tensors(checkpoint(name, 24), checkpoint(objective, 24)), Words()) << objective;
  }
}

TEST_F(Objectives, AccumulationIsTheUndividedBatch) {
  for (const std::string objective : kAll) {
    const std::string term = objective.starts_with("mae") ? "mae_loss" : "ssl_loss";
    const Words same = {"--set", "optim.eps=1e-2", "--epochs", "1"};
    const auto with = [&](Words more) {
      more.insert(more.end(), same.begin(), same.end());
      return words(objective, more);
    };
    train(objective, with({"--batch-size", "32"}));
    train(objective + "-parts", with({"--batch-size", "8", "--accum-freq", "4"}));
    const auto whole = column(objective, term), parts = column(objective + "-parts", term);
    ASSERT_EQ(whole.size(), 12U);
    ASSERT_EQ(parts.size(), 12U);
    for (size_t i = 0; i < whole.size(); ++i) EXPECT_NEAR(parts[i], whole[i], 1e-5 * whole[i]) << objective << i;
  }
}

TEST_F(Objectives, OneBatchCanBeLearned) {
  for (const std::string objective : kAll) {
    const Outcome o = train("one", words(objective, {"--overfit-batch", "--batch-size", "16"}));
    EXPECT_NE(o.out.find("one batch can be learned"), std::string::npos) << objective << o.out;
  }
}

TEST_F(Objectives, LogTheirOwnTermsAndNoOthers) {
  const auto columns = [&](const std::string& objective) {
    train(objective, words(objective, {"--epochs", "1"}));
    Words names;
    const auto last = lines(objective).back();
    for (const char* name : {"clip_loss", "recon_loss", "clip_acc", "mae_loss", "ssl_loss", "ssl_acc", "logit_scale"}) {
      if (last.contains(name)) names.emplace_back(name);
    }
    return names;
  };
  const Words text = {"clip_loss", "recon_loss", "clip_acc"};
  EXPECT_EQ(columns("mae"), Words{"mae_loss"});
  EXPECT_EQ(columns("simclr"), (Words{"ssl_loss", "ssl_acc"}));
  EXPECT_EQ(columns("mae+clip"), (Words{"clip_loss", "recon_loss", "clip_acc", "mae_loss", "logit_scale"}));
  EXPECT_EQ(columns("slip"), (Words{"clip_loss", "recon_loss", "clip_acc", "ssl_loss", "ssl_acc", "logit_scale"}));
}

TEST_F(Objectives, PixelsBehindHiddenPatchesAreDrawn) {
  folder().write("a.png", rils::encode_png(rils::Image(32, 32)));
  for (const std::string objective : {"mae", "mae+clip"}) {
    train(objective,
          words(objective, {"--epochs", "1", "--val-data", tiny_data().val, "--set", "run.picture_frequency=1"}));
    const Outcome o = run("inspect", {"reconstruction", "--checkpoint", checkpoint(objective, 12).string(), "--image",
                                      "a.png", "--out", "guess.svg"});
    ASSERT_EQ(o.code, 0) << o.err;
    EXPECT_NE(read_file(root() / "guess.svg").find("guess for the hidden patches (loss "), std::string::npos);
    EXPECT_EQ(run("inspect", {"report", "logs/" + objective}).code, 0);
    const std::string report = read_file(log_folder(objective) / "report.html");
    EXPECT_NE(report.find("pixel loss, weighted"), std::string::npos);
    EXPECT_EQ(std::filesystem::exists(log_folder(objective) / "pictures" / "step_00000012-reconstruction-1.svg"),
              objective == "mae+clip")
        << "pictures are drawn of validation pairs";
  }
  const Outcome heat = run("inspect", {"heatmap", "--checkpoint", checkpoint("mae", 12).string(), "--image", "a.png",
                                       "--sentences", "red", "--out", "x.svg"});
  EXPECT_EQ(heat.code, 2) << heat.err;
}

TEST_F(Objectives, WithoutTextAreJudgedByTheirFeaturesAlone) {
  const Outcome o = train("mae", words("mae", {"--epochs", "1", "--val-data", tiny_data().val}));
  EXPECT_NE(o.out.find("no validation while training: objective mae"), std::string::npos) << o.out;
  EXPECT_TRUE(lines("mae", "results.jsonl").empty()) << "there is no text to retrieve by";
  const std::string weights = checkpoint("mae", 12).string();
  const Outcome knn = run("evaluate", {"knn", "--checkpoint", weights, "--train-data", tiny_data().labelled, "--data",
                                       tiny_data().labelled, "--output", "knn.json"});
  EXPECT_EQ(knn.code, 0) << knn.err;
  for (const Words& asked : {Words{"evaluate", "retrieval", "--checkpoint", weights, "--data", tiny_data().val},
                             Words{"query", "search", "red", tiny_data().val, "--checkpoint", weights}}) {
    const Outcome refused = run(asked[0], Words(asked.begin() + 1, asked.end()));
    EXPECT_EQ(refused.code, 2) << refused.out << refused.err;
    EXPECT_NE(refused.err.find("expected one with a text encoder"), std::string::npos) << refused.err;
  }
}

}  // namespace
}  // namespace tessera::test
