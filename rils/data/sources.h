#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::rils {

/// Expands braces as a shell does: `a{00..12}b` (both ends included, zero-padded when an end is, counting down when the
/// first end is larger) and `a{x,y,z}b`; a word may hold several braces, also nested ones. A word without braces is
/// returned as it is. Throws ConfigError for a brace that is not closed, and for more than 256 braces, a million
/// words, or words of 256 MiB together.
[[nodiscard]] std::vector<std::string> expand_braces(std::string_view word);

/// The paths that a list of sources names. The list is split at `::`; in each part braces, then globs (`*`, `?`, `[…]`)
/// are expanded. The matches of a glob are in natural order (2 before 10). Throws ConfigError for an empty list, a URL
/// or a glob without a match, and IoError for the first path that does not exist.
[[nodiscard]] std::vector<std::filesystem::path> expand_sources(std::string_view sources);

/// Orders names by the values of the numbers in them: "2.tar" comes before "10.tar".
[[nodiscard]] bool natural_less(std::string_view a, std::string_view b);

/// Whether a path is an existing folder.
[[nodiscard]] bool is_folder(const std::filesystem::path& path);

/// The entries of a folder in natural order, without names that start with a dot. Throws IoError.
[[nodiscard]] std::vector<std::filesystem::path> list_folder(const std::filesystem::path& folder);

}  // namespace tessera::rils
