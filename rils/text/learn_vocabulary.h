#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "rils/text/vocabulary.h"

namespace tessera::rils {

/// Calls the argument with every caption, once.
using ForEachCaption = std::function<void(const std::function<void(std::string_view)>&)>;

/// Learns merges from captions by byte-pair encoding on their cleaned words, the most frequent pair first (of equals
/// the one whose symbols sort first), until the vocabulary has `size` symbols or no pair occurs twice. Throws
/// ConfigError for a size below 515 or above CLIP's 49,408.
[[nodiscard]] Vocabulary learn_vocabulary(const ForEachCaption& captions, int64_t size);

}  // namespace tessera::rils
