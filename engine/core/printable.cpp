#include "engine/core/printable.h"

#include <cstddef>
#include <cstdint>

namespace tessera {
namespace {

uint8_t byte_at(std::string_view text, size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0; }

/// The bytes of the UTF-8 character that the text begins with; 0 for none, or for one that is not to be printed.
size_t shown(std::string_view text) {
  const uint8_t first = byte_at(text, 0), second = byte_at(text, 1), third = byte_at(text, 2);
  if (first < 0x80) return (first < 0x20 && first != '\t') || first == 0x7f ? 0 : 1;
  const size_t bytes = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte_at(text, i) & 0xc0U) != 0x80) return 0;
  }
  const bool too_long = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool no_character = (first == 0xed && second >= 0xa0) || (first == 0xf4 && second >= 0x90);
  const bool control = first == 0xc2 && second < 0xa0;  // U+0080 to U+009F
  // U+2028 to U+202E are line ends and directions, U+2066 to U+2069 directions.
  const bool turns = first == 0xe2 && ((second == 0x80 && third >= 0xa8 && third <= 0xae) ||
                                       (second == 0x81 && third >= 0xa6 && third <= 0xa9));
  const bool no_sign = first == 0xef && second == 0xbf && third >= 0xbe;  // U+FFFE and U+FFFF, which XML forbids
  return too_long || no_sign || no_character || control || turns ? 0 : bytes;
}

}  // namespace

std::string printable(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t bytes = shown(text);
    if (bytes == 0) {
      const uint8_t byte = byte_at(text, 0);
      out += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    } else {
      out += text.substr(0, bytes);
    }
    text.remove_prefix(bytes == 0 ? 1 : bytes);
  }
  return out;
}

std::string printable_lines(std::string_view text) {
  std::string out;
  for (size_t end = 0; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1)) {
    out += printable(text.substr(0, end)) + "\n";
  }
  return out + printable(text);
}

}  // namespace tessera
