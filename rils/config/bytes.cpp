#include "rils/config/bytes.h"

#include <cstddef>
#include <cstdint>

namespace tessera::rils {
namespace {

uint8_t byte_at(std::string_view text, size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0; }

/// The bytes of the UTF-8 character that the text begins with, or 0 if it begins with none.
size_t character(std::string_view text) {
  const uint8_t first = byte_at(text, 0), second = byte_at(text, 1);
  if (first < 0x80) return 1;
  const size_t bytes = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte_at(text, i) & 0xc0U) != 0x80) return 0;
  }
  const bool too_long = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool no_character = (first == 0xed && second >= 0xa0) || (first == 0xf4 && second >= 0x90);
  return too_long || no_character ? 0 : bytes;
}

/// Whether the text begins with a character from U+EF80 to U+EFFF.
bool is_escape(std::string_view text) {
  return byte_at(text, 0) == 0xee && (byte_at(text, 1) & 0xfeU) == 0xbe && (byte_at(text, 2) & 0xc0U) == 0x80;
}

}  // namespace

std::string as_utf8(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    size_t bytes = character(text);
    if (bytes == 0 || is_escape(text)) {
      const uint8_t byte = byte_at(text, 0);
      out += {'\xee', static_cast<char>(byte < 0xc0 ? 0xbe : 0xbf), static_cast<char>(0x80 | (byte & 0x3fU))};
      bytes = 1;
    } else {
      out += text.substr(0, bytes);
    }
    text.remove_prefix(bytes);
  }
  return out;
}

std::string raw_bytes(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const bool escape = is_escape(text);
    const unsigned high = byte_at(text, 1) == 0xbe ? 0x80 : 0xc0;
    out += escape ? static_cast<char>(high | (byte_at(text, 2) & 0x3fU)) : text[0];
    text.remove_prefix(escape ? 3 : 1);
  }
  return out;
}

}  // namespace tessera::rils
