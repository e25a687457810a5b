#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "rils/prepare/prepare_progress.h"
#include "rils/prepare/rasterise.h"

namespace tessera::rils {

/// Options of the default data set: scenes composed of Debian's clip art and emoji with captions made by a grammar,
/// single things for zero-shot classification, and Fashion-MNIST. rils/prepare/README.md describes the folder.
struct DefaultDataOptions {
  std::filesystem::path out;
  std::filesystem::path assets = "/usr/share";  // the share folder of the installed packages, or the folder
                                                // into which they are unpacked (it holds usr/share)
  int train_scenes = 20000;
  int test_scenes = 1000;
  int image_size = 112;  // pixels a side
  int scenes_per_shard = 1000;
  int captions_per_scene = 2;  // of training scenes; test scenes have one
  int views_per_object = 4;    // pictures of each held-out thing
  int jpeg_quality = 92;
  uint64_t seed = 0;
  int threads = 0;  // 0: as many as the process may use; any number gives the same data
};

struct DefaultDataReport {
  bool reused = false;  // the folder was complete already
  int64_t clipart_found = 0, emoji_found = 0;
  std::vector<RasteriseFailure> failures;  // clip art that could not be drawn
  int64_t rejected = 0, duplicates = 0;    // cut-outs that are unsuitable, or look like another one
  int64_t concepts = 0, groups = 0, train_cutouts = 0, held_out_cutouts = 0, held_out_concepts = 0;
  int64_t train_scenes = 0, test_scenes = 0, objects = 0;
  double distinct_captions = 0;  // fraction of training captions that occur once
  double objects_per_scene = 0;

  /// A summary of a few lines for the user.
  [[nodiscard]] std::string describe() const;
};

/// Makes the data set. A complete folder with the same options is left as it is. After an interruption the data are
/// made again, but the clip art that is already drawn is reused. Everything is written to `partial` first and renamed
/// at the end. Throws IoError when an asset is missing (the message names the Debian package) or when `out` holds other
/// data with the same names, and ConfigError for an option out of range.
DefaultDataReport prepare_default(const DefaultDataOptions& options, const PrepareProgress& progress = {});

}  // namespace tessera::rils
