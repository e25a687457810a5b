#pragma once

#include <string>

#include "rils/config/config.h"

namespace tessera::rils {

/// What the command line says besides the configuration.
struct PretrainingOptions {
  std::string resume;          // "": a new run; else "latest" or the path of a weights file
  std::string pretrained;      // weights to start from
  std::string command;         // recorded in config.toml
  bool dry_run = false;        // print the plan and time three steps, write nothing
  bool overfit_batch = false;  // train on the first batch only
};

/// Trains as the configuration says, into the folder logs/NAME. Returns the exit code: 0, or 130 after Ctrl-C. Throws
/// ConfigError when the run cannot begin, IoError or Error when it fails on the way.
int run_pretraining(const Config& config, const PretrainingOptions& options);

}  // namespace tessera::rils
