#include "rils/finetune/feed.h"

#include "rils/finetune/mixing.h"

namespace tessera::rils {

std::unique_ptr<Feed<LabelledBatch>> feed_labelled(Loader& loader, const Config& config, const EpochPlan& plan,
                                                   int64_t first_step, Device device) {
  const int64_t size = config.model.vision.image_size;
  const Shape largest{plan.batches_of(0) * config.optim.batch_size, 3, size, size};
  const auto seed = static_cast<uint64_t>(config.run.seed);
  auto prepare = [plan, seed, options = config.finetune, step = first_step](const TakeBatch& take) mutable {
    std::vector<LabelledBatch> parts;
    for (int64_t i = 0; i < plan.batches_of(step); ++i) {
      const TakenBatch taken = take();
      const double lambda = mix_part(options, seed, step, i, taken.host);
      parts.push_back({taken.images, taken.batch.labels, lambda});
    }
    ++step;
    return parts;
  };
  return std::make_unique<Feed<LabelledBatch>>(loader, largest, device, std::move(prepare));
}

}  // namespace tessera::rils
