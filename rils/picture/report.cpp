#include "rils/picture/report.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "engine/core/atomic_file.h"
#include "rils/picture/results.h"
#include "rils/picture/run_files.h"
#include "rils/picture/sheets.h"
#include "rils/run/lines.h"
#include "rils/run/run_folder.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::string_view kStyle = R"(
body { font: 15px/1.5 "DejaVu Sans", Verdana, sans-serif; color: #222; max-width: 1080px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.6em } h2 { font-size: 1.2em; margin-top: 2em; border-bottom: 1px solid #ddd; break-after: avoid }
h3 { font-size: 1em; margin-bottom: .3em; break-after: avoid }
table { border-collapse: collapse } td, th { padding: .2em .9em .2em 0; text-align: left; vertical-align: top }
tr { break-inside: avoid } .results tr { border-bottom: 1px solid #eee } .results th { vertical-align: bottom }
td.number, .results th + th { text-align: right; font-variant-numeric: tabular-nums; padding-left: .9em }
pre { background: #f6f6f6; padding: 1em; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85em }
img, svg { max-width: 100%; height: auto } figure { margin: 1em 0; break-inside: avoid }
figcaption, .note { color: #555; font-size: .9em } summary { cursor: pointer; color: #555; font-size: .9em }
.figures { columns: 2 20em } .figures > div { break-inside: avoid; margin-bottom: 1em }
@media print { body { max-width: none; margin: 0 } img { max-height: 24cm } }
)";

constexpr const char* kSheet = "sheet";

std::string number(const std::string& name, const Json& value) {
  if (!value.is_number())
    return value.is_null() ? "-" : escape_xml(value.is_string() ? value.get<std::string>() : value.dump());
  const bool fraction = name.find("recall") != std::string::npos || name.find("acc") != std::string::npos ||
                        name.find("share") != std::string::npos || name.find("hit") != std::string::npos ||
                        name.find("chance") != std::string::npos;
  return fraction ? fmt::format("{:.2f} %", 100 * value.get<double>()) : fmt::format("{:.6g}", value.get<double>());
}

std::string rows_of(const Json& values) {
  std::string html;
  for (const auto& [name, value] : values.items()) {
    html += fmt::format("<tr><td>{}</td><td class=\"number\">{}</td></tr>\n", escape_xml(name), number(name, value));
  }
  return html;
}

std::string validations(const RunFolder& run) {
  const std::vector<std::string> lines = read_json_lines(run.results());
  if (lines.empty()) return "";
  const auto best = run.best();
  return fmt::format("<h2>Last validation{}</h2>\n<table>{}</table>\n",
                     best ? fmt::format(" (best at step {})", *best) : "", rows_of(Json::parse(lines.back())));
}

/// All values that `evaluate` wrote, with its commands.
std::string evaluations(const fs::path& run) {
  std::string html;
  for (const auto& [name, text] : read_evaluations(run)) {
    const Json json = Json::parse(text);
    html += fmt::format("<div><h3>{}: {}</h3>\n<table>{}</table>\n", escape_xml(name),
                        escape_xml(json.value("dataset", "")), rows_of(json.at("metrics")));
    html += fmt::format("<details><summary>command</summary><pre>{}</pre></details></div>\n",
                        escape_xml(json.value("command", "")));
  }
  return html.empty() ? "" : "<h2>All results</h2>\n<div class=\"figures\">" + html + "</div>\n";
}

/// The caption of a picture, chosen by its name.
std::string about(const std::string& name) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kWords = {
      {{"heat-map", "an image, and for each sentence a map of its probability given the patch; dark is 0"},
       {"reconstruction", "an image, its visible patches, and the decoder's guess for the hidden ones"},
       {"retrievals", "sentences with their nearest images; a green frame marks the right one; best answers first"}}};
  for (const auto& [part, words] : kWords) {
    if (name.find(part) != std::string::npos) return fmt::format("{}: {}", name, words);
  }
  return name;
}

std::string figure(const fs::path& path) {
  return fmt::format(
      "<figure><img alt=\"{0}\" src=\"data:image/svg+xml;base64,{1}\"><figcaption>{0}</figcaption></figure>\n",
      escape_xml(about(path.stem().string())), base64(read_file(path)));
}

std::string pictures(const fs::path& run) {
  std::string html;
  for (const fs::path& path : files_in(run / "pictures", ".svg")) {
    if (path.stem() != kSheet) html += figure(path);
  }
  return html.empty() ? "" : "<h2>Pictures</h2>\n" + html;
}

/// The overview, or a hint how to draw it.
std::string overview(const fs::path& run) {
  const fs::path path = run / "pictures" / (std::string(kSheet) + ".svg");
  if (!fs::exists(path)) return "<p class=\"note\">inspect sheet draws an overview of this run.</p>\n";
  return fmt::format("<figure><img alt=\"the run at a glance\" src=\"data:image/svg+xml;base64,{}\"></figure>\n",
                     base64(read_file(path)));
}

std::string results(const std::vector<fs::path>& runs, const std::vector<fs::path>& classifiers) {
  const std::string table = table_html(results_table(runs, classifiers));
  if (table.empty()) return "";
  return "<h2>Results</h2>\n" + table +
         "<p class=\"note\">R@k is the share of queries whose right answer is among the first k. The column untrained "
         "shows a network at its initial values, or a classifier trained from them. All results are measured on "
         "images that no training step used.</p>\n";
}

/// A text file, escaped, with its lines.
std::string preformatted(const fs::path& path) {
  std::string html;
  for (const std::string& line : read_lines(path)) html += escape_xml(line) + "\n";
  return "<pre>" + html + "</pre>\n";
}

}  // namespace

std::string run_report(const fs::path& folder, const std::vector<fs::path>& compare,
                       const std::vector<fs::path>& classifiers) {
  const RunFolder run = RunFolder::open(folder);
  const std::string name = escape_xml(one_path(folder).filename().string());
  std::vector<fs::path> runs = {folder};
  runs.insert(runs.end(), compare.begin(), compare.end());
  std::string html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title><style>{1}</style></head>\n"
      "<body><h1>Run {0}</h1>\n",
      name, kStyle);
  html += overview(folder) + results(runs, classifiers);
  html += fmt::format("<h2>Curves</h2>\n<figure>{}</figure>\n", curves_sheet(runs).str());
  html += pictures(folder) + evaluations(folder) + validations(run);
  return html + "<h2>Configuration</h2>\n" + preformatted(run.config()) + "</body></html>\n";
}

}  // namespace tessera::rils
