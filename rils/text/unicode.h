#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tessera::rils::unicode {

inline constexpr uint32_t kReplacement = 0xfffd;

/// The first code point of a text and its number of bytes. Invalid bytes give the replacement character, grouped as in
/// Python's decoding with errors="replace".
struct Decoded {
  uint32_t code = 0;
  size_t bytes = 0;
  bool valid = true;
};
[[nodiscard]] Decoded decode(std::string_view text);
/// Appends a code point in UTF-8.
void append(std::string& out, uint32_t code);

/// Converts a whole text to code points and back.
[[nodiscard]] std::u32string decode_all(std::string_view text);
[[nodiscard]] std::string encode_all(std::u32string_view codes);

[[nodiscard]] bool is_letter(uint32_t code);
[[nodiscard]] bool is_number(uint32_t code);
[[nodiscard]] bool is_decimal_digit(uint32_t code);
[[nodiscard]] bool is_space(uint32_t code);

/// Converts to normal form C.
[[nodiscard]] std::u32string compose(std::u32string text);
/// The normal form KC of one character.
[[nodiscard]] std::u32string compatible(char32_t code);
/// The upper-case form if it is one character, otherwise the character itself.
[[nodiscard]] char32_t upper(char32_t code);

/// Python's str.lower(): full mappings, the final sigma and the dotted I included.
[[nodiscard]] std::u32string lower(std::u32string_view text);

}  // namespace tessera::rils::unicode
