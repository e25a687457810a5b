#pragma once

#include <string>

#include "rils/config/config.h"

namespace tessera::rils {

/// Options of the command line that are not part of the configuration.
struct FinetuningOptions {
  std::string resume;   // "" starts a new run; "latest", a run's folder or a weights file continues one
  std::string command;  // recorded in config.toml
  bool eval = false;    // only evaluate `resume` on the validation images
};

/// Trains a classifier from pre-trained weights or from scratch, or a linear probe with LARS (finetune.probe), or fits
/// logistic regressions to frozen features (finetune.linear, finetune.shots), and writes logs/NAME; or evaluates a run.
/// Returns the exit code: 0, or 130 after Ctrl-C. Throws ConfigError for an invalid configuration, IoError for a file
/// that cannot be read or written, and Error for a loss that is not finite.
int run_finetuning(const Config& config, const FinetuningOptions& options);

}  // namespace tessera::rils
