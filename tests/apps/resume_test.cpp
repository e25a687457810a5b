// What a run that goes on takes, what it refuses, and what it says.
#include <fmt/format.h>

#include <csignal>
#include <thread>

#include "engine/core/atomic_file.h"
#include "tests/apps/tiny_run.h"

namespace tessera::test {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;
using std::chrono::microseconds;

constexpr int64_t kEpoch = 12;  // steps

class Resume : public TinyRuns {
 protected:
  [[nodiscard]] Outcome resume(const std::string& name, const Words& more = {}) const {
    Words words = {"--resume", "latest"};
    words.insert(words.end(), more.begin(), more.end());
    return run("pretrain", training(name, words));
  }
  /// Waits until a run has logged a step.
  void wait_for_steps(const std::string& name) const {
    for (int i = 0; i < 12000 && logged(name) < 2; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  static void flip_bit(const fs::path& path) {
    std::string bytes = read_file(path);
    bytes[bytes.size() - 9] = static_cast<char>(bytes[bytes.size() - 9] ^ 1);
    write_file_atomically(path, bytes);
  }
  static void expect_in(const std::string& part, const std::string& text) {
    EXPECT_NE(text.find(part), std::string::npos) << "expected: " << part << "\nfound: " << text;
  }
};

TEST_F(Resume, OneProcessAtATimeWritesARun) {
  const Words many = {"--epochs", "2000", "--save-every-steps", "5"};
  Process first("pretrain", training("run", many), root());
  wait_for_steps("run");
  const Outcome second = resume("run", many);
  EXPECT_EQ(second.code, 2);
  expect_in("expected no other process that writes this run, found process ", second.err);
  EXPECT_FALSE(first.ended()) << "the first goes on";
  EXPECT_EQ(run("pretrain", training("run", {"--resume", "latest", "--dry-run"})).code, 0) << "a look does no harm";
  first.send(SIGKILL);
  EXPECT_EQ(first.wait(), -SIGKILL);
  EXPECT_TRUE(fs::exists(log_folder("run") / "lock"));
  EXPECT_EQ(resume("run").code, 0) << "the lock of a killed process does not block";
  EXPECT_FALSE(fs::exists(log_folder("run") / "lock"));
}

TEST_F(Resume, ADamagedCheckpointFallsBackToTheOneBefore) {
  train("whole", {"--epochs", "3", "--ema", "0.9"});
  train("run", {"--epochs", "2", "--ema", "0.9"});
  flip_bit(checkpoint("run", 2 * kEpoch, ".state"));
  const Outcome named =
      run("pretrain",
          training("run", {"--ema", "0.9", "--epochs", "3", "--resume", checkpoint("run", 2 * kEpoch).string()}));
  EXPECT_EQ(named.code, 1) << "the one that is named is taken or refused";
  expect_in("checksum", named.err);
  const Outcome resumed = resume("run", {"--epochs", "3", "--ema", "0.9"});
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  expect_in("damaged: ", resumed.out);
  expect_in(fmt::format("going back to step {}\n", kEpoch), resumed.out);
  EXPECT_EQ(std::ssize(lines("run")), 3 * kEpoch) << "no step is missing or twice";
  for (int64_t epoch = 1; epoch <= 3; ++epoch) flip_bit(checkpoint("run", epoch * kEpoch));
  const Outcome lost = resume("run", {"--epochs", "4", "--ema", "0.9"});
  EXPECT_EQ(lost.code, 1) << "none is left";
  EXPECT_EQ(std::ssize(lines("run")), 3 * kEpoch);
}

TEST_F(Resume, ARunThatLostItsCheckpointsDoesNotBeginAgain) {
  train("run");
  for (const auto& file : fs::directory_iterator(log_folder("run") / "checkpoints")) fs::remove(file.path());
  for (const bool listed : {true, false}) {  // an earlier version has no list
    if (!listed) fs::remove(log_folder("run") / "checkpoints.jsonl");
    const Outcome refused = resume("run");
    EXPECT_EQ(refused.code, 2);
    expect_in("found none, and the run has made steps", refused.err);
    EXPECT_EQ(std::ssize(lines("run")), kEpoch);
  }
}

TEST_F(Resume, OtherDataOfTheSameCountAreRefused) {
  fs::copy(tiny_data().train, root() / "data");
  const Words data = {"--train-data", (root() / "data").string(), "--epochs", "2"};
  Words first = data;
  first.back() = "1";
  train("run", first);
  fs::rename(root() / "data", root() / "kept");
  fs::copy(tiny_data().permuted, root() / "data");
  const Outcome refused = resume("run", data);
  EXPECT_EQ(refused.code, 2);
  expect_in("expected the run's own data", refused.err);
  fs::remove_all(root() / "data");
  fs::rename(root() / "kept", root() / "data");
  EXPECT_EQ(resume("run", data).code, 0);
}

TEST_F(Resume, SaysWhatOtherEpochsDo) {
  train("run", {"--epochs", "2"});
  const Outcome planned = resume("run", {"--epochs", "4", "--dry-run"});
  EXPECT_EQ(planned.code, 0) << planned.err;
  expect_in("the run would go on after step 24 of 48: 24 steps, 2 epochs, are left\n", planned.out);
  expect_in("step 25: ", planned.out);
  expect_in("for 24 steps, and the time of 2 saves; ", planned.out);
  EXPECT_EQ(std::ssize(lines("run")), 2 * kEpoch) << "nothing was written";
  const Outcome more = resume("run", {"--epochs", "3"});
  const std::vector<double> rates = column("run", "lr");
  expect_in(fmt::format("3 epochs instead of 2: the schedule of the learning rate is stretched; the rate goes from "
                        "{:.2g} to {:.2g} at step 25\n",
                        rates.at(23), rates.at(24)),
            more.out);
  const Outcome fewer = resume("run", {"--epochs", "1"});
  EXPECT_EQ(fewer.code, 0);
  expect_in("nothing to do: the run has made 36 steps, more than the 12 that are asked for", fewer.out);
  EXPECT_EQ(std::ssize(lines("run")), 3 * kEpoch);
  expect_in("has made 36 of 12 steps", resume("run", {"--epochs", "1", "--dry-run"}).out);
  const Outcome same = resume("run", {"--epochs", "3"});
  EXPECT_EQ(same.out.find("instead of"), std::string::npos) << same.out;
  expect_in("the warm-up of 1000 steps is longer than the run of 12", train("slow", {"--warmup", "1000"}).out);
}

TEST_F(Resume, KeepsTheMeansBetweenTwoLinesOfTheLog) {
  const Words logging = {"--log-every-n-steps", "5"};
  Words whole = logging, saving = logging;
  whole.insert(whole.end(), {"--epochs", "2"});
  train("whole", whole);
  saving.insert(saving.end(), {"--epochs", "2", "--save-every-steps", "8", "--keep", "0"});
  train("run", saving);
  saving.insert(saving.end(), {"--resume", checkpoint("run", 8).string()});
  train("run", saving);
  EXPECT_EQ(timeless("run"), timeless("whole"));
  // Step 1 is a line of its own; then come the means of steps 2 to 5, and so on.
  train("each", {"--epochs", "2", "--log-every-n-steps", "1"});
  const std::vector<double> loss = column("each", "loss");
  const std::vector<double> means = column("whole", "loss_mean");
  ASSERT_EQ(means.size(), 6U);
  EXPECT_EQ(means[0], loss[0]);
  EXPECT_DOUBLE_EQ(means[1], (loss[1] + loss[2] + loss[3] + loss[4]) / 4);
  EXPECT_DOUBLE_EQ(means[2], (loss[5] + loss[6] + loss[7] + loss[8] + loss[9]) / 5);
  EXPECT_EQ(column("whole", "loss")[1], loss[4]) << "the last value keeps its name";
  for (const char* name : {"clip_loss_mean", "clip_acc_mean", "grad_norm_mean", "batch_time_mean", "data_time_mean"}) {
    EXPECT_EQ(column("whole", name).size(), 6U) << name;
  }
}

TEST_F(Resume, AClosedTerminalOrPipeSaves) {
  const Words many = {"--epochs", "2000"};
  for (const int signal : {SIGHUP, SIGPIPE}) {
    const std::string name = fmt::format("run{}", signal);
    Process process("pretrain", training(name, many), root());
    wait_for_steps(name);
    process.send(signal);
    process.send(signal);  // they come again and again
    const Outcome stopped = process.finish();
    EXPECT_EQ(stopped.code, 130) << stopped.err;
    const int64_t step = lines(name).back().at("step").get<int64_t>();
    EXPECT_TRUE(fs::exists(checkpoint(name, step)));
  }
}

TEST_F(Resume, AnIgnoredSignalStaysIgnored) {
  const auto ignore = [] { return ::signal(SIGHUP, SIG_IGN) != SIG_ERR; };
  Process process("pretrain", training("run", {"--epochs", "2000"}), root(), ignore);
  wait_for_steps("run");
  process.send(SIGHUP);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_FALSE(process.ended());
  process.send(SIGTERM);
  EXPECT_EQ(process.wait(), 130);
}

TEST_F(Resume, AStartThatFailsDoesNotBlockTheName) {
  const Outcome alone = run("pretrain", training("run", {"--objective", "clip", "--batch-size", "1"}));
  EXPECT_EQ(alone.code, 2);
  expect_in("expected a global batch of at least 2 for objective clip, found 1", alone.err);
  EXPECT_FALSE(fs::exists(log_folder("run")));
  // The first step has no batch, since no image can be read.
  folder().write(
      "bad.tsv", "filepath\ttitle\n" + [] {
        std::string rows;
        for (int i = 0; i < 40; ++i) rows += fmt::format("none{}.png\ta caption\n", i);
        return rows;
      }());
  EXPECT_EQ(run("pretrain", training("run", {"--train-data", "bad.tsv"})).code, 1);
  train("run");
}

TEST_F(Resume, WeightsAreNamedByTheirRun) {
  train("run", {"--epochs", "2", "--val-data", tiny_data().val});
  const std::string folder = log_folder("run").string();
  const auto evaluate = [&](const std::string& checkpoint) {
    const Outcome done = run("evaluate", {"retrieval", "--checkpoint", checkpoint, "--data", tiny_data().val});
    EXPECT_EQ(done.code, 0) << done.err;
    return done.out;
  };
  const std::string pointer = read_file(log_folder("run") / "checkpoints/latest");
  const std::string expected = evaluate(folder + "/checkpoints/" + pointer.substr(0, pointer.size() - 1));
  EXPECT_EQ(evaluate(folder), expected);
  EXPECT_EQ(evaluate(folder + "/checkpoints/latest"), expected);
  (void)evaluate(folder + "/checkpoints/best");
  EXPECT_EQ(run("pretrain", training("next", {"--pretrained", folder})).code, 0);
  EXPECT_EQ(run("inspect", {"checkpoint", folder + "/checkpoints/best"}).code, 0);
  EXPECT_EQ(run("inspect", {"checkpoint", folder, "--convert", "timm.safetensors", "--to", "timm"}).code, 0);
  EXPECT_EQ(
      run("finetune", {"--finetune", folder, "--data-path", tiny_data().labelled, "--linear", "--name", "probe"}).code,
      2)
      << "the data have one split; the weights are found";
}

TEST_F(Resume, PathsMayHoldAnyBytes) {
  const std::string data = (root() / "caf\xe9").string();
  fs::copy(tiny_data().train, data);
  train("run", {"--train-data", data});
  const Outcome resumed = run("pretrain", {"--name", "run", "--resume", "latest", "--epochs", "2"});
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  const Outcome evaluated =
      run("evaluate", {"retrieval", "--checkpoint", log_folder("run").string(), "--data", data, "--output", "o.json"});
  EXPECT_EQ(evaluated.code, 0) << evaluated.err;
  EXPECT_TRUE(nlohmann::json::accept(read_file(root() / "o.json")));
}

}  // namespace
}  // namespace tessera::test
