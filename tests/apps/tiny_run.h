#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/tensor/tensor.h"
#include "tests/rils/data/test_files.h"

namespace tessera::test {

/// What a program did.
struct Outcome {
  int code = -1;  // the exit code, or minus the signal that ended it
  std::string out, err;
};

/// The folder of the build whose programs are tested: this one, or the one that TESSERA_TEST_BUILD names, which may be
/// instrumented.
[[nodiscard]] std::filesystem::path tested_build();

/// A program of that build as a child process; what it prints goes to files.
class Process {
 public:
  using Words = std::vector<std::string>;
  /// `prepare` runs in the child before the program starts (to set a limit, say). If it returns false, the child ends
  /// with 127.
  Process(const std::string& program, Words words, const std::filesystem::path& folder,
          const std::function<bool()>& prepare = {});
  /// Kills the program if it still runs.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  void send(int signal) const;
  /// Whether the program has ended. Does not wait.
  [[nodiscard]] bool ended();
  /// The exit code, or minus the signal that ended it.
  int wait();
  /// Waits for the end and reads the output.
  Outcome finish();

 private:
  bool collect(int how);
  std::filesystem::path out_, err_;
  pid_t pid_ = -1;
  bool done_ = false;
  int code_ = -1;
};

/// Pictures of 32 x 32 pixels in four quarters, each of one of six colours, and captions that name the colours in four
/// languages, one for each quarter: a word says one thing, and a small model learns them in a second. Captions are
/// distinct, and those of val are not among those of train. Made once a process.
struct TinyData {
  std::filesystem::path folder;
  std::string vocabulary;  // merges file, learned from the captions
  std::string train;       // 384 pairs in three shards
  std::string permuted;    // the same images with randomly exchanged captions
  std::string val;         // 100 pairs
  std::string labelled;    // 60 images like those of train, whose class is the colour of the first quarter
  std::string config;      // a model that makes some hundred steps a second
  int64_t train_pairs = 384, val_pairs = 100;
};
[[nodiscard]] const TinyData& tiny_data();

/// A test that runs programs in an empty folder of its own.
class TinyRuns : public ::testing::Test {
 protected:
  [[nodiscard]] const std::filesystem::path& root() const { return folder_.path(); }
  [[nodiscard]] const TemporaryFolder& folder() const { return folder_; }
  /// Runs a program to its end.
  Outcome run(const std::string& program, const std::vector<std::string>& words,
              const std::function<bool()>& prepare = {}) const;
  /// The command line of a training run: the tiny configuration and data, then `more`, which may override both.
  [[nodiscard]] static std::vector<std::string> training(const std::string& name,
                                                         const std::vector<std::string>& more = {});
  /// Trains to the end. If the exit code is not 0, a failed expectation shows the output.
  Outcome train(const std::string& name, const std::vector<std::string>& more = {}) const;

  [[nodiscard]] std::filesystem::path log_folder(const std::string& name) const { return root() / "logs" / name; }
  /// A checkpoint file of a step: the weights, or with ".state" the moments.
  [[nodiscard]] std::filesystem::path checkpoint(const std::string& name, int64_t step,
                                                 const std::string& kind = "") const;
  /// The complete lines of a log; none if the file does not exist.
  [[nodiscard]] std::vector<nlohmann::json> lines(const std::string& name,
                                                  const std::string& file = "metrics.jsonl") const;
  /// The same lines without the figures of time and memory.
  [[nodiscard]] std::vector<nlohmann::json> timeless(const std::string& name,
                                                     const std::string& file = "metrics.jsonl") const;
  /// The number of complete lines of metrics.jsonl.
  [[nodiscard]] int64_t logged(const std::string& name) const;
  /// Runs a training program, sends it a signal some time after it has logged `more` new steps, and waits for its end.
  Outcome interrupt(const std::string& program, const std::vector<std::string>& words, const std::string& name,
                    int signal, int64_t more, std::chrono::microseconds delay) const;
  /// Expects two runs to have equal tensors in these files of the last step's checkpoint, equal logged lines, and equal
  /// file names.
  void expect_same_runs(const std::string& name, const std::string& other, int64_t last_step,
                        const std::vector<std::string>& kinds) const;
  /// A figure of every logged step.
  [[nodiscard]] std::vector<double> column(const std::string& name, const std::string& figure) const;

 private:
  TemporaryFolder folder_;
};

/// Every tensor of a safetensors file.
[[nodiscard]] std::map<std::string, Tensor> tensors_of(const std::filesystem::path& file);
/// Same type, shape and bits.
[[nodiscard]] bool same_bits(const Tensor& a, const Tensor& b);
/// Names of the tensors that are not in both files or differ in a bit.
[[nodiscard]] std::vector<std::string> different_tensors(const std::filesystem::path& a,
                                                         const std::filesystem::path& b);

}  // namespace tessera::test
