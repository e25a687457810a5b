#pragma once

#include <string>
#include <string_view>

namespace tessera::rils {

/// A caption as CLIP's tokenizer sees it: invalid UTF-8 replaced, ligatures, full-width forms and quotes made plain,
/// control characters removed, NFC, HTML entities resolved twice, white space squeezed, lower case.
[[nodiscard]] std::string clean_caption(std::string_view text);

/// Python's str.lower() on UTF-8: full mappings, the final sigma and the dotted I included.
[[nodiscard]] std::string lower_case(std::string_view text);

}  // namespace tessera::rils
