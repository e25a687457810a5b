#pragma once

#include <filesystem>
#include <string>

namespace tessera::rils {

/// Writes CLIP's own vocabulary, as open_clip_torch ships it, to `output` (gzipped, atomically), once it is found to be
/// that. `package`: the merges file itself, a wheel, or a folder in which the package is installed or unpacked; empty:
/// pip downloads the wheel. Returns the number of ids, 49,408. Throws IoError.
int64_t write_clip_vocabulary(const std::filesystem::path& package, const std::filesystem::path& output);

}  // namespace tessera::rils
