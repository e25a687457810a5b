#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace tessera::rils {

/// Runs a program, which is looked up in PATH, without input and output, and kills it after `limit`. Its standard error
/// is written to the file `errors`. Returns the reason of a failure, or "" on success.
[[nodiscard]] std::string run_program(const std::vector<std::string>& words, std::chrono::seconds limit,
                                      const std::filesystem::path& errors = "/dev/null");

}  // namespace tessera::rils
