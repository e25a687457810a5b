#include "rils/inspect/pictures.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/config/schema.h"
#include "rils/data/file_datasets.h"
#include "rils/eval/loaded_model.h"
#include "rils/inspect/survey.h"
#include "rils/picture/report.h"
#include "rils/picture/results.h"
#include "rils/picture/sheets.h"
#include "rils/run/lines.h"
#include "rils/run/progress.h"
#include "rils/run/stopwatch.h"
#include "rils/train/inputs.h"

namespace tessera::rils {
namespace {

constexpr int64_t kBatch = 256;
constexpr int kExamples = 5;          // duplicates that are listed
constexpr int kMontage = 32;          // pictures of a montage
constexpr double kLoaderSeconds = 2;  // for which the loader's rate is measured

LoadedModel load(const PictureOptions& o) { return load_model(o.checkpoint, o.vocabulary, kBatch, "fp32"); }

Viewer viewer(const LoadedModel& m) { return {*m.model, m.config.loss, m.tokenizer, m.embed}; }

/// The sentences as typed, with "@FILE" replaced by the lines of the file.
std::vector<std::string> sentences_of(const std::vector<std::string>& words) {
  std::vector<std::string> sentences;
  for (const std::string& word : words) {
    if (!word.starts_with('@')) {
      sentences.push_back(word);
      continue;
    }
    for (std::string& line : read_lines(word.substr(1))) {
      if (!line.empty()) sentences.push_back(std::move(line));
    }
  }
  return sentences;
}

std::vector<std::filesystem::path> paths(const std::vector<std::string>& names) { return {names.begin(), names.end()}; }

int finish(const std::string& out, const Svg& drawing) {
  write_drawing(out, drawing);
  fmt::print("{}\n", out);
  return 0;
}

}  // namespace

int draw_heat_maps(const PictureOptions& o) {
  const LoadedModel m = load(o);
  const double temperature = o.temperature > 0 ? o.temperature : m.config.loss.teacher_temperature;
  return finish(o.out, heat_map_sheet(viewer(m), read_image(o.image), sentences_of(o.sentences), temperature));
}

int draw_reconstruction(const PictureOptions& o) {
  const LoadedModel m = load(o);
  if (m.model->objective().reconstruction == Reconstruction::pixels) {
    return finish(o.out, pixel_sheet(viewer(m), read_image(o.image), static_cast<uint64_t>(o.seed)));
  }
  return finish(o.out, reconstruction_sheet(viewer(m), read_image(o.image), sentences_of(o.sentences),
                                            static_cast<uint64_t>(o.seed)));
}

int draw_retrievals(const PictureOptions& o) {
  LoadedModel m = load(o);
  DatasetOptions options = dataset_options(m.config);
  options.type = DatasetType::automatic;
  options.split = "test";
  const auto data = open_dataset(o.data, options);
  StageProgress bar;
  m.embed.stages = std::ref(bar);
  const RetrievalResult result = run_retrieval(*m.model, *data, tokenize_with(m.tokenizer), m.embed);
  return finish(o.out, retrieval_sheet(*data, m.embed.transform, result, o.count));
}

int inspect_data(const Config& given, const std::string& montage) {
  const bool has_vocabulary = !given.data.vocabulary.empty();
  const Config config = has_vocabulary ? with_vocabulary_size(given) : given;
  const auto tokenizer = has_vocabulary ? open_tokenizer(config) : nullptr;
  DatasetOptions options = dataset_options(config);
  options.need_caption = false;
  StageProgress bar;
  const auto survey = [&](const std::string& source, const char* split) {
    options.split = split;
    const std::shared_ptr<const Dataset> data = open_dataset(source, options);
    DataSurvey found =
        survey_data(*data, tokenizer.get(), config.data.max_image_pixels, stage_of(std::ref(bar), source));
    fmt::print("{}\n{}", source, describe(found, kExamples));
    return std::pair(data, std::move(found));
  };
  if (config.data.train_data.empty()) throw ConfigError("data.train_data: expected a source, found none");
  const auto [train, found] = survey(config.data.train_data, "train");
  if (!config.data.val_data.empty()) {
    const auto shared = overlap(survey(config.data.val_data, "test").second, found);
    fmt::print("{} images are in both train and val data\n", shared.size());
    for (size_t i = 0; i < std::min<size_t>(shared.size(), kExamples); ++i) {
      fmt::print("  {} = {}\n", shared[i].first, shared[i].second);
    }
  }
  if (!montage.empty()) write_drawing(montage, montage_sheet(*train, eval_transform(config), kMontage));
  const int64_t batch = std::min(plan_batch(config, 1).global, found.samples);
  const auto loader = open_loader(config, train, tokenizer, batch, {});
  Batch sink;
  const Stopwatch watch;
  int64_t read = 0;
  double seconds = 0;
  while (seconds < kLoaderSeconds && read < 2 * found.samples) {
    if (loader->next(sink)) read += sink.size;
    seconds = watch.seconds();
  }
  fmt::print("the loader reads {:.0f} samples/s with {} workers\n", static_cast<double>(read) / seconds,
             config.data.workers);
  return 0;
}

int draw_curves(const std::vector<std::string>& runs, const std::string& out) {
  return finish(out, curves_sheet({runs.begin(), runs.end()}));
}

int write_report(const ReportOptions& o) {
  const std::string path = o.out.empty() ? (std::filesystem::path(o.run) / "report.html").string() : o.out;
  write_file_atomically(path, run_report(o.run, paths(o.compare), paths(o.classifiers)));
  fmt::print("{}\n", path);
  return 0;
}

int print_results(const ReportOptions& o) {
  std::vector<std::filesystem::path> runs = {o.run};
  runs.insert(runs.end(), o.compare.begin(), o.compare.end());
  fmt::print("{}", table_text(results_table(runs, paths(o.classifiers))));
  return 0;
}

int draw_overview(const OverviewOptions& given, const std::string& out) {
  OverviewOptions o = given;
  o.sentences = sentences_of(given.sentences);
  const Svg sheet = overview_sheet(o);
  if (!out.empty()) return finish(out, sheet);
  const std::filesystem::path folder = o.run / "pictures";
  std::filesystem::create_directories(folder);
  return finish((folder / "sheet.svg").string(), sheet);
}

}  // namespace tessera::rils
