#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace tessera::rils {

/// A run's figures beside those of other runs and baselines, in per cent.
struct ResultsTable {
  struct Row {
    std::string what;
    std::vector<std::optional<double>> values;  // a column each
  };
  std::vector<std::string> columns;
  std::vector<Row> rows;
};

/// The headline figures that stand in results/*.json of pre-trained runs (as `evaluate --output` writes them) and in
/// the results.jsonl of classifiers (runs of `finetune`). A figure goes to the column of the run whose checkpoint it
/// was made with; what began with initial values goes to "untrained", raw pixels and chance have columns of their own.
/// Columns without a figure are left out. Throws ConfigError when a folder is no run's, or a classifier is of none of
/// the runs.
[[nodiscard]] ResultsTable results_table(const std::vector<std::filesystem::path>& runs,
                                         const std::vector<std::filesystem::path>& classifiers);
/// For a terminal, and for a page.
[[nodiscard]] std::string table_text(const ResultsTable& table);
[[nodiscard]] std::string table_html(const ResultsTable& table);

}  // namespace tessera::rils
