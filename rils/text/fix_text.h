#pragma once

#include <string>

namespace tessera::rils {

/// Repairs a text as ftfy.fix_text does by default. Each line is repaired until nothing changes: HTML references (up to
/// the first line with a '<', which may be HTML), UTF-8 read in a wrong encoding, ligatures, full and half widths,
/// quotes, line breaks, terminal escapes, control characters, normal form C. A text of more than 8,000 characters with
/// more nested references than any real one is not resolved to the end, so that the time is linear in its length.
[[nodiscard]] std::u32string fix_text(std::u32string text);

}  // namespace tessera::rils
