#include "rils/picture/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/picture/sheets.h"
#include "rils/run/run_folder.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::string_view kStyle = R"(
body { font: 15px/1.5 "DejaVu Sans", Verdana, sans-serif; color: #222; max-width: 1080px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.6em } h2 { font-size: 1.2em; margin-top: 2em; border-bottom: 1px solid #ddd }
table { border-collapse: collapse } td, th { padding: .2em .9em .2em 0; text-align: left; vertical-align: top }
td.number { text-align: right; font-variant-numeric: tabular-nums } pre { background: #f6f6f6; padding: 1em; overflow-x: auto }
img, svg { max-width: 100%; height: auto } figure { margin: 1em 0 } figcaption { color: #555; font-size: .9em }
)";

/// Files of a folder with this ending, by name; none where there is no folder.
std::vector<fs::path> files_in(const fs::path& folder, std::string_view ending) {
  std::vector<fs::path> files;
  if (!fs::is_directory(folder)) return files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ending) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

std::string number(const std::string& name, const Json& value) {
  if (!value.is_number())
    return value.is_null() ? "-" : escape_xml(value.is_string() ? value.get<std::string>() : value.dump());
  const bool fraction = name.find("recall") != std::string::npos || name.find("acc") != std::string::npos ||
                        name.find("share") != std::string::npos || name.find("hit") != std::string::npos ||
                        name.find("chance") != std::string::npos;
  return fraction ? fmt::format("{:.2f} %", 100 * value.get<double>()) : fmt::format("{:.6g}", value.get<double>());
}

std::string rows_of(const Json& figures) {
  std::string html;
  for (const auto& [name, value] : figures.items()) {
    html += fmt::format("<tr><td>{}</td><td class=\"number\">{}</td></tr>\n", escape_xml(name), number(name, value));
  }
  return html;
}

std::string validations(const RunFolder& run) {
  if (!fs::exists(run.results())) return "";
  const std::string text = read_file(run.results());
  Json last;
  for (size_t begin = 0, end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    Json line = Json::parse(text.substr(begin, end - begin), nullptr, /*allow_exceptions=*/false);
    if (line.is_object()) last = std::move(line);
  }
  if (last.is_null()) return "";
  const auto best = run.best();
  return fmt::format("<h2>Last validation{}</h2>\n<table>{}</table>\n",
                     best ? fmt::format(" (best at step {})", *best) : "", rows_of(last));
}

std::string evaluations(const fs::path& run) {
  std::string html;
  for (const fs::path& path : files_in(run / "results", ".json")) {
    const Json json = Json::parse(read_file(path), nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("metrics")) continue;
    html += fmt::format("<h3>{}: {}</h3>\n<table>{}</table>\n", escape_xml(path.stem().string()),
                        escape_xml(json.value("dataset", "")), rows_of(json.at("metrics")));
    html += fmt::format("<details><summary>command</summary><pre>{}</pre></details>\n",
                        escape_xml(json.value("command", "")));
  }
  return html.empty() ? "" : "<h2>Evaluation</h2>\n" + html;
}

std::string pictures(const fs::path& run) {
  std::string html;
  for (const fs::path& path : files_in(run / "pictures", ".svg")) {
    html += fmt::format(
        "<figure><img alt=\"{0}\" src=\"data:image/svg+xml;base64,{1}\"><figcaption>{0}</figcaption></figure>\n",
        escape_xml(path.stem().string()), base64(read_file(path)));
  }
  return html.empty() ? "" : "<h2>Pictures</h2>\n" + html;
}

/// Escaped, with its lines.
std::string preformatted(const std::string& text) {
  std::string html;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    html += escape_xml(std::string_view(text).substr(begin, end - begin)) + "\n";
    begin = end + 1;
  }
  return "<pre>" + html + "</pre>\n";
}

}  // namespace

std::string run_report(const fs::path& folder) {
  const RunFolder run = RunFolder::open(folder);
  const std::string name = escape_xml(fs::absolute(folder).filename().string());
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title><style>{1}</style></head>\n"
      "<body><h1>Run {0}</h1>\n<h2>Curves</h2>\n{2}{3}{4}{5}<h2>Configuration</h2>\n{6}</body></html>\n",
      name, kStyle, curves_sheet({folder}).str(), validations(run), evaluations(folder), pictures(folder),
      preformatted(read_file(run.config())));
}

}  // namespace tessera::rils
