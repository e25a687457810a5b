#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace tessera {
class ThreadPool;
}

namespace tessera::rils {

struct RasteriseFailure {
  std::filesystem::path svg;
  std::string reason;
};

/// Turns SVGs into PNGs with rsvg-convert (Debian package librsvg2-bin), whose two sides are at most `size` pixels,
/// each in a process of its own with a limit of 20 s.
class Rasteriser {
 public:
  /// `program`: a path, or a name to look up in PATH. Throws IoError when it does not run.
  Rasteriser(std::filesystem::path program, std::filesystem::path cache, int size);

  /// The PNG's path for each SVG, empty for the failures, which are appended in order. PNGs are kept in the cache under
  /// the digest of the SVG's bytes; what is there is not made again.
  [[nodiscard]] std::vector<std::filesystem::path> run(const std::vector<std::filesystem::path>& svgs, ThreadPool& pool,
                                                       std::vector<RasteriseFailure>& failures,
                                                       const std::function<void(int64_t)>& finished) const;

 private:
  [[nodiscard]] std::filesystem::path one(const std::filesystem::path& svg, std::string& reason) const;

  std::filesystem::path program_, cache_;
  int size_;
};

}  // namespace tessera::rils
