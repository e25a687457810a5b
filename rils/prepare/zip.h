#pragma once

#include <string>
#include <string_view>

namespace tessera::rils {

/// The bytes of the first member of a ZIP archive whose file name, folders aside, is `file`: stored or deflated, its
/// check sum verified. `name` is the archive's, for messages. Throws IoError when there is none, or when the archive is
/// cut, encrypted, of the 64-bit form, or the member larger than 64 MiB.
[[nodiscard]] std::string read_zip_member(std::string_view archive, std::string_view file, const std::string& name);

}  // namespace tessera::rils
