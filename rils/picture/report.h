#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace tessera::rils {

/// One self-contained HTML page of a run's folder: the overview (pictures/sheet.svg, if `inspect sheet` drew it), a
/// table of results together with those of `compare` (pre-training runs) and of `classifiers` (runs of finetune),
/// curves, the other pictures/*.svg, all values of results/*.json and of the last validation, and the configuration.
/// Throws ConfigError for a folder without a run, IoError when a file cannot be read.
[[nodiscard]] std::string run_report(const std::filesystem::path& run,
                                     const std::vector<std::filesystem::path>& compare = {},
                                     const std::vector<std::filesystem::path>& classifiers = {});

}  // namespace tessera::rils
