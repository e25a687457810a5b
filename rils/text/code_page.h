#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tessera::rils {

/// Single-byte encodings that UTF-8 is taken for, in the order in which a repair tries them.
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

/// The bytes that a text was in a code page; nullopt when it has characters that the page lacks. The Windows pages are
/// taken loosely: bytes without a character stand for themselves, and the replacement character is the byte 0x1a (which
/// itself cannot be encoded then).
[[nodiscard]] std::optional<std::string> encode(std::u32string_view text, CodePage page);

[[nodiscard]] bool is_loose(CodePage page);

/// The character that a byte from 0x80 to 0x9f is in Windows-1252; of the five without one, the control character.
[[nodiscard]] char32_t windows_1252(uint32_t byte);

}  // namespace tessera::rils
