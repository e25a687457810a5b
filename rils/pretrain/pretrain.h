#pragma once

#include <string>

#include "rils/config/config.h"

namespace tessera::rils {

/// What a run does besides what its configuration says.
struct PretrainingOptions {
  std::string resume;          // "": a new run; "latest", or the path of a weights file
  std::string pretrained;      // weights to start from
  std::string command;         // recorded in config.toml
  bool dry_run = false;        // plan and three timed steps, nothing written
  bool overfit_batch = false;  // one batch again and again
};

/// Trains as the configuration says and leaves logs/NAME. Returns the exit code: 0, or 130 after Ctrl-C. Throws
/// ConfigError for what cannot be run, IoError and Error for what fails on the way.
int run_pretraining(const Config& config, const PretrainingOptions& options);

}  // namespace tessera::rils
