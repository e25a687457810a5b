#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tessera::rils {

/// The text without white space of ASCII at both ends.
[[nodiscard]] std::string_view trim(std::string_view text);

/// The parts of a text between separators. A separator at the end does not add an empty part.
[[nodiscard]] std::vector<std::string_view> split(std::string_view text, char separator);

/// The text with the letters A to Z in lower case. Other bytes stay as they are.
[[nodiscard]] std::string lower_ascii(std::string_view text);

}  // namespace tessera::rils
