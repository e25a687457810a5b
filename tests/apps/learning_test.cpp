// A run learns from data with structure, and learns nothing from data without.
#include <cmath>

#include "tests/apps/tiny_run.h"

namespace tessera::test {
namespace {

class Learning : public TinyRuns {
 protected:
  /// Text → image recall@10 over the 100 held-out pairs after eight epochs.
  [[nodiscard]] double recall_after(const std::string& objective, const std::string& data) const {
    const std::string name = objective + "-" + data.substr(data.rfind('/') + 1);
    train(name, {"--objective", objective, "--train-data", data, "--val-data", tiny_data().val, "--epochs", "8",
                 "--val-frequency", "0"});
    const auto results = lines(name, "results.jsonl");
    EXPECT_EQ(results.size(), 1U) << "the last step validates";
    return results.at(0).at("image_retrieval_recall@10").get<double>();
  }
};

TEST_F(Learning, UnseenPairsAreFoundOnlyIfCaptionsSayWhatIsShown) {
  const double n = static_cast<double>(tiny_data().val_pairs), chance = 10.0 / n;
  const double error = std::sqrt(chance * (1 - chance) / n);  // binomial
  for (const char* objective : {"rils", "clip"}) {
    EXPECT_NEAR(recall_after(objective, tiny_data().permuted), chance, 3 * error) << objective;
    EXPECT_GT(recall_after(objective, tiny_data().train), 0.9) << objective;
  }
}

TEST_F(Learning, OneBatchCanBeLearnedWhateverItsCaptions) {
  for (const std::string& data : {tiny_data().train, tiny_data().permuted}) {
    const Outcome o = train("one", {"--overfit-batch", "--train-data", data});
    EXPECT_NE(o.out.find("one batch can be learned"), std::string::npos) << o.out;
  }
  EXPECT_FALSE(std::filesystem::exists(log_folder("one"))) << "it is a trial";
  // A warm-up that is longer than the trial or the run must not keep the learning rate low.
  train("slow", {"--overfit-batch", "--warmup", "1000000"});
  const Outcome o = run(
      "pretrain", training("still", {"--overfit-batch", "--lr", "1e-9", "--objective", "clip", "--batch-size", "8"}));
  EXPECT_EQ(o.code, 1);
  EXPECT_NE(o.err.find("the loss stayed above"), std::string::npos) << o.err;
}

}  // namespace
}  // namespace tessera::test
