#include "rils/eval/scenes.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "engine/core/nesting.h"
#include "rils/data/captions.h"
#include "rils/eval/pointing.h"

namespace tessera::rils {
namespace {

/// Converts a box from pixels to fractions of the centre crop of the shorter side.
SceneObject seen_object(const nlohmann::json& object, double width, double height) {
  const auto& box = object.at("box");
  const double side = std::min(width, height);
  const auto fraction = [&](size_t i, double size) {
    return std::clamp((box.at(i).get<double>() - 0.5 * (size - side)) / side, 0.0, 1.0);
  };
  return {object.at("name").get<std::string>(), fraction(0, width), fraction(1, height), fraction(2, width),
          fraction(3, height)};
}

}  // namespace

std::vector<std::vector<SceneObject>> scene_objects(const Dataset& data) {
  std::vector<std::vector<SceneObject>> scenes;
  for (int64_t i = 0; i < data.size(); ++i) {
    try {
      const std::string metadata = data.load(i, false).metadata;
      const auto json =
          is_json_bomb(metadata, kMostMetadataValues) ? nlohmann::json() : nlohmann::json::parse(metadata);
      std::vector<SceneObject> objects;
      for (const auto& object : json.at("objects")) {
        SceneObject seen = seen_object(object, json.at("width").get<double>(), json.at("height").get<double>());
        // An object outside the crop cannot be pointed at.
        if (seen.x1 > seen.x0 && seen.y1 > seen.y0) objects.push_back(std::move(seen));
      }
      scenes.push_back(std::move(objects));
    } catch (const SampleError& error) {
      throw IoError(fmt::format("{}: {}: {}", data.name(i), error.reason(), error.what()));
    } catch (const nlohmann::json::exception&) {
      throw IoError(fmt::format(
          "{}: expected JSON with width, height and objects, each with a name and a box, found none", data.name(i)));
    }
  }
  return scenes;
}

PointingSummary pointing(const Model& model, const Dataset& data, const std::vector<std::vector<SceneObject>>& objects,
                         const std::string& sentence_template, double temperature, const Tokenize& tokenize,
                         const EmbedOptions& options) {
  std::map<std::string, int64_t> sentence_of;
  for (const auto& scene : objects) {
    for (const SceneObject& o : scene) sentence_of.emplace(o.name, 0);
  }
  if (sentence_of.empty()) throw IoError("pointing: expected scenes with named objects, found none");
  std::vector<std::string> sentences;
  for (auto& [name, index] : sentence_of) {
    index = static_cast<int64_t>(sentences.size());
    sentences.push_back(fill_template(sentence_template, name));
  }
  const Tensor prototypes = embed_texts(model, sentences, tokenize, options);
  const int64_t grid = model.vision().grid().rows, patches = grid * grid;  // images are square

  PointingSummary summary;
  int64_t next = 0;
  const auto score = [&](const Tensor& images) {
    const Tensor features = patch_embeddings(model, images, options.pass);
    for (int64_t b = 0; b < images.size(0); ++b) {
      const Tensor map = sentence_probabilities(features.slice(0, b * patches, patches), prototypes, temperature);
      for (const SceneObject& o : objects.at(static_cast<size_t>(next + b))) {
        const PointingScore s = pointing_score(map, grid, {sentence_of.at(o.name), o.x0, o.y0, o.x1, o.y1});
        summary.energy += s.energy;
        summary.hit += s.hit;
        summary.chance += s.chance;
        ++summary.objects;
      }
    }
    next += images.size(0);
    return Tensor::full({images.size(0), 1}, 1.0);
  };
  EmbedOptions quiet = options;
  quiet.keep_captions = false;
  const ImageEmbeddings done = embed_images(data, quiet, score);
  if (static_cast<int64_t>(done.indices.size()) != data.size()) {
    throw IoError("pointing: expected scenes that can all be read, found " + done.skipped.describe());
  }
  const auto n = static_cast<double>(std::max<int64_t>(summary.objects, 1));
  summary.energy /= n;
  summary.hit /= n;
  summary.chance /= n;
  return summary;
}

}  // namespace tessera::rils
