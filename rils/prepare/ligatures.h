#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

namespace tessera::rils {

/// The ligatures of an OpenType font: sequences of glyphs that are drawn as one glyph. Emoji fonts store "woman +
/// joiner + ear of rice" in this way. All ligature substitutions are used (lookup type 4, also inside extensions of
/// type 7), for any feature, because a sequence is looked up as a whole and no text is shaped.
class Ligatures {
 public:
  Ligatures() = default;
  /// `gsub` holds the bytes of the font's GSUB table. Throws IoError for an offset outside the table, or for more
  /// ligatures than fit into it.
  explicit Ligatures(std::span<const std::byte> gsub);

  [[nodiscard]] std::optional<uint16_t> find(const std::vector<uint16_t>& glyphs) const;
  [[nodiscard]] size_t size() const { return glyph_of_.size(); }

 private:
  std::map<std::vector<uint16_t>, uint16_t> glyph_of_;
};

}  // namespace tessera::rils
