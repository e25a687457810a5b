#include "rils/text/encoding.h"

#include <fmt/format.h>

#include "engine/core/error.h"
#include "rils/text/code_page.h"
#include "rils/text/unicode.h"

namespace tessera::rils {
namespace {

constexpr std::string_view kUtf8Mark = "\xef\xbb\xbf", kLittleEndianMark = "\xff\xfe", kBigEndianMark = "\xfe\xff";

std::optional<std::string> decode_utf16(std::string_view bytes, bool big_endian) {
  if (bytes.size() % 2 != 0) return std::nullopt;
  const auto unit = [&](size_t i) {
    const auto first = static_cast<uint8_t>(bytes[i]), second = static_cast<uint8_t>(bytes[i + 1]);
    return static_cast<uint32_t>(big_endian ? first << 8 | second : second << 8 | first);
  };
  std::string text;
  text.reserve(bytes.size());
  for (size_t i = 0; i < bytes.size(); i += 2) {
    uint32_t code = unit(i);
    if (code >= 0xd800 && code <= 0xdfff) {
      const uint32_t low = i + 2 < bytes.size() ? unit(i + 2) : 0;
      if (code >= 0xdc00 || low < 0xdc00 || low > 0xdfff) return std::nullopt;  // half of a pair
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
      i += 2;
    }
    unicode::append(text, code);
  }
  return text;
}

std::string decode_windows_1252(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    unicode::append(text, byte >= 0x80 && byte <= 0x9f ? windows_1252(byte) : byte);
  }
  return text;
}

}  // namespace

TextEncoding parse_text_encoding(std::string_view name) {
  if (name == "utf-8") return TextEncoding::utf_8;
  if (name == "windows-1252") return TextEncoding::windows_1252;
  throw ConfigError(fmt::format("text encoding: expected utf-8 or windows-1252, found \"{}\"", name));
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const unicode::Decoded d = unicode::decode(text);
    if (!d.valid) return false;
    text.remove_prefix(d.bytes);
  }
  return true;
}

std::optional<std::string> decode_text(std::string_view bytes, TextEncoding fallback) {
  std::optional<std::string> text;
  if (bytes.starts_with(kLittleEndianMark) || bytes.starts_with(kBigEndianMark)) {
    text = decode_utf16(bytes.substr(2), bytes.starts_with(kBigEndianMark));
  } else if (is_utf8(bytes)) {
    text = bytes.substr(bytes.starts_with(kUtf8Mark) ? kUtf8Mark.size() : 0);
  } else if (fallback == TextEncoding::windows_1252) {
    text = decode_windows_1252(bytes);
  }
  if (text && text->find('\0') != std::string::npos) return std::nullopt;
  return text;
}

}  // namespace tessera::rils
