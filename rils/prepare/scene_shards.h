#pragma once

#include <filesystem>
#include <vector>

#include "rils/prepare/concepts.h"
#include "rils/prepare/default_data.h"
#include "rils/prepare/scene.h"

namespace tessera {
class ThreadPool;
}

namespace tessera::rils {

struct SceneShardsResult {
  std::vector<std::string> captions;  // of all scenes, in order
  int64_t objects = 0;
};

/// Writes the training scenes, or with `test` the test scenes, as webdataset shards 00000.tar, … with NNNNNN.jpg, .txt
/// (one caption), .json and .mask.png. Scene i depends only on the seed, `test` and i.
[[nodiscard]] SceneShardsResult write_scene_shards(const std::filesystem::path& folder,
                                                   const DefaultDataOptions& options, const ConceptTable& table,
                                                   const SceneCast& cast, bool test, ThreadPool& pool,
                                                   const PrepareProgress& progress);

/// Writes a classification set in CLIP_benchmark's layout, with one held-out thing in each picture: classnames.txt (the
/// groups), zeroshot_classification_templates.txt, test/nshards.txt, and test/0.tar with .jpg, .cls and .json. Returns
/// the number of pictures.
[[nodiscard]] int64_t write_object_shards(const std::filesystem::path& folder, const DefaultDataOptions& options,
                                          const ConceptTable& table, const std::vector<Cutout>& cutouts,
                                          const CutoutSplit& split, ThreadPool& pool);

}  // namespace tessera::rils
