#include "rils/prepare/ligatures.h"

#include <fmt/format.h>

#include "engine/core/error.h"

namespace tessera::rils {
namespace {

/// Reads big-endian numbers at checked offsets.
class Table {
 public:
  explicit Table(std::span<const std::byte> bytes) : bytes_(bytes) {}
  [[nodiscard]] size_t size() const { return bytes_.size(); }
  [[nodiscard]] uint16_t u16(size_t at) const {
    if (at > bytes_.size() || bytes_.size() - at < 2)
      throw IoError(fmt::format("font: GSUB table: offset {} is outside the table of {} bytes", at, bytes_.size()));
    return static_cast<uint16_t>(std::to_integer<unsigned>(bytes_[at]) << 8 |
                                 std::to_integer<unsigned>(bytes_[at + 1]));
  }
  [[nodiscard]] size_t u32(size_t at) const { return size_t{u16(at)} << 16 | u16(at + 2); }

 private:
  std::span<const std::byte> bytes_;
};

/// The glyphs of a coverage table, in order (OpenType 1.9, chapter 2, "Coverage Table").
std::vector<uint16_t> coverage_glyphs(const Table& table, size_t at) {
  std::vector<uint16_t> glyphs;
  const uint16_t format = table.u16(at), count = table.u16(at + 2);
  if (format == 1) {
    for (size_t i = 0; i < count; ++i) glyphs.push_back(table.u16(at + 4 + 2 * i));
  } else if (format == 2) {
    for (size_t i = 0; i < count; ++i) {
      const size_t range = at + 4 + 6 * i;
      const size_t first = table.u16(range), last = table.u16(range + 2);
      for (size_t g = first; g <= last && glyphs.size() < 65536; ++g) glyphs.push_back(static_cast<uint16_t>(g));
    }
  } else {
    throw IoError(fmt::format("font: GSUB table: expected coverage of format 1 or 2, found {}", format));
  }
  return glyphs;
}

}  // namespace

Ligatures::Ligatures(std::span<const std::byte> gsub) {
  constexpr size_t kLigature = 4, kExtension = 7;
  const Table table(gsub);
  // A component takes two bytes, so a valid table reads fewer words than it has bytes. Without this limit a table whose
  // offsets all point to the same place could take hours.
  size_t budget = table.size();
  const auto spend = [&](size_t words) {
    if (words > budget) throw IoError("font: GSUB table: the ligatures overlap");
    budget -= words;
  };
  const auto read_subtable = [&](size_t at) {
    const auto first_glyphs = coverage_glyphs(table, at + table.u16(at + 2));
    const size_t sets = table.u16(at + 4);
    for (size_t s = 0; s < sets && s < first_glyphs.size(); ++s) {
      const size_t set = at + table.u16(at + 6 + 2 * s);
      const size_t count = table.u16(set);
      spend(1);
      for (size_t i = 0; i < count; ++i) {
        const size_t ligature = set + table.u16(set + 2 + 2 * i);
        const size_t components = table.u16(ligature + 2);
        spend(components + 1);
        std::vector<uint16_t> glyphs = {first_glyphs[s]};
        for (size_t c = 1; c < components; ++c) glyphs.push_back(table.u16(ligature + 2 + 2 * c));
        glyph_of_.emplace(std::move(glyphs), table.u16(ligature));
      }
    }
  };
  const size_t lookups = table.u16(8);
  const size_t lookup_count = table.u16(lookups);
  for (size_t l = 0; l < lookup_count; ++l) {
    const size_t lookup = lookups + table.u16(lookups + 2 + 2 * l);
    const size_t type = table.u16(lookup), subtables = table.u16(lookup + 4);
    for (size_t s = 0; s < subtables; ++s) {
      size_t at = lookup + table.u16(lookup + 6 + 2 * s);
      size_t kind = type;
      spend(1);
      if (kind == kExtension) {
        kind = table.u16(at + 2);
        at += table.u32(at + 4);
      }
      if (kind == kLigature) read_subtable(at);
    }
  }
}

std::optional<uint16_t> Ligatures::find(const std::vector<uint16_t>& glyphs) const {
  const auto found = glyph_of_.find(glyphs);
  if (found == glyph_of_.end()) return std::nullopt;
  return found->second;
}

}  // namespace tessera::rils
