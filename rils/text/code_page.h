#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tessera::rils {

/// Single-byte encodings that UTF-8 is mistaken for, in the order in which a repair tries them.
enum class CodePage : uint8_t {
  latin_1,
  windows_1252,
  windows_1251,
  windows_1250,
  windows_1253,
  windows_1254,
  windows_1257,
  iso_8859_2,
  mac_roman,
  cp_437,
};
inline constexpr int kCodePageCount = 10;

/// Encodes a text in a code page; nullopt when the page lacks one of its characters. The Windows pages are loose: bytes
/// without a character stand for themselves, and the replacement character is encoded as the byte 0x1a (the character
/// U+001A then cannot be encoded).
[[nodiscard]] std::optional<std::string> encode(std::u32string_view text, CodePage page);

/// Whether a page is loose in this sense.
[[nodiscard]] bool is_loose(CodePage page);

/// The Windows-1252 character of a byte from 0x80 to 0x9f. The five bytes without one give the control character.
[[nodiscard]] char32_t windows_1252(uint32_t byte);

}  // namespace tessera::rils
