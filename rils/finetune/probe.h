#pragma once

#include "rils/config/config.h"
#include "rils/finetune/labelled_data.h"
#include "rils/run/progress.h"

namespace tessera::rils {

/// Logistic regression on frozen features by MSN's protocol (rils.md 3.4), with every training image or, where
/// finetune.shots asks for it, with so many of each class in finetune.draws draws, for each of its numbers: lambda =
/// 0.0025 / n, at most 300 iterations. The features of an image are computed once. Leaves a run's folder with a line of
/// results.jsonl for each draw and, after the draws of a number, one with mean and deviation.
/// Returns the exit code. Throws as run_finetuning.
int run_probe(const Config& config, const LabelledData& data, Console& console, const std::string& command);

}  // namespace tessera::rils
