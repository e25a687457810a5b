#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "rils/data/decode.h"
#include "rils/data/skip_counts.h"
#include "rils/data/table.h"

namespace tessera::rils {

/// `prepare captions`: images and a table of captions become webdataset shards.
struct PrepareCaptionsOptions {
  std::filesystem::path table;
  TableOptions columns;
  std::filesystem::path output;  // gets train/ and, with a hold-out, val/
  int64_t samples_per_shard = 1000;
  int64_t hold_out = 0;  // images kept for validation: those whose names hash smallest (see hold_out())
  int64_t max_image_pixels = kDefaultMaxImagePixels;
};

/// What was written. written() + skipped.total() is what was found.
struct PrepareReport {
  int64_t train_samples = 0, val_samples = 0;
  int64_t train_shards = 0, val_shards = 0;
  int64_t captions = 0;  // of all images written
  SkipCounts skipped;

  [[nodiscard]] int64_t written() const { return train_samples + val_samples; }
  /// One line for the user.
  [[nodiscard]] std::string describe() const;
};

/// Copies each image as it is, after decoding it once to see that it can be, with its captions. Images that cannot be
/// used are skipped and counted. Throws ConfigError or IoError when there is nothing to do or nowhere to write.
PrepareReport prepare_captions(const PrepareCaptionsOptions& options);

}  // namespace tessera::rils
