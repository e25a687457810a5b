#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "rils/prepare/concepts.h"
#include "rils/prepare/cutout.h"
#include "rils/prepare/default_data.h"

namespace tessera {
class ThreadPool;
}

namespace tessera::rils {

/// The paths of the Debian packages' files.
struct DefaultAssets {
  std::filesystem::path clipart, emoji_font, emoji_names, fashion, rsvg_convert;
};

/// Returns the path. Throws IoError with the path and the Debian package when it does not exist.
std::filesystem::path require_asset(const std::filesystem::path& path, std::string_view package);

/// Finds the files of all packages. Throws IoError with the path and the package of the first that is missing.
[[nodiscard]] DefaultAssets find_assets(const std::filesystem::path& folder);

/// All usable cut-outs of both sources without near-duplicates: emoji first, then clip art sorted by path. Counts are
/// written to the report.
[[nodiscard]] std::vector<Cutout> gather_cutouts(const DefaultAssets& assets, const ConceptTable& table,
                                                 const std::filesystem::path& cache, ThreadPool& pool,
                                                 DefaultDataReport& report, const PrepareProgress& progress);

}  // namespace tessera::rils
