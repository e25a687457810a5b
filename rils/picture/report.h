#pragma once

#include <filesystem>
#include <string>

namespace tessera::rils {

/// One self-contained HTML page of a run's folder: how it was started, curves, the last and best validation, the
/// results/*.json that `evaluate --output` left there, the pictures/*.svg, and the configuration. Throws ConfigError
/// when the folder is no run's, IoError when it cannot be read.
[[nodiscard]] std::string run_report(const std::filesystem::path& run);

}  // namespace tessera::rils
