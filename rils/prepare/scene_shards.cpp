#include "rils/prepare/scene_shards.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>

#include "engine/core/atomic_file.h"
#include "engine/core/philox.h"
#include "engine/runtime/thread_pool.h"
#include "rils/data/encode.h"
#include "rils/data/shard_writer.h"
#include "rils/data/tar.h"
#include "rils/prepare/caption.h"

namespace tessera::rils {
namespace {

using Json = nlohmann::ordered_json;

struct PackedScene {
  std::vector<std::byte> jpeg, mask;
  std::vector<std::string> captions;
  std::string json;
  int64_t objects = 0;
};

SceneFacts facts_of(const Scene& scene, const ConceptTable& table) {
  SceneFacts facts;
  for (const PlacedCutout& object : scene.objects) {
    const Concept& what = table.concept_at(object.cutout->concept_index);
    facts.things.push_back(
        {what.name, what.mass, table.group_of(object.cutout->concept_index).name, object.cutout->colour, object.box});
  }
  facts.in_front = scene.in_front;
  facts.background = scene.background;
  facts.size = scene.image.width;
  return facts;
}

Json describe_object(const PlacedCutout& object, const ConceptTable& table, size_t index) {
  const Box& b = object.box;
  Json out;
  out["name"] = table.concept_at(object.cutout->concept_index).name;
  out["group"] = table.group_of(object.cutout->concept_index).name;
  out["box"] = {b.left, b.top, b.left + b.width, b.top + b.height};
  out["mask_value"] = index + 1;
  if (!object.cutout->colour.empty()) out["colour"] = object.cutout->colour;
  out["source"] = object.cutout->source;
  out["source_name"] = object.cutout->source_name;
  return out;
}

std::string dump(const Json& json) { return json.dump(-1, ' ', false, nlohmann::detail::error_handler_t::replace); }

/// Draws scenes until one has at least two different things.
Scene draw_scene(const SceneCast& cast, const std::vector<bool>& repeatable, int size, bool test,
                 AugmentStream& random) {
  for (;;) {
    Scene scene = compose_scene(cast.draw(test, repeatable, random), size, SceneSizes{}, random);
    std::set<int> different;
    for (const PlacedCutout& object : scene.objects) different.insert(object.cutout->concept_index);
    if (different.size() >= 2) return scene;
  }
}

PackedScene pack_scene(const Scene& scene, const ConceptTable& table, const DefaultDataOptions& options, bool test,
                       AugmentStream& random) {
  const SceneFacts facts = facts_of(scene, table);
  PackedScene out;
  Json json;
  Json swapped = Json::array();
  const int captions = test ? 1 : options.captions_per_scene;
  for (int i = 0; i < captions; ++i) {
    Caption caption = write_caption(facts, random);
    if (std::ranges::find(out.captions, caption.text) != out.captions.end()) continue;
    if (!caption.swapped.empty()) swapped.push_back({{"caption", caption.text}, {"swapped", caption.swapped}});
    out.captions.push_back(std::move(caption.text));
  }
  json["captions"] = out.captions;
  json["negatives"] = swapped;
  json["background"] = scene.background;
  json["width"] = scene.image.width;
  json["height"] = scene.image.height;
  json["objects"] = Json::array();
  for (size_t i = 0; i < scene.objects.size(); ++i)
    json["objects"].push_back(describe_object(scene.objects[i], table, i));
  out.json = dump(json);
  out.jpeg = encode_jpeg(scene.image, options.jpeg_quality);
  out.mask = encode_png(scene.mask);
  out.objects = static_cast<int64_t>(scene.objects.size());
  return out;
}

}  // namespace

SceneShardsResult write_scene_shards(const std::filesystem::path& folder, const DefaultDataOptions& options,
                                     const ConceptTable& table, const SceneCast& cast, bool test, ThreadPool& pool,
                                     const PrepareProgress& progress) {
  std::filesystem::create_directories(folder);
  const Philox philox(options.seed, test ? "scenes/test" : "scenes/train");
  std::vector<bool> repeatable;
  for (const Concept& c : table.concepts()) repeatable.push_back(!c.mass);
  const int64_t count = test ? options.test_scenes : options.train_scenes, per_shard = options.scenes_per_shard;
  SceneShardsResult result;
  const char* stage = test ? "composing test scenes" : "composing train scenes";
  if (progress && count > 0) progress(stage, 0, count);
  for (int64_t begin = 0; begin < count; begin += per_shard) {
    const int64_t n = std::min(per_shard, count - begin);
    std::vector<PackedScene> scenes(static_cast<size_t>(n));
    pool.run(n, [&](int64_t i, int) {
      AugmentStream random(philox, 0, static_cast<uint64_t>(begin + i));
      const Scene scene = draw_scene(cast, repeatable, options.image_size, test, random);
      scenes[static_cast<size_t>(i)] = pack_scene(scene, table, options, test, random);
    });
    TarWriter shard(folder / fmt::format("{:05}.tar", begin / per_shard));
    for (int64_t i = 0; i < n; ++i) {
      const PackedScene& scene = scenes[static_cast<size_t>(i)];
      const std::string key = fmt::format("{:06}", begin + i);
      shard.add(key + ".jpg", scene.jpeg);
      shard.add(key + ".txt", scene.captions.front());
      shard.add(key + ".json", scene.json);
      shard.add(key + ".mask.png", scene.mask);
      result.objects += scene.objects;
      result.captions.insert(result.captions.end(), scene.captions.begin(), scene.captions.end());
    }
    shard.commit();
    if (progress) progress(stage, begin + n, count);
  }
  write_file_atomically(folder / "nshards.txt", fmt::format("{}\n", (count + per_shard - 1) / per_shard));
  return result;
}

int64_t write_object_shards(const std::filesystem::path& folder, const DefaultDataOptions& options,
                            const ConceptTable& table, const std::vector<Cutout>& cutouts, const CutoutSplit& split,
                            ThreadPool& pool) {
  std::filesystem::create_directories(folder / "test");
  std::vector<std::string> names;
  for (const ConceptGroup& group : table.groups()) names.push_back(group.name);
  write_lines(folder / "classnames.txt", names);
  write_lines(folder / "zeroshot_classification_templates.txt",
              {"one {c}", "a picture of one {c}", "a drawing of one {c}", "there is one {c}"});
  std::set<int> seen_in_training;
  for (const int i : split.train) seen_in_training.insert(cutouts[static_cast<size_t>(i)].concept_index);

  const Philox philox(options.seed, "objects");
  const auto views = static_cast<size_t>(options.views_per_object);
  const size_t count = split.held_out.size() * views;
  std::vector<std::vector<std::byte>> jpegs(count);
  pool.run(static_cast<int64_t>(count), [&](int64_t i, int) {
    const auto at = static_cast<size_t>(i);
    AugmentStream random(philox, 0, static_cast<uint64_t>(i));
    const Cutout& cutout = cutouts[static_cast<size_t>(split.held_out[at / views])];
    jpegs[at] =
        encode_jpeg(compose_scene({&cutout}, options.image_size, {0.45f, 0.8f}, random).image, options.jpeg_quality);
  });
  TarWriter shard(folder / "test" / "0.tar");
  for (size_t i = 0; i < count; ++i) {
    const Cutout& cutout = cutouts[static_cast<size_t>(split.held_out[i / views])];
    const std::string key = fmt::format("s{:07}", i);
    Json json;
    json["name"] = table.concept_at(cutout.concept_index).name;
    json["group"] = table.group_of(cutout.concept_index).name;
    json["name_in_training"] = seen_in_training.contains(cutout.concept_index);
    json["source"] = cutout.source;
    json["source_name"] = cutout.source_name;
    shard.add(key + ".jpg", jpegs[i]);
    shard.add(key + ".cls", std::to_string(table.concept_at(cutout.concept_index).group));
    shard.add(key + ".json", dump(json));
  }
  shard.commit();
  write_file_atomically(folder / "test" / "nshards.txt", "1\n");
  return static_cast<int64_t>(count);
}

}  // namespace tessera::rils
