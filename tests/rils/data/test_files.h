#pragma once

#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rils/data/encode.h"
#include "rils/data/image.h"
#include "rils/data/tar.h"

namespace tessera::test {

/// A temporary folder for a test, removed by the destructor.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "tessera-data-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  /// Writes a file, with the folders above it, and returns its path.
  std::filesystem::path write(const std::string& name, std::string_view content) const {
    const auto file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
    return file;
  }
  std::filesystem::path write(const std::string& name, std::span<const std::byte> content) const {
    return write(name, std::string_view(reinterpret_cast<const char*>(content.data()), content.size()));
  }

 private:
  std::filesystem::path path_;
};

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
