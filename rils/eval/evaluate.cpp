#include "rils/eval/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>

#include "engine/core/error.h"
#include "engine/core/printable.h"
#include "rils/data/class_names.h"
#include "rils/eval/loaded_model.h"
#include "rils/eval/result_file.h"
#include "rils/eval/scenes.h"
#include "rils/eval/tasks.h"
#include "rils/run/progress.h"
#include "rils/run/run_folder.h"
#include "rils/run/stopwatch.h"
#include "rils/train/inputs.h"

namespace tessera::rils {
namespace {

constexpr int kPixelSide = 32;  // largest side of images whose own pixels are the features

/// The model that the options name; with features "untrained" a model of the same configuration at its initial values.
/// Its path is that of the weights all the same. What is made of it is shown on the bar.
LoadedModel open_model(const EvaluateOptions& o, StageProgress& bar, Texts texts = Texts::encoded) {
  LoadedModel m = load_model(o.checkpoint, o.vocabulary, o.batch_size, o.precision, texts, o.device);
  if (o.features == "untrained") {
    auto path = std::move(m.path);
    m = untrained_like(m);
    m.path = std::move(path);
  }
  m.embed.stages = std::ref(bar);
  return m;
}

std::unique_ptr<Dataset> open_data(const EvaluateOptions& o, StageProgress& bar, const std::string& source,
                                   bool captions, bool labels, const std::string& split) {
  DatasetOptions d;
  d.need_metadata = !captions && !labels;
  d.type = dataset_type(o.dataset_type);
  d.text_encoding = parse_text_encoding(o.text_encoding);
  d.need_caption = captions;
  d.need_label = labels;
  d.split = split;
  d.stages = std::ref(bar);
  auto data = open_dataset(source, d);
  print_notes(*data);
  return data;
}

/// Writes the result to the file that the options name, else into the folder of the run whose weights they are, and
/// says where it is.
void save_result(const EvaluateOptions& o, const LoadedModel& loaded, Result result, const Stopwatch& watch) {
  result.dataset = o.dataset_name.empty() ? dataset_label(o.data) : o.dataset_name;
  result.data = o.data;
  result.setting = o.features == "model" ? "" : o.features;
  result.model = model_label(loaded.config.model);
  result.pretrained = o.features == "model" ? loaded.path : o.features;
  result.seconds = watch.seconds();
  result.command = o.command;
  if (!o.output.empty()) {
    write_result(result, o.output);
    fmt::print("written: {}\n", o.output);
    return;
  }
  const auto run = run_of(loaded.path);
  if (!run) {
    fmt::print("not written: the weights lie in no run's folder; --output names a file\n");
    return;
  }
  try {
    fmt::print("written: {}\n", gather_result(result, *run).string());
  } catch (const IoError& error) {
    // The run may be another user's. Nobody asked for this file, and the figures are printed.
    fmt::print(stderr, "not written: {}; --output names another file\n", error.what());
  }
}

void print_classification(const std::string& name, const Classification& c, int64_t classes) {
  fmt::print("{:<19} acc1 {:6.2f} %   acc5 {}   mean per class {:6.2f} %   ({} images, {} classes, chance {:.2f} %)\n",
             name, 100 * c.acc1, std::isfinite(c.acc5) ? fmt::format("{:6.2f} %", 100 * c.acc5) : "-",
             100 * c.mean_per_class_recall, c.samples, classes, 100.0 / static_cast<double>(classes));
}

Result classification_result(const char* task, const Classification& c, int64_t classes) {
  Result r;
  r.task = task;
  r.metrics.add("acc1", c.acc1).add("acc5", c.acc5).add("mean_per_class_recall", c.mean_per_class_recall);
  r.chance.add("acc1", 1.0 / static_cast<double>(classes));
  r.samples = c.samples;
  return r;
}

/// `count` samples, evenly spread over the data set; all of them where `count` is 0 or at least their number.
std::shared_ptr<const Dataset> spread(std::shared_ptr<const Dataset> data, int64_t count) {
  if (count <= 0 || count >= data->size()) return data;
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < count; ++i) indices.push_back(i * data->size() / count);
  return std::make_shared<SubsetDataset>(std::move(data), std::move(indices));
}

/// The probability that k draws without replacement from `all` hold at least one of `right`.
double hit_chance(int64_t right, int64_t all, int64_t k) {
  double miss = 1;
  for (int64_t i = 0; i < std::min(k, all); ++i) {
    miss *= std::max(0.0, static_cast<double>(all - right - i)) / static_cast<double>(all - i);
  }
  return 1 - miss;
}

/// Mean of hit_chance over the images, which may have different numbers of texts.
double text_chance(const RetrievalResult& r, int64_t k) {
  std::vector<int64_t> texts(static_cast<size_t>(r.images.values.size(0)));
  for (const int64_t image : r.image_of_text) ++texts[static_cast<size_t>(image)];
  double sum = 0, images = 0;
  for (const int64_t count : texts) {
    if (count == 0) continue;
    sum += hit_chance(count, r.texts.size(0), k);
    ++images;
  }
  return images > 0 ? sum / images : 0;
}

}  // namespace

