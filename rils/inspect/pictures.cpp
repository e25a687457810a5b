#include "rils/inspect/pictures.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <optional>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "engine/core/printable.h"
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

/// A data set that was read once.
struct Surveyed {
  std::shared_ptr<const Dataset> data;
  DataSurvey found;
  bool is_for_pretrain = true;  // with the same options
};

DataSurvey read_all(const Config& config, const std::string& source, const Dataset& data, const Tokenizer* tokenizer) {
  StageProgress bar;
  return survey_data(data, tokenizer, config.data.max_image_pixels, stage_of(std::ref(bar), source));
}

/// Reads a source as pretrain does. Where that leaves nothing for want of captions, the source is read without them,
/// and `problem` is what pretrain would say.
Surveyed read_source(const Config& config, const std::string& source, DatasetOptions options,
                     const Tokenizer* tokenizer, std::string& problem) {
  StageProgress bar;
  options.stages = std::ref(bar);
  const auto read = [&] {
    const std::shared_ptr<const Dataset> data = open_dataset(source, options);
    return Surveyed{data, read_all(config, source, *data, tokenizer), true};
  };
  if (!options.need_caption) return read();
  std::optional<Surveyed> with_captions;
  try {
    with_captions = read();
    if (with_captions->found.samples > 0) return *with_captions;
    problem = fmt::format("no usable sample; {}", with_captions->found.skipped.describe());
  } catch (const Error& error) {
    problem = error.what();
  }
  options.need_caption = false;
  try {
    Surveyed images = read();
    images.is_for_pretrain = false;
    if (images.found.samples > 0 || !with_captions) return images;
  } catch (const Error&) {
    // Captions are not all that is wrong.
    if (!with_captions) throw ConfigError(problem);
  }
  return *with_captions;
}

/// Reads a source once and prints what it holds, and what pretrain would skip.
Surveyed survey(const Config& config, const std::string& source, const char* split, const Tokenizer* tokenizer) {
  DatasetOptions options = dataset_options(config);
  options.split = split;
  std::string problem;
  Surveyed s = read_source(config, source, options, tokenizer, problem);
  fmt::print("{}\n", source);
  for (const std::string& note : s.data->notes()) fmt::print("{}\n", printable(note));
  fmt::print("{}", printable_lines(describe(s.found, kExamples)));
  if (!s.is_for_pretrain) {
    fmt::print("pretrain --objective {} cannot use these data: {}\n", word_of(config.model.objective), problem);
  }
  return s;
}

/// What the samples are in batches of pretrain.
std::string batches(const Config& config, int64_t samples) {
  const int64_t batch = plan_batch(config, 1).global;
  if (samples < batch) {
    return fmt::format("pretrain refuses a global batch of {}: there are {} samples", batch, samples);
  }
  return fmt::format("global batch {}: {} steps an epoch, {} samples left over", batch, samples / batch,
                     samples % batch);
}

/// Reads the data for a moment as training does.
std::string loader_rate(const Config& config, const Surveyed& train, std::shared_ptr<const Tokenizer> tokenizer) {
  const int64_t batch = std::min(plan_batch(config, 1).global, train.found.samples);
  const auto loader = open_loader(config, train.data, std::move(tokenizer), batch, {});
  Batch sink;
  const Stopwatch watch;
  int64_t read = 0;
  double seconds = 0;
  while (seconds < kLoaderSeconds && read < 2 * train.found.samples) {
    if (loader->next(sink)) read += sink.size;
    seconds = watch.seconds();
  }
  return fmt::format("the loader reads {:.0f} samples/s with {} workers", static_cast<double>(read) / seconds,
                     config.data.workers);
}

int finish(const std::string& out, const Svg& drawing) {
  write_drawing(out, drawing);
  fmt::print("{}\n", out);
  return 0;
}

}  // namespace

int draw_heat_maps(const PictureOptions& o) {
  const LoadedModel m = load(o);
  const double temperature = o.temperature > 0 ? o.temperature : m.config.loss.teacher_temperature;
  return finish(o.out, heat_map_sheet(viewer(m), read_image(o.image, m.config.augment.resize_before_rgb),
                                      sentences_of(o.sentences), temperature));
}

int draw_reconstruction(const PictureOptions& o) {
  const LoadedModel m = load(o);
  if (m.model->objective().reconstruction == Reconstruction::pixels) {
    return finish(o.out, pixel_sheet(viewer(m), read_image(o.image, m.config.augment.resize_before_rgb),
                                     static_cast<uint64_t>(o.seed)));
  }
  return finish(o.out, reconstruction_sheet(viewer(m), read_image(o.image, m.config.augment.resize_before_rgb),
                                            sentences_of(o.sentences), static_cast<uint64_t>(o.seed)));
}

int draw_retrievals(const PictureOptions& o) {
  LoadedModel m = load(o);
  DatasetOptions options = dataset_options(m.config);
  options.type = DatasetType::automatic;
  options.split = "test";
  const auto data = open_dataset(o.data, options);
  print_notes(*data);
  StageProgress bar;
  m.embed.stages = std::ref(bar);
  const RetrievalResult result = run_retrieval(*m.model, *data, tokenize_with(m.tokenizer), m.embed);
  print_skipped(o.data, result.images);
  return finish(o.out, retrieval_sheet(*data, m.embed.transform, result, o.count));
}

int inspect_data(const Config& given, const std::string& montage) {
  const bool has_vocabulary = !given.data.vocabulary.empty();
  const Config config = has_vocabulary ? with_vocabulary_size(given) : given;
  const auto tokenizer = has_vocabulary ? open_tokenizer(config) : nullptr;
  if (config.data.train_data.empty()) throw ConfigError("data.train_data: expected a source, found none");
  const Surveyed train = survey(config, config.data.train_data, "train", tokenizer.get());
  if (!config.data.val_data.empty()) {
    const auto shared = overlap(survey(config, config.data.val_data, "val", tokenizer.get()).found, train.found);
    fmt::print("{} images are in both train and val data\n", shared.size());
    for (size_t i = 0; i < std::min<size_t>(shared.size(), kExamples); ++i) {
      fmt::print("  {} = {}\n", printable(shared[i].first), printable(shared[i].second));
    }
  }
  if (train.found.samples == 0) {
    fmt::print("{}: no sample is usable\n", config.data.train_data);
    return 1;
  }
  if (!montage.empty()) write_drawing(montage, montage_sheet(*train.data, eval_transform(config), kMontage));
  if (train.is_for_pretrain) fmt::print("{}\n", batches(config, train.found.samples));
  fmt::print("{}\n", loader_rate(config, train, train.is_for_pretrain ? tokenizer : nullptr));
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
