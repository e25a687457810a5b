// Which keys a run that goes on must keep: every one of the schema is tried.
#include <gtest/gtest.h>

#include <set>

#include "engine/core/error.h"
#include "rils/config/schema.h"

namespace tessera::rils {
namespace {

/// Keys that change nothing of what a run computes, or that may change by intention: where files lie, how the work is
/// cut and reported, how far it goes. The vocabulary is compared by its digest.
const std::set<std::string_view>& may_change() {
  static const std::set<std::string_view> keys = {"data.val_data",
                                                  "data.image_root",
                                                  "data.vocabulary",
                                                  "data.val_num_samples",
                                                  "data.workers",
                                                  "data.cache_mib",
                                                  "data.zeroshot_data",
                                                  "data.classnames",
                                                  "data.templates",
                                                  "augment.crop_pct",
                                                  "optim.batch_size",
                                                  "optim.accum_freq",
                                                  "optim.global_batch_size",
                                                  "optim.epochs",
                                                  "run.name",
                                                  "run.logs",
                                                  "run.device",
                                                  "run.save_every_steps",
                                                  "run.save_frequency",
                                                  "run.keep",
                                                  "run.log_every_n_steps",
                                                  "run.val_frequency",
                                                  "run.zeroshot_frequency",
                                                  "run.picture_frequency",
                                                  "run.grad_checkpointing",
                                                  "run.report_to",
                                                  "finetune.finetune"};
  return keys;
}

/// Makes `to` differ from `from` in this key alone, by the first of some words that the key and the batch accept; false
/// if none does.
bool changed(const Key& key, const Config& from, Config& to) {
  std::vector<std::string> words = {"true", "false", "128", "0.25", "0.5", "2", "0.25,0.5", "0.25,0.5,0.75", "other"};
  for (const Choice& choice : key.choices) words.emplace_back(choice.name);
  for (const std::string& word : words) {
    to = from;
    try {
      set_assignment(to, std::string(key.path) + "=" + word);
      (void)plan_batch(to, 1);
    } catch (const ConfigError&) {
      continue;
    }
    if (value_text(to, key) != value_text(from, key)) return true;
  }
  return false;
}

TEST(ResumeEveryKey, IsRefusedWhereItMustAgree) {
  Config stored;
  stored.loss.simulated_ranks = 64;  // as a run stores it
  for (const Key& key : schema()) {
    SCOPED_TRACE(key.path);
    Config now;
    ASSERT_TRUE(changed(key, stored, now));
    ASSERT_EQ(differences(stored, now).size(), 1U) << "this key alone";
    EXPECT_EQ(key.on_resume == OnResume::may_change, may_change().contains(key.path));
    std::string message = "accepted";
    try {
      check_resumable(stored, now);
    } catch (const ConfigError& error) {
      message = error.what();
    }
    const bool batch =
        key.path == "optim.batch_size" || key.path == "optim.accum_freq" || key.path == "optim.global_batch_size";
    if (key.on_resume == OnResume::may_change && !batch) {
      EXPECT_EQ(message, "accepted");
      continue;
    }
    const std::string named = batch ? "optim.global_batch_size" : std::string(key.path);
    EXPECT_TRUE(message.starts_with("--resume: " + named + ": expected the run's own ")) << message;
  }
}

TEST(ResumeEveryKey, TheListNamesKeysThatAreThere) {
  for (const std::string_view key : may_change()) EXPECT_NE(find_key(key), nullptr) << key;
}

TEST(ResumeEveryKey, TheBatchMayBeCutAnew) {
  Config stored;
  stored.optim.batch_size = 8;
  stored.optim.accum_freq = 6;
  for (const auto& [batch, accum] : std::vector<std::pair<int64_t, int64_t>>{{48, 1}, {16, 3}, {1, 48}}) {
    Config now = stored;
    now.optim.batch_size = batch;
    now.optim.accum_freq = accum;
    EXPECT_NO_THROW(check_resumable(stored, now));
    now.optim.accum_freq = accum + 1;
    EXPECT_THROW(check_resumable(stored, now), ConfigError);
  }
  Config smaller = stored;
  smaller.optim.accum_freq = 5;
  EXPECT_THROW(check_resumable(stored, smaller), ConfigError);
  Config whole = stored;
  whole.optim.global_batch_size = 48;
  EXPECT_NO_THROW(check_resumable(stored, whole));
}

}  // namespace
}  // namespace tessera::rils
