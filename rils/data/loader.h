#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/philox.h"
#include "rils/data/dataset.h"
#include "rils/data/image_cache.h"
#include "rils/data/prefetch.h"
#include "rils/data/sampler.h"
#include "rils/data/transform.h"
#include "rils/text/tokenizer.h"

namespace tessera::rils {

/// How images with several captions are used: in each epoch once with a caption drawn at random, or once with each of
/// their captions.
enum class CaptionMode { random, all };

struct LoaderOptions {
  int64_t batch_size = 64;
  int image_size = 224;              // pixels a side; the transform fills [3, image_size, image_size]
  ImageTransform transform;          // TrainTransform or EvalTransform
  int augmented_views = 1;           // images made of each sample, each with random numbers of its own
  ImageTransform further_transform;  // for all views after the first; empty: `transform`
  Tokenize tokenize;                 // empty: batches have no tokens
  int64_t context_length = 77;
  CaptionMode captions = CaptionMode::random;
  bool shuffle = true;
  bool drop_last = true;         // leave out an incomplete batch at the end of an epoch
  bool distinct_images = true;   // no image twice in a batch (matters with CaptionMode::all)
  int64_t epoch_samples = 0;     // length of an epoch in positions; 0: the whole data set
  int64_t epochs = 0;            // 0: no end
  int workers = 2;               // threads; 0: the calling thread does the work
  int64_t prefetch_batches = 2;  // batches made ahead
  uint64_t seed = 0;
  int64_t max_image_pixels = kDefaultMaxImagePixels;
  bool resize_before_rgb = false;  // images are decoded with their mode
  size_t cache_bytes = 0;          // of decoded images kept in memory
};

/// Counts of the samples of an epoch. At the end of an epoch seen + skipped.total() = total.
struct LoaderStats {
  int64_t total = 0;      // positions of the epoch, and the samples that the data set skipped when it was opened
  int64_t seen = 0;       // usable samples
  int64_t left_over = 0;  // seen but not delivered, because the last batch was incomplete
  int64_t cut_captions = 0;
  SkipCounts skipped;
  bool operator==(const LoaderStats&) const = default;
  /// "epoch of 100 samples: 98 seen (2 of them left over for want of a whole batch), 2 skipped (…)".
  [[nodiscard]] std::string describe() const;
};

/// A position in the stream of batches. A loader that starts from it delivers what the first one would have delivered.
struct LoaderState {
  int64_t epoch = 0;
  int64_t position = 0;           // in the order of the epoch
  std::vector<int64_t> deferred;  // earlier positions that wait for the next batch
  LoaderStats stats;              // of the epoch so far
  int64_t samples = -1;           // length of the epoch that the state belongs to; −1: any
  uint64_t seed = 0;
  bool operator==(const LoaderState&) const = default;

  [[nodiscard]] std::string to_json() const;
  /// Throws IoError for a text that to_json did not write.
  [[nodiscard]] static LoaderState from_json(std::string_view text);
};

/// B samples. B = batch_size, except in the last batch of an epoch without drop_last.
struct Batch {
  int64_t size = 0;
  std::vector<float> images;          // [augmented_views, B, 3, image_size, image_size]
  std::vector<int32_t> tokens;        // [B, context_length]; empty without LoaderOptions::tokenize
  std::vector<int32_t> labels;        // [B]; −1 for a sample without a label
  std::vector<int64_t> sample_ids;    // [B]; index in the data set
  std::vector<std::string> keys;      // [B]
  std::vector<std::string> captions;  // [B]; "" for a sample without a caption
  int64_t epoch = 0;
  LoaderState next;  // the position after this batch
};

/// Batches of a data set. They contain the usable samples in the order of the epoch; bad samples are skipped and
/// counted. The stream depends only on the data, the seed and the batch size, not on the number of workers or on
/// timing.
class Loader {
 public:
  /// Starts the workers. `state` continues an earlier stream. Throws ConfigError when an option is out of range, when
  /// the data have fewer samples than a batch, or when the state belongs to other data or another seed.
  Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options, const LoaderState& state = {});
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// Fills the batch and reuses its memory. Returns false once at the end of each epoch; the next call begins the next
  /// epoch, or returns false again after the last one. Passes on a worker's exception unless it is a SampleError.
  /// Throws IoError when a whole epoch does not yield a single batch.
  [[nodiscard]] bool next(Batch& batch);

  /// Ends the epoch if it has no whole batch left, and returns its counts; nullopt if it has one. For the end of a run,
  /// which does not ask for the batch after its last.
  [[nodiscard]] std::optional<LoaderStats> end_epoch();

  /// Counts of the current epoch, or of the one that has just ended.
  [[nodiscard]] const LoaderStats& stats() const { return stats_; }
  /// The position from which the next call continues.
  [[nodiscard]] LoaderState state() const;
  /// Positions of an epoch; some may turn out to be bad samples.
  [[nodiscard]] int64_t samples_per_epoch() const { return epoch_size_; }
  /// Batches of an epoch without bad samples; bad samples make it fewer.
  [[nodiscard]] int64_t batches_per_epoch() const;

 private:
  struct Item;
  void check_options() const;
  void restore(const LoaderState& state);
  [[nodiscard]] Item make_item(uint64_t place) const;
  void fill_item(Item& item, int64_t epoch) const;
  [[nodiscard]] std::shared_ptr<const Image> image_of(int64_t sample, const Sample& loaded,
                                                      std::shared_ptr<const Image> cached) const;
  void collect_rows();
  [[nodiscard]] bool in_rows(int64_t sample) const;
  void take_one();
  void assemble(Batch& batch);
  void begin_epoch();

  std::shared_ptr<const Dataset> dataset_;
  LoaderOptions options_;
  Sampler sampler_;
  int64_t epoch_size_;
  Philox augment_philox_, caption_philox_;
  mutable ImageCache cache_;

  int64_t epoch_ = 0, position_ = 0;
  LoaderStats stats_;
  std::vector<Item> rows_;  // of the batch that is being filled
  std::vector<Item> deferred_;
  bool from_start_ = true, delivered_ = false, ended_ = false;
  std::unique_ptr<OrderedPrefetch<Item>> prefetch_;  // last: its workers use the rest
};

}  // namespace tessera::rils
