// Runs that are stopped or killed at any moment and resume as if they had not been.
#include <array>
#include <chrono>
#include <csignal>
#include <random>

#include "tests/apps/tiny_run.h"

namespace tessera::test {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr int64_t kSteps = 72;

class Interruption : public TinyRuns {
 protected:
  /// Validates, averages and saves at every third step, so that a signal is likely to arrive during one of them.
  [[nodiscard]] static std::vector<std::string> words(const std::string& name, bool resumed) {
    std::vector<std::string> words = training(name, {"--epochs", "6", "--save-every-steps", "3", "--ema", "0.9",
                                                     "--keep", "2", "--val-data", tiny_data().val});
    if (resumed) words.insert(words.end(), {"--resume", "latest"});
    return words;
  }

  /// Starts or resumes a run, and interrupts it.
  Outcome interrupt(const std::string& name, int signal, int64_t more, microseconds delay) {
    const bool resumed = std::filesystem::exists(log_folder(name) / "config.toml");
    return TinyRuns::interrupt("pretrain", words(name, resumed), name, signal, more, delay);
  }
};

TEST_F(Interruption, KilledTwelveTimesItEndsWithTheSameBits) {
  ASSERT_EQ(run("pretrain", words("whole", false)).code, 0);
  ASSERT_EQ(lines("whole").size(), static_cast<size_t>(kSteps));
  // The number of steps before the signal, from 0 (while the program starts); then a delay of up to 12 ms, the time of
  // one or two steps with their checkpoints.
  constexpr std::array<int64_t, 12> kLives = {0, 1, 5, 2, 0, 7, 3, 4, 1, 6, 2, 5};
  std::mt19937 random(7);
  std::string name = "killed";
  for (size_t life = 0; life < kLives.size();) {
    const milliseconds start(kLives[life] == 0 ? random() % 150 : 0);
    const int code = interrupt(name, SIGKILL, kLives[life], start + microseconds(random() % 12'000)).code;
    ASSERT_TRUE(code == -SIGKILL || code == 0) << code;
    if (code != 0) {
      ++life;
      continue;
    }
    expect_same_runs(name, "whole", kSteps,
                     {"", ".ema", ".state"});  // a fast run may finish early; then another one starts
    name += "-again";
  }
  ASSERT_EQ(run("pretrain", words(name, std::filesystem::exists(log_folder(name)))).code, 0);
  expect_same_runs(name, "whole", kSteps, {"", ".ema", ".state"});
}

TEST_F(Interruption, StoppedByCtrlCItSavesAndGoesOn) {
  ASSERT_EQ(run("pretrain", words("whole", false)).code, 0);
  for (const int signal : {SIGINT, SIGTERM}) {
    const Outcome stopped = interrupt("stopped", signal, 7, microseconds(500));
    EXPECT_EQ(stopped.code, 130) << stopped.err;
    EXPECT_NE(stopped.out.find("interrupted: saved after step"), std::string::npos) << stopped.out;
    const int64_t step = lines("stopped").back().at("step").get<int64_t>();
    EXPECT_LT(step, kSteps);
    EXPECT_TRUE(std::filesystem::exists(checkpoint("stopped", step))) << "the last step made is the one saved";
    EXPECT_TRUE(std::filesystem::exists(checkpoint("stopped", step, ".state")));
  }
  ASSERT_EQ(run("pretrain", words("stopped", true)).code, 0);
  expect_same_runs("stopped", "whole", kSteps, {"", ".ema", ".state"});
}

}  // namespace
}  // namespace tessera::test
