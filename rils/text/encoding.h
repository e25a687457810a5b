#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tessera::rils {

/// How text that is not UTF-8 is read: not at all, or as Windows-1252 (which contains Latin-1's letters).
enum class TextEncoding : uint8_t { utf_8, windows_1252 };
/// Reads "utf-8" or "windows-1252". Throws ConfigError for any other name.
[[nodiscard]] TextEncoding parse_text_encoding(std::string_view name);

/// Whether a text is UTF-8 by the standard: no overlong forms, no surrogates.
[[nodiscard]] bool is_utf8(std::string_view text);

/// Decodes the bytes of a text to UTF-8 by the first rule that fits: UTF-16 if they begin with its byte order mark,
/// UTF-8 if they are valid (a mark is dropped), the fallback if it is not UTF-8. nullopt when no rule fits, and for a
/// text with zero bytes, which is UTF-16 without a mark or no text at all.
[[nodiscard]] std::optional<std::string> decode_text(std::string_view bytes, TextEncoding fallback);

}  // namespace tessera::rils
