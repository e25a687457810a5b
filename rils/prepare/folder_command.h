#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "rils/data/decode.h"
#include "rils/data/skip_counts.h"
#include "rils/prepare/prepare_progress.h"

namespace tessera::rils {

/// `prepare folder` turns class folders into webdataset shards in CLIP_benchmark's layout: `classnames.txt`,
/// `zeroshot_classification_templates.txt`, and for each split a folder of shards with `.cls` members and
/// `nshards.txt`.
struct PrepareFolderOptions {
  std::filesystem::path input;  // class folders, or a folder for each split (find_splits) that holds them
  std::filesystem::path output;
  std::string split = "train";  // name of the split when the input has no split folders
  std::vector<std::string> templates = {"a photo of a {c}."};
  int64_t samples_per_shard = 1000;
  int64_t max_image_pixels = kDefaultMaxImagePixels;
};

struct PrepareFolderReport {
  struct Split {
    std::string name;
    int64_t samples = 0, shards = 0;
  };
  std::vector<Split> splits;
  std::vector<std::string> class_names;
  SkipCounts skipped;
  std::vector<std::string> notes;
  /// For the user: a line, and one for each note.
  [[nodiscard]] std::string describe() const;
};

/// Writes the shards of all splits and the two lists, all of them or nothing (PartsWriter). Class names are the folder
/// names with underscores replaced by blanks. Throws ConfigError when two splits have different classes; the message
/// names the first difference. Throws IoError when the first split has no usable image of a class.
PrepareFolderReport prepare_folder(const PrepareFolderOptions& options, const PrepareProgress& progress = {});

}  // namespace tessera::rils
