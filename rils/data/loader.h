#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
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

/// With several captions an image: one drawn at random each epoch, or each of them once an epoch (every pair is a
/// sample).
enum class CaptionMode { random, all };

struct LoaderOptions {
  int64_t batch_size = 64;
  int image_size = 224;           // what the transform fills: [3, image_size, image_size]
  ImageTransform transform;       // TrainTransform or EvalTransform
  int views = 1;                  // independent results for each sample
  ImageTransform view_transform;  // of those after the first; empty: `transform`
  Tokenize tokenize;              // empty: no tokens
  int64_t context_length = 77;
  CaptionMode captions = CaptionMode::random;
  bool shuffle = true;
  bool drop_last = true;         // an incomplete batch at the end of an epoch is left out
  bool distinct_images = true;   // an image never twice in a batch (matters with CaptionMode::all)
  int64_t epoch_samples = 0;     // places of an epoch; 0: all
  int64_t epochs = 0;            // 0: without end
  int workers = 2;               // 0: in the calling thread
  int64_t prefetch_batches = 2;  // made ahead
  uint64_t seed = 0;
  int64_t max_image_pixels = kDefaultMaxImagePixels;
  size_t cache_bytes = 0;  // decoded images kept in memory
};

/// What became of the samples of an epoch. At its end seen + skipped.total() = total.
struct LoaderStats {
  int64_t total = 0;      // places of the epoch and what the data set had to leave out when it was opened
  int64_t seen = 0;       // good ones
  int64_t left_over = 0;  // of these: not delivered, because the last batch stayed incomplete
  int64_t cut_captions = 0;
  SkipCounts skipped;
  bool operator==(const LoaderStats&) const = default;
};

/// A place in the data: everything that follows is the same as if one had not stopped.
struct LoaderState {
  int64_t epoch = 0;
  int64_t position = 0;           // in the epoch's order
  std::vector<int64_t> deferred;  // earlier places that wait for the next batch
  LoaderStats stats;              // of the epoch so far
  int64_t samples = -1;           // places of an epoch and seed that the state belongs to; −1: any
  uint64_t seed = 0;
  bool operator==(const LoaderState&) const = default;

  [[nodiscard]] std::string to_json() const;
  /// Throws IoError for anything that to_json did not write.
  [[nodiscard]] static LoaderState from_json(std::string_view text);
};

/// B samples. B = batch_size but for the last batch of an epoch without drop_last.
struct Batch {
  int64_t size = 0;
  std::vector<float> images;          // [views, B, 3, image_size, image_size]
  std::vector<int32_t> tokens;        // [B, context_length]; empty without an encoder
  std::vector<int32_t> labels;        // [B], −1 without
  std::vector<int64_t> sample_ids;    // [B], index in the data set
  std::vector<std::string> keys;      // [B]
  std::vector<std::string> captions;  // [B], "" without
  int64_t epoch = 0;
  LoaderState next;  // where to go on after this batch
};

/// Batches of a data set. The stream depends on the data, the seed and the batch size only, not on the number of
/// workers or on when it is read; bad samples are skipped and counted, and the batches are the good samples in the
/// epoch's order.
class Loader {
 public:
  /// Starts the workers. `state` continues a run. Throws ConfigError when options do not make sense, when the data are
  /// fewer than a batch, or when the state is of other data or another seed.
  Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options, const LoaderState& state = {});
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// Fills the batch, whose memory is reused. False at the end of an epoch, once; the call after that begins the next
  /// one (or is false again after the last). Throws what a worker met that is no matter of one sample, and IoError when
  /// a whole epoch does not give a single batch.
  [[nodiscard]] bool next(Batch& batch);

  /// Of the epoch that is going on, or has just ended.
  [[nodiscard]] const LoaderStats& stats() const { return stats_; }
  /// Where the next call goes on.
  [[nodiscard]] LoaderState state() const;
  /// Places of an epoch, good and bad.
  [[nodiscard]] int64_t samples_per_epoch() const { return epoch_size_; }
  /// Batches of an epoch in which no sample is bad; bad ones make it fewer.
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
  std::vector<Item> rows_;  // of the batch in the making
  std::vector<Item> deferred_;
  bool from_start_ = true, delivered_ = false, ended_ = false;
  std::unique_ptr<OrderedPrefetch<Item>> prefetch_;  // last: its workers use the rest
};

}  // namespace tessera::rils
