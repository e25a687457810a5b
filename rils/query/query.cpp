#include "rils/query/query.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "engine/core/printable.h"
#include "rils/data/decode.h"
#include "rils/data/detect.h"
#include "rils/data/file_datasets.h"
#include "rils/eval/loaded_model.h"
#include "rils/eval/tasks.h"
#include "rils/finetune/loaded_classifier.h"
#include "rils/query/npy.h"
#include "rils/run/lines.h"
#include "rils/run/progress.h"
#include "rils/run/run_folder.h"
#include "rils/train/inputs.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Endings of the files of query embed.
constexpr std::string_view kImages = ".images.npy", kNames = ".images.txt";
constexpr std::string_view kTexts = ".texts.npy", kTable = ".texts.tsv";

/// The model; what is made of it is shown on the bar.
LoadedModel load(const QueryOptions& o, StageProgress& bar) {
  LoadedModel m = load_model(o.checkpoint, o.vocabulary, o.batch_size, o.precision, Texts::encoded, o.device);
  m.embed.stages = std::ref(bar);
  return m;
}

/// Whether a source is a file or folder by itself. Joined sources are not a path and may be longer than one may be.
bool is_path(const std::string& source) {
  std::error_code ignored;
  return fs::exists(source, ignored);
}

/// Opens an image, all images below a folder (even where its subfolders are classes or splits), or any other source of
/// pretrain. Captions are read where there are any.
std::unique_ptr<Dataset> open_images(const std::string& source, const QueryOptions& o, const Stages& stages) {
  DatasetOptions options;
  options.need_caption = false;
  options.stages = stages;
  options.split = "test";
  options.type = dataset_type(o.dataset_type);
  options.text_encoding = parse_text_encoding(o.text_encoding);
  if (options.type == DatasetType::automatic && is_path(source)) {
    options.type = has_image_extension(source) ? DatasetType::images : captioned_type(source, options);
  }
  if (options.type == DatasetType::folder || options.type == DatasetType::images) {
    return std::make_unique<ImageListDataset>(std::vector<fs::path>{source});
  }
  return open_dataset(source, options);
}

struct NamedImages {
  Tensor values;  // [n, E]
  std::vector<std::string> names;
};

std::vector<std::string> names_of(const Dataset& data, const ImageEmbeddings& images) {
  std::vector<std::string> names;
  for (const int64_t index : images.indices) names.push_back(data.name(index));
  return names;
}

NamedImages stored_images(const std::string& path) {
  const std::string stem = path.substr(0, path.size() - kImages.size());
  NamedImages found{read_npy(path), read_lines(stem + std::string(kNames))};
  if (static_cast<int64_t>(found.names.size()) != found.values.size(0)) {
    throw IoError(
        fmt::format("{}{}: expected {} names, found {}", stem, kNames, found.values.size(0), found.names.size()));
  }
  return found;
}

NamedImages images_of(const std::string& source, const LoadedModel& m, const QueryOptions& o) {
  if (source.ends_with(kImages)) {
    NamedImages stored = stored_images(source);
    if (stored.values.size(1) != m.config.model.embed_dim) {
      throw IoError(fmt::format("{}: expected embeddings of width {}, found {}", source, m.config.model.embed_dim,
                                stored.values.size(1)));
    }
    return stored;
  }
  const auto data = open_images(source, o, m.embed.stages);
  print_notes(*data);
  ImageEmbeddings images = embed_images(*data, m.embed, joint_embedding(*m.model, m.embed.pass));
  print_skipped(source, images);
  return {images.values, names_of(*data, images)};
}

std::string in_one_field(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return c == '\t' || c == '\n' || c == '\r'; }, ' ');
  return text;
}

/// The files of query embed, each a list and an array whose rows belong together. All are written before one gets its
/// name, and the arrays last, after those of an earlier set have gone: a kill leaves the old set, no array, or the new
/// set, never the list of one with the array of another.
class EmbeddingFiles {
 public:
  explicit EmbeddingFiles(std::string stem) : stem_(std::move(stem)) {}

  void add(std::string_view list_ending, std::string_view array_ending, std::string_view list, const Tensor& array) {
    lists_.push_back(std::make_unique<AtomicFile>(stem_ + std::string(list_ending)));
    lists_.back()->write(list);
    paths_.push_back(stem_ + std::string(array_ending));
    arrays_.push_back(std::make_unique<AtomicFile>(paths_.back()));
    write_npy(*arrays_.back(), array);
    said_.push_back(fmt::format("{}: {} x {}", printable(paths_.back()), array.size(0), array.size(1)));
  }
  void commit() {
    for (const std::string& path : paths_) {
      if (fs::is_regular_file(fs::symlink_status(path))) fs::remove(path);
    }
    if (paths_.size() == 1 && paths_[0].ends_with(kImages)) remove_captions();
    for (const auto& list : lists_) list->commit();
    for (const auto& array : arrays_) array->commit();
    for (const std::string& line : said_) fmt::print("{}\n", line);
  }

 private:
  /// Removes the captions of an earlier set of images. Texts that stand alone have rows of -1 and stay.
  void remove_captions() const {
    const std::string table = stem_ + std::string(kTable);
    std::string start(3, '\0');
    std::ifstream(table).read(start.data(), static_cast<std::streamsize>(start.size()));
    if (!fs::is_regular_file(fs::symlink_status(table)) || start == "-1\t") return;
    fs::remove(stem_ + std::string(kTexts));
    fs::remove(table);
  }

  std::string stem_;
  std::vector<std::unique_ptr<AtomicFile>> lists_, arrays_;
  std::vector<std::string> paths_, said_;
};