int evaluate_retrieval(const EvaluateOptions& o) {
  const Stopwatch watch;
  StageProgress bar;
  const LoadedModel m = open_model(o, bar);
  const auto data = open_data(o, bar, o.data, true, false, "test");
  const RetrievalResult r = run_retrieval(*m.model, *data, tokenize_with(m.tokenizer), m.embed);
  const int64_t images = r.images.values.size(0);
  fmt::print("{}: {} images, {} captions, {}\n", o.features, images, r.texts.size(0), r.images.skipped.describe());
  Result result;
  result.task = "zeroshot_retrieval";
  result.samples = images;
  for (const auto& [name, label, d] : {std::tuple{"image_retrieval", "text to image", r.figures.text_to_image},
                                       std::tuple{"text_retrieval", "image to text", r.figures.image_to_text}}) {
    fmt::print("{}   R@1 {:6.2f} %   R@5 {:6.2f} %   R@10 {:6.2f} %   mean rank {:.1f}   median rank {:.1f}\n", label,
               100 * d.recall_1, 100 * d.recall_5, 100 * d.recall_10, d.mean_rank, d.median_rank);
    const bool to_image = std::string_view(name) == "image_retrieval";
    const auto chance = [&](int64_t k) { return 100 * (to_image ? hit_chance(1, images, k) : text_chance(r, k)); };
    fmt::print("{:>13}   R@1 {:6.2f} %   R@5 {:6.2f} %   R@10 {:6.2f} %\n", "chance", chance(1), chance(5), chance(10));
    for (const int k : {1, 5, 10}) result.chance.add(fmt::format("{}_recall@{}", name, k), chance(k) / 100);
    result.metrics.add(fmt::format("{}_recall@1", name), d.recall_1);
    result.metrics.add(fmt::format("{}_recall@5", name), d.recall_5);
    result.metrics.add(fmt::format("{}_recall@10", name), d.recall_10);
    result.metrics.add(fmt::format("{}_mean_rank", name), d.mean_rank);
    result.metrics.add(fmt::format("{}_median_rank", name), d.median_rank);
  }
  save_result(o, m, std::move(result), watch);
  return 0;
}

int evaluate_zero_shot(const EvaluateOptions& o) {
  const Stopwatch watch;
  StageProgress bar;
  const LoadedModel m = open_model(o, bar);
  const auto data = open_data(o, bar, o.data, false, true, "test");
  const ClassPrompts prompts = class_prompts(o.classnames, o.templates, o.data, *data);
  if (!prompts.note.empty()) fmt::print(stderr, "{}\n", printable(prompts.note));
  const ZeroShotResult r = run_zero_shot(*m.model, *data, prompts, tokenize_with(m.tokenizer), m.embed);
  print_skipped(o.data, r.images, stdout);
  print_classification(fmt::format("zero-shot {}", o.features), r.figures, r.classes);
  save_result(o, m, classification_result("zeroshot_classification", r.figures, r.classes), watch);
  return 0;
}

int evaluate_knn(const EvaluateOptions& o) {
  const Stopwatch watch;
  StageProgress bar;
  LoadedModel m = open_model(o, bar, Texts::unused);
  m.embed.keep_captions = false;
  ImageFunction features = backbone_features(*m.model, m.embed.pass);
  if (o.features == "pixels") {
    // All pixels of a training set of large images would not fit in memory.
    features = raw_pixels();
    m.embed.transform.size = m.embed.transform.resize = std::min(m.embed.transform.size, kPixelSide);
  }
  const auto train_data = spread(open_data(o, bar, o.train_data, false, true, "train"), o.train_samples);
  const auto test_data = open_data(o, bar, o.data, false, true, "test");
  const std::vector<int32_t> label_in_train = labels_in(*test_data, o.data, *train_data, o.train_data);
  const ImageEmbeddings train = embed_images(*train_data, m.embed, features);
  ImageEmbeddings test = embed_images(*test_data, m.embed, features);
  relabel(test.labels, label_in_train);
  print_skipped(o.train_data, train, stdout);
  print_skipped(o.data, test, stdout);
  const int64_t classes = std::max(class_count(train.labels, o.train_data), class_count(test.labels, o.data));
  const Tensor scores = knn_scores(train.values, train.labels, test.values, classes, {o.k, o.temperature},
                                   stage_of(m.embed.stages, "comparing images"));
  const Classification c = classification(scores, test.labels);
  print_classification(fmt::format("{}-NN {}", o.k, o.features), c, classes);
  save_result(o, m, classification_result("knn", c, classes), watch);
  return 0;
}

int evaluate_pointing(const EvaluateOptions& o) {
  const Stopwatch watch;
  StageProgress bar;
  const LoadedModel m = open_model(o, bar);
  const auto data = open_data(o, bar, o.data, false, false, "test");
  const auto objects = scene_objects(*data);
  const PointingSummary p = pointing(*m.model, *data, objects, o.sentence_template, m.config.loss.teacher_temperature,
                                     tokenize_with(m.tokenizer), m.embed);
  fmt::print("{:<10} pointing game {:6.2f} %   energy-based pointing game {:6.2f} %   ({} objects, chance {:.2f} %)\n",
             o.features, 100 * p.hit, 100 * p.energy, p.objects, 100 * p.chance);
  Result result;
  result.task = "pointing";
  result.metrics.add("share", p.energy).add("hit", p.hit).add("chance", p.chance);
  result.samples = p.objects;
  save_result(o, m, std::move(result), watch);
  return 0;
}

}  // namespace tessera::rils
