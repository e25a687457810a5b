// Times whole training steps: both towers, losses, backward, AdamW.
//
//   benchmark_step CONFIG [--device auto|cpu|cuda[:N]] [--batch n] [--vocabulary n] [--caption n] [--ranks n]
//                         [--precision fp32|amp_bf16] [--warm n] [--share s] [--rounds n --steps n] [--profile n]
//
// Trains on one random batch, for `warm` steps first. The gate opens meanwhile, because a single batch is learned soon.
// With --share it trains until that share of the images passes the gate, at least one: the images beyond the share have
// the first one's caption, so that theirs is never the nearest. With --rounds it then times so many rounds of `steps`
// steps and prints pairs per second, the share of the device's peak and the memory. Without, it reads lines with a
// number of steps, and answers each with
//
//   seconds a step, the share of images that pass the gate, the most bytes in use, FLOPs a step, FLOP/s at the peak
//
// With --profile it times so many steps on the CPU by the kernels' parts, beside the peak of that moment.
//
// step_vs_torch.py alternates between this program and PyTorch. On a device each answer is preceded by a step that is
// not timed and followed by giving all cached memory back, because both share it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "benchmarks/measure.h"
#include "benchmarks/profile.h"
#include "engine/core/philox.h"
#include "engine/runtime/context.h"
#include "rils/config/toml.h"
#include "rils/model/cost.h"
#include "rils/train/trainer.h"

namespace tessera::benchmarks {
namespace {

using namespace rils;

/// Images from `passing` on have the caption of the first.
MicroBatch random_batch(const Config& config, int64_t rows, int64_t caption, int64_t passing) {
  const int64_t size = config.model.vision.image_size, context = config.model.text.context_length;
  const int64_t grid = size / config.model.vision.patch_size;
  const Philox philox(1, "benchmark");
  MicroBatch batch{Tensor::empty({rows, 3, size, size}), Tensor::zeros({rows, context}, DType::i32),
                   mask_noise(1, 0, 0, rows, grid * grid)};
  uint64_t element = 0;
  for (float& value : batch.images.data<float>()) value = 2 * philox.uniform(0, 0, element++) - 1;
  const int64_t vocabulary = config.model.text.vocab_size;
  const auto tokens = batch.tokens.data<int32_t>();
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t t = 0; t < caption; ++t) {
      const auto id = static_cast<int64_t>(philox.bits(0, 1, element++)) % (vocabulary - 2);
      tokens[static_cast<size_t>(r * context + t)] =
          static_cast<int32_t>(t == 0 ? vocabulary - 2 : (t == caption - 1 ? vocabulary - 1 : id));
    }
    if (r >= passing) std::copy_n(tokens.begin(), caption, tokens.begin() + r * context);
  }
  return batch;
}

int64_t number(const std::map<std::string, std::string>& words, const std::string& name, int64_t otherwise) {
  const auto found = words.find(name);
  return found == words.end() ? otherwise : std::stoll(found->second);
}

/// A training run on one batch, and what its steps cost.
class Steps {
 public:
  Steps(const Config& config, Device device, int64_t rows, int64_t caption, int64_t passing)
      : context_(context(device)),
        trainer_(config, int64_t{1} << 40, 1, device),
        batch_(random_batch(config, rows, caption, passing)),
        rows_(rows),
        passing_(passing),
        cost_(forward_cost(config.model, config.loss, static_cast<double>(caption), rows)),
        peak_(context_.backend().peak_flops(trainer_.pass().precision.compute)) {
    batch_.images = batch_.images.to(device);
  }

  void run(int64_t count) {
    for (int64_t i = 0; i < count; ++i) accuracy_ = trainer_.step(std::span(&batch_, 1)).losses.clip_accuracy;
    context_.backend().synchronize();
  }
  /// Trains until as many images pass as can, in three steps one after the other.
  void open_gate() {
    constexpr int kMost = 1000, kInARow = 3;
    for (int step = 0, good = 0; good < kInARow; ++step) {
      if (step == kMost) throw std::runtime_error(fmt::format("the gate is not open after {} steps", kMost));
      run(1);
      const auto passed = static_cast<int64_t>(std::lround(accuracy_ * static_cast<double>(rows_)));
      good = passed == passing_ ? good + 1 : 0;
    }
  }
  /// Seconds a step.
  [[nodiscard]] double timed(int64_t count) {
    const double start = now(Clock::wall);
    run(count);
    return (now(Clock::wall) - start) / static_cast<double>(count);
  }

