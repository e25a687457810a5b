#pragma once

#include <filesystem>
#include <initializer_list>
#include <regex>
#include <string>
#include <vector>

namespace tessera::test {

[[nodiscard]] std::filesystem::path source_root();
/// Files below folders of the source tree with one of these extensions, sorted.
[[nodiscard]] std::vector<std::filesystem::path> sources(std::initializer_list<const char*> folders,
                                                         std::initializer_list<const char*> extensions);
[[nodiscard]] std::string read(const std::filesystem::path& path);
/// Path relative to the source tree.
[[nodiscard]] std::string name_in_tree(const std::filesystem::path& path);
/// Whole match and groups of every match.
[[nodiscard]] std::vector<std::vector<std::string>> matches(const std::string& text, const char* pattern);

}  // namespace tessera::test
