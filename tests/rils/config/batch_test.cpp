// The global batch, its micro-batches and the ranks that are simulated in it.
#include <gtest/gtest.h>

#include "rils/config/schema.h"
#include "rils/config/toml.h"
#include "tests/rils/config/message_of.h"

namespace tessera::rils {
namespace {

using test::message_of;

TEST(Batch, IsPlannedForProcesses) {
  Config config;
  config.optim.batch_size = 8;
  config.optim.accum_freq = 3;
  EXPECT_EQ(plan_batch(config, 1).global, 24);
  EXPECT_EQ(plan_batch(config, 1).accum_freq, 3);
  config.loss.simulated_ranks = 2;
  EXPECT_EQ(plan_batch(config, 2).global, 48);
  EXPECT_EQ(message_of([&] { (void)plan_batch(config, 3); }),
            "loss.simulated_ranks: expected a multiple of the 3 processes, found 2");
  config.optim.global_batch_size = 64;
  EXPECT_EQ(plan_batch(config, 1).accum_freq, 8);
  EXPECT_EQ(plan_batch(config, 2).accum_freq, 4);
  EXPECT_EQ(plan_batch(config, 2).global, 64);
}

TEST(SimulatedRanks, Are64OrTheLargestDivisorOfTheBatch) {
  for (const auto& [batch, ranks] : {std::pair{4096, 64}, {64, 64}, {96, 48}, {100, 50}, {32, 32}, {67, 1}, {1, 1}}) {
    EXPECT_EQ(simulated_ranks({}, batch), ranks) << batch;
    EXPECT_EQ(simulated_ranks({.simulated_ranks = 1}, batch), 1) << "an explicit 1 stays";
  }
  EXPECT_EQ(simulated_ranks({}, 96, 3), 48);
  EXPECT_EQ(simulated_ranks({}, 96, 32), 32);
  EXPECT_EQ(simulated_ranks({}, 200, 100), 100) << "as many as there are processes";
  EXPECT_EQ(message_of([] { (void)simulated_ranks({.simulated_ranks = 64}, 96); }),
            "loss.simulated_ranks: expected a divisor of the global batch = 96, found 64");
  Config config;
  config.optim.batch_size = 96;
  EXPECT_EQ(plan_batch(config, 1).simulated_ranks, 48);
  EXPECT_NO_THROW(check_config(config));
}

TEST(SimulatedRanks, HadAnotherNameInOlderFiles) {
  Config config;
  merge_toml(config, "[loss]\nshards = 1\n", "old.toml");
  EXPECT_EQ(config.loss.simulated_ranks, 1);
  EXPECT_EQ(to_toml(config).find("shards"), std::string::npos);
  EXPECT_NE(to_toml(config).find("\nsimulated_ranks = 1\n"), std::string::npos);
}

TEST(Resume, ComparesTheRanksThatAreUsed) {
  Config stored, now;
  stored.loss.simulated_ranks = 64;
  EXPECT_NO_THROW(check_resumable(stored, now)) << "the default is 64 here";
  stored.loss.simulated_ranks = 1;
  EXPECT_EQ(message_of([&] { check_resumable(stored, now); }),
            "--resume: loss.simulated_ranks: expected the run's own 1, found 64");
  stored.model.objective = now.model.objective = ObjectiveName::clip;
  EXPECT_NO_THROW(check_resumable(stored, now)) << "nothing reads them";
}

}  // namespace
}  // namespace tessera::rils
