#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>

#include "engine/core/error.h"
#include "rils/picture/chart.h"
#include "rils/picture/run_files.h"
#include "rils/picture/sheets.h"
#include "rils/run/run_folder.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// The lines of a log that belong to a step, which is a number.
std::vector<Json> read_records(const fs::path& path) {
  std::vector<Json> records;
  for (const std::string& line : read_json_lines(path)) {
    Json json = Json::parse(line);
    const auto step = json.find("step");
    if (step != json.end() && step->is_number()) records.push_back(std::move(json));
  }
  return records;
}

struct Run {
  std::string name;
  std::vector<Json> metrics, results;
};

/// The name of a figure's mean over the steps of a log's interval. Runs of earlier versions have none.
std::string mean_of(std::string_view key) { return std::string(key) + "_mean"; }

/// The means of a figure where they are logged, else its last values.
Series series_of(const std::vector<Json>& records, std::string_view key, std::string name, double factor) {
  Series series{std::move(name), {}, false};
  for (const Json& record : records) {
    const auto mean = record.find(mean_of(key));
    const auto found = mean != record.end() ? mean : record.find(key);
    if (found == record.end()) continue;
    series.points.emplace_back(record.at("step").get<double>(), found->is_number()
                                                                    ? factor * found->get<double>()
                                                                    : std::numeric_limits<double>::quiet_NaN());
  }
  return series;
}

/// The quantity that a chart shows.
struct Figure {
  std::string_view key;
  const char* title;
  const char* unit;
  double factor = 1;
  bool from_zero = true;
  bool validation = false;  // read from results.jsonl, not from metrics.jsonl
};

constexpr std::string_view kLoss = "loss";
constexpr std::string_view kGradNorm = "grad_norm";
constexpr std::array<Figure, 11> kFigures = {
    {{"clip_loss", "contrastive loss", "nats", 1, false},
     {"recon_loss", "reconstruction loss, weighted", "nats"},
     {"mae_loss", "pixel loss, weighted", "loss"},
     {"ssl_loss", "contrastive loss of two views, weighted", "nats", 1, false},
     {"clip_acc", "gate: images of a batch that pass it", "%"},
     {"image_retrieval_recall@10", "val recall@10, text to image", "%", 100, true, true},
     {"zeroshot_acc1", "val zero-shot accuracy", "%", 100, true, true},
     {kLoss, "train loss of a classifier", "nats", 1, false},
     {kLoss, "val loss of a classifier", "nats", 1, false, true},
     {"acc1", "val accuracy of a classifier", "%", 100, true, true},
     {kGradNorm, "gradient norm", "norm"}}};

/// Whether a run trains a classifier. Its loss has no terms; of a pre-training run the charts show the terms instead of
/// their sum.
bool classifies(const Run& run) {
  for (const auto& [key, value] : run.metrics.front().items()) {
    if (key.ends_with("_loss")) return false;
  }
  return true;
}

/// A chart of one quantity with a line for each run.
Chart compare(const std::vector<Run>& runs, const Figure& figure) {
  const bool has_means = std::ranges::any_of(
      runs, [&](const Run& run) { return !figure.validation && run.metrics.back().contains(mean_of(figure.key)); });
  const char* steps = has_means ? "step (a point is the mean of its interval)" : "step";
  Chart chart{figure.title, steps, {}, figure.from_zero, figure.unit};
  for (const Run& run : runs) {
    if (figure.key == kLoss && !classifies(run)) continue;
    Series series = series_of(figure.validation ? run.results : run.metrics, figure.key, run.name, figure.factor);
    // A term that the run's objective lacks is logged as 0 in every step.
    const bool absent = std::ranges::all_of(series.points, [](const auto& point) { return point.second == 0; });
    if (!absent) chart.series.push_back(std::move(series));
  }
  return chart;
}

}  // namespace

Svg curves_sheet(const std::vector<fs::path>& folders, Curves which) {
  std::vector<Run> runs;
  const std::vector<std::string> labels = run_labels(folders);
  for (size_t i = 0; i < folders.size(); ++i) {
    const RunFolder run = RunFolder::open(folders[i]);
    runs.push_back({labels[i], read_records(run.metrics()), read_records(run.results())});
    if (runs.back().metrics.empty()) {
      throw IoError(fmt::format("{}: expected records of steps, found none", run.metrics().string()));
    }
  }
  std::vector<Chart> charts;
  for (const Figure& figure : kFigures) {
    if (which == Curves::main && figure.key == kGradNorm) continue;
    charts.push_back(compare(runs, figure));
  }
  std::erase_if(charts, [](const Chart& c) { return c.series.empty(); });
  constexpr double kWidth = 460, kHeight = 240, kGap = 12;
  const auto rows = static_cast<double>((charts.size() + 1) / 2);
  Svg svg(2 * kWidth + 3 * kGap, rows * (kHeight + kGap) + kGap);
  for (size_t i = 0; i < charts.size(); ++i) {
    draw_chart(svg, charts[i], kGap + static_cast<double>(i % 2) * (kWidth + kGap),
               kGap + static_cast<double>(i / 2) * (kHeight + kGap), kWidth, kHeight);
  }
  return svg;
}

}  // namespace tessera::rils
