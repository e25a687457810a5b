#pragma once

#include <string>
#include <string_view>

namespace tessera::rils {

/// Paths may hold any bytes, TOML only UTF-8. Bytes that are no UTF-8 become the characters U+EF80 to U+EFFF of the
/// private use area, and so do the bytes of these characters themselves: raw_bytes(as_utf8(text)) is `text`.
[[nodiscard]] std::string as_utf8(std::string_view text);
[[nodiscard]] std::string raw_bytes(std::string_view text);

}  // namespace tessera::rils
