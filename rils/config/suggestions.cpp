// What was most likely meant by a name that is not known.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "rils/config/schema.h"

namespace tessera::rils {
namespace {

using Words = std::vector<std::string_view>;

/// Insertions, deletions, replacements and swaps of neighbours that make one word of the other.
size_t edits(std::string_view word, std::string_view other) {
  // Three rows of the table of prefixes: two back (for swaps), one back, this one.
  std::vector<size_t> before(other.size() + 1), last(other.size() + 1), row(other.size() + 1);
  for (size_t j = 0; j <= other.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= word.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= other.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (word[i - 1] == other[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && word[i - 1] == other[j - 2] && word[i - 2] == other[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    before.swap(last);
    last.swap(row);
  }
  return last[other.size()];
}

std::string_view fewest_edits(std::string_view word, std::span<const std::string_view> candidates) {
  const auto best = std::ranges::min_element(candidates, {}, [&](std::string_view c) { return edits(word, c); });
  return best == candidates.end() ? std::string_view() : *best;
}

std::string_view name_of(std::string_view path) { return path.substr(path.rfind('.') + 1); }

/// A key of the same name in another section, or else one with a near name.
std::string_view nearest_key(std::string_view path) {
  Words names;
  for (const Key& key : schema()) names.push_back(key.name());
  const bool same = std::ranges::find(names, name_of(path)) != names.end();
  const std::string_view name = same ? name_of(path) : nearest(name_of(path), names);
  Words paths;
  for (const Key& key : schema()) {
    if (!name.empty() && key.name() == name) paths.push_back(key.path);
  }
  return fewest_edits(path, paths);
}

Words sections() {
  Words all;
  for (const Key& key : schema()) {
    if (std::ranges::find(all, key.section()) == all.end()) all.push_back(key.section());
  }
  return all;
}

}  // namespace

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
  constexpr size_t kShare = 3, kShortest = 3;
  const std::string_view best = fewest_edits(word, candidates);
  if (kShare * edits(word, best) <= std::max(word.size(), best.size())) return best;
  const auto begins = std::ranges::find_if(candidates, [&](std::string_view c) {
    return std::min(word.size(), c.size()) >= kShortest && (c.starts_with(word) || word.starts_with(c));
  });
  return begins == candidates.end() ? std::string_view() : *begins;
}

std::string unknown_key(std::string_view path) {
  const std::string text = fmt::format("unknown key {}", path);
  if (const std::string_view near = nearest_key(path); !near.empty()) {
    return fmt::format("{}; did you mean {}?", text, near);
  }
  const std::string_view section = path.substr(0, std::min(path.rfind('.'), path.size()));
  Words names;
  for (const Key& key : schema()) {
    if (key.section() == section) names.push_back(key.name());
  }
  if (names.empty()) return fmt::format("{}; the sections are {}", text, fmt::join(sections(), ", "));
  return fmt::format("{}; [{}] has {}", text, section, fmt::join(names, ", "));
}

std::string unknown_section(std::string_view path) {
  const Words all = sections();
  const std::string_view near = nearest(path, all);
  if (!near.empty()) return fmt::format("unknown section [{}]; did you mean [{}]?", path, near);
  return fmt::format("unknown section [{}]; the sections are {}", path, fmt::join(all, ", "));
}

}  // namespace tessera::rils
