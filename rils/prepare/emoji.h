#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rils/data/image.h"

namespace tessera::rils {

struct Emoji {
  std::vector<uint32_t> code_points;
  std::string name;  // "man farmer"
  std::string group, subgroup;
};

/// Reads the fully-qualified emoji of Unicode's emoji-test.txt (package unicode-data), without skin-tone variants.
/// Malformed lines are ignored.
[[nodiscard]] std::vector<Emoji> parse_emoji_test(std::string_view text);

/// A font of colour bitmaps: NotoColorEmoji.ttf of the package fonts-noto-color-emoji.
class EmojiFont {
 public:
  /// Throws IoError when the file is not a font or has no bitmaps.
  explicit EmojiFont(const std::filesystem::path& path);
  ~EmojiFont();
  EmojiFont(const EmojiFont&) = delete;
  EmojiFont& operator=(const EmojiFont&) = delete;

  /// The picture of an emoji: four channels, colours multiplied by alpha. nullopt when the font has no picture for the
  /// whole sequence.
  [[nodiscard]] std::optional<Image> draw(const std::vector<uint32_t>& code_points);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tessera::rils
