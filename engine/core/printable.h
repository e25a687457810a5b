#pragma once

#include <string>
#include <string_view>

namespace tessera {

/// A name or text from outside as one line that no terminal and no list can misread: control characters (line ends and
/// escapes among them, not tabs), the marks that turn the direction of writing, and bytes that are no UTF-8 are written
/// as `\x1b`. All else stays, and what results is also fit for XML once its brackets are escaped.
[[nodiscard]] std::string printable(std::string_view text);
/// The same for a text of several lines, whose ends stay.
[[nodiscard]] std::string printable_lines(std::string_view text);

}  // namespace tessera
