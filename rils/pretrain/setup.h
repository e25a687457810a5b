#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rils/config/config.h"
#include "rils/data/loader.h"
#include "rils/run/progress.h"
#include "rils/run/training_run.h"
#include "rils/text/tokenizer.h"
#include "rils/train/feed.h"
#include "rils/train/trainer.h"

namespace tessera::rils {

/// What a training run consists of, made from its configuration: data, tokenizer, trainer and the plan of steps.
class TrainingSetup {
 public:
  /// Opens everything. `stored` is read instead of the vocabulary that the configuration names, unless it is null;
  /// `stages` are told how much of the data is listed. Throws ConfigError or IoError.
  explicit TrainingSetup(const Config& config, const std::shared_ptr<const Vocabulary>& stored = nullptr,
                         const Stages& stages = {});

  /// The next global batch in micro-batches. After the last of an epoch the next epoch begins; the console is told the
  /// counts of the one that ended. One call a step: the next one overwrites the images.
  [[nodiscard]] std::vector<MicroBatch> next_micro_batches(Console& console);
  /// After the last step: tells the console the counts of the epoch that ended with it.
  void finish_data(Console& console) {
    if (feed_) feed_->finish(console);
  }
  /// The place in the data after the micro-batches of the last call.
  [[nodiscard]] const LoaderState& place() const { return feed_->place(); }
  /// Their epoch.
  [[nodiscard]] int64_t epoch() const { return feed_->epoch(); }
  /// Continues the data from where a run stopped.
  void restore_data(const LoaderState& state);
  /// Loads weights without a training state, and prints which did not match, and whether their vocabulary is another.
  /// Throws IoError.
  void start_from(const std::string& weights, Console& console);
  /// Prints the plan: model, data, batch, device and memory, one line each.
  void print_plan(Console& console) const;
  [[nodiscard]] TrainingLength length() const { return {.total = total_steps, .epoch = steps_per_epoch}; }
  /// GiB that a step takes at its peak when this fraction of the images passes the gate.
  [[nodiscard]] double memory_gib(double gate_rate) const;
  /// FLOPs of a step's matrix products, forward and backward, when this fraction of the images passes the gate.
  [[nodiscard]] double step_flops(double gate_rate) const;

  Config config;
  Device device;
  int64_t global_batch = 0;
  int64_t micro_batches = 1;  // of a step
  int64_t steps_per_epoch = 0;
  int64_t total_steps = 0;
  double peak_flops = 0;    // of the device, FLOP/s
  std::string data_digest;  // of the training data, see digest_of
  std::shared_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<Trainer> trainer;

 private:
  std::string device_note_;  // why the device is not the one that run.device asks for first
  std::shared_ptr<const Dataset> data_;
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<Feed<MicroBatch>> feed_;  // after the loader, which it uses
};

/// The feed of global batches in `parts` micro-batches; the first gets the masks of step `first_step` (0-based).
[[nodiscard]] std::unique_ptr<Feed<MicroBatch>> feed_micro_batches(Loader& loader, const Config& config,
                                                                   int64_t global_batch, int64_t parts,
                                                                   int64_t first_step, Device device);

/// Prints what is left of the run, the time of three steps, the time expected for all that are left and the peak
/// memory; writes no file. Returns the exit code.
int dry_run(TrainingSetup& setup, Console& console);

/// Trains on one batch until the objective's leading term (see figures.h) is below a twentieth of its value at chance,
/// for pixels below a quarter. Returns the exit code. Throws Error when it does not get there.
int overfit_batch(TrainingSetup& setup, Console& console);

}  // namespace tessera::rils
