#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/picture/chart.h"
#include "rils/picture/sheets.h"
#include "rils/run/run_folder.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

/// The lines of a log, those that cannot be read left out.
std::vector<Json> read_records(const fs::path& path) {
  std::vector<Json> records;
  if (!fs::exists(path)) return records;
  const std::string text = read_file(path);
  for (size_t begin = 0, end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    Json json = Json::parse(text.begin() + static_cast<ptrdiff_t>(begin), text.begin() + static_cast<ptrdiff_t>(end),
                            nullptr, /*allow_exceptions=*/false);
    if (json.is_object() && json.contains("step")) records.push_back(std::move(json));
  }
  return records;
}

struct Run {
  std::string name;
  std::vector<Json> metrics, results;
};

Series series_of(const std::vector<Json>& records, const std::string& key, std::string name, double factor) {
  Series series{std::move(name), {}, false};
  for (const Json& record : records) {
    const auto found = record.find(key);
    if (found == record.end()) continue;
    series.points.emplace_back(record.at("step").get<double>(), found->is_number()
                                                                    ? factor * found->get<double>()
                                                                    : std::numeric_limits<double>::quiet_NaN());
  }
  return series;
}

/// One figure of every run, under the runs' names.
Chart compare(const std::vector<Run>& runs, bool held_out, const std::string& key, std::string title, double factor,
              bool from_zero) {
  Chart chart{std::move(title), "step", {}, from_zero};
  for (const Run& run : runs) {
    Series series = series_of(held_out ? run.results : run.metrics, key, run.name, factor);
    if (!series.points.empty()) chart.series.push_back(std::move(series));
  }
  return chart;
}

}  // namespace

Svg curves_sheet(const std::vector<fs::path>& folders) {
  std::vector<Run> runs;
  for (const fs::path& folder : folders) {
    const RunFolder run = RunFolder::open(folder);
    runs.push_back({run.path().filename().string(), read_records(run.metrics()), read_records(run.results())});
    if (runs.back().metrics.empty()) {
      throw IoError(fmt::format("{}: expected logged steps, found none", run.metrics().string()));
    }
  }
  std::vector<Chart> charts = {
      compare(runs, false, "clip_loss", "contrastive loss", 1, false),
      compare(runs, false, "recon_loss", "reconstruction loss, weighted", 1, true),
      compare(runs, false, "mae_loss", "pixel loss, weighted", 1, true),
      compare(runs, false, "ssl_loss", "loss between views, weighted", 1, false),
      compare(runs, false, "clip_acc", "images that pass the gate, per cent", 1, true),
      compare(runs, true, "image_retrieval_recall@10", "held-out recall@10, text to image, per cent", 100, true),
      compare(runs, true, "zeroshot_acc1", "held-out zero-shot accuracy, per cent", 100, true),
      compare(runs, false, "grad_norm", "gradient norm", 1, true)};
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
