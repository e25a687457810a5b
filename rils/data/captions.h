#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tessera::rils {

/// The captions of a sample from its text and its JSON metadata, either possibly empty: the strings of a "captions"
/// list if the JSON has one, else the text (each of its lines with `per_line`), else the JSON's "caption". White space
/// around a caption is cut off, blank ones are left out. Broken JSON beside a text is passed over; alone it throws
/// SampleError.
[[nodiscard]] std::vector<std::string> parse_captions(std::string_view text, std::string_view json, bool per_line);

/// A class number: digits with white space around them. Throws SampleError.
[[nodiscard]] int32_t parse_label(std::string_view text);

}  // namespace tessera::rils
