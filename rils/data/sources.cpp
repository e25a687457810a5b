#include "rils/data/sources.h"

#include <fmt/format.h>
#include <glob.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <system_error>

#include "engine/core/error.h"

namespace tessera::rils {
namespace {

constexpr size_t kMaxWords = 1'000'000, kMaxBytes = 256 << 20;  // of all words
constexpr int kMaxBraces = 256;                                 // in a word, since they are expanded by recursion

/// The index of the brace that closes the one at `open`, or nullopt.
std::optional<size_t> closing_brace(std::string_view word, size_t open) {
  int depth = 0;
  for (size_t i = open; i < word.size(); ++i) {
    if (word[i] == '{') ++depth;
    if (word[i] == '}' && --depth == 0) return i;
  }
  return std::nullopt;
}

std::vector<std::string_view> split_commas(std::string_view body) {
  std::vector<std::string_view> parts;
  int depth = 0;
  size_t begin = 0;
  for (size_t i = 0; i < body.size(); ++i) {
    if (body[i] == '{') ++depth;
    if (body[i] == '}') --depth;
    if (body[i] == ',' && depth == 0) {
      parts.push_back(body.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  parts.push_back(body.substr(begin));
  return parts;
}

std::optional<int64_t> whole_number(std::string_view text) {
  int64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// The words of "00..12", or nullopt when the body is not a range.
std::optional<std::vector<std::string>> expand_range(std::string_view body) {
  const size_t dots = body.find("..");
  if (dots == std::string_view::npos) return std::nullopt;
  const std::string_view first = body.substr(0, dots), last = body.substr(dots + 2);
  const auto from = whole_number(first), to = whole_number(last);
  if (!from || !to || *from < 0 || *to < 0) return std::nullopt;
  const bool is_padded = (first.size() > 1 && first[0] == '0') || (last.size() > 1 && last[0] == '0');
  const size_t width = is_padded ? std::max(first.size(), last.size()) : 0;
  const int64_t step = *from <= *to ? 1 : -1;
  const uint64_t count = static_cast<uint64_t>(std::abs(*to - *from)) + 1;
  if (count > kMaxWords)
    throw ConfigError(fmt::format("{{{}}} expands to {} names; at most {} are allowed", body, count, kMaxWords));
  std::vector<std::string> words;
  words.reserve(count);
  for (int64_t n = *from; words.size() < count; n += step) words.push_back(fmt::format("{:0{}}", n, width));
  return words;
}

bool is_remote(std::string_view path) {
  const size_t colon = path.find("://");
  return path.starts_with("pipe:") || (colon != std::string_view::npos && colon > 0 && colon < 8);
}

std::vector<std::filesystem::path> expand_glob(const std::string& pattern) {
  glob_t found{};
  const int code = ::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found);
  std::vector<std::filesystem::path> paths;
  for (size_t i = 0; code == 0 && i < found.gl_pathc; ++i) paths.emplace_back(found.gl_pathv[i]);
  ::globfree(&found);
  if (paths.empty()) throw ConfigError(fmt::format("{}: no file matches this pattern", pattern));
  std::ranges::sort(paths, [](const auto& a, const auto& b) { return natural_less(a.native(), b.native()); });
  return paths;
}

size_t bytes_of(const std::vector<std::string>& words) {
  size_t bytes = 0;
  for (const auto& word : words) bytes += word.size();
  return bytes;
}

std::vector<std::string> expand(std::string_view word) {
  const size_t open = word.find('{');
  if (open == std::string_view::npos) return {std::string(word)};
  const auto close = closing_brace(word, open);
  if (!close) throw ConfigError(fmt::format("{}: a brace is not closed", word));
  const std::string_view head = word.substr(0, open), body = word.substr(open + 1, *close - open - 1);
  std::vector<std::string> middles;
  if (auto range = expand_range(body)) {
    middles = std::move(*range);
  } else {
    for (const auto part : split_commas(body))
      for (auto& w : expand(part)) middles.push_back(std::move(w));
  }
  const std::vector<std::string> tails = expand(word.substr(*close + 1));
  if (middles.size() > kMaxWords / tails.size())
    throw ConfigError(fmt::format("{}: expands to more than {} names", word, kMaxWords));
  const size_t fixed = head.size() * middles.size() * tails.size();
  if (fixed + bytes_of(middles) * tails.size() + bytes_of(tails) * middles.size() > kMaxBytes)
    throw ConfigError(fmt::format("{}: expands to names of more than {} bytes", word, kMaxBytes));
  std::vector<std::string> words;
  words.reserve(middles.size() * tails.size());
  // The first brace varies slowest, as in a shell.
  for (const auto& middle : middles)
    for (const auto& tail : tails) words.push_back(fmt::format("{}{}{}", head, middle, tail));
  return words;
}

}  // namespace

std::vector<std::string> expand_braces(std::string_view word) {
  if (const auto braces = std::ranges::count(word, '{'); braces > kMaxBraces)
    throw ConfigError(fmt::format("{}…: expected at most {} braces, found {}", word.substr(0, 40), kMaxBraces, braces));
  return expand(word);
}

bool natural_less(std::string_view a, std::string_view b) {
  const auto digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (!digit(a[i]) || !digit(b[j])) {
      if (a[i] != b[j]) return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[j]);
      ++i, ++j;
      continue;
    }
    const auto run = [&](std::string_view text, size_t& at) {
      while (at < text.size() && text[at] == '0') ++at;
      const size_t begin = at;
      while (at < text.size() && digit(text[at])) ++at;
      return text.substr(begin, at - begin);
    };
    const std::string_view x = run(a, i), y = run(b, j);
    if (x.size() != y.size()) return x.size() < y.size();
    if (x != y) return x < y;
  }
  if (i < a.size() || j < b.size()) return j < b.size();
  return a < b;  // "01" and "1" are equal numbers, so bytes decide
}

std::vector<std::filesystem::path> expand_sources(std::string_view sources) {
  std::vector<std::filesystem::path> paths;
  for (size_t begin = 0; begin <= sources.size();) {
    const size_t end = std::min(sources.find("::", begin), sources.size());
    const std::string_view part = sources.substr(begin, end - begin);
    begin = end + 2;
    if (part.empty()) throw ConfigError(fmt::format("data source '{}' has an empty part", sources));
    if (is_remote(part))
      throw ConfigError(fmt::format("{}: expected a local file or folder; download the data first", part));
    // The name of an existing file may contain braces or stars.
    std::error_code ignored;
    const bool literal = std::filesystem::exists(part, ignored);
    for (const auto& word : literal ? std::vector{std::string(part)} : expand_braces(part)) {
      if (!literal && word.find_first_of("*?[") != std::string::npos) {
        for (auto& path : expand_glob(word)) paths.push_back(std::move(path));
        continue;
      }
      if (!literal && !std::filesystem::exists(word, ignored))
        throw IoError(fmt::format("{}: the file or folder does not exist", word));
      paths.emplace_back(word);
    }
  }
  return paths;
}

bool is_folder(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

std::vector<std::filesystem::path> list_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::directory_iterator it(folder, error);
  if (error) throw IoError(fmt::format("{}: cannot list: {}", folder.string(), error.message()));
  std::vector<std::filesystem::path> entries;
  for (; it != std::filesystem::directory_iterator(); it.increment(error)) {
    if (error) throw IoError(fmt::format("{}: cannot list: {}", folder.string(), error.message()));
    if (!it->path().filename().native().starts_with('.')) entries.push_back(it->path());
  }
  std::ranges::sort(entries, [](const auto& a, const auto& b) { return natural_less(a.native(), b.native()); });
  return entries;
}

}  // namespace tessera::rils
