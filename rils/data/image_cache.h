#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "rils/data/image.h"

namespace tessera::rils {

/// Decoded images by sample. Images are kept in the order in which they come, until they fill `limit` bytes. This pays
/// for small data sets, where decoding the same files in every epoch is most of a loader's work. Several threads may
/// use it at once.
class ImageCache {
 public:
  ImageCache(int64_t samples, size_t limit) : limit_(limit) {
    if (limit > 0) images_.resize(static_cast<size_t>(samples));
  }
  [[nodiscard]] std::shared_ptr<const Image> find(int64_t sample) const {
    if (limit_ == 0) return nullptr;
    const std::lock_guard lock(mutex_);
    return images_[static_cast<size_t>(sample)];
  }
  void keep(int64_t sample, std::shared_ptr<const Image> image) {
    if (limit_ == 0) return;
    const std::lock_guard lock(mutex_);
    auto& slot = images_[static_cast<size_t>(sample)];
    if (slot || bytes_ + image->pixels.size() > limit_) return;
    bytes_ += image->pixels.size();
    slot = std::move(image);
  }
  [[nodiscard]] size_t bytes() const {
    const std::lock_guard lock(mutex_);
    return bytes_;
  }

 private:
  const size_t limit_;
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<const Image>> images_;
  size_t bytes_ = 0;
};

}  // namespace tessera::rils
