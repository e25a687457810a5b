#pragma once

#include "engine/core/device.h"
#include "rils/config/config.h"
#include "rils/finetune/labelled_data.h"
#include "rils/run/progress.h"

namespace tessera::rils {

/// Logistic regression on frozen features by MSN's protocol: lambda = 0.0025 / n, at most 300 iterations. It uses a
/// fraction of the training images (finetune.train_fraction) or, for each number in finetune.shots, that many images
/// per class in each of finetune.draws draws. The features of an image are computed once. The run's results.jsonl gets
/// a line for each draw and one with mean and std after the draws of a number; the mean also goes where gather_for
/// writes it. The features are computed on `device`, the regression on the host. Returns the exit code. Throws as
/// run_finetuning.
int run_probe(const Config& config, const LabelledData& data, Console& console, const std::string& command,
              Device device);

}  // namespace tessera::rils
