#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "rils/data/dataset.h"

namespace tessera::rils {

/// An array of bytes in the IDX format of MNIST, plain or gzip-compressed.
struct IdxArray {
  std::vector<int64_t> dims;
  std::vector<uint8_t> values;
};

/// Throws IoError: not an IDX file of bytes, cut short, or longer than its header says.
[[nodiscard]] IdxArray read_idx(const std::filesystem::path& path);

/// Images [n, height, width] with labels [n] beside them: `…images-idx3-ubyte` and `…labels-idx1-ubyte`, either with
/// `.gz`. Grey values become RGB. Throws IoError when the two do not belong together.
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
