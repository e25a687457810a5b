#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/core/philox.h"

namespace tessera::rils {

/// Which sample comes at a place of an epoch, and which of its captions: −1 when one is to be drawn.
struct Pick {
  int64_t sample = 0;
  int32_t caption = -1;
  bool operator==(const Pick&) const = default;
};

/// The order of one epoch.
class EpochOrder {
 public:
  EpochOrder(std::vector<uint32_t> samples, std::vector<uint32_t> captions)
      : samples_(std::move(samples)), captions_(std::move(captions)) {}
  [[nodiscard]] int64_t size() const { return static_cast<int64_t>(samples_.size()); }
  [[nodiscard]] Pick at(int64_t position) const {
    const auto i = static_cast<size_t>(position);
    return {samples_.at(i), captions_.empty() ? -1 : static_cast<int32_t>(captions_[i])};
  }

 private:
  std::vector<uint32_t> samples_;
  std::vector<uint32_t> captions_;  // empty: one is drawn
};

/// Permutations keyed by seed and epoch: each sample once an epoch (Fisher and Yates with Philox), or, with a caption
/// count for each sample, each caption once. Then an epoch goes in rounds, in each of which an image comes at most
/// once, with another of its captions from round to round, so that the same image is far from itself.
class Sampler {
 public:
  /// Throws ConfigError above 2³² − 1 samples.
  Sampler(int64_t samples, uint64_t seed, bool shuffle);
  Sampler(std::vector<int32_t> caption_counts, uint64_t seed, bool shuffle);

  /// Places in an epoch.
  [[nodiscard]] int64_t epoch_size() const { return epoch_size_; }
  /// May be called by several threads at once; the orders of the last two epochs are kept.
  [[nodiscard]] std::shared_ptr<const EpochOrder> order(int64_t epoch) const;

 private:
  [[nodiscard]] std::shared_ptr<const EpochOrder> make(int64_t epoch) const;
  void append_round(int64_t epoch, uint32_t round, std::vector<uint32_t>& samples) const;
  void shuffle_captions(int64_t epoch, const std::vector<uint32_t>& samples, std::vector<uint32_t>& captions) const;

  int64_t samples_;
  std::vector<int32_t> caption_counts_;
  bool shuffle_;
  int64_t epoch_size_;
  Philox order_philox_, caption_philox_;
  mutable std::mutex mutex_;
  mutable std::map<int64_t, std::shared_ptr<const EpochOrder>> recent_;
};

}  // namespace tessera::rils
