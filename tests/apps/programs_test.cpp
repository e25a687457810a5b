// The programs themselves, as processes: help, exit codes, and a run that is stopped, killed and taken up again.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <regex>
#include <thread>

#include "engine/core/atomic_file.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

const std::string kPrograms = TESSERA_BIN_DIR "/../apps/";

/// A child process whose output goes to a file.
class Process {
 public:
  Process(const std::string& program, std::vector<std::string> words, const fs::path& folder, const fs::path& output) {
    words.insert(words.begin(), kPrograms + program);
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ != 0) return;
    const int out = ::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(out, STDERR_FILENO);
    if (::chdir(folder.c_str()) == 0) ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  void send(int signal) const { ::kill(pid_, signal); }
  /// The exit code, or minus the signal that ended it.
  int wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  pid_t pid_ = -1;
};

class Programs : public ::testing::Test {
 protected:
  Programs() : root_(fs::path(testing::TempDir()) / fmt::format("tessera_programs_{}", ::getpid())) {
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  ~Programs() override { fs::remove_all(root_); }

  int run(const std::string& program, const std::vector<std::string>& words) {
    const int code = Process(program, words, root_, root_ / "output").wait();
    output_ = read_file(root_ / "output");
    return code;
  }

  /// A vocabulary and a configuration that train in a second.
  void prepare_training() {
    std::ofstream captions(root_ / "captions.txt");
    for (int i = 0; i < 300; ++i) {
      for (const char* word : {"red", "green", "blue", "square", "left", "right", "top", "bottom", "ground"}) {
        captions << word << ' ';
      }
      captions << '\n';
    }
    captions.close();
    ASSERT_EQ(run("prepare", {"vocabulary", "--captions", "captions.txt", "--size", "520", "--out", "v.txt"}), 0)
        << output_;
    std::ofstream(root_ / "tiny.toml") << R"(
[model]
embed_dim = 16
vision = { image_size = 32, patch_size = 8, width = 16, layers = 1, heads = 2 }
decoder = { width = 16, heads = 2 }
text = { context_length = 16, vocab_size = 0, width = 16, layers = 1, heads = 2 }
[data]
dataset_type = "synthetic"
train_data = "synthetic"
vocabulary = "v.txt"
[optim]
batch_size = 100
epochs = 8
lr = 1e-3
ema = 0.9
[run]
log_every_n_steps = 1
save_every_steps = 7
)";
  }
  std::vector<std::string> training(const std::string& name, std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"--config", "tiny.toml", "--name", name});
    return more;
  }
  [[nodiscard]] std::string metrics(const std::string& name) const {
    const fs::path path = root_ / "logs" / name / "metrics.jsonl";
    return fs::exists(path) ? read_file(path) : "";
  }
  /// Without what depends on the clock.
  [[nodiscard]] std::string timeless(const std::string& name) const {
    return std::regex_replace(metrics(name),
                              std::regex("\"(samples_per_second|batch_time|data_time|flops_of_peak|"
                                         "memory_peak_bytes)\":[^,}]*,?"),
                              "");
  }
  /// Starts a run and sends a signal once so many steps are logged; the exit code.
  int interrupt(const std::vector<std::string>& words, const std::string& name, int64_t steps, int signal) {
    Process process("pretrain", words, root_, root_ / "output");
    const auto start = std::chrono::steady_clock::now();
    while (std::ranges::count(metrics(name), '\n') < steps &&
           std::chrono::steady_clock::now() - start < std::chrono::minutes(2)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    process.send(signal);
    return process.wait();
  }

  fs::path root_;
  std::string output_;
};

