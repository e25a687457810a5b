#include "rils/finetune/gathered.h"

#include <fmt/format.h>

#include "engine/core/error.h"

namespace tessera::rils {

std::string gather_for(const Config& config, Result result, const RunFolder& own, const std::string& command) {
  const std::string& weights = config.finetune.finetune;
  result.dataset = dataset_label(config.finetune.data_path);
  result.data = config.finetune.data_path;
  result.model = model_label(config.model);
  result.pretrained = weights.empty() ? "untrained" : weights;
  result.command = command;
  const auto run = weights.empty() ? std::nullopt : run_of(weights);
  try {
    return fmt::format("written: {}", gather_result(result, run.value_or(own.path())).string());
  } catch (const IoError& error) {
    // The run of the encoder may be another user's, and this run has the figures in its results.jsonl.
    return fmt::format("not written: {}", error.what());
  }
}

}  // namespace tessera::rils
