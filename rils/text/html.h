#pragma once

#include <string>
#include <string_view>

namespace tessera::rils {

/// HTML's character references resolved as browsers and Python's html.unescape do: every named one of HTML 5, the old
/// ones without a semicolon too (the longest name that fits), and numbers with the replacements that HTML prescribes.
[[nodiscard]] std::u32string unescape_html(std::u32string_view text);

/// ftfy's cautious form: references that end in a semicolon only, and names written in capitals ("&EACUTE;") where
/// HTML has none such.
[[nodiscard]] std::u32string unescape_closed_references(std::u32string_view text);

}  // namespace tessera::rils
