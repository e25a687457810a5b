#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "rils/prepare/concepts.h"

namespace tessera::rils {

/// What an SVG's RDF says: the work's own dc:title (not its creator's) and its keywords, entities resolved.
struct SvgMetadata {
  std::string title;
  std::vector<std::string> keywords;
};

/// Reads the cc:Work element wherever it stands. A file without one, cut or malformed, gives what could be read; never
/// throws.
[[nodiscard]] SvgMetadata parse_svg_metadata(std::string_view svg);

/// The metadata and the path as plain words. Titles that openclipart gives to whole series ("Etiquette Icons") are
/// dropped; so is the author's name that the collection appends to file names, where the title shows where it begins.
[[nodiscard]] PictureWords picture_words(std::string_view relative_path, const SvgMetadata& metadata);

/// Whether the picture is none of one thing: images converted from bitmaps, desktop themes, outlines, silhouettes and
/// black-and-white versions, pairs and stacks.
[[nodiscard]] bool is_unwanted(std::string_view relative_path, const SvgMetadata& metadata);

struct ClipartFile {
  std::filesystem::path path;
  std::string relative_path;
  int concept_index = 0;
};

/// The SVGs of a collection that show a concept of the table, in the order of their paths. An unreadable file is passed
/// over. Throws IoError when `root` is no folder.
[[nodiscard]] std::vector<ClipartFile> find_clipart(const std::filesystem::path& root, const ConceptTable& table);

}  // namespace tessera::rils
