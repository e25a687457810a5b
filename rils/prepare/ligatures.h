#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

namespace tessera::rils {

/// The ligatures of an OpenType font: sequences of glyphs that are drawn as one, which is how fonts of emoji hold
/// "woman + joiner + ear of rice". Every ligature substitution (lookup type 4, also behind an extension of type 7)
/// counts, whatever feature it belongs to: no text is shaped here, a sequence is looked up as a whole.
class Ligatures {
 public:
  Ligatures() = default;
  /// `gsub`: the table's bytes. Throws IoError for an offset outside of the table, or more ligatures than fit in it.
  explicit Ligatures(std::span<const std::byte> gsub);

  [[nodiscard]] std::optional<uint16_t> find(const std::vector<uint16_t>& glyphs) const;
  [[nodiscard]] size_t size() const { return glyph_of_.size(); }

 private:
  std::map<std::vector<uint16_t>, uint16_t> glyph_of_;
};

}  // namespace tessera::rils
