#pragma once

#include <string>

namespace tessera::rils {

/// What ftfy.fix_text does by default, line by line until nothing changes: HTML references (until a '<' shows that the
/// text is HTML), UTF-8 read in a wrong encoding, ligatures, widths, quotes, line breaks, terminal escapes, control
/// characters, normal form C.
[[nodiscard]] std::u32string fix_text(std::u32string text);

}  // namespace tessera::rils
