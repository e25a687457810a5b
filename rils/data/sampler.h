#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/core/philox.h"

namespace tessera::rils {

/// The sample at one position of an epoch, and the index of its caption, or −1 when a caption is to be drawn.
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
  std::vector<uint32_t> captions_;  // empty: captions are drawn
};

/// Permutations that depend on seed and epoch (Fisher–Yates with Philox). Each sample comes once an epoch; with a
/// caption count for each sample, each caption comes once. In that case an epoch consists of rounds. An image comes at
/// most once in a round, each time with another caption, so that positions with the same image are far apart.
class Sampler {
 public:
  /// Throws ConfigError above 2³² − 1 samples.
  Sampler(int64_t samples, uint64_t seed, bool shuffle);
  Sampler(std::vector<int32_t> caption_counts, uint64_t seed, bool shuffle);

  /// The number of positions in an epoch.
  [[nodiscard]] int64_t epoch_size() const { return epoch_size_; }
  /// Several threads may call this at once. The orders of the last two epochs are cached.
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
