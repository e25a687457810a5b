#include "rils/eval/tasks.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>

#include "engine/core/error.h"
#include "engine/ops/copy.h"
#include "engine/ops/loss.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/reduce.h"
#include "rils/data/class_names.h"
#include "rils/method/contrastive.h"
#include "rils/run/lines.h"

namespace tessera::rils {
namespace {

/// The lines of a file without trailing blanks; empty lines are left out.
std::vector<std::string> read_entries(const std::filesystem::path& path) {
  std::vector<std::string> lines = read_lines(path);
  for (std::string& line : lines) line.erase(line.find_last_not_of(" \r") + 1);
  std::erase(lines, "");
  return lines;
}

/// The file that the user names, or else the file `name` in or above the folder of the data; "" when there is neither.
std::filesystem::path file_beside(const std::string& named, const std::string& data, const char* name) {
  if (!named.empty() || data.empty()) return named;
  const std::filesystem::path source(data);
  const auto folder = std::filesystem::is_directory(source) ? source : source.parent_path();
  for (const auto& file : {folder / name, folder / ".." / name}) {
    if (std::filesystem::exists(file)) return file;
  }
  return {};
}

/// Mean cross-entropy of the rows of logit_scale · cosines [n, n], where row i belongs to column i; in f64.
double matching_loss(const Tensor& cosines, double logit_scale) {
  const int64_t n = cosines.size(0);
  const Tensor logits = scale(cast(cosines, DType::f64), logit_scale);
  const Tensor loss = cross_entropy(logits, own_columns(n)).loss;
  return sum(loss, 1.0 / static_cast<double>(n)).item();
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
           (matching_loss(similarity(image, text), logit_scale) + matching_loss(similarity(text, image), logit_scale));
  }
  return sum / static_cast<double>(count / n);
}

ClassPrompts class_prompts(const std::string& classnames, const std::string& templates, const std::string& source,
                           const Dataset& data) {
  ClassPrompts prompts;
  const auto names = file_beside(classnames, source, "classnames.txt");
  if (!names.empty()) {
    ClassList list = match_classes(read_class_names(names), data, names.string());
    prompts.names = std::move(list.names);
    prompts.of_label = std::move(list.of_label);
    prompts.note = std::move(list.note);
  } else {
    prompts.names = data.class_names();
    std::ranges::for_each(prompts.names, [](std::string& name) { std::ranges::replace(name, '_', ' '); });
  }
  if (prompts.names.empty()) throw ConfigError("--classnames: expected a file with one class per line, found none");
  const auto sentences = file_beside(templates, source, "zeroshot_classification_templates.txt");
  if (!sentences.empty()) prompts.templates = read_entries(sentences);
  if (prompts.templates.empty()) prompts.templates = {"a photo of a {c}."};
  return prompts;
}

ZeroShotResult run_zero_shot(const Model& model, const Dataset& data, const ClassPrompts& prompts,
                             const Tokenize& tokenize, const EmbedOptions& options, const Progress& progress) {
  ZeroShotResult r;
  r.classes = static_cast<int64_t>(prompts.names.size());
  const Tensor classes = embed_classes(model, prompts.names, prompts.templates, tokenize, options);
  r.images = embed_images(data, options, joint_embedding(model, options.pass), progress);
  relabel(r.images.labels, prompts.of_label);
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
