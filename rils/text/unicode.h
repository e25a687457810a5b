#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tessera::rils::unicode {

inline constexpr uint32_t kReplacement = 0xfffd;

/// The code point at the front of a text and its bytes; invalid bytes give the replacement character, as Python's
/// decoding with errors="replace" groups them.
struct Decoded {
  uint32_t code = 0;
  size_t bytes = 0;
  bool valid = true;
};
[[nodiscard]] Decoded decode(std::string_view text);
void append(std::string& out, uint32_t code);

/// A whole text to code points and back.
[[nodiscard]] std::u32string decode_all(std::string_view text);
[[nodiscard]] std::string encode_all(std::u32string_view codes);

[[nodiscard]] bool is_letter(uint32_t code);
[[nodiscard]] bool is_number(uint32_t code);
[[nodiscard]] bool is_decimal_digit(uint32_t code);
[[nodiscard]] bool is_space(uint32_t code);

/// Normal form C.
[[nodiscard]] std::u32string compose(std::u32string text);
/// Normal form KC of one character.
[[nodiscard]] std::u32string compatible(char32_t code);
/// The upper-case form where it is one character.
[[nodiscard]] char32_t upper(char32_t code);

/// Python's str.lower(): full mappings, the final sigma and the dotted I included.
[[nodiscard]] std::u32string lower(std::u32string_view text);

}  // namespace tessera::rils::unicode
