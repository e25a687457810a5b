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

/// Writes `count` scenes as webdataset shards 00000.tar, … of scenes_per_shard: NNNNNN.jpg, .txt (a caption), .json and
/// .mask.png. Scene i depends on the seed, `split` and i alone.
[[nodiscard]] SceneShardsResult write_scene_shards(const std::filesystem::path& folder,
                                                   const DefaultDataOptions& options, const ConceptTable& table,
                                                   const SceneCast& cast, bool test, ThreadPool& pool,
                                                   const PrepareProgress& progress);

/// Writes the held-out things, one a picture, as CLIP_benchmark reads a classification set: classnames.txt (the
/// groups), zeroshot_classification_templates.txt, test/nshards.txt, test/0.tar with .jpg, .cls and .json. Returns how
/// many.
[[nodiscard]] int64_t write_object_shards(const std::filesystem::path& folder, const DefaultDataOptions& options,
                                          const ConceptTable& table, const std::vector<Cutout>& cutouts,
                                          const CutoutSplit& split, ThreadPool& pool);

}  // namespace tessera::rils
