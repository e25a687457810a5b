#pragma once

#include <string>

#include "engine/core/philox.h"
#include "rils/data/dataset.h"

namespace tessera::rils {

/// Generated images of one square with captions of its colour and position, for measuring speed and for trying out a
/// configuration without data. A sample depends only on the seed and its index. Captions are true, so a model can learn
/// from them.
class SyntheticDataset final : public Dataset {
 public:
  SyntheticDataset(int64_t samples, int image_size, uint64_t seed);
  [[nodiscard]] int64_t size() const override { return samples_; }
  [[nodiscard]] Sample load(int64_t index, bool with_image) const override;
  [[nodiscard]] std::string name(int64_t index) const override;

 private:
  int64_t samples_;
  int image_size_;
  Philox philox_;
};

}  // namespace tessera::rils
