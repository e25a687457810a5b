// Times whole training steps: both towers, losses, backward, AdamW.
//
//   benchmark_step CONFIG [--batch n] [--vocabulary n] [--caption n] [--precision fp32|amp_bf16] [--warm n]
//
// Trains on one random batch, for `warm` steps first. The gate opens meanwhile, because a single batch is learned soon.
// Then it reads lines with a number of steps, and answers each with the seconds per step and the share of images that
// pass the gate. step_vs_torch.py alternates between this program and PyTorch.
#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <map>
#include <string>

#include "benchmarks/measure.h"
#include "engine/core/philox.h"
#include "rils/config/toml.h"
#include "rils/train/trainer.h"

namespace tessera::benchmarks {
namespace {

using namespace rils;

MicroBatch random_batch(const Config& config, int64_t rows, int64_t caption) {
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
  }
  return batch;
}

int64_t number(const std::map<std::string, std::string>& words, const std::string& name, int64_t otherwise) {
  const auto found = words.find(name);
  return found == words.end() ? otherwise : std::stoll(found->second);
}

void serve(const std::string& path, std::map<std::string, std::string> words) {
  Config config = load_config(path);
  config.model.text.vocab_size = number(words, "--vocabulary", 4096);
  if (words.contains("--precision")) config.run.precision = words["--precision"];
  const MicroBatch batch = random_batch(config, number(words, "--batch", 64), number(words, "--caption", 14));
  Trainer trainer(config, int64_t{1} << 40, 1);
  double accuracy = 0;
  const auto steps = [&](int64_t count) {
    for (int64_t i = 0; i < count; ++i) accuracy = trainer.step(std::span(&batch, 1)).losses.clip_accuracy;
  };
  steps(number(words, "--warm", 2));
  for (int64_t count = 0; std::cin >> count;) {
    const double start = now(Clock::wall);
    steps(count);
    fmt::print("{:.6f} {:.3f}\n", (now(Clock::wall) - start) / static_cast<double>(count), accuracy);
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace tessera::benchmarks

int main(int argc, char** argv) {
  try {
    std::map<std::string, std::string> words;
    for (int i = 2; i + 1 < argc; i += 2) words[argv[i]] = argv[i + 1];
    if (argc < 2 || argc % 2 != 0) throw std::runtime_error("expected CONFIG and pairs of an option and its value");
    tessera::benchmarks::serve(argv[1], std::move(words));
  } catch (const std::exception& e) {
    fmt::print(stderr, "benchmark_step: {}\n", e.what());
    return 1;
  }
  return 0;
}
