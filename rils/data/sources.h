#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::rils {

/// Brace expansion as in a shell: `a{00..12}b` (both ends included, padded with zeros to the width of a padded end,
/// counting down when the first is larger), `a{x,y,z}b`, several in one word, nested. Without a brace the word itself.
/// Throws ConfigError for a brace that does not close, or above a million words.
[[nodiscard]] std::vector<std::string> expand_braces(std::string_view word);

/// What a list of sources names: parts joined by `::`, each with braces, then globs (`*`, `?`, `[…]`) expanded. Matches
/// of a glob come in natural order (2 before 10). Every path exists; throws ConfigError for an empty list, a URL, or a
/// glob without a match, and IoError that names the first missing path.
[[nodiscard]] std::vector<std::filesystem::path> expand_sources(std::string_view sources);

/// Names compared with their numbers as numbers: "2.tar" before "10.tar".
[[nodiscard]] bool natural_less(std::string_view a, std::string_view b);

/// Entries of a folder whose names do not start with a dot, in natural order. Throws IoError.
[[nodiscard]] std::vector<std::filesystem::path> list_folder(const std::filesystem::path& folder);

}  // namespace tessera::rils
