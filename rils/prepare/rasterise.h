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

/// Draws SVGs as PNGs of at most `size` pixels a side with rsvg-convert (Debian package librsvg2-bin). Each SVG has its
/// own process with a time limit of 20 s.
class Rasteriser {
 public:
  /// `program` is a path or a name that is looked up in PATH. Throws IoError when it does not run.
  Rasteriser(std::filesystem::path program, std::filesystem::path cache, int size);

  /// Returns the path of the PNG for each SVG, or an empty path for a failure; failures are appended in order. PNGs are
  /// cached under the digest of the SVG's bytes and are not drawn again.
  [[nodiscard]] std::vector<std::filesystem::path> run(const std::vector<std::filesystem::path>& svgs, ThreadPool& pool,
                                                       std::vector<RasteriseFailure>& failures,
                                                       const std::function<void(int64_t)>& finished) const;

 private:
  [[nodiscard]] std::filesystem::path one(const std::filesystem::path& svg, std::string& reason) const;

  std::filesystem::path program_, cache_;
  int size_;
};

}  // namespace tessera::rils
