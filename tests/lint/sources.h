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
/// The target of each include, in order; of those in quotes alone.
[[nodiscard]] std::vector<std::string> includes(const std::string& text);
[[nodiscard]] std::vector<std::string> includes_of_ours(const std::string& text);
/// A header of the standard library, by its name.
[[nodiscard]] bool is_standard(const std::string& header);
/// The headers of the toolkit, and the emulator's, that device code may include.
[[nodiscard]] bool is_for_device(const std::string& header);

}  // namespace tessera::test
