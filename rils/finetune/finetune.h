#pragma once

#include <string>

#include "rils/config/config.h"

namespace tessera::rils {

/// What a run does besides what its configuration says.
struct FinetuningOptions {
  std::string resume;   // "": a new run; "latest", a run's folder, or the path of a weights file
  std::string command;  // recorded in config.toml
  bool eval = false;    // judge `resume` on the held-out images, nothing else
};

/// Trains a classifier as the configuration says, from pre-trained weights or from scratch, and leaves logs/NAME; or
/// (finetune.linear, finetune.shots) probes frozen features; or evaluates. Returns the exit code: 0, or 130 after
/// Ctrl-C. Throws ConfigError for what cannot be run, IoError and Error for what fails on the way.
int run_finetuning(const Config& config, const FinetuningOptions& options);

}  // namespace tessera::rils
