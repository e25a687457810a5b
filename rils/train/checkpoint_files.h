#pragma once

#include <string>

#include "nn/io/checkpoint.h"
#include "nn/optim/adamw.h"
#include "rils/run/run_folder.h"

namespace tessera::rils {

// Optimizer is nn::AdamW or nn::Lars.

/// Writes the training state, the averages unless `ema` is null, and last the weights: a checkpoint is complete once
/// they exist. Each file has a checksum; the weights name those of the other two, so that only what was written
/// together is taken together.
template <class Optimizer>
void save_checkpoint(const CheckpointFiles& files, const nn::ParameterStore& store, const Optimizer& optimizer,
                     nn::Ema* ema, const nn::Metadata& weights_metadata, const nn::Metadata& state_metadata);
/// Checks, before anything is restored, that the files of a checkpoint are whole and belong together: checksums, and
/// the step in name, weights and state. Throws IoError if they do not. Returns a remark about a checkpoint of an
/// earlier version, which has no checksums, else "".
[[nodiscard]] std::string check_checkpoint(const CheckpointFiles& files);
/// A word of a training state's metadata. Throws IoError when it is absent.
[[nodiscard]] const std::string& word_of_state(const nn::Metadata& state, const std::string& key);
/// The same for a number.
[[nodiscard]] double number_of_state(const nn::Metadata& state, const std::string& key);

/// Restores weights, moments, averages and step count; returns the state's metadata.
template <class Optimizer>
nn::Metadata load_checkpoint(const CheckpointFiles& files, nn::ParameterStore& store, Optimizer& optimizer,
                             nn::Ema* ema);

}  // namespace tessera::rils
