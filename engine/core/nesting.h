#pragma once

#include <cstddef>
#include <string_view>

namespace tessera {

/// Whether a JSON text nests deeper than 64 or has more than about `most` values, names included. Libraries copy and
/// print values by recursion, so a deep text of some hundred kilobytes could use up the stack, and a value of two bytes
/// takes some hundred in memory. To be asked before a text is parsed.
[[nodiscard]] bool is_json_bomb(std::string_view json, size_t most = 1'000'000);

}  // namespace tessera
