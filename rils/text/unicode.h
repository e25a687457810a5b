#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tessera::rils::unicode {

inline constexpr uint32_t kReplacement = 0xfffd;

/// The code point at the front of a text and its bytes; invalid bytes give the replacement character, as Python's
/// decoding with errors="replace" groups them.
struct Decoded {
  uint32_t code = 0;
  size_t bytes = 0;
};
[[nodiscard]] Decoded decode(std::string_view text);
void append(std::string& out, uint32_t code);

[[nodiscard]] bool is_letter(uint32_t code);
[[nodiscard]] bool is_number(uint32_t code);
[[nodiscard]] bool is_space(uint32_t code);

}  // namespace tessera::rils::unicode
