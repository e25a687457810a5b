#pragma once

#include <filesystem>
#include <string>

namespace tessera::rils {

/// Writes CLIP's own vocabulary to `output`, gzipped and atomically. It comes from the Python package open_clip_torch
/// and is verified by its digest. `package` is the merges file itself, a wheel, or a folder in which the package is
/// installed or unpacked; if it is empty, pip downloads the wheel. Returns the number of ids, 49,408. Throws IoError.
int64_t write_clip_vocabulary(const std::filesystem::path& package, const std::filesystem::path& output);

}  // namespace tessera::rils
