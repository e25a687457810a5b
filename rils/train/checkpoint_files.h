#pragma once

#include "nn/io/checkpoint.h"
#include "nn/optim/adamw.h"
#include "rils/run/run_folder.h"

namespace tessera::rils {

// Optimizer is nn::AdamW or nn::Lars.

/// Writes the training state, the averages unless `ema` is null, and last the weights: a checkpoint is complete once
/// they exist.
template <class Optimizer>
void save_checkpoint(const CheckpointFiles& files, const nn::ParameterStore& store, const Optimizer& optimizer,
                     nn::Ema* ema, const nn::Metadata& weights_metadata, const nn::Metadata& state_metadata);
/// Restores weights, moments, averages and step count; returns the state's metadata.
template <class Optimizer>
nn::Metadata load_checkpoint(const CheckpointFiles& files, nn::ParameterStore& store, Optimizer& optimizer,
                             nn::Ema* ema);

}  // namespace tessera::rils
