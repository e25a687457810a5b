#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tessera::rils {

/// The captions of a sample, from its text and its JSON metadata; either may be empty. The first of these that exists
/// is taken: the strings of the JSON's list "captions", the text (as one caption, or one a line with `per_line`), the
/// JSON's string "caption". White space around captions is removed and blank captions are dropped. Broken JSON is
/// ignored when there is a text; without one it throws SampleError.
[[nodiscard]] std::vector<std::string> parse_captions(std::string_view text, std::string_view json, bool per_line);

/// Throws SampleError when there is no caption. The reason is "empty caption" for a sample with a text, else "no
/// caption".
void require_caption(const std::vector<std::string>& captions, bool has_text);

/// Reads a class number: digits, possibly between white space. Throws SampleError for anything else.
[[nodiscard]] int32_t parse_label(std::string_view text);

}  // namespace tessera::rils
