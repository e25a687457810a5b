#include "rils/data/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "engine/core/error.h"

namespace tessera::rils {

Sampler::Sampler(int64_t samples, uint64_t seed, bool shuffle)
    : samples_(samples),
      shuffle_(shuffle),
      epoch_size_(samples),
      order_philox_(seed, "shuffle"),
      caption_philox_(seed, "caption order") {
  if (samples < 0 || samples > std::numeric_limits<uint32_t>::max())
    throw ConfigError(fmt::format("sampler: expected at most 2^32 - 1 samples, found {}", samples));
}

Sampler::Sampler(std::vector<int32_t> caption_counts, uint64_t seed, bool shuffle)
    : Sampler(static_cast<int64_t>(caption_counts.size()), seed, shuffle) {
  caption_counts_ = std::move(caption_counts);
  epoch_size_ = std::accumulate(caption_counts_.begin(), caption_counts_.end(), int64_t{0});
}

std::shared_ptr<const EpochOrder> Sampler::order(int64_t epoch) const {
  const std::lock_guard lock(mutex_);
  auto& slot = recent_[epoch];
  if (!slot) slot = make(epoch);
  auto result = slot;
  // Workers are less than an epoch ahead; whoever uses an older order holds it.
  while (recent_.size() > 2) recent_.erase(recent_.begin());
  return result;
}

/// Appends the samples of a round, shuffled.
void Sampler::append_round(int64_t epoch, uint32_t round, std::vector<uint32_t>& samples) const {
  const size_t begin = samples.size();
  for (int64_t i = 0; i < samples_; ++i)
    if (caption_counts_.empty() || caption_counts_[static_cast<size_t>(i)] > static_cast<int32_t>(round))
      samples.push_back(static_cast<uint32_t>(i));
  if (!shuffle_) return;
  for (size_t i = samples.size() - begin; i > 1; --i)
    std::swap(samples[begin + i - 1],
              samples[begin + order_philox_.below(i, static_cast<uint64_t>(epoch), round, static_cast<uint64_t>(i))]);
}

/// Chooses the caption of each position. Each sample has a permutation of its captions, indexed by the round.
void Sampler::shuffle_captions(int64_t epoch, const std::vector<uint32_t>& samples,
                               std::vector<uint32_t>& captions) const {
  std::vector<uint32_t> permutation;
  for (size_t i = 0; i < samples.size(); ++i) {
    permutation.resize(static_cast<size_t>(caption_counts_[samples[i]]));
    std::iota(permutation.begin(), permutation.end(), 0u);
    for (size_t k = permutation.size(); k > 1; --k)
      std::swap(permutation[k - 1], permutation[caption_philox_.below(k, static_cast<uint64_t>(epoch), samples[i], k)]);
    captions[i] = permutation[captions[i]];
  }
}

std::shared_ptr<const EpochOrder> Sampler::make(int64_t epoch) const {
  std::vector<uint32_t> samples, captions;
  samples.reserve(static_cast<size_t>(epoch_size_));
  if (caption_counts_.empty()) {
    append_round(epoch, 0, samples);
  } else if (!shuffle_) {
    for (uint32_t i = 0; i < caption_counts_.size(); ++i)
      for (uint32_t c = 0; static_cast<int32_t>(c) < caption_counts_[i]; ++c)
        samples.push_back(i), captions.push_back(c);
  } else {
    const int32_t rounds = caption_counts_.empty() ? 0 : *std::ranges::max_element(caption_counts_);
    for (uint32_t round = 0; static_cast<int32_t>(round) < rounds; ++round) {
      append_round(epoch, round, samples);
      captions.resize(samples.size(), round);
    }
    shuffle_captions(epoch, samples, captions);
  }
  return std::make_shared<const EpochOrder>(std::move(samples), std::move(captions));
}

}  // namespace tessera::rils
