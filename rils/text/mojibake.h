#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tessera::rils {

/// The classes of a character: bits of CharacterClass (tables/tables.h). Most characters have none.
[[nodiscard]] uint32_t character_classes(char32_t code);

/// Whether a text contains a sequence that hardly ever occurs except in UTF-8 that was read in a single-byte encoding.
/// This is ftfy's is_bad.
[[nodiscard]] bool looks_garbled(std::u32string_view text);

/// Repairs UTF-8 that was read in one of the code pages (code_page.h), once or several times, in the whole text or in
/// parts. Text that looks right is not changed. This is ftfy's fix_encoding.
[[nodiscard]] std::u32string fix_encoding(std::u32string text);

/// Replaces the control characters U+0080 to U+009F by the characters of Windows-1252.
[[nodiscard]] std::u32string fix_c1_controls(std::u32string text);

}  // namespace tessera::rils