/// The images of a classification, and the probability of every label for each.
struct Predictions {
  std::vector<std::string> labels;
  ImageEmbeddings images;
  Tensor probabilities;  // f32 [images, labels]
};

/// Zero-shot classification with a model of pretrain.
Predictions predict_zero_shot(const QueryOptions& o, const Dataset& data, const std::string& labels,
                              const std::string& templates) {
  if (labels.empty()) throw ConfigError("--labels: expected a file with one class per line, found none");
  StageProgress bar;
  const LoadedModel m = load(o, bar);
  const ClassPrompts prompts = class_prompts(labels, templates, "", data);
  const Tensor classes = embed_classes(*m.model, prompts.names, prompts.templates, tokenize_with(m.tokenizer), m.embed);
  Predictions p{prompts.names, {}, {}};
  p.images = embed_images(data, m.embed, joint_embedding(*m.model, m.embed.pass));
  p.probabilities = softmax(similarity(p.images.values, classes), m.model->logit_scale().value.item());
  return p;
}

/// Classification with a checkpoint of finetune.
Predictions predict_own_classes(const nn::SafetensorsFile& file, const QueryOptions& o, const Dataset& data,
                                const std::string& given) {
  if (!given.empty()) {
    throw ConfigError(fmt::format("--labels, --templates: expected none, as {} has classes of its own, found {}",
                                  o.checkpoint, given));
  }
  LoadedClassifier c = load_classifier(file, o.precision, o.device);
  c.embed.batch_size = o.batch_size;
  StageProgress bar;
  c.embed.stages = std::ref(bar);
  Predictions p{std::move(c.classes), embed_images(data, c.embed, c.logits), {}};
  p.probabilities = softmax(p.images.values, 1.0);
  return p;
}

}  // namespace

int query_classify(const QueryOptions& o, const std::vector<std::string>& images, const std::string& labels,
                   const std::string& templates) {
  const ImageListDataset data({images.begin(), images.end()});
  const nn::SafetensorsFile file(weights_file(o.checkpoint));
  const Predictions predicted = is_classifier(file) ? predict_own_classes(file, o, data, labels + templates)
                                                    : predict_zero_shot(o, data, labels, templates);
  print_skipped("images", predicted.images);
  const std::vector<std::string> names = names_of(data, predicted.images);
  const std::vector<std::string>& classes = predicted.labels;
  const std::span<const float> probabilities = predicted.probabilities.data<float>();
  std::string json;
  for (size_t i = 0; i < names.size(); ++i) {
    const auto p = probabilities.subspan(i * classes.size(), classes.size());
    Json line{{"image", names[i]}, {"labels", Json::array()}};
    fmt::print("{}\n", printable(names[i]));
    for (const int64_t label : largest(p, o.top)) {
      const auto at = static_cast<size_t>(label);
      fmt::print("  {:5.1f} %  {}\n", 100 * p[at], printable(classes[at]));
      line["labels"].push_back({{"label", classes[at]}, {"index", label}, {"probability", p[at]}});
    }
    json += line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  if (!o.output.empty()) write_file_atomically(o.output, json);
  return 0;
}

int query_search(const QueryOptions& o, const std::string& text, const std::string& source) {
  StageProgress bar;
  const LoadedModel m = load(o, bar);
  const NamedImages images = images_of(source, m, o);
  const Tensor query = embed_texts(*m.model, std::vector<std::string>{text}, tokenize_with(m.tokenizer), m.embed);
  const Tensor cosines = similarity(query, images.values);
  const std::span<const float> values = cosines.data<float>();
  std::string json;
  for (const int64_t i : largest(values, o.top)) {
    const auto at = static_cast<size_t>(i);
    fmt::print("{:7.4f}  {}\n", values[at], printable(images.names[at]));
    json += Json{{"image", images.names[at]}, {"row", i}, {"cosine", values[at]}}.dump(-1, ' ', false,
                                                                                       Json::error_handler_t::replace) +
            "\n";
  }
  if (!o.output.empty()) write_file_atomically(o.output, json);
  return 0;
}

int query_embed(const QueryOptions& o, const std::string& source) {
  if (o.output.empty()) throw ConfigError("--out: expected the STEM of the files to write, found none");
  StageProgress bar;
  const LoadedModel m = load(o, bar);
  EmbeddingFiles files(o.output);
  std::vector<std::string> texts;
  std::string table;
  if (source.ends_with(".txt")) {
    texts = read_lines(source);  // the empty ones too, so that line n is row n
    for (const std::string& text : texts) table += fmt::format("-1\t{}\n", in_one_field(text));
  } else {
    const auto data = open_images(source, o, m.embed.stages);
    print_notes(*data);
    const bool joint = m.model->objective().contrastive;
    const ImageEmbeddings images = embed_images(
        *data, m.embed, joint ? joint_embedding(*m.model, m.embed.pass) : backbone_features(*m.model, m.embed.pass));
    print_skipped(source, images);
    std::string names;
    for (const std::string& name : names_of(*data, images)) names += printable(name) + "\n";
    files.add(kNames, kImages, names, images.values);
    for (size_t i = 0; i < images.captions.size(); ++i) {
      for (const std::string& caption : images.captions[i]) {
        texts.push_back(caption);
        table += fmt::format("{}\t{}\n", i, in_one_field(caption));
      }
    }
  }
  if (!texts.empty() && m.tokenizer) {
    files.add(kTable, kTexts, table, embed_texts(*m.model, texts, tokenize_with(m.tokenizer), m.embed));
  }
  files.commit();
  return 0;
}

}  // namespace tessera::rils
