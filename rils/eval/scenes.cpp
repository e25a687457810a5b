#include "rils/eval/scenes.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/core/error.h"
#include "rils/eval/pointing.h"

namespace tessera::rils {
PointingSummary pointing(const Model& model, const Dataset& data, const std::vector<std::vector<SceneObject>>& objects,
                         const std::string& pattern, double temperature, const TextEncoder& encoder,
                         const EmbedOptions& options, const Progress& progress) {
  std::map<std::string, int64_t> sentence_of;
  for (const auto& scene : objects) {
    for (const SceneObject& o : scene) sentence_of.emplace(o.name, 0);
  }
  if (sentence_of.empty()) throw IoError("pointing: no scene names an object");
  std::vector<std::string> sentences;
  for (auto& [name, index] : sentence_of) {
    index = static_cast<int64_t>(sentences.size());
    std::string text = pattern;
    if (const size_t at = text.find("{c}"); at != std::string::npos) text.replace(at, 3, name);
    sentences.push_back(text);
  }
  const Tensor prototypes = embed_texts(model, sentences, encoder, options);
  const int64_t patches = model.vision().patches();
  const auto grid = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(patches))));

  PointingSummary summary;
  int64_t next = 0;
  const auto score = [&](const Tensor& images) {
    const Tensor features = patch_embeddings(model, images, options.pass);
    for (int64_t b = 0; b < images.size(0); ++b) {
      const Tensor map = sentence_probabilities(features.slice(0, b * patches, patches), prototypes, temperature);
      for (const SceneObject& o : objects.at(static_cast<size_t>(next + b))) {
        const PointingScore s = pointing_score(map, grid, {sentence_of.at(o.name), o.x0, o.y0, o.x1, o.y1});
        summary.share += s.share;
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
  const ImageEmbeddings done = embed_images(data, quiet, score, progress);
  if (static_cast<int64_t>(done.indices.size()) != data.size()) {
    throw IoError("pointing: scenes must all be readable: " + done.skipped.describe());
  }
  const auto n = static_cast<double>(std::max<int64_t>(summary.objects, 1));
  summary.share /= n;
  summary.hit /= n;
  summary.chance /= n;
  return summary;
}

}  // namespace tessera::rils
