// The files of runs: logs, results, pointers, locks; and what is drawn and written of them.
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "rils/picture/chart.h"
#include "rils/picture/report.h"
#include "rils/picture/results.h"
#include "rils/picture/run_files.h"
#include "rils/picture/sheets.h"
#include "rils/picture/svg.h"
#include "rils/run/lines.h"
#include "rils/run/metrics.h"
#include "rils/run/run_folder.h"
#include "tests/fuzz/harness.h"
#include "tests/fuzz/readers/well_formed.h"

namespace tessera::fuzz {
namespace {

using namespace rils;

void write(const std::string& name, std::string_view content) {
  if (!content.empty()) (void)file("run/" + name, content);
}

/// A run's folder with logs, results and pointers of the input.
std::filesystem::path run_of(std::string_view input) {
  const auto parts = parts_of(input, 5);
  const auto folder = empty_folder("run");
  std::filesystem::create_directories(folder / "checkpoints");
  (void)file("run/config.toml", parts[0]);
  write("metrics.jsonl", parts[1]);
  write("results.jsonl", parts[2]);
  write("results/a.json", parts[3]);
  write("checkpoints/latest", parts[4]);
  write("checkpoints/step_00000003.safetensors", "weights");
  write("checkpoints/step_00000003.state.safetensors", "state");
  return folder;
}

TESSERA_FUZZ(run_folder) {
  const RunFolder run = RunFolder::open(run_of(input));
  const auto latest = run.latest();
  expect(latest == 3, "the checkpoint that is there");
  expect(run.complete() == std::vector<int64_t>{3}, "one checkpoint");
  (void)run.has_history();
  run.drop_lines_beyond(3);
  for (const auto& path : {run.metrics(), run.results()}) {
    if (!std::filesystem::exists(path)) continue;
    for (const std::string& line : read_lines(path)) {
      expect(nlohmann::json::parse(line).at("step").is_number_integer(), "lines of steps");
    }
  }
  run.prune(1);
  expect(run.latest() == 3, "the latest checkpoint after pruning");
}

TESSERA_FUZZ(run_lock) {
  const auto folder = empty_folder("locked");
  const auto path = file("locked/lock", input);
  {
    const RunLock lock(folder);
    bool refused = false;
    try {
      const RunLock other(folder);
    } catch (const ConfigError&) {
      refused = true;
    }
    expect(refused, "one writer");
  }
  expect(!std::filesystem::exists(path), "no lock after its end");
}

TESSERA_FUZZ(report) {
  const auto run = run_of(input);
  (void)accepts<Error>([&] { (void)table_text(results_table({}, {run})); });
  (void)accepts<Error>([&] { (void)table_html(results_table({run}, {})); });
  expect(is_well_formed(curves_sheet({run}).str()), "a drawing of curves that is well-formed");
  expect(run_report(run).ends_with("</html>\n"), "a whole page");
}

TESSERA_FUZZ(record) {
  const auto parts = parts_of(input, 2);
  Record record;
  record.add(parts[0], parts[1]).add("number", static_cast<int64_t>(input.size()));
  double value = 0;
  std::memcpy(&value, input.data(), std::min(input.size(), sizeof value));
  record.add("value", value);
  const std::string line = record.json();
  expect(line.find('\n') == std::string::npos, "a record of one line");
  const auto read = nlohmann::json::parse(line);
  expect(!std::isfinite(value) || read.at("value") == value, "the same figure");
}

TESSERA_FUZZ(drawing) {
  Svg svg(200, 100);
  svg.text(1, 2, input, {.bold = true});
  (void)svg.paragraph(1, 20, input, 10, 3);
  Svg outer(300, 300);
  (void)outer.place(svg, 0, 0, 100);
  expect(is_well_formed(outer.str()), "a drawing of any text that is well-formed");
}

TESSERA_FUZZ(chart) {
  Chart chart{"title", "step", {}, (take_choice(input) & 1) != 0, "unit"};
  Series series{"a", {}, false};
  double x = 0;
  for (; input.size() >= sizeof(double); input.remove_prefix(sizeof(double))) {
    double y = 0;
    std::memcpy(&y, input.data(), sizeof y);
    series.points.emplace_back(x, y);
    x += std::isfinite(y) && y > 0 ? std::min(y, 1e300) : 1;
  }
  chart.series = {series, {"b", {{0, 1}, {1, 2}}, true}};
  Svg svg(400, 300);
  draw_chart(svg, chart, 0, 0, 400, 300);
  const std::string text = svg.str();
  expect(is_well_formed(text), "a chart that is well-formed");
  expect(text.find("\"nan") == std::string::npos && text.find("inf") == std::string::npos, "finite coordinates");
}

}  // namespace
}  // namespace tessera::fuzz
