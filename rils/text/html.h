#pragma once

#include <string>
#include <string_view>

namespace tessera::rils {

/// Resolves HTML's character references as browsers and Python's html.unescape do: all names of HTML 5, the old names
/// also without a semicolon (the longest matching name counts), and numbers with HTML's replacements.
[[nodiscard]] std::u32string unescape_html(std::u32string_view text);

/// Resolves only references that end in a semicolon, as ftfy does. Names in capitals ("&EACUTE;") that HTML does not
/// define give the capital letter.
[[nodiscard]] std::u32string unescape_closed_references(std::u32string_view text);

}  // namespace tessera::rils
