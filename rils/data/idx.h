#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "rils/data/dataset.h"

namespace tessera::rils {

/// The content of an IDX file of bytes (MNIST's format).
struct IdxArray {
  std::vector<int64_t> dims;
  std::vector<uint8_t> values;
};

/// Reads an IDX file, plain or gzip-compressed. Throws IoError when it is not an IDX file of bytes, is cut short, or is
/// longer than its header says. An array has at most 8 GiB, and no more than the file can hold: its bytes, or 200 times
/// as much (64 MiB freely) where it is compressed. All this is checked before memory is taken.
[[nodiscard]] IdxArray read_idx(const std::filesystem::path& path);

/// Images [n, height, width] in `…images-idx3-ubyte` and labels [n] in `…labels-idx1-ubyte` beside it; either may end
/// in `.gz`. Grey values become RGB. Throws IoError when the two files do not belong together.
class IdxDataset final : public Dataset {
 public:
  explicit IdxDataset(const std::filesystem::path& images);
  [[nodiscard]] int64_t size() const override { return images_.dims[0]; }
  [[nodiscard]] Sample load(int64_t index, bool with_image) const override;
  [[nodiscard]] std::string name(int64_t index) const override;
  [[nodiscard]] static bool recognises(const std::filesystem::path& file);

 private:
  std::string file_;
  IdxArray images_, labels_;
};

}  // namespace tessera::rils
