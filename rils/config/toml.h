#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "rils/config/config.h"

namespace tessera::rils {

/// Sets the keys that a TOML text has; the others stay. `origin` is the file's name for messages, which have the form
/// `run.toml:12: optim.lr: expected a number of at least 0, found "fast"`. Throws ConfigError for bad syntax, an
/// unknown section or key (with the nearest known one), a wrong type or a value out of range. What holds between keys
/// is left to check_config, since options may follow. A text of more than 1 MiB is refused before it is parsed.
void merge_toml(Config& config, std::string_view text, std::string_view origin);
/// Defaults overridden by a file. Throws IoError when it cannot be read, and what merge_toml throws.
[[nodiscard]] Config load_config(const std::filesystem::path& path);

/// Every key. Reading it back gives an equal Config.
[[nodiscard]] std::string to_toml(const Config& config);

}  // namespace tessera::rils
