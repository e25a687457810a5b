#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "rils/prepare/rasterise.h"

namespace tessera::rils {

/// The default data set: scenes composed of Debian's clip art and emoji, with captions made by a grammar, single things
/// for zero-shot classification, and Fashion-MNIST. rils/prepare/README.md says what lies in the folder.
struct DefaultDataOptions {
  std::filesystem::path out;
  std::filesystem::path assets = "/usr/share";  // where the packages are installed; or the folder that they were
                                                // unpacked into, which then holds usr/share
  int train_scenes = 20000;
  int test_scenes = 1000;
  int image_size = 112;  // pixels a side
  int scenes_per_shard = 1000;
  int captions_per_scene = 2;  // of the training scenes; test scenes have one
  int views_per_object = 4;    // pictures of each held-out thing
  int jpeg_quality = 92;
  uint64_t seed = 0;
  int threads = 0;  // 0: as many as the process may use; the result does not depend on it
};

struct DefaultDataReport {
  bool reused = false;  // the folder was complete already
  int64_t clipart_found = 0, emoji_found = 0;
  std::vector<RasteriseFailure> failures;  // clip art that could not be drawn
  int64_t rejected = 0, duplicates = 0;    // cut-outs that cannot serve, or look like another
  int64_t concepts = 0, groups = 0, train_cutouts = 0, held_out_cutouts = 0, held_out_concepts = 0;
  int64_t train_scenes = 0, test_scenes = 0, objects = 0;
  double distinct_captions = 0;  // share of the training captions that occur once
  double objects_per_scene = 0;

  /// A few lines for people.
  [[nodiscard]] std::string describe() const;
};

/// What is being done, how much of how much.
using PrepareProgress = std::function<void(std::string_view stage, int64_t done, int64_t total)>;

/// Makes the data set. A folder that is complete with the same options is left as it is; an interrupted run starts
/// anew, with the drawn clip art kept. Everything is written beside its place and renamed at the end. Throws IoError
/// that names the Debian package when an asset is missing, or when `out` holds something else by these names, and
/// ConfigError for options outside their range.
DefaultDataReport prepare_default(const DefaultDataOptions& options, const PrepareProgress& progress = {});

}  // namespace tessera::rils
