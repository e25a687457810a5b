#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace tessera::rils {

/// The lines of a text file without their ends (\n or \r\n), empty lines included. Throws IoError.
[[nodiscard]] std::vector<std::string> read_lines(const std::filesystem::path& path);

}  // namespace tessera::rils
