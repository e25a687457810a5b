#include "rils/data/loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tessera::rils {

/// A sample ready for a batch, or the reason why it is skipped.
struct Loader::Item {
  int64_t position = 0;
  Pick pick;
  std::string skip_reason, skip_name;  // not empty for a bad sample
  std::vector<float> images;           // [augmented_views, 3, size, size]
  std::vector<int32_t> tokens;
  int32_t label = -1;
  std::string key, caption;
  bool cut = false;
};

namespace {

Sampler make_sampler(const Dataset& dataset, const LoaderOptions& options) {
  if (options.captions == CaptionMode::random) return {dataset.size(), options.seed, options.shuffle};
  std::vector<int32_t> counts(static_cast<size_t>(dataset.size()));
  for (size_t i = 0; i < counts.size(); ++i)
    counts[i] = static_cast<int32_t>(dataset.caption_count(static_cast<int64_t>(i)));
  return {std::move(counts), options.seed, options.shuffle};
}

size_t image_values(const LoaderOptions& options) {
  return 3 * static_cast<size_t>(options.image_size) * static_cast<size_t>(options.image_size);
}

}  // namespace

Loader::Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options, const LoaderState& state)
    : dataset_(std::move(dataset)),
      options_(std::move(options)),
      sampler_(make_sampler(*dataset_, options_)),
      epoch_size_(options_.epoch_samples > 0 ? std::min(options_.epoch_samples, sampler_.epoch_size())
                                             : sampler_.epoch_size()),
      augment_philox_(options_.seed, "augment"),
      caption_philox_(options_.seed, "captions"),
      cache_(dataset_->size(), options_.cache_bytes) {
  check_options();
  begin_epoch();
  restore(state);
  const auto places = static_cast<uint64_t>(epoch_size_);
  const uint64_t end =
      options_.epochs > 0 ? static_cast<uint64_t>(options_.epochs) * places : OrderedPrefetch<Item>::kEndless;
  const auto ahead = std::max<int64_t>(2 * int64_t{options_.workers}, options_.prefetch_batches * options_.batch_size);
  prefetch_ =
      std::make_unique<OrderedPrefetch<Item>>(options_.workers, static_cast<size_t>(ahead),
                                              static_cast<uint64_t>(epoch_) * places + static_cast<uint64_t>(position_),
                                              end, [this](uint64_t place) { return make_item(place); });
}

Loader::~Loader() = default;

std::string LoaderStats::describe() const {
  const std::string rest =
      left_over > 0 ? fmt::format(" ({} of them left over for want of a whole batch)", left_over) : "";
  return fmt::format("epoch of {} samples: {} seen{}, {}", total, seen, rest, skipped.describe());
}

void Loader::check_options() const {
  const auto& o = options_;
  if (o.batch_size < 1 || o.image_size < 1 || o.augmented_views < 1 || o.workers < 0 || o.prefetch_batches < 0 ||
      !o.transform || (o.tokenize && o.context_length < 1))
    throw ConfigError(
        fmt::format("loader: batch_size {}, image_size {}, augmented_views {}, workers {}: one is out of range or the "
                    "transform is missing",
                    o.batch_size, o.image_size, o.augmented_views, o.workers));
  if (epoch_size_ < 1) throw ConfigError("loader: the data set is empty");
  if (o.drop_last && epoch_size_ < o.batch_size)
    throw ConfigError(
        fmt::format("loader: an epoch has {} samples, fewer than a batch of {}", epoch_size_, o.batch_size));
}

