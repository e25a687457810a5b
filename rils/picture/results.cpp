#include "rils/picture/results.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "rils/config/toml.h"
#include "rils/eval/result_file.h"
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
constexpr std::array<Headline, 10> kHeadlines = {
    {{"zeroshot_retrieval", "image_retrieval_recall@1", "text to image, R@1"},
     {"zeroshot_retrieval", "image_retrieval_recall@10", "text to image, R@10"},
     {"zeroshot_retrieval", "text_retrieval_recall@1", "image to text, R@1"},
     {"zeroshot_retrieval", "text_retrieval_recall@10", "image to text, R@10"},
     {"zeroshot_classification", "acc1", "zero-shot, top 1"},
     {"knn", "acc1", "nearest neighbours, top 1"},
     {"pointing", "share", "energy-based pointing game"},
     {"pointing", "hit", "pointing game"},
     {"linear_probe", "lp_acc1", "probe, top 1"},
     {"finetuning", "acc1", "fine-tuning, top 1"}}};
constexpr std::array kTasks = {"zeroshot_retrieval", "zeroshot_classification", "knn", "pointing", "linear_probe",
                               "finetuning"};

/// "linear probe", "linear probe by LARS", "10 images a class, probe" or "fine-tuning on 10 % of the images".
enum class Trained : uint8_t { classifier, probe, by_lars };
std::string training_label(Trained what, int64_t shots, double fraction) {
  if (shots > 0) return fmt::format("{} image{} a class, probe", shots, shots == 1 ? "" : "s");
  const std::string how = what == Trained::classifier ? "fine-tuning"
                          : what == Trained::by_lars  ? "linear probe by LARS"
                                                      : "linear probe";
  return fraction < 1 ? fmt::format("{} on {:g} % of the images", how, 100 * fraction) : how;
}

/// A number of a JSON object, or `otherwise`.
double number_of(const Json& from, const char* key, double otherwise) {
  return from.is_object() && from.contains(key) && from.at(key).is_number() ? from.at(key).get<double>() : otherwise;
}
std::string text_of(const Json& from, const char* key) {
  return from.contains(key) && from.at(key).is_string() ? from.at(key).get<std::string>() : std::string();
}

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
    const std::string task = text_of(json, "task"), from = text_of(json, "pretrained");
    const size_t column = from == "untrained" ? untrained() : from == "pixels" ? pixels() : run;
    const Json& metrics = json.at("metrics");
    for (const Headline& h : kHeadlines) {
      if (task != h.task) continue;
      std::string what = h.what;
      if (task == "linear_probe" || task == "finetuning") {
        const Trained kind = task == "finetuning"                           ? Trained::classifier
                             : text_of(json, "setting").starts_with("lars") ? Trained::by_lars
                                                                            : Trained::probe;
        what = training_label(kind, std::llround(number_of(metrics, "fewshot_k", 0)),
                              number_of(metrics, "train_fraction", 1)) +
               ", top 1";
      }
      std::string row = fmt::format("{} ({})", what, text_of(json, "dataset"));
      // Two data sets of one name.
      if (has(row, column) && json.contains("data"))
        row = fmt::format("{} ({}: {})", what, text_of(json, "dataset"), text_of(json, "data"));
      set(row, column, metrics, h.key);
      if (json.contains("chance")) set(row, chance(), json.at("chance"), h.key);
      // Pointing has its chance among its metrics.
      if (task == "pointing") set(row, chance(), metrics, "chance");
    }
  }

  /// The run's own last validation of a task, where nothing was evaluated on these data.
  void add_validation(const char* task, const fs::path& folder, size_t run) {
    const Config config = load_config(RunFolder::open(folder).config());
    const bool pairs = task == std::string_view("zeroshot_retrieval");
    if (!pairs && task != std::string_view("zeroshot_classification")) return;
    const std::string& data = pairs ? config.data.val_data : config.data.zeroshot_data;
    if (data.empty() || !config.finetune.data_path.empty()) return;
    const std::vector<std::string> lines = read_json_lines(RunFolder::open(folder).results());
    for (const Headline& h : kHeadlines) {
      if (h.task != std::string_view(task)) continue;
      const std::string what = fmt::format("{} ({})", h.what, dataset_label(data));
      const std::string key = pairs ? h.key : fmt::format("zeroshot_{}", h.key);
      for (auto line = lines.rbegin(); line != lines.rend() && !has(what, run); ++line) {
        set(what, run, Json::parse(*line), key.c_str());
      }
    }
  }

  /// The results of a run of finetune, if it is one, in its own column.
  void add_own(const fs::path& folder, size_t run) {
    const Config config = load_config(RunFolder::open(folder).config());
    if (!config.finetune.data_path.empty()) add_lines(config, folder, run);
  }

  void add_classifier(const fs::path& folder) {
    const Config config = load_config(RunFolder::open(folder).config());
    if (config.finetune.data_path.empty()) {
      throw ConfigError(fmt::format("{}: expected a run of finetune", folder.string()));
    }
    add_lines(config, folder, owner(config.finetune.finetune, folder));
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

  void add_lines(const Config& config, const fs::path& folder, size_t column) {
    const FinetuneConfig& f = config.finetune;
    // A later line replaces an earlier one: the last epoch counts, and the mean that follows the draws.
    for (const std::string& text : read_json_lines(RunFolder::open(folder).results())) {
      const Json line = Json::parse(text);
      const Trained kind = f.probe == ProbeKind::lars             ? Trained::by_lars
                           : f.linear || line.contains("lp_acc1") ? Trained::probe
                                                                  : Trained::classifier;
      const std::string how = training_label(kind, std::llround(number_of(line, "shots", 0)), f.train_fraction);
      const std::string what = fmt::format("{}, top 1 ({})", how, dataset_label(f.data_path));
      set(what, column, line, line.contains("lp_acc1") ? "lp_acc1" : "acc1");
      if (f.nb_classes > 0) set(what, chance(), Json{{"chance", 1.0 / static_cast<double>(f.nb_classes)}}, "chance");
    }
  }

  [[nodiscard]] bool has(const std::string& what, size_t column) const {
    const auto row = std::ranges::find(table_.rows, what, &ResultsTable::Row::what);
    return row != table_.rows.end() && row->values[column].has_value();
  }

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
  for (const char* task : kTasks) {
    for (size_t run = 0; run < runs.size(); ++run) {
      for (const Evaluation& evaluation : read_evaluations(runs[run])) {
        const Json json = Json::parse(evaluation.json);
        if (text_of(json, "task") == task) all.add_evaluation(json, run);
      }
      all.add_validation(task, runs[run], run);
    }
  }
  for (size_t run = 0; run < runs.size(); ++run) all.add_own(runs[run], run);
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
