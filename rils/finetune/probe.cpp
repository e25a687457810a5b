#include "rils/finetune/probe.h"

#include <fmt/format.h>

#include <cmath>
#include <set>

#include "engine/core/atomic_file.h"
#include "engine/ops/copy.h"
#include "rils/finetune/classifier.h"
#include "rils/finetune/gathered.h"
#include "rils/finetune/logistic.h"
#include "rils/finetune/trainer.h"
#include "rils/run/metrics.h"
#include "rils/run/stopwatch.h"

namespace tessera::rils {
namespace {

constexpr double kLambda = 0.0025;  // is divided by the number of images

/// The centred features of a data set's usable images.
struct Features {
  Tensor rows;                   // f64 [n, D]
  std::vector<int64_t> indices;  // places in the data set
  std::vector<int32_t> labels;
};

/// Without weights to load, the probe is of an encoder with initial values.
nn::Seed seed_of(const Config& config) {
  if (!config.finetune.finetune.empty()) return std::nullopt;
  return static_cast<uint64_t>(config.run.seed);
}

class Probe {
 public:
  Probe(const Config& config, const LabelledData& data, Console& console, const std::string& command, Device device)
      : config_(config),
        data_(data),
        console_(console),
        command_(command),
        encoder_(config.model.vision, config.finetune.pool, seed_of(config), device) {
    if (!config.finetune.finetune.empty()) {
      load_encoder(nn::SafetensorsFile(config.finetune.finetune), encoder_.store());
    }
    pass_.precision = nn::parse_precision(config.run.precision);
  }

  int run(const RunFolder& folder) {
    // Written at the end: a folder without results counts as empty, so that a killed probe can be repeated.
    std::vector<Record> results;
    const std::vector<Study> studies = draw();
    const std::shared_ptr<const Dataset> images = union_of(studies);
    print_plan(images->size());
    const Features val = features(data_.val);
    const Features train = features(images);
    std::vector<Result> gathered;
    for (const Study& study : studies) {
      std::vector<Classification> draws;
      for (const auto& wanted : study.draws) {
        results.push_back(fit(rows_of(train, wanted), val, study.shots, draws));
      }
      if (draws.size() > 1) results.push_back(summary(study.shots, draws));
      gathered.push_back(result_of(study.shots, draws));
    }
    std::string lines;
    for (const Record& record : results) lines += record.json() + "\n";
    write_file_atomically(folder.results(), lines);
    for (Result& result : gathered) {
      result.seconds = watch_.seconds();
      console_.line(gather_for(config_, std::move(result), folder, command_));
    }
    console_.line(fmt::format("finished: {}", folder.path().string()));
    return 0;
  }

 private:
  /// All probes with the same number of images per class (0: with a fraction of all images).
  struct Study {
    int64_t shots = 0;
    std::vector<std::vector<int64_t>> draws;  // the training images of each probe
  };

  [[nodiscard]] std::vector<Study> draw() const {
    const FinetuneConfig& f = config_.finetune;
    const auto seed = static_cast<uint64_t>(config_.run.seed);
    if (f.shots.empty()) return {{0, {draw_fraction(data_, f.train_fraction, seed)}}};
    std::vector<Study> studies;
    for (const int64_t shots : f.shots) {
      studies.push_back({shots, {}});
      for (int64_t draw = 0; draw < f.draws; ++draw) {
        studies.back().draws.push_back(draw_shots(data_, shots, seed, draw));
      }
    }
    return studies;
  }

  void print_plan(int64_t images) const {
    const std::string start = config_.finetune.finetune.empty() ? "initial values" : config_.finetune.finetune;
    console_.line(fmt::format(
        "logistic regression on features of {} ({}), {} pixels: {} classes, {} train images, {}; {} val images", start,
        word_of(config_.finetune.pool), config_.model.vision.image_size, data_.classes, images,
        data_.train->skipped().describe(), data_.val->size()));
  }

  /// All images that occur in a draw, so that features are computed once.
  [[nodiscard]] std::shared_ptr<const Dataset> union_of(const std::vector<Study>& studies) {
    std::set<int64_t> all;
    for (const Study& study : studies) {
      for (const auto& draw : study.draws) all.insert(draw.begin(), draw.end());
    }
    chosen_.assign(all.begin(), all.end());
    return std::make_shared<SubsetDataset>(data_.train, chosen_);
  }

  [[nodiscard]] Features features(const std::shared_ptr<const Dataset>& data) const {
    EmbedOptions options = evaluation_options(config_, pass_);
    options.transform = centre_transform(config_, true);
    options.normalize = options.keep_captions = false;
    options.stages = console_.stages();
    const Device device = encoder_.store().device();
    ImageEmbeddings found =
        embed_images(*data, options, [&](const Tensor& images) { return encoder_.features(images.to(device), pass_); });
    console_.line(fmt::format("features of {} images; {}", found.labels.size(), found.skipped.describe()));
    return {centred_rows(found.values), std::move(found.indices), std::move(found.labels)};
  }

