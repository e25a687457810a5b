#pragma once

#include <string>
#include <string_view>

namespace tessera::rils {

/// A caption as CLIP's tokenizer sees it: fix_text (fix_text.h), HTML entities resolved twice, white space squeezed,
/// lower case. Invalid UTF-8 is read as replacement characters.
[[nodiscard]] std::string clean_caption(std::string_view text);

/// Python's str.lower() on UTF-8: full mappings, the final sigma and the dotted I included.
[[nodiscard]] std::string lower_case(std::string_view text);

}  // namespace tessera::rils