void Loader::restore(const LoaderState& state) {
  if (state.samples >= 0 && state.samples != epoch_size_)
    throw ConfigError(fmt::format("resume: an epoch has {} samples, but the saved position belongs to data with {}",
                                  epoch_size_, state.samples));
  if (state.samples >= 0 && state.seed != options_.seed)
    throw ConfigError(
        fmt::format("resume: the seed is {}, but the saved position belongs to seed {}", options_.seed, state.seed));
  if (state.epoch < 0 || state.position < 0 || state.position > epoch_size_)
    throw ConfigError(
        fmt::format("resume: the saved position {} is outside an epoch of {} samples", state.position, epoch_size_));
  epoch_ = state.epoch;
  position_ = state.position;
  from_start_ = position_ == 0;
  if (state.samples >= 0 && position_ > 0) stats_ = state.stats;
  for (const int64_t place : state.deferred) {
    if (place < 0 || place >= position_)
      throw ConfigError(fmt::format("resume: the saved deferred position {} is not before {}", place, position_));
    deferred_.push_back(make_item(static_cast<uint64_t>(epoch_ * epoch_size_ + place)));
    if (!deferred_.back().skip_reason.empty())
      throw IoError(fmt::format("resume: {} was usable before and is not any more: {}", deferred_.back().skip_name,
                                deferred_.back().skip_reason));
  }
}

void Loader::begin_epoch() {
  position_ = 0;
  stats_ = LoaderStats();
  stats_.skipped = dataset_->skipped();
  stats_.total = epoch_size_ + stats_.skipped.total();
  from_start_ = true;
  delivered_ = ended_ = false;
}

LoaderState Loader::state() const {
  LoaderState state;
  state.samples = epoch_size_;
  state.seed = options_.seed;
  if (ended_) {
    state.epoch = epoch_ + 1;
    return state;
  }
  state.epoch = epoch_;
  state.position = position_;
  for (const Item& item : deferred_) state.deferred.push_back(item.position);
  state.stats = stats_;
  return state;
}

int64_t Loader::batches_per_epoch() const {
  const int64_t whole = epoch_size_ / options_.batch_size;
  return options_.drop_last || epoch_size_ % options_.batch_size == 0 ? whole : whole + 1;
}

Loader::Item Loader::make_item(uint64_t place) const {
  const auto epoch = static_cast<int64_t>(place) / epoch_size_;
  Item item;
  item.position = static_cast<int64_t>(place) % epoch_size_;
  item.pick = sampler_.order(epoch)->at(item.position);
  try {
    fill_item(item, epoch);
  } catch (const SampleError& error) {
    item.skip_reason = error.reason();
    item.skip_name = fmt::format("{}: {}", dataset_->name(item.pick.sample), error.what());
    item.images = {};
  }
  return item;
}

std::shared_ptr<const Image> Loader::image_of(int64_t sample, const Sample& loaded,
                                              std::shared_ptr<const Image> cached) const {
  if (cached) return cached;
  const auto& o = options_;
  auto image = std::make_shared<const Image>(decode_sample(loaded, o.max_image_pixels, o.resize_before_rgb));
  cache_.keep(sample, image);
  return image;
}

void Loader::fill_item(Item& item, int64_t epoch) const {
  const auto [sample_id, caption_id] = item.pick;
  auto cached = cache_.find(sample_id);
  Sample sample = dataset_->load(sample_id, !cached);
  const auto image = image_of(sample_id, sample, std::move(cached));
  item.key = std::move(sample.key);
  item.label = sample.label;
  const auto step = static_cast<uint64_t>(epoch), id = static_cast<uint64_t>(sample_id);
  if (!sample.captions.empty()) {
    const auto count = sample.captions.size();
    const size_t chosen = caption_id >= 0 ? static_cast<size_t>(caption_id) : caption_philox_.below(count, step, id, 0);
    if (chosen >= count) throw SampleError(skip::kNoCaption, fmt::format("caption {} of {}", chosen, count));
    item.caption = std::move(sample.captions[chosen]);
  }
  if (options_.tokenize) {
    if (item.caption.empty()) throw SampleError(skip::kNoCaption, "the sample has no caption");
    item.tokens.assign(static_cast<size_t>(options_.context_length), 0);
    item.cut = options_.tokenize(item.caption, item.tokens);
  }
  // Each pair of caption and view has random numbers of its own.
  constexpr int kElementsOfView = 20;
  const size_t values = image_values(options_);
  item.images.resize(values * static_cast<size_t>(options_.augmented_views));
  for (size_t view = 0; view < static_cast<size_t>(options_.augmented_views); ++view) {
    const uint64_t turn =
        static_cast<uint64_t>(caption_id + 1) * static_cast<uint64_t>(options_.augmented_views) + view;
    const ImageTransform& transform =
        view > 0 && options_.further_transform ? options_.further_transform : options_.transform;
    transform(*image, AugmentStream(augment_philox_, step, id, turn << kElementsOfView),
              std::span(item.images).subspan(view * values, values));
  }
}

