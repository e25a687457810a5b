#pragma once

#include <string_view>

namespace tessera::fuzz {

/// Whether a text is well-formed XML of the kind that is written here: UTF-8 with characters that XML allows, tags that
/// close, quoted attributes, the five entities.
[[nodiscard]] bool is_well_formed(std::string_view text);

}  // namespace tessera::fuzz
