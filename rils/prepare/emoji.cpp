#include "rils/prepare/emoji.h"

#include <fmt/format.h>
#include <ft2build.h>
#include FT_FREETYPE_H
#include FT_TRUETYPE_TABLES_H
#include FT_TRUETYPE_TAGS_H

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <utility>

#include "engine/core/error.h"
#include "rils/prepare/ligatures.h"
#include "rils/text/ascii.h"
#include "rils/text/english.h"

namespace tessera::rils {
namespace {

constexpr uint32_t kEmojiStyle = 0xFE0F;  // the variation selector for a picture; the font has no glyph for it

std::vector<uint32_t> parse_code_points(std::string_view text) {
  std::vector<uint32_t> out;
  for (const std::string_view word : split_at_blanks(text)) {
    uint32_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value, 16);
    if (error != std::errc() || end != word.data() + word.size() || value > 0x10FFFF) return {};
    out.push_back(value);
  }
  return out;
}

/// Parses a line such as "1F468 200D 1F33E ; fully-qualified # 👨‍🌾 E4.0 man farmer".
std::optional<Emoji> parse_emoji_line(std::string_view line) {
  const size_t semicolon = line.find(';'), hash = line.find('#');
  if (semicolon == std::string_view::npos || hash == std::string_view::npos || hash < semicolon) return std::nullopt;
  if (trim(line.substr(semicolon + 1, hash - semicolon - 1)) != "fully-qualified") return std::nullopt;
  Emoji emoji;
  emoji.code_points = parse_code_points(trim(line.substr(0, semicolon)));
  const auto words = split_at_blanks(trim(line.substr(hash + 1)));
  if (emoji.code_points.empty() || words.size() < 3) return std::nullopt;  // picture, version, name
  emoji.name = std::string(words[2].data(), line.data() + line.size());
  emoji.name = trim(emoji.name);
  return emoji;
}

}  // namespace

std::vector<Emoji> parse_emoji_test(std::string_view text) {
  constexpr std::string_view kGroup = "# group:", kSubgroup = "# subgroup:";
  std::vector<Emoji> out;
  std::string group, subgroup;
  for (const std::string_view line : split(text, '\n')) {
    if (line.starts_with(kGroup)) {
      group = trim(line.substr(kGroup.size()));
    } else if (line.starts_with(kSubgroup)) {
      subgroup = trim(line.substr(kSubgroup.size()));
    } else if (auto emoji = parse_emoji_line(line)) {
      const auto is_tone = [](uint32_t c) { return c >= 0x1F3FB && c <= 0x1F3FF; };
      if (std::ranges::any_of(emoji->code_points, is_tone)) continue;
      emoji->group = group;
      emoji->subgroup = subgroup;
      out.push_back(std::move(*emoji));
    }
  }
  return out;
}

struct EmojiFont::State {
  FT_Library library = nullptr;
  FT_Face face = nullptr;
  Ligatures ligatures;

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (face != nullptr) FT_Done_Face(face);
    if (library != nullptr) FT_Done_FreeType(library);
  }
};

EmojiFont::EmojiFont(const std::filesystem::path& path) : state_(std::make_unique<State>()) {
  if (FT_Init_FreeType(&state_->library) != 0) throw LibraryError("FreeType cannot be initialised");
  if (FT_New_Face(state_->library, path.c_str(), 0, &state_->face) != 0)
    throw IoError(fmt::format("{}: expected a font, found another file", path.string()));
  if (state_->face->num_fixed_sizes < 1 || FT_Select_Size(state_->face, 0) != 0)
    throw IoError(fmt::format("{}: expected a font with colour bitmaps, found one without", path.string()));
  FT_ULong length = 0;
  if (FT_Load_Sfnt_Table(state_->face, TTAG_GSUB, 0, nullptr, &length) != 0) return;  // the font has no sequences
  std::vector<std::byte> gsub(length);
  if (FT_Load_Sfnt_Table(state_->face, TTAG_GSUB, 0, reinterpret_cast<FT_Byte*>(gsub.data()), &length) != 0)
    throw IoError(fmt::format("{}: cannot read the GSUB table of the font", path.string()));
  state_->ligatures = Ligatures(gsub);
}

EmojiFont::~EmojiFont() = default;

std::optional<Image> EmojiFont::draw(const std::vector<uint32_t>& code_points) {
  std::vector<uint16_t> glyphs;
  for (const uint32_t c : code_points)
    if (c != kEmojiStyle) glyphs.push_back(static_cast<uint16_t>(FT_Get_Char_Index(state_->face, c)));
  if (glyphs.empty() || std::ranges::find(glyphs, uint16_t{0}) != glyphs.end()) return std::nullopt;
  uint16_t glyph = glyphs.front();
  if (glyphs.size() > 1) {
    const auto found = state_->ligatures.find(glyphs);
    if (!found) return std::nullopt;
    glyph = *found;
  }
  if (FT_Load_Glyph(state_->face, glyph, FT_LOAD_COLOR) != 0) return std::nullopt;
  const FT_Bitmap& bitmap = state_->face->glyph->bitmap;
  if (bitmap.pixel_mode != FT_PIXEL_MODE_BGRA || bitmap.width == 0 || bitmap.rows == 0) return std::nullopt;
  Image image(static_cast<int>(bitmap.width), static_cast<int>(bitmap.rows), 4);
  for (int y = 0; y < image.height; ++y) {
    const uint8_t* in = bitmap.buffer + ptrdiff_t{y} * bitmap.pitch;
    uint8_t* out = image.row(y);
    for (int x = 0; x < image.width; ++x, in += 4, out += 4) {
      out[0] = in[2];
      out[1] = in[1];
      out[2] = in[0];
      out[3] = in[3];
    }
  }
  return image;
}

}  // namespace tessera::rils
