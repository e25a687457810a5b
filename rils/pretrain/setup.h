#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rils/config/config.h"
#include "rils/data/loader.h"
#include "rils/run/progress.h"
#include "rils/text/tokenizer.h"
#include "rils/train/trainer.h"

namespace tessera::rils {

/// What a training run consists of, made from its configuration: data, tokenizer, trainer and the plan of steps.
class TrainingSetup {
 public:
  /// Opens everything. Throws ConfigError or IoError.
  explicit TrainingSetup(const Config& config);

  /// The next global batch in micro-batches; epochs follow each other, and the end of one is told to the console.
  [[nodiscard]] std::vector<MicroBatch> next_micro_batches(Console& console);
  /// The global batch that they were made of.
  [[nodiscard]] const Batch& batch() const { return current_; }
  /// Goes on in the data where a run stopped.
  void restore_data(const LoaderState& state);
  /// Starts from weights alone and tells what did not match. Throws IoError.
  void start_from(const std::string& weights, Console& console);
  /// What the run is, line by line.
  void print_plan(Console& console) const;
  /// Floating-point operations of a step's products, forward and backward, at a share of images that pass the gate.
  [[nodiscard]] double step_flops(double gate_rate) const;

  Config config;
  int64_t global_batch = 0;
  int64_t micro_batches = 1;  // of a step
  int64_t steps_per_epoch = 0;
  int64_t total_steps = 0;
  double peak_flops = 0;  // of this machine and its threads, FLOP/s
  std::shared_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<Trainer> trainer;

 private:
  std::shared_ptr<const Dataset> data_;
  std::unique_ptr<Loader> loader_;
  Batch current_;
};

/// The plan's memory, time of three steps and time expected in all; writes nothing. Returns the exit code.
int dry_run(TrainingSetup& setup, Console& console);

/// One batch until the leading term of the objective (see figures.h) is below a twentieth of chance, for pixels a
/// quarter. Throws Error when it does not get there.
int overfit_batch(TrainingSetup& setup, Console& console);

}  // namespace tessera::rils
