#pragma once

#include <string>
#include <string_view>

namespace tessera::rils {

/// The text without white space of ASCII at both ends.
[[nodiscard]] std::string_view trim(std::string_view text);

/// The text with the letters A to Z in lower case. Other bytes stay as they are.
[[nodiscard]] std::string lower_ascii(std::string_view text);

}  // namespace tessera::rils
