#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "rils/data/decode.h"
#include "rils/data/skip_counts.h"
#include "rils/data/table.h"
#include "rils/prepare/prepare_progress.h"

namespace tessera::rils {

/// `prepare captions` turns images and a table of captions into webdataset shards.
struct PrepareCaptionsOptions {
  std::filesystem::path table;
  TableOptions columns;
  std::string text_encoding = "utf-8";  // of captions that are not UTF-8; "utf-8": they are skipped
  std::filesystem::path output;         // folder of train/ and, with a hold-out, val/
  int64_t samples_per_shard = 1000;
  int64_t hold_out = 0;  // number of images in val/, chosen by hold_out()
  int64_t max_image_pixels = kDefaultMaxImagePixels;
};

/// The samples that were written and skipped; written() + skipped.total() is the number that was found.
struct PrepareReport {
  int64_t train_samples = 0, val_samples = 0;
  int64_t train_shards = 0, val_shards = 0;
  int64_t captions = 0;  // of all written images
  SkipCounts skipped;

  [[nodiscard]] int64_t written() const { return train_samples + val_samples; }
  /// One line for the user.
  [[nodiscard]] std::string describe() const;
};

/// Copies images unchanged, with their captions. Each image is decoded once as a check; unusable images are skipped and
/// counted. Throws ConfigError or IoError when no image is usable or the shards cannot be written.
PrepareReport prepare_captions(const PrepareCaptionsOptions& options, const PrepareProgress& progress = {});

}  // namespace tessera::rils
