#pragma once

#include <string>
#include <string_view>

namespace tessera::rils {

/// The bytes of the first member of a ZIP archive whose file name, without folders, is `file`. The member may be stored
/// or deflated; its check sum is verified. `name` is the archive's name for messages. Throws IoError when there is no
/// such member, when it is larger than 64 MiB, or when the archive is cut short, encrypted or in the 64-bit format.
[[nodiscard]] std::string read_zip_member(std::string_view archive, std::string_view file, const std::string& name);

}  // namespace tessera::rils
