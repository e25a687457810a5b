#include "rils/picture/results.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "rils/config/toml.h"
#include "rils/picture/run_files.h"
#include "rils/picture/svg.h"
#include "rils/run/run_folder.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// A value of an evaluation that belongs into the table.
struct Headline {
  const char* task;
  const char* key;
  const char* what;
};
constexpr std::array<Headline, 8> kHeadlines = {
    {{"zeroshot_retrieval", "image_retrieval_recall@1", "text to image, R@1"},
     {"zeroshot_retrieval", "image_retrieval_recall@10", "text to image, R@10"},
     {"zeroshot_retrieval", "text_retrieval_recall@1", "image to text, R@1"},
     {"zeroshot_retrieval", "text_retrieval_recall@10", "image to text, R@10"},
     {"zeroshot_classification", "acc1", "zero-shot, top 1"},
     {"knn", "acc1", "nearest neighbours, top 1"},
     {"pointing", "share", "energy-based pointing game"},
     {"pointing", "hit", "pointing game"}}};

/// Puts each result into its row and its column.
class Collector {
 public:
  explicit Collector(const std::vector<fs::path>& runs) {
    for (const fs::path& run : runs) {
      (void)RunFolder::open(run);
      runs_.push_back(one_path(run));
    }
    table_.columns = run_labels(runs);
    for (const char* name : {"untrained", "raw pixels", "chance"}) table_.columns.emplace_back(name);
  }

  void add_evaluation(const Json& json, size_t run) {
    const std::string task = json.value("task", ""), from = json.value("pretrained", "");
    const size_t column = from == "untrained" ? untrained() : from == "pixels" ? pixels() : run;
    for (const Headline& h : kHeadlines) {
      if (task != h.task) continue;
      const std::string what = fmt::format("{} ({})", h.what, json.value("dataset", ""));
      set(what, column, json.at("metrics"), h.key);
      if (json.contains("chance")) set(what, chance(), json.at("chance"), h.key);
      // Pointing has its chance among its metrics.
      if (task == "pointing") set(what, chance(), json.at("metrics"), "chance");
    }
  }

  void add_classifier(const fs::path& folder) {
    const RunFolder run = RunFolder::open(folder);
    const Config config = load_config(run.config());
    const FinetuneConfig& f = config.finetune;
    if (f.data_path.empty()) throw ConfigError(fmt::format("{}: expected a run of finetune", folder.string()));
    const size_t column = owner(f.finetune, folder);
    // A later line replaces an earlier one: the last epoch counts, and the mean that follows the draws.
    for (const std::string& text : read_json_lines(run.results())) {
      const Json line = Json::parse(text);
      const auto found = line.find("shots");
      const int64_t shots = found != line.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
      std::string how = f.linear || f.probe == ProbeKind::lars ? "linear probe" : "fine-tuning";
      if (shots > 0)
        how = fmt::format("{} image{} a class, probe", shots, shots == 1 ? "" : "s");
      else if (f.train_fraction < 1)
        how += fmt::format(" on {:g} % of the images", 100 * f.train_fraction);
      const std::string what = fmt::format("{}, top 1 ({})", how, one_path(f.data_path).filename().string());
      set(what, column, line, line.contains("lp_acc1") ? "lp_acc1" : "acc1");
      if (f.nb_classes > 0) set(what, chance(), Json{{"chance", 1.0 / static_cast<double>(f.nb_classes)}}, "chance");
    }
  }

  ResultsTable finish() {
    for (size_t c = table_.columns.size(); c-- > 0;) {
      const auto at = static_cast<ptrdiff_t>(c);
      if (std::ranges::any_of(table_.rows, [&](const auto& row) { return row.values[c].has_value(); })) continue;
      table_.columns.erase(table_.columns.begin() + at);
      for (auto& row : table_.rows) row.values.erase(row.values.begin() + at);
    }
    return table_;
  }

 private:
  // The columns after those of the runs.
  [[nodiscard]] size_t untrained() const { return runs_.size(); }
  [[nodiscard]] size_t pixels() const { return runs_.size() + 1; }
  [[nodiscard]] size_t chance() const { return runs_.size() + 2; }

  /// The column of the run that made a checkpoint.
  [[nodiscard]] size_t owner(const std::string& checkpoint, const fs::path& folder) const {
    if (checkpoint.empty()) return untrained();
    const auto run = std::ranges::find(runs_, one_path(fs::path(checkpoint).parent_path().parent_path()));
    if (run != runs_.end()) return static_cast<size_t>(run - runs_.begin());
    throw ConfigError(fmt::format("{}: expected a classifier trained from one of the runs shown, found one from {}",
                                  folder.string(), checkpoint));
  }

  void set(const std::string& what, size_t column, const Json& from, const char* key) {
    if (!from.is_object() || !from.contains(key) || !from.at(key).is_number()) return;
    auto row = std::ranges::find(table_.rows, what, &ResultsTable::Row::what);
    if (row == table_.rows.end()) {
      table_.rows.push_back({what, std::vector<std::optional<double>>(table_.columns.size())});
      row = table_.rows.end() - 1;
    }
    row->values[column] = 100 * from.at(key).get<double>();
  }

  std::vector<fs::path> runs_;
  ResultsTable table_;
};

}  // namespace

ResultsTable results_table(const std::vector<fs::path>& runs, const std::vector<fs::path>& classifiers) {
  Collector all(runs);
  // The rows of one task follow each other, whichever runs have results of it.
  for (const char* task : {"zeroshot_retrieval", "zeroshot_classification", "knn", "pointing"}) {
    for (size_t run = 0; run < runs.size(); ++run) {
      for (const Evaluation& evaluation : read_evaluations(runs[run])) {
        const Json json = Json::parse(evaluation.json);
        if (json.value("task", "") == task) all.add_evaluation(json, run);
      }
    }
  }
  for (const fs::path& folder : classifiers) all.add_classifier(folder);
  return all.finish();
}

std::string table_text(const ResultsTable& table) {
  if (table.rows.empty()) return "no results yet\n";
  size_t first = 8;
  for (const auto& row : table.rows) first = std::max(first, row.what.size());
  std::string text = fmt::format("{:<{}}", "%", first);
  for (const std::string& column : table.columns) text += fmt::format("  {:>10}", column);
  text += "\n";
  for (const auto& row : table.rows) {
    text += fmt::format("{:<{}}", row.what, first);
    for (size_t c = 0; c < row.values.size(); ++c) {
      const std::string value = row.values[c] ? fmt::format("{:.1f}", *row.values[c]) : "-";
      text += fmt::format("  {:>{}}", value, std::max<size_t>(10, table.columns[c].size()));
    }
    text += "\n";
  }
  return text;
}

std::string table_html(const ResultsTable& table) {
  if (table.rows.empty()) return "";
  std::string html = "<table class=\"results\"><tr><th>%</th>";
  for (const std::string& column : table.columns) html += fmt::format("<th>{}</th>", escape_xml(column));
  html += "</tr>\n";
  for (const auto& row : table.rows) {
    html += fmt::format("<tr><td>{}</td>", escape_xml(row.what));
    for (const auto& value : row.values) {
      html += fmt::format("<td class=\"number\">{}</td>", value ? fmt::format("{:.1f}", *value) : "–");
    }
    html += "</tr>\n";
  }
  return html + "</table>\n";
}

}  // namespace tessera::rils