bool Loader::in_rows(int64_t sample) const {
  return std::ranges::any_of(rows_, [sample](const Item& row) { return row.pick.sample == sample; });
}

/// Takes the next sample of the epoch, which joins the batch, waits for the next one, or is skipped.
void Loader::take_one() {
  Item item = prefetch_->take();
  ++position_;
  if (!item.skip_reason.empty()) {
    stats_.skipped.add(item.skip_reason, item.skip_name);
    return;
  }
  ++stats_.seen;
  stats_.cut_captions += item.cut ? 1 : 0;
  if (!options_.distinct_images || !in_rows(item.pick.sample)) {
    rows_.push_back(std::move(item));
  } else if (static_cast<int64_t>(deferred_.size()) < options_.batch_size) {
    deferred_.push_back(std::move(item));
  } else {
    ++stats_.left_over;  // happens only when a few images have most of the captions
  }
}

void Loader::collect_rows() {
  rows_.clear();
  const auto full = [this] { return static_cast<int64_t>(rows_.size()) == options_.batch_size; };
  for (auto it = deferred_.begin(); it != deferred_.end() && !full();) {
    if (in_rows(it->pick.sample)) {
      ++it;
      continue;
    }
    rows_.push_back(std::move(*it));
    it = deferred_.erase(it);
  }
  while (!full() && position_ < epoch_size_) take_one();
}

void Loader::assemble(Batch& batch) {
  const size_t rows = rows_.size(), values = image_values(options_);
  batch.size = static_cast<int64_t>(rows);
  batch.epoch = epoch_;
  batch.images.resize(rows * values * static_cast<size_t>(options_.augmented_views));
  batch.tokens.clear();
  batch.labels.clear();
  batch.sample_ids.clear();
  batch.keys.clear();
  batch.captions.clear();
  for (size_t row = 0; row < rows; ++row) {
    Item& item = rows_[row];
    for (size_t view = 0; view < static_cast<size_t>(options_.augmented_views); ++view)
      std::copy_n(item.images.data() + view * values, values, batch.images.data() + (view * rows + row) * values);
    batch.tokens.insert(batch.tokens.end(), item.tokens.begin(), item.tokens.end());
    batch.labels.push_back(item.label);
    batch.sample_ids.push_back(item.pick.sample);
    batch.keys.push_back(std::move(item.key));
    batch.captions.push_back(std::move(item.caption));
  }
  batch.next = state();
}

bool Loader::next(Batch& batch) {
  if (ended_) {
    if (options_.epochs > 0 && epoch_ + 1 >= options_.epochs) return false;
    ++epoch_;
    begin_epoch();
  }
  if (options_.epochs > 0 && epoch_ >= options_.epochs) return false;
  collect_rows();
  const bool complete = static_cast<int64_t>(rows_.size()) == options_.batch_size;
  if (complete || (!options_.drop_last && !rows_.empty())) {
    delivered_ = true;
    assemble(batch);
    return true;
  }
  stats_.left_over += static_cast<int64_t>(rows_.size() + deferred_.size());
  rows_.clear();
  deferred_.clear();
  ended_ = true;
  if (from_start_ && !delivered_)
    throw IoError(fmt::format("expected at least one batch of {}, found too few usable samples among {}; {}",
                              options_.batch_size, stats_.total, stats_.skipped.describe()));
  return false;
}

std::optional<LoaderStats> Loader::end_epoch() {
  const int64_t left = epoch_size_ - position_ + static_cast<int64_t>(deferred_.size());
  Batch rest;
  if (ended_ || left >= options_.batch_size || next(rest)) return std::nullopt;
  return stats_;
}

}  // namespace tessera::rils