  /// The rows of the usable images of one draw.
  [[nodiscard]] Features rows_of(const Features& all, const std::vector<int64_t>& wanted) const {
    const std::set<int64_t> in_draw(wanted.begin(), wanted.end());
    Features part;
    for (size_t i = 0; i < all.indices.size(); ++i) {
      if (!in_draw.contains(chosen_[static_cast<size_t>(all.indices[i])])) continue;
      part.indices.push_back(static_cast<int64_t>(i));
      part.labels.push_back(all.labels[i]);
    }
    part.rows = Tensor::empty({std::ssize(part.indices), all.rows.size(1)}, DType::f64);
    for (size_t i = 0; i < part.indices.size(); ++i) {
      copy_into(all.rows.slice(0, part.indices[i], 1), part.rows.slice(0, static_cast<int64_t>(i), 1));
    }
    return part;
  }

  /// Fits one probe and appends its figures to those of the earlier draws.
  [[nodiscard]] Record fit(const Features& train, const Features& val, int64_t shots,
                           std::vector<Classification>& draws) const {
    const auto n = static_cast<int64_t>(train.labels.size());
    LogisticOptions options{.lambda = kLambda / static_cast<double>(n)};
    const auto show = [&](int iteration) { console_.stage("fitting, at most", iteration, options.max_iterations); };
    options.after = show;
    const LogisticFit fitted = fit_logistic(train.rows, train.labels, data_.classes, options);
    show(options.max_iterations);  // the end of the stage
    const Tensor scores = cast(similarity(val.rows, fitted.weights), DType::f32);
    const Classification c = classification(scores, val.labels);
    const int64_t draw = std::ssize(draws);
    draws.push_back(c);
    console_.line(fmt::format("draw {}: top 1 {:.2f} %, mean per class {:.2f} %; {} images, {} iterations{}", draw,
                              100 * c.acc1, 100 * c.mean_per_class_recall, n, fitted.search.iterations,
                              fitted.search.converged ? "" : " (the limit)"));
    Record line;
    line.add("task", "linear_probe").add("shots", shots).add("draw", draw);
    line.add("train_samples", n).add("samples", c.samples);
    line.add("lp_acc1", c.acc1).add("lp_acc5", c.acc5).add("lp_mean_per_class_recall", c.mean_per_class_recall);
    line.add("objective", fitted.search.value).add("iterations", int64_t{fitted.search.iterations});
    return line;
  }

  [[nodiscard]] Record summary(int64_t shots, const std::vector<Classification>& draws) const {
    const double mean = mean_of(draws, &Classification::acc1), deviation = deviation_of(draws, mean);
    console_.line(fmt::format("{} shots, {} draws: top 1 {:.2f} % (std {:.2f} %)", shots, draws.size(), 100 * mean,
                              100 * deviation));
    Record line;
    line.add("task", "linear_probe").add("draws", std::ssize(draws)).add("shots", shots);
    line.add("lp_acc1", mean).add("lp_acc1_deviation", deviation);
    return line;
  }

  /// The mean over the draws under CLIP_benchmark's names, with its −1 shots for all images.
  [[nodiscard]] Result result_of(int64_t shots, const std::vector<Classification>& draws) const {
    Result r;
    r.task = "linear_probe";
    r.setting = probe_setting(shots, config_.finetune.train_fraction);
    const double mean = mean_of(draws, &Classification::acc1);
    r.metrics.add("lp_acc1", mean).add("lp_acc5", mean_of(draws, &Classification::acc5));
    r.metrics.add("lp_mean_per_class_recall", mean_of(draws, &Classification::mean_per_class_recall));
    if (draws.size() > 1) r.metrics.add("lp_acc1_deviation", deviation_of(draws, mean));
    r.metrics.add("fewshot_k", shots > 0 ? shots : -1).add("draws", std::ssize(draws));
    if (shots == 0) r.metrics.add("train_fraction", config_.finetune.train_fraction);
    r.metrics.add("seed", config_.run.seed);
    r.chance.add("lp_acc1", 1.0 / static_cast<double>(data_.classes));
    r.samples = draws.front().samples;
    return r;
  }

  [[nodiscard]] static double mean_of(const std::vector<Classification>& draws, double Classification::*figure) {
    double mean = 0;
    for (const Classification& c : draws) mean += c.*figure / static_cast<double>(draws.size());
    return mean;
  }
  [[nodiscard]] static double deviation_of(const std::vector<Classification>& draws, double mean) {
    double square = 0;
    for (const Classification& c : draws) square += (c.acc1 - mean) * (c.acc1 - mean);
    return std::sqrt(square / static_cast<double>(draws.size() - 1));
  }

  const Config& config_;
  const LabelledData& data_;
  Console& console_;
  const std::string& command_;
  const Stopwatch watch_;
  FrozenEncoder encoder_;
  PassOptions pass_;
  std::vector<int64_t> chosen_;  // places in the training data, ascending
};

}  // namespace

int run_probe(const Config& config, const LabelledData& data, Console& console, const std::string& command,
              Device device) {
  Probe probe(config, data, console, command, device);
  const RunFolder folder = RunFolder::create(run_path(config.run));
  folder.write_config(config, command);
  console.tee(folder.log());
  return probe.run(folder);
}

}  // namespace tessera::rils
