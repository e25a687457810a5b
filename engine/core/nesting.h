#pragma once

#include <string_view>

namespace tessera {

/// Whether the brackets of a JSON text nest deeper than 64. Libraries copy and print values by recursion, so a file of
/// some hundred kilobytes could use up the stack.
[[nodiscard]] bool nests_too_deep(std::string_view json);

}  // namespace tessera