  [[nodiscard]] bool on_cpu() const { return context_.device() == Device::cpu(); }
  [[nodiscard]] DType compute() const { return trainer_.pass().precision.compute; }
  [[nodiscard]] CachingPool& pool() { return context_.pool(); }
  [[nodiscard]] std::string device() { return context_.backend().description(); }
  [[nodiscard]] int64_t rows() const { return rows_; }
  /// The fraction of images that passed the gate in the last step.
  [[nodiscard]] double passed() const { return accuracy_; }
  /// Two operations a multiply-add; the backward pass does each product twice.
  [[nodiscard]] double flops() const { return 6 * cost_.total(accuracy_) * static_cast<double>(rows_); }
  [[nodiscard]] double peak() const { return peak_; }

 private:
  Context& context_;
  Trainer trainer_;
  MicroBatch batch_;
  int64_t rows_, passing_;
  ForwardCost cost_;
  double peak_, accuracy_ = 0;
};

void serve(Steps& steps) {
  for (int64_t count = 0; std::cin >> count;) {
    if (!steps.on_cpu()) steps.run(1);
    const double seconds = steps.timed(count);
    const auto bytes = static_cast<double>(steps.pool().statistics().peak);
    fmt::print("{:.6f} {:.3f} {:.0f} {:.6g} {:.6g}\n", seconds, steps.passed(), bytes, steps.flops(), steps.peak());
    std::fflush(stdout);
    if (!steps.on_cpu()) steps.pool().trim();
  }
}

void report(Steps& steps, int64_t rounds, int64_t count) {
  std::vector<double> seconds;
  for (int64_t i = 0; i < rounds; ++i) seconds.push_back(steps.timed(count));
  const Spread s = spread_of(seconds);
  fmt::print(
      "{}, batch {}, {:.0f} % of the images pass the gate: {:.4f} s a step ({:.4f} to {:.4f}), {:.1f} pairs/s, "
      "{:.1f} % of the peak, {:.2f} GiB\n",
      steps.device(), steps.rows(), 100 * steps.passed(), s.median, s.low, s.high,
      static_cast<double>(steps.rows()) / s.median, 100 * steps.flops() / s.median / steps.peak(),
      static_cast<double>(steps.pool().statistics().peak) / 0x1p30);
}

void profile(Steps& steps, int64_t count) {
  if (!steps.on_cpu()) throw std::runtime_error("--profile: expected --device cpu, since kernels of a GPU overlap");
  Context& context = tessera::context(Device::cpu());
  const KernelTable& kernels = context.kernels();
  context.set_kernels(timed_kernels(kernels));
  steps.run(1);  // packs belong to a table
  times_of_parts() = {};
  const double before = context.backend().peak_flops(steps.compute());
  const double seconds = steps.timed(count);
  const double peak = (before + context.backend().peak_flops(steps.compute())) / 2;
  fmt::print("{}, batch {}, {:.0f} % of the images pass the gate: {:.4f} s a step, {} peak {:.1f} GFLOP/s\n{}",
             steps.device(), steps.rows(), 100 * steps.passed(), seconds, name_of(steps.compute()), peak / 1e9,
             describe(times_of_parts(), static_cast<double>(count), seconds, peak));
  context.set_kernels(kernels);
}

void run(const std::string& path, std::map<std::string, std::string> words) {
  Config config = load_config(path);
  config.model.text.vocab_size = number(words, "--vocabulary", 4096);
  config.loss.simulated_ranks = number(words, "--ranks", config.loss.simulated_ranks);
  if (words.contains("--precision")) config.run.precision = words["--precision"];
  std::string note;
  const Device device = choose_device(words.contains("--device") ? words["--device"] : "cpu", note);
  const int64_t rows = number(words, "--batch", 64);
  const double share = words.contains("--share") ? std::stod(words["--share"]) : 1.0;
  const auto passing = std::clamp(std::lround(share * static_cast<double>(rows)), 1L, static_cast<long>(rows));
  Steps steps(config, device, rows, number(words, "--caption", 14), passing);
  steps.run(number(words, "--warm", 2));
  if (words.contains("--share")) steps.open_gate();
  if (const int64_t count = number(words, "--profile", 0); count > 0) return profile(steps, count);
  const int64_t rounds = number(words, "--rounds", 0);
  rounds > 0 ? report(steps, rounds, number(words, "--steps", 2)) : serve(steps);
}

}  // namespace
}  // namespace tessera::benchmarks

int main(int argc, char** argv) {
  try {
    std::map<std::string, std::string> words;
    for (int i = 2; i + 1 < argc; i += 2) words[argv[i]] = argv[i + 1];
    if (argc < 2 || argc % 2 != 0) throw std::runtime_error("expected CONFIG and pairs of an option and its value");
    tessera::benchmarks::run(argv[1], std::move(words));
  } catch (const std::exception& e) {
    fmt::print(stderr, "benchmark_step: {}\n", e.what());
    return 1;
  }
  return 0;
}
