// Properties of every training run: equal objectives, batches, workers and seeds give equal results.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "rils/config/toml.h"
#include "rils/model/model.h"
#include "tests/apps/tiny_run.h"
#include "tests/support/golden.h"

namespace tessera::test {
namespace {

using Training = TinyRuns;

TEST_F(Training, WithoutReconstructionRilsIsClip) {
  train("rils", {"--set", "loss.reconstruction_weight=0", "--epochs", "2"});
  train("clip", {"--objective", "clip", "--epochs", "2"});
  train("whole", {"--epochs", "2"});
  ASSERT_EQ(column("rils", "clip_loss").size(), 24U);
  EXPECT_EQ(column("rils", "clip_loss"), column("clip", "clip_loss"));
  EXPECT_EQ(column("rils", "clip_acc"), column("clip", "clip_acc"));
  EXPECT_EQ(column("rils", "logit_scale"), column("clip", "logit_scale"));
  EXPECT_NE(column("whole", "clip_loss"), column("clip", "clip_loss")) << "reconstruction changes what is learned";
}

TEST_F(Training, ALearningRateOfZeroLeavesTheWeights) {
  train("still", {"--lr", "0", "--set", "optim.lr_start=0", "--set", "optim.lr_end=0", "--save-every-steps", "1",
                  "--keep", "0", "--ema", "0.5"});
  const rils::Config config = rils::load_config(log_folder("still") / "config.toml");
  const rils::Model model(config.model, static_cast<uint64_t>(config.run.seed));
  for (const int64_t step : {1, 2, 12}) {
    for (const char* kind : {"", ".ema"}) {
      const auto stored = tensors_of(checkpoint("still", step, kind));
      for (const nn::Entry& entry : model.store().entries()) {
        ASSERT_TRUE(stored.contains(entry.name));
        EXPECT_TRUE(same_bits(stored.at(entry.name), entry.value())) << entry.name << " at step " << step << kind;
      }
    }
  }
  EXPECT_GT(column("still", "grad_norm")[0], 0.0);
}

TEST_F(Training, TheLearningRateFollowsTheFormula) {
  constexpr double kPeak = 3e-3, kStart = 1e-6, kEnd = 1e-5;
  constexpr int64_t kWarmup = 5, kSteps = 24;
  train("warm", {"--lr", "3e-3", "--warmup", "5", "--epochs", "2"});
  const std::vector<double> lr = column("warm", "lr");
  ASSERT_EQ(lr.size(), static_cast<size_t>(kSteps));
  const double last = static_cast<double>(kSteps - kWarmup - 1) / static_cast<double>(kSteps - kWarmup);
  EXPECT_DOUBLE_EQ(lr.front(), kStart);
  EXPECT_DOUBLE_EQ(lr[1], kStart + (kPeak - kStart) / (kWarmup - 1));
  EXPECT_DOUBLE_EQ(lr[kWarmup - 1], kPeak) << "the last step of the warm-up";
  EXPECT_DOUBLE_EQ(lr[kWarmup], kPeak) << "the cosine begins at its top";
  EXPECT_DOUBLE_EQ(lr.back(), kEnd + 0.5 * (kPeak - kEnd) * (1 + std::cos(std::numbers::pi * last)));
  // By default the warm-up is one epoch.
  train("epoch", {"--lr", "3e-3", "--set", "optim.warmup=-1", "--epochs", "2"});
  EXPECT_LT(column("epoch", "lr")[10], kPeak);
  EXPECT_DOUBLE_EQ(column("epoch", "lr")[11], kPeak);
  EXPECT_DOUBLE_EQ(column("epoch", "lr")[12], kPeak);
}

/// |a − b| ≤ bound · |b| in every row of a column.
void expect_close(const std::vector<double>& found, const std::vector<double>& expected, double bound,
                  const std::string& name) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_LE(std::abs(found[i] - expected[i]), bound * std::abs(expected[i])) << name << " at step " << i + 1;
  }
}

