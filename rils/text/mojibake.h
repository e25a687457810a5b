#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tessera::rils {

/// Kinds of a character: bits of CharacterClass (tables/tables.h), 0 for most.
[[nodiscard]] uint32_t character_classes(char32_t code);

/// Whether a text holds a sequence that hardly occurs but in UTF-8 read as a single-byte encoding: ftfy's is_bad.
[[nodiscard]] bool looks_garbled(std::u32string_view text);

/// UTF-8 that was read in one of the code pages (code_page.h), once or several times, wholly or in places, read again
/// as what it is. Text that looks sound is left alone: ftfy's fix_encoding.
[[nodiscard]] std::u32string fix_encoding(std::u32string text);

/// Control characters from U+0080 to U+009F as what Windows-1252 has in their place.
[[nodiscard]] std::u32string fix_c1_controls(std::u32string text);

}  // namespace tessera::rils
