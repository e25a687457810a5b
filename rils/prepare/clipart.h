#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "rils/prepare/concepts.h"

namespace tessera::rils {

/// The RDF metadata of an SVG: the dc:title of the work (not of its creator) and the keywords, with entities resolved.
struct SvgMetadata {
  std::string title;
  std::vector<std::string> keywords;
};

/// Reads the cc:Work element, wherever it is in the file. Of a truncated or malformed file, whatever can be read is
/// returned; never throws.
[[nodiscard]] SvgMetadata parse_svg_metadata(std::string_view svg);

/// The metadata and the path as plain words. Titles that openclipart gives to a whole series ("Etiquette Icons") are
/// dropped. So is the author's name at the end of a file name, when the title shows where it begins.
[[nodiscard]] PictureWords picture_words(std::string_view relative_path, const SvgMetadata& metadata);

/// Whether a picture is unsuitable: images converted from bitmaps, desktop themes, outlines, silhouettes,
/// black-and-white versions, pairs and stacks.
[[nodiscard]] bool is_unwanted(std::string_view relative_path, const SvgMetadata& metadata);

struct ClipartFile {
  std::filesystem::path path;
  std::string relative_path;
  int concept_index = 0;
};

/// The SVGs of a collection that show a concept of the table, sorted by path. Unreadable files are ignored. Throws
/// IoError when `root` is not a folder.
[[nodiscard]] std::vector<ClipartFile> find_clipart(const std::filesystem::path& root, const ConceptTable& table);

}  // namespace tessera::rils
