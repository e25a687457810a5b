#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "rils/text/encoding.h"

namespace tessera::rils {

struct DatasetOptions;

/// The bytes of the longest caption, and of the longest JSON metadata, that are read.
inline constexpr uint64_t kLongestCaption = 1 << 20, kLongestMetadata = 16 << 20;
/// The values that JSON metadata may hold. Metadata with more, or nested deeper than 64, count as broken.
inline constexpr size_t kMostMetadataValues = 100'000;
/// Throws SampleError for a text or metadata beyond these limits. To be called before they are read.
void check_text_sizes(uint64_t text, uint64_t json);

/// Decodes a caption to UTF-8 by the rules of decode_text. Throws SampleError when none fits or the text is too long.
[[nodiscard]] std::string decode_caption(std::string_view bytes, TextEncoding fallback);

/// The captions of a sample, from its text and its JSON metadata; either may be empty. The first of these that exists
/// is taken: the JSON's "captions", the text (as one caption, or one a line with `per_line`), the JSON's "caption",
/// "text" or "title". A value of the JSON is a string or a list of strings or of objects with one of these keys, and
/// the JSON itself may be a string or a list. White space around
/// captions is removed and blank captions are dropped. Broken JSON is ignored when there is a text; without one it
/// throws SampleError, as texts that cannot be decoded or are too long do.
[[nodiscard]] std::vector<std::string> parse_captions(std::string_view text, std::string_view json, bool per_line,
                                                      TextEncoding fallback = TextEncoding::utf_8);

/// Throws SampleError when there is no caption. The reason is "empty caption" for a sample with a text, else "no
/// caption"; the message then names the keys of the JSON.
void require_caption(const std::vector<std::string>& captions, bool has_text, std::string_view json = {});

/// The captions that a data set with these options gives to a sample; `has_text`: there is a text, which may be blank.
/// Throws as the functions above do, but only where captions are needed: otherwise they cannot spoil the sample.
[[nodiscard]] std::vector<std::string> captions_for(const DatasetOptions& options, std::string_view text, bool has_text,
                                                    std::string_view json);

/// Reads a class number: digits, possibly between white space. Throws SampleError for anything else.
[[nodiscard]] int32_t parse_label(std::string_view text);

}  // namespace tessera::rils
