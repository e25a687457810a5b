#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace tessera::rils {

/// One self-contained HTML page of a run's folder: the sheet to look at first (pictures/sheet.svg, where `inspect
/// sheet` drew it), results beside those of `compare` (pre-training runs) and of `classifiers` (runs of finetune),
/// curves, the other pictures/*.svg, every figure of results/*.json and of the last validation, and the configuration.
/// Throws ConfigError when a folder is no run's, IoError when it cannot be read.
[[nodiscard]] std::string run_report(const std::filesystem::path& run,
                                     const std::vector<std::filesystem::path>& compare = {},
                                     const std::vector<std::filesystem::path>& classifiers = {});

}  // namespace tessera::rils
