#include "rils/prepare/clipart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/text/ascii.h"
#include "rils/text/english.h"
#include "rils/text/unicode.h"

namespace tessera::rils {
namespace {

/// The code point of a numeric entity, "#65" or "#x41"; 0 for anything else.
uint32_t numeric_entity(std::string_view name) {
  if (!name.starts_with('#')) return 0;
  name.remove_prefix(1);
  const bool hex = name.starts_with('x') || name.starts_with('X');
  if (hex) name.remove_prefix(1);
  uint32_t value = 0;
  for (const char c : name) {
    const int digit = c >= '0' && c <= '9'          ? c - '0'
                      : hex && c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : hex && c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                    : -1;
    if (digit < 0 || value > 0x110000) return 0;
    value = value * (hex ? 16u : 10u) + static_cast<uint32_t>(digit);
  }
  return value < 0x110000 ? value : 0;
}

std::string resolve_entities(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, char>, 5> kNamed = {
      {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}}};
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t end = text[i] == '&' ? text.find(';', i) : std::string_view::npos;
    if (end == std::string_view::npos || end - i > 10) {
      out += text[i];
      continue;
    }
    const std::string_view name = text.substr(i + 1, end - i - 1);
    const auto* named = std::ranges::find(kNamed, name, &std::pair<std::string_view, char>::first);
    if (named != kNamed.end()) {
      out += named->second;
    } else if (const uint32_t c = numeric_entity(name); c != 0) {
      unicode::append(out, c);
    } else {
      out += ' ';  // other named characters are no letters of plain words
    }
    i = end;
  }
  return out;
}

/// An opening, closing or empty tag.
struct Tag {
  std::string_view name;
  bool closing = false, empty = false;
};

Tag parse_tag(std::string_view inside) {
  Tag tag;
  tag.closing = inside.starts_with('/');
  tag.empty = inside.ends_with('/');
  if (tag.closing) inside.remove_prefix(1);
  tag.name = inside.substr(0, inside.find_first_of(" \t\r\n/"));
  return tag;
}

bool contains_word(std::string_view words, std::string_view word) {
  const auto list = split_at_blanks(words);
  return std::ranges::find(list, word) != list.end();
}

std::string_view file_stem(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  return name.substr(0, name.rfind('.'));
}

/// Whether a title belongs to a whole series. "Clipart by NAME - pear" also occurs in files that show something else.
bool is_series_title(std::string_view title) {
  static constexpr std::array<std::string_view, 15> kSeries = {
      "clipart by",   "various clipart",   "etiquette icons", "aiga",           "card",        "svg gradient",
      "r sibmission", "r general",         "map symbols",     "svg road signs", "advertising", "part of the flat",
      "sallite",      "blueberry iconset", "menu clip art"};
  return std::ranges::any_of(kSeries, [&](std::string_view s) { return title.starts_with(s); });
}

}  // namespace

SvgMetadata parse_svg_metadata(std::string_view svg) {
  SvgMetadata out;
  const size_t begin = svg.find("<cc:Work");
  if (begin == std::string_view::npos) return out;
  const std::string_view work = svg.substr(begin, svg.find("</cc:Work", begin) - begin);
  size_t agents = 0;
  for (size_t at = work.find('<'); at != std::string_view::npos; at = work.find('<', at + 1)) {
    if (work.substr(at).starts_with("<!--")) {
      at = work.find("-->", at);
      if (at == std::string_view::npos) break;
      continue;
    }
    const size_t close = work.find('>', at);
    if (close == std::string_view::npos) break;
    const Tag tag = parse_tag(work.substr(at + 1, close - at - 1));
    if (tag.name == "cc:Agent" && !tag.empty) {
      if (!tag.closing) ++agents;
      if (tag.closing && agents > 0) --agents;
    }
    if (tag.closing || tag.empty || agents > 0) continue;
    const std::string_view text = work.substr(close + 1, work.find('<', close) - close - 1);
    if (tag.name == "dc:title" && out.title.empty()) out.title = trim(resolve_entities(text));
    if (tag.name == "rdf:li")
      if (const std::string keyword(trim(resolve_entities(text))); !keyword.empty()) out.keywords.push_back(keyword);
  }
  return out;
}

PictureWords picture_words(std::string_view relative_path, const SvgMetadata& metadata) {
  PictureWords out;
  out.path = relative_path;
  out.title = plain_words(metadata.title);
  if (is_series_title(out.title)) out.title.clear();
  out.file = plain_words(file_stem(relative_path));
  // In "wooden_table_benji_park_01.svg" the words after those of the title are the author's name.
  if (!out.title.empty() && out.file.starts_with(out.title)) out.file = out.title;
  return out;
}

bool is_unwanted(std::string_view relative_path, const SvgMetadata& metadata) {
  for (const std::string_view folder : {"special/", "transportation/aiga-symbols/", "transportation/roadsigns/",
                                        "computer/icons/", "computer/buttons/", "unsorted/duplicates/"})
    if (relative_path.starts_with(folder)) return true;
  if (relative_path.find("lemon_theme_icon") != std::string_view::npos) return true;
  for (const std::string_view series : {"R16 ", "SVG Road", "Road Sign", "AIGA"})  // labels with bar codes, and signs
    if (metadata.title.starts_with(series)) return true;
  static constexpr std::array<std::string_view, 6> kKeywords = {"magick",   "theme",    "silhouette",
                                                                "coloring", "silhouet", "icon theme"};
  for (const std::string& keyword : metadata.keywords)
    if (std::ranges::find(kKeywords, keyword) != kKeywords.end()) return true;
  // The last of the words is the author of labels with bar codes.
  const std::string text = plain_words(metadata.title) + ' ' + plain_words(file_stem(relative_path));
  for (const std::string_view part : {"(B and W", "&"})
    if (metadata.title.find(part) != std::string::npos) return true;
  static constexpr std::array<std::string_view, 19> kWords = {
      "bw",   "contour", "contorno", "outline", "silhouette", "silhouet", "sketch", "blueprint",  "bn",    "diagram",
      "logo", "sign",    "map",      "and",     "e",          "stack",    "icon",   "collection", "mateya"};
  return std::ranges::any_of(kWords, [&](std::string_view w) { return contains_word(text, w); });
}

std::vector<ClipartFile> find_clipart(const std::filesystem::path& root, const ConceptTable& table) {
  std::error_code error;
  if (!std::filesystem::is_directory(root, error))
    throw IoError(fmt::format("{}: expected a folder, found none", root.string()));
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root, error)) {
    std::error_code ignored;
    if (!entry.is_regular_file(ignored) || entry.path().extension() != ".svg") continue;
    std::string relative = entry.path().lexically_relative(root).generic_string();
    if (table.looks_into(relative)) paths.push_back(std::move(relative));
  }
  std::ranges::sort(paths);
  std::vector<ClipartFile> out;
  for (const std::string& relative : paths) {
    std::string svg;
    try {
      svg = read_file(root / relative);
    } catch (const IoError&) {
      continue;
    }
    const SvgMetadata metadata = parse_svg_metadata(svg);
    if (is_unwanted(relative, metadata)) continue;
    if (const auto found = table.find_picture(picture_words(relative, metadata)))
      out.push_back({root / relative, relative, *found});
  }
  return out;
}

}  // namespace tessera::rils