// The same sums in another order: a figure of f32 sums of some thousand terms differs by a few of the last bits, 2^-24
// each. A large eps keeps AdamW's update within lr/eps of the gradient's difference, so that elements whose gradient is
// rounding alone do not take whole steps of either sign.
TEST_F(Training, AccumulationIsTheUndividedBatch) {
  train("start", {"--epochs", "3"});
  const std::vector<std::string> same = {"--pretrained", checkpoint("start", 36).string(), "--set", "optim.eps=1e-2"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), same.begin(), same.end());
    return more;
  };
  train("whole", with({"--batch-size", "32"}));
  train("parts", with({"--batch-size", "8", "--accum-freq", "4"}));
  const std::vector<double> accuracy = column("whole", "clip_acc"), recon = column("whole", "recon_loss");
  ASSERT_EQ(accuracy.size(), 12U);
  EXPECT_GT(std::ranges::min(accuracy), 0.0) << "the gate is open for some images of every batch";
  EXPECT_LT(std::ranges::min(accuracy), 100.0) << "and closed for others";
  EXPECT_GT(std::ranges::min(recon), 0.0);
  EXPECT_EQ(column("parts", "clip_acc"), accuracy);
  constexpr double kLoss = 1e-5, kGradient = 1e-4;
  expect_close(column("parts", "loss"), column("whole", "loss"), kLoss, "loss");
  expect_close(column("parts", "clip_loss"), column("whole", "clip_loss"), kLoss, "clip_loss");
  expect_close(column("parts", "recon_loss"), recon, kLoss, "recon_loss");
  expect_close(column("parts", "grad_norm"), column("whole", "grad_norm"), kGradient, "grad_norm");
  const auto whole = tensors_of(checkpoint("whole", 12)), parts = tensors_of(checkpoint("parts", 12));
  for (const auto& [name, tensor] : whole) EXPECT_LE(relative_error(parts.at(name), tensor), kGradient) << name;
  EXPECT_FALSE(different_tensors(checkpoint("whole", 12), checkpoint("start", 36)).empty());
}

TEST_F(Training, WorkersDoNotMatter) {
  train("none", {"--workers", "0", "--epochs", "2"});
  train("one", {"--workers", "1", "--epochs", "2"});
  train("eight", {"--workers", "8", "--epochs", "2"});
  ASSERT_EQ(timeless("one").size(), 24U);
  EXPECT_EQ(timeless("none"), timeless("one"));
  EXPECT_EQ(timeless("eight"), timeless("one"));
  EXPECT_EQ(different_tensors(checkpoint("eight", 24), checkpoint("one", 24)), std::vector<std::string>());
  train("other", {"--workers", "1", "--epochs", "2", "--seed", "1"});
  EXPECT_NE(column("other", "loss"), column("one", "loss"));
}

TEST_F(Training, GathersAndSimulatedRanksAreWhatTheyAreCalled) {
  const auto loss = [&](const std::string& name, const std::vector<std::string>& more) {
    train(name, more);
    return column(name, "loss");
  };
  const auto constant = loss("constant", {"--gather", "constant"});
  const auto gradient = loss("gradient", {"--gather", "with-gradient"});
  EXPECT_EQ(constant[0], gradient[0]) << "the same loss, whatever its gradient";
  EXPECT_NE(column("constant", "grad_norm")[0], column("gradient", "grad_norm")[0]);
  EXPECT_EQ(loss("gather_with_grad", {"--gather-with-grad"}), gradient);
  EXPECT_EQ(loss("local_loss", {"--local-loss"}), constant);
  const auto ranks = loss("ranks", {"--simulated-ranks", "4"});
  EXPECT_NE(column("ranks", "grad_norm"), column("constant", "grad_norm"));
  EXPECT_NEAR(ranks[0], constant[0], 0.1 * constant[0]) << "a mean over ranks";
}

}  // namespace
}  // namespace tessera::test