TEST_F(Programs, AllHaveHelp) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> programs = {
      {"pretrain", {}},
      {"evaluate", {"retrieval", "zero-shot", "knn"}},
      {"inspect", {"model", "gradients", "tokens", "checkpoint"}},
      {"prepare", {"default", "captions", "folder", "vocabulary"}}};
  for (const auto& [program, subcommands] : programs) {
    EXPECT_EQ(run(program, {"--help"}), 0) << program;
    EXPECT_NE(output_.find("Usage: " + program), std::string::npos) << output_;
    EXPECT_LE(std::ranges::count(output_, '\n'), 100) << program;
    for (const std::string& sub : subcommands) {
      EXPECT_NE(output_.find("  " + sub + " "), std::string::npos)
          << "--help of " << program << " does not list " << sub;
    }
    for (const std::string& sub : subcommands) EXPECT_EQ(run(program, {sub, "--help"}), 0) << program << ' ' << sub;
    EXPECT_EQ(run(program, {"--version"}), 0);
    EXPECT_EQ(run(program, {"--nonsense"}), 2) << program;
    EXPECT_TRUE(output_.starts_with("error: unknown option --nonsense; did you mean --")) << output_;
    EXPECT_EQ(std::ranges::count(output_, '\n'), 1);
    EXPECT_EQ(run(program, {}), 2) << program << " without anything: " << output_;
  }
}

TEST_F(Programs, MainsStaySmall) {
  for (const auto& entry : fs::recursive_directory_iterator(TESSERA_SOURCE_DIR "/apps")) {
    if (entry.path().filename() != "main.cpp") continue;
    EXPECT_LE(std::ranges::count(read_file(entry.path()), '\n'), 60) << entry.path();
  }
}

TEST_F(Programs, AFileThatFailsIsExitCode1) {
  EXPECT_EQ(run("inspect", {"checkpoint", "none.safetensors"}), 1);
  EXPECT_EQ(std::ranges::count(output_, '\n'), 1) << output_;
  EXPECT_NE(output_.find("none.safetensors"), std::string::npos);
}

TEST_F(Programs, AStoppedAndAKilledRunGoOnAsIfNothingHadBeen) {
  prepare_training();
  ASSERT_EQ(run("pretrain", training("whole")), 0) << output_;
  ASSERT_EQ(std::ranges::count(metrics("whole"), '\n'), 80);

  EXPECT_EQ(run("pretrain", training("whole")), 2) << "the name is taken";
  EXPECT_NE(output_.find("exists"), std::string::npos) << output_;

  EXPECT_EQ(interrupt(training("parts"), "parts", 5, SIGINT), 130);
  const auto after_stop = std::ranges::count(metrics("parts"), '\n');
  EXPECT_GE(after_stop, 5);
  EXPECT_LT(after_stop, 80) << "the signal came too late to show anything";
  EXPECT_EQ(interrupt(training("parts", {"--resume", "latest"}), "parts", after_stop + 10, SIGKILL), -SIGKILL);
  EXPECT_EQ(run("pretrain", training("parts", {"--resume", "latest"})), 0) << output_;
  EXPECT_EQ(timeless("parts"), timeless("whole")) << "no step is missing, twice or different";
  const auto weights = [&](const char* name) {
    return read_file(root_ / "logs" / name / "checkpoints/step_00000080.ema.safetensors");
  };
  // The header holds the run's name; what is behind it must agree to the bit.
  EXPECT_EQ(weights("parts").substr(weights("parts").size() - 4096),
            weights("whole").substr(weights("whole").size() - 4096));

  EXPECT_EQ(run("pretrain", training("parts", {"--resume", "latest", "--set", "model.embed_dim=32"})), 2);
  EXPECT_EQ(output_.substr(output_.rfind("error")),
            "error: --resume: model.embed_dim: expected the run's own 16, found 32\n");
}

TEST_F(Programs, ADryRunWritesNothing) {
  prepare_training();
  EXPECT_EQ(run("pretrain", training("dry", {"--dry-run"})), 0) << output_;
  EXPECT_FALSE(fs::exists(root_ / "logs"));
}

}  // namespace
}  // namespace tessera
