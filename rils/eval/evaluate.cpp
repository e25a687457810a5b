#include "rils/eval/evaluate.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "nn/io/checkpoint.h"
#include "rils/config/toml.h"
#include "rils/eval/metrics.h"
#include "rils/train/data.h"

namespace tessera::rils {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

std::string metadata_of(const nn::SafetensorsFile& file, const std::string& key) {
  const auto it = file.metadata().find(key);
  if (it == file.metadata().end()) {
    throw IoError(
        fmt::format("{}: expected a checkpoint of pretrain, found no metadata \"{}\"", file.path().string(), key));
  }
  return it->second;
}

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

std::unique_ptr<Dataset> open_data(const EvaluateOptions& o, const std::string& source, bool captions, bool labels,
                                   const std::string& split) {
  DatasetOptions d;
  d.type = dataset_type(o.dataset_type);
  d.need_caption = captions;
  d.need_label = labels;
  d.split = split;
  return open_dataset(source, d);
}

Json fraction(double x) { return std::isfinite(x) ? Json(x) : Json(nullptr); }

/// The object that CLIP_benchmark's `build` reads, with ours beside.
void write_result(const EvaluateOptions& o, const LoadedModel& loaded, const char* task, Json metrics, int64_t samples,
                  Clock::time_point start) {
  if (o.output.empty()) return;
  Json json;
  json["dataset"] = o.dataset_name.empty() ? std::filesystem::path(o.data).filename().string() : o.dataset_name;
  json["model"] = fmt::format("{}-{}x{}", loaded.config.model.objective, loaded.config.model.vision.width,
                              loaded.config.model.vision.layers);
  json["pretrained"] = o.checkpoint;
  json["task"] = task;
  json["language"] = "en";
  json["metrics"] = std::move(metrics);
  json["samples"] = samples;
  json["seconds"] = std::chrono::duration<double>(Clock::now() - start).count();
  json["command"] = o.command;
  write_file_atomically(o.output, json.dump(2) + "\n");
}

void print_classification(const char* name, const Classification& c, int64_t classes) {
  fmt::print("{:<12} acc1 {:6.2f} %   acc5 {}   mean per class {:6.2f} %   ({} images, {} classes, chance {:.2f} %)\n",
             name, 100 * c.acc1, std::isfinite(c.acc5) ? fmt::format("{:6.2f} %", 100 * c.acc5) : "-",
             100 * c.mean_per_class_recall, c.samples, classes, 100.0 / static_cast<double>(classes));
}

Json classification_metrics(const Classification& c) {
  return {{"acc1", c.acc1}, {"acc5", fraction(c.acc5)}, {"mean_per_class_recall", c.mean_per_class_recall}};
}

int64_t class_count(std::span<const int32_t> labels, const std::string& source) {
  int64_t classes = 0;
  for (const int32_t label : labels) {
    if (label < 0) throw IoError(fmt::format("{}: an image has no label", source));
    classes = std::max<int64_t>(classes, label + 1);
  }
  return classes;
}

}  // namespace

LoadedModel load_model(const std::string& checkpoint, const std::string& vocabulary, int64_t batch_size,
                       const std::string& precision) {
  LoadedModel m;
  m.path = checkpoint;
  const nn::SafetensorsFile file(checkpoint);
  merge_toml(m.config, metadata_of(file, "config"), checkpoint);
  m.model = std::make_unique<Model>(m.config.model, 0);
  load_weights(file, m.model->store());
  if (!vocabulary.empty()) m.config.data.vocabulary = vocabulary;
  m.tokenizer = open_tokenizer(m.config);
  if (m.tokenizer->vocabulary().digest() != metadata_of(file, "vocabulary")) {
    throw ConfigError(fmt::format("{}: its vocabulary is {}, expected that of {}: {}", checkpoint,
                                  metadata_of(file, "vocabulary"), m.config.data.vocabulary,
                                  m.tokenizer->vocabulary().digest()));
  }
  m.embed.transform = eval_transform(m.config);
  m.embed.pass.precision = nn::parse_precision(precision);
  m.embed.batch_size = batch_size;
  return m;
}

LoadedModel untrained_like(const LoadedModel& loaded) {
  LoadedModel m;
  m.path = "untrained";
  m.config = loaded.config;
  m.model = std::make_unique<Model>(m.config.model, static_cast<uint64_t>(m.config.run.seed));
  m.tokenizer = loaded.tokenizer;
  m.embed = loaded.embed;
  return m;
}

