#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace tessera::rils {

/// Runs a program, looked up in PATH, without input and output and ends it after `limit`. What it writes to its
/// standard error goes to the file `errors`. The reason when it fails, empty otherwise.
[[nodiscard]] std::string run_program(const std::vector<std::string>& words, std::chrono::seconds limit,
                                      const std::filesystem::path& errors = "/dev/null");

}  // namespace tessera::rils
