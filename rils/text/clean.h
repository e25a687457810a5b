#pragma once

#include <string>
#include <string_view>

namespace tessera::rils {

/// Cleans a caption as CLIP's tokenizer does: fix_text (fix_text.h), then HTML references resolved twice, runs of white
/// space replaced by one blank, lower case. Invalid UTF-8 becomes replacement characters.
[[nodiscard]] std::string clean_caption(std::string_view text);

/// Python's str.lower() on UTF-8: full mappings, the final sigma and the dotted I included.
[[nodiscard]] std::string lower_case(std::string_view text);

}  // namespace tessera::rils
