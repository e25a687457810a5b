#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace tessera::rils {

/// The results of runs and baselines in %, a column for each.
struct ResultsTable {
  struct Row {
    std::string what;
    std::vector<std::optional<double>> values;  // one for each column
  };
  std::vector<std::string> columns;
  std::vector<Row> rows;
};

/// Collects the main results from results/*.json of runs (where `evaluate` and `finetune` gather them), from the runs'
/// own results.jsonl (the last validation, where nothing was evaluated on its data), and from results.jsonl of
/// classifiers (runs of `finetune`). A result goes to the column of the run whose checkpoint was used,
/// or to "untrained" for a network that began with its initial values. Raw pixels and chance have their own columns.
/// Empty columns are left out. Throws ConfigError for a folder without a run, and for a classifier that was not trained
/// from one of the runs.
[[nodiscard]] ResultsTable results_table(const std::vector<std::filesystem::path>& runs,
                                         const std::vector<std::filesystem::path>& classifiers);
/// The table for a terminal, and as HTML.
[[nodiscard]] std::string table_text(const ResultsTable& table);
[[nodiscard]] std::string table_html(const ResultsTable& table);

}  // namespace tessera::rils
