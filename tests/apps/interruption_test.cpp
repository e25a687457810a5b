// Runs that are stopped or killed at any moment and go on as if nothing had been.
#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <random>
#include <thread>

#include "engine/core/atomic_file.h"
#include "tests/apps/tiny_run.h"

namespace tessera::test {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr int64_t kSteps = 72;

class Interruption : public TinyRuns {
 protected:
  /// Validation, averages and a checkpoint at every third step, so that a moment is likely to fall into one of them.
  [[nodiscard]] static std::vector<std::string> words(const std::string& name, bool resumed) {
    std::vector<std::string> words = training(name, {"--epochs", "6", "--save-every-steps", "3", "--ema", "0.9",
                                                     "--keep", "2", "--val-data", tiny_data().val});
    if (resumed) words.insert(words.end(), {"--resume", "latest"});
    return words;
  }

  /// Lines of metrics.jsonl, a torn one not counted.
  [[nodiscard]] int64_t logged(const std::string& name) const {
    const auto file = log_folder(name) / "metrics.jsonl";
    return std::filesystem::exists(file) ? std::ranges::count(read_file(file), '\n') : 0;
  }

  /// Starts or resumes a run, sends a signal some time after it has logged `more` new steps, and waits for its end.
  Outcome interrupt(const std::string& name, int signal, int64_t more, microseconds delay) {
    const bool resumed = std::filesystem::exists(log_folder(name) / "config.toml");
    const int64_t before = logged(name);
    Process process("pretrain", words(name, resumed), root());
    // A resumed run first drops the lines beyond its checkpoint: what the file grows by is what is new.
    int64_t seen = before, fresh = 0;
    const auto start = std::chrono::steady_clock::now();
    while (fresh < more && !process.ended() && std::chrono::steady_clock::now() - start < std::chrono::minutes(2)) {
      const int64_t now = logged(name);
      fresh += std::max<int64_t>(now - seen, 0);
      seen = now;
      std::this_thread::sleep_for(microseconds(200));
    }
    std::this_thread::sleep_for(delay);
    process.send(signal);
    return process.finish();
  }

  /// The whole run's bits, figures and files.
  void expect_as_uninterrupted(const std::string& name) const {
    EXPECT_EQ(timeless(name), timeless("whole")) << "no step is missing, twice or different";
    EXPECT_EQ(lines(name, "results.jsonl"), lines("whole", "results.jsonl"));
    for (const char* kind : {"", ".ema", ".state"}) {
      EXPECT_EQ(different_tensors(checkpoint(name, kSteps, kind), checkpoint("whole", kSteps, kind)),
                std::vector<std::string>())
          << kind;
    }
    for (const char* pointer : {"latest", "best"}) {
      EXPECT_EQ(read_file(log_folder(name) / "checkpoints" / pointer),
                read_file(log_folder("whole") / "checkpoints" / pointer));
    }
    EXPECT_EQ(files_of(name), files_of("whole")) << "nothing unfinished is left behind";
  }

  [[nodiscard]] std::vector<std::string> files_of(const std::string& name) const {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(log_folder(name))) {
      files.push_back(entry.path().lexically_relative(log_folder(name)).string());
    }
    std::ranges::sort(files);
    return files;
  }
};

TEST_F(Interruption, KilledTwelveTimesItEndsWithTheSameBits) {
  ASSERT_EQ(run("pretrain", words("whole", false)).code, 0);
  ASSERT_EQ(lines("whole").size(), static_cast<size_t>(kSteps));
  // How many steps a life has before the moment is drawn, from 0 (while it starts) on; then up to 12 ms, the time of
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
    expect_as_uninterrupted(name);  // a fast machine is through before it is killed as often: once more
    name += "-again";
  }
  ASSERT_EQ(run("pretrain", words(name, std::filesystem::exists(log_folder(name)))).code, 0);
  expect_as_uninterrupted(name);
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
  expect_as_uninterrupted("stopped");
}

}  // namespace
}  // namespace tessera::test
