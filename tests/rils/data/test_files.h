#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rils/data/encode.h"
#include "rils/data/image.h"
#include "rils/data/tar.h"
#include "tests/support/temporary_folder.h"

namespace tessera::test {

/// A picture of one colour, by which a test recognises a sample.
[[nodiscard]] inline rils::Image flat_image(int value, int width = 8, int height = 6) {
  rils::Image image(width, height);
  for (auto& pixel : image.pixels) pixel = static_cast<uint8_t>(value);
  return image;
}

[[nodiscard]] inline std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

[[nodiscard]] inline std::string png_text(int value) { return text_of(rils::encode_png(flat_image(value))); }

/// Writes a shard of members (name, content).
inline std::filesystem::path write_tar(const std::filesystem::path& path,
                                       const std::vector<std::pair<std::string, std::string>>& members) {
  rils::TarWriter writer(path);
  for (const auto& [name, content] : members) writer.add(name, content);
  writer.commit();
  return path;
}

}  // namespace tessera::test
