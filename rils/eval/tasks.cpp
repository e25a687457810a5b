#include "rils/eval/tasks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "engine/ops/copy.h"

namespace tessera::rils {
namespace {

std::vector<std::string> read_lines(const std::filesystem::path& path) {
  std::vector<std::string> lines;
  const std::string text = read_file(path);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty()) lines.push_back(line);
    begin = end + 1;
  }
  return lines;
}

/// A file that the user names, or else one that lies in or beside the data.
std::vector<std::string> lines_beside(const std::string& named, const std::string& data, const char* name) {
  if (!named.empty()) return read_lines(named);
  const std::filesystem::path source(data);
  for (const auto& folder : {source, source.parent_path()}) {
    if (std::filesystem::exists(folder / name)) return read_lines(folder / name);
  }
  return {};
}

/// Mean over the rows of −log softmax(scale · row)[row's own column].
double cross_entropy(const Tensor& cosines, double scale) {
  const int64_t n = cosines.size(0);
  const std::span<const float> values = cosines.data<float>();
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const auto row = values.subspan(static_cast<size_t>(i * n), static_cast<size_t>(n));
    const double top = scale * static_cast<double>(*std::ranges::max_element(row));
    double total = 0;
    for (const float x : row) total += std::exp(scale * static_cast<double>(x) - top);
    sum += std::log(total) + top - scale * static_cast<double>(row[static_cast<size_t>(i)]);
  }
  return sum / static_cast<double>(n);
}

}  // namespace

RetrievalResult run_retrieval(const Model& model, const Dataset& data, const Tokenize& tokenize,
                              const EmbedOptions& options, const Progress& progress) {
  RetrievalResult r;
  r.images = embed_images(data, options, joint_embedding(model, options.pass), progress);
  std::vector<std::string> texts;
  for (size_t i = 0; i < r.images.captions.size(); ++i) {
    texts.insert(texts.end(), r.images.captions[i].begin(), r.images.captions[i].end());
    r.image_of_text.resize(texts.size(), static_cast<int64_t>(i));
  }
  r.texts = embed_texts(model, texts, tokenize, options);
  r.figures = retrieval(r.images.values, r.texts, r.image_of_text);
  return r;
}

double validation_loss(const RetrievalResult& result, double logit_scale, int64_t batch) {
  std::vector<std::pair<int64_t, int64_t>> pairs;  // image, its first text
  for (size_t t = 0; t < result.image_of_text.size(); ++t) {
    const int64_t image = result.image_of_text[t];
    if (pairs.empty() || pairs.back().first != image) pairs.emplace_back(image, static_cast<int64_t>(t));
  }
  const auto count = static_cast<int64_t>(pairs.size());
  if (count == 0) return std::numeric_limits<double>::quiet_NaN();
  const int64_t n = std::min(batch, count), width = result.texts.size(1);
  const Tensor image = Tensor::empty({n, width}, DType::f32), text = Tensor::empty({n, width}, DType::f32);
  double sum = 0;
  for (int64_t b = 0; b < count / n; ++b) {
    for (int64_t i = 0; i < n; ++i) {
      const auto [from_image, from_text] = pairs[static_cast<size_t>(b * n + i)];
      copy_into(result.images.values.slice(0, from_image, 1), image.slice(0, i, 1));
      copy_into(result.texts.slice(0, from_text, 1), text.slice(0, i, 1));
    }
    sum += 0.5 *
           (cross_entropy(similarity(image, text), logit_scale) + cross_entropy(similarity(text, image), logit_scale));
  }
  return sum / static_cast<double>(count / n);
}

ClassPrompts class_prompts(const std::string& classnames, const std::string& templates, const std::string& source,
                           const Dataset& data) {
  ClassPrompts prompts{lines_beside(classnames, source, "classnames.txt"),
                       lines_beside(templates, source, "zeroshot_classification_templates.txt")};
  if (prompts.names.empty()) prompts.names = data.class_names();
  if (prompts.names.empty()) throw ConfigError("--classnames: expected a file with a class a line, found none");
  if (prompts.templates.empty()) prompts.templates = {"a photo of a {c}."};
  return prompts;
}

ZeroShotResult run_zero_shot(const Model& model, const Dataset& data, const ClassPrompts& prompts,
                             const Tokenize& tokenize, const EmbedOptions& options, const Progress& progress) {
  ZeroShotResult r;
  r.classes = static_cast<int64_t>(prompts.names.size());
  const Tensor classes = embed_classes(model, prompts.names, prompts.templates, tokenize, options);
  r.images = embed_images(data, options, joint_embedding(model, options.pass), progress);
  const int64_t labels = class_count(r.images.labels, "the data");
  if (labels > r.classes) {
    throw ConfigError(fmt::format("--classnames: expected {} classes, found {}", labels, r.classes));
  }
  r.figures = classification(similarity(r.images.values, classes), r.images.labels);
  return r;
}

int64_t class_count(std::span<const int32_t> labels, const std::string& source) {
  int64_t classes = 0;
  for (const int32_t label : labels) {
    if (label < 0) throw IoError(fmt::format("{}: an image has no label", source));
    classes = std::max<int64_t>(classes, label + 1);
  }
  return classes;
}

}  // namespace tessera::rils
