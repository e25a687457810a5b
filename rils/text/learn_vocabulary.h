#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "rils/text/vocabulary.h"

namespace tessera::rils {

/// A function that calls its argument once with each caption.
using ForEachCaption = std::function<void(const std::function<void(std::string_view)>&)>;

inline constexpr size_t kLongestLearnedWord = 1024;

/// Learns merges by byte-pair encoding of the captions' cleaned words. The most frequent pair is merged first; among
/// equal counts, the pair whose symbols sort first. Learning ends when the vocabulary has `size` ids or no pair occurs
/// twice. Longer words than kLongestLearnedWord bytes are left out: every merge goes through the whole of each word
/// that it changes. Throws ConfigError for a size below 515 or above CLIP's 49,408, and IoError when the captions have
/// no word. `progress` is told how many merges of at most how many are learned; at the end both are equal.
[[nodiscard]] Vocabulary learn_vocabulary(const ForEachCaption& captions, int64_t size,
                                          const std::function<void(int64_t done, int64_t most)>& progress = {});

}  // namespace tessera::rils
