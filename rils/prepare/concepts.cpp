#include "rils/prepare/concepts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "engine/core/error.h"
#include "rils/text/ascii.h"
#include "rils/text/english.h"

namespace tessera::rils {
namespace {

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> out;
  for (const std::string_view part : split(text, ','))
    if (const auto item = trim(part); !item.empty()) out.emplace_back(item);
  return out;
}

bool is_preposition(std::string_view word) {
  static constexpr std::array<std::string_view, 11> kWords = {"on",   "in",    "with", "of",   "under", "by",
                                                              "from", "drawn", "clip", "icon", "symbol"};
  return std::ranges::find(kWords, word) != kWords.end();
}

std::string join(const std::vector<std::string_view>& words, size_t begin, size_t end) {
  std::string out;
  for (size_t i = begin; i < end; ++i) {
    if (i > begin) out += ' ';
    out += words[i];
  }
  return out;
}

constexpr size_t kLongestPhrase = 5;  // words

}  // namespace

ConceptTable ConceptTable::parse(std::string_view text) {
  ConceptTable table;
  int line_number = 0;
  for (const std::string_view line : split(text, '\n')) {
    ++line_number;
    std::string_view body = trim(line);
    if (body.empty() || body.front() == '#') continue;
    if (body.starts_with("- ")) {
      for (const std::string& name : split_list(body.substr(2))) table.phrases_[plain_words(name)];
      continue;
    }
    const size_t colon = body.find(':');
    std::string_view name = trim(body.substr(0, colon));
    auto rest = split_list(colon == std::string_view::npos ? std::string_view{} : body.substr(colon + 1));
    const bool mass = name.starts_with('~');
    if (mass) name.remove_prefix(1);
    if (name.empty())
      throw ConfigError(fmt::format("concept table: line {}: expected a name, found none", line_number));
    if (line.front() != ' ' && line.front() != '\t') {
      table.groups_.push_back({std::string(name), std::move(rest)});
      continue;
    }
    if (table.groups_.empty())
      throw ConfigError(
          fmt::format("concept table: line {}: expected a group before '{}', found none", line_number, name));
    if (std::ranges::any_of(table.concepts_, [&](const Concept& c) { return c.name == name; }))
      throw ConfigError(fmt::format("concept table: line {}: '{}' occurs twice", line_number, name));
    const int index = static_cast<int>(table.concepts_.size());
    table.concepts_.push_back({std::string(name), static_cast<int>(table.groups_.size()) - 1, mass});
    table.add_phrase(std::string(name), index);
    for (const std::string& other : rest) table.add_phrase(other, index);
  }
  return table;
}

void ConceptTable::add_phrase(const std::string& phrase, int concept_index) {
  const std::string words = plain_words(phrase);
  auto& owners = phrases_[phrase.starts_with('=') ? '=' + words : words];
  if (std::ranges::find(owners, concept_index) == owners.end()) owners.push_back(concept_index);
}

bool ConceptTable::group_allows(int group, std::string_view path) const {
  const auto& folders = groups_[static_cast<size_t>(group)].folders;
  return std::ranges::any_of(folders, [&](const std::string& folder) {
    return path.starts_with(folder) && path.size() > folder.size() && path[folder.size()] == '/';
  });
}

bool ConceptTable::looks_into(std::string_view path) const {
  for (size_t g = 0; g < groups_.size(); ++g)
    if (group_allows(static_cast<int>(g), path)) return true;
  return false;
}

std::optional<int> ConceptTable::find_phrase(std::string_view phrase, std::string_view path) const {
  const auto found = phrases_.find(std::string(phrase));
  if (found == phrases_.end()) return std::nullopt;
  if (found->second.empty()) return kNone;
  for (const int index : found->second)
    if (group_allows(concepts_[static_cast<size_t>(index)].group, path)) return index;
  return std::nullopt;
}

std::optional<int> ConceptTable::find_head(std::string_view text, std::string_view path) const {
  const auto words = split_at_blanks(text);
  const size_t longest = std::min(kLongestPhrase, words.size());
  for (size_t n = longest; n > 0; --n)
    if (const auto found = find_phrase(join(words, words.size() - n, words.size()), path)) return found;
  for (size_t n = longest; n > 0; --n)
    if (n < words.size() && is_preposition(words[n]))
      if (const auto found = find_phrase(join(words, 0, n), path)) return found;
  return std::nullopt;
}

std::optional<int> ConceptTable::find_emoji(std::string_view name) const {
  const std::string words = plain_words(name);
  for (const std::string_view prefix : {"", "man ", "woman ", "person "}) {
    if (!words.starts_with(prefix)) continue;
    const std::string name_part = words.substr(prefix.size());
    auto found = phrases_.find('=' + name_part);
    if (found == phrases_.end()) found = phrases_.find(name_part);
    if (found == phrases_.end() || found->second.empty()) continue;
    const int index = found->second.front();
    if (prefix.empty() || group_of(index).name == "person") return index;
  }
  return std::nullopt;
}

std::optional<int> ConceptTable::find_picture(const PictureWords& words) const {
  auto found = find_head(words.title, words.path);
  if (!found) found = find_head(words.file, words.path);
  return found == kNone ? std::nullopt : found;
}

}  // namespace tessera::rils