int evaluate_retrieval(const EvaluateOptions& o) {
  const auto start = Clock::now();
  const LoadedModel m = load_model(o.checkpoint, o.vocabulary, o.batch_size, o.precision);
  const auto data = open_data(o, o.data, true, false, "test");
  const ImageEmbeddings images = embed_images(*data, m.embed, joint_embedding(*m.model, m.embed.pass));
  std::vector<std::string> texts;
  std::vector<int64_t> owner;
  for (size_t i = 0; i < images.captions.size(); ++i) {
    texts.insert(texts.end(), images.captions[i].begin(), images.captions[i].end());
    owner.resize(texts.size(), static_cast<int64_t>(i));
  }
  const Tensor text = embed_texts(*m.model, texts, encoder_of(m.tokenizer), m.embed);
  const Retrieval r = retrieval(images.values, text, owner);
  fmt::print("{} images, {} captions, {}\n", images.values.size(0), texts.size(), images.skipped.describe());
  Json metrics;
  for (const auto& [name, label, d] : {std::tuple{"image_retrieval", "text to image", r.text_to_image},
                                       std::tuple{"text_retrieval", "image to text", r.image_to_text}}) {
    fmt::print("{}   R@1 {:6.2f} %   R@5 {:6.2f} %   R@10 {:6.2f} %   mean rank {:.1f}   median rank {:.1f}\n", label,
               100 * d.recall_1, 100 * d.recall_5, 100 * d.recall_10, d.mean_rank, d.median_rank);
    metrics[fmt::format("{}_recall@1", name)] = d.recall_1;
    metrics[fmt::format("{}_recall@5", name)] = d.recall_5;
    metrics[fmt::format("{}_recall@10", name)] = d.recall_10;
    metrics[fmt::format("{}_mean_rank", name)] = d.mean_rank;
    metrics[fmt::format("{}_median_rank", name)] = d.median_rank;
  }
  write_result(o, m, "zeroshot_retrieval", std::move(metrics), images.values.size(0), start);
  return 0;
}

int evaluate_zero_shot(const EvaluateOptions& o) {
  const auto start = Clock::now();
  const LoadedModel m = load_model(o.checkpoint, o.vocabulary, o.batch_size, o.precision);
  const auto data = open_data(o, o.data, false, true, "test");
  std::vector<std::string> names = lines_beside(o.classnames, o.data, "classnames.txt");
  if (names.empty()) names = data->class_names();
  if (names.empty()) throw ConfigError("--classnames: expected a file with a class a line, found none");
  std::vector<std::string> templates = lines_beside(o.templates, o.data, "zeroshot_classification_templates.txt");
  if (templates.empty()) templates = {"a photo of a {c}."};
  const Tensor classes = embed_classes(*m.model, names, templates, encoder_of(m.tokenizer), m.embed);
  const ImageEmbeddings images = embed_images(*data, m.embed, joint_embedding(*m.model, m.embed.pass));
  if (class_count(images.labels, o.data) > static_cast<int64_t>(names.size())) {
    throw ConfigError(
        fmt::format("--classnames: expected {} classes, found {}", class_count(images.labels, o.data), names.size()));
  }
  const Classification c = classification(similarity(images.values, classes), images.labels);
  fmt::print("{}\n", images.skipped.describe());
  print_classification("zero-shot", c, static_cast<int64_t>(names.size()));
  write_result(o, m, "zeroshot_classification", classification_metrics(c), c.samples, start);
  return 0;
}

int evaluate_knn(const EvaluateOptions& o) {
  const auto start = Clock::now();
  LoadedModel m = load_model(o.checkpoint, o.vocabulary, o.batch_size, o.precision);
  if (o.features == "untrained") m = untrained_like(m);
  m.embed.keep_captions = false;
  const ImageFunction features = o.features == "pixels" ? raw_pixels() : backbone_features(*m.model, m.embed.pass);
  const auto train_data = open_data(o, o.train_data, false, true, "train");
  const auto test_data = open_data(o, o.data, false, true, "test");
  const ImageEmbeddings train = embed_images(*train_data, m.embed, features);
  const ImageEmbeddings test = embed_images(*test_data, m.embed, features);
  const int64_t classes = std::max(class_count(train.labels, o.train_data), class_count(test.labels, o.data));
  const Tensor scores = knn_scores(train.values, train.labels, test.values, classes, {o.k, o.temperature});
  const Classification c = classification(scores, test.labels);
  print_classification(fmt::format("{}-NN {}", o.k, o.features).c_str(), c, classes);
  write_result(o, m, "knn", classification_metrics(c), c.samples, start);
  return 0;
}

}  // namespace tessera::rils
