#pragma once

#include <memory>

#include "rils/finetune/trainer.h"
#include "rils/train/feed.h"

namespace tessera::rils {

/// The feed of a run that goes on at step `first_step` (0-based): gives a step plan.batches_of(step) batches of the
/// loader, each mixed with itself.
[[nodiscard]] std::unique_ptr<Feed<LabelledBatch>> feed_labelled(Loader& loader, const Config& config,
                                                                 const EpochPlan& plan, int64_t first_step,
                                                                 Device device);

}  // namespace tessera::rils
