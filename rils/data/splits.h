#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::rils {

enum class SplitKind { train, val, test };

/// A folder that holds a part of a data set: train or training; val, valid, validation or dev; test or testing.
struct Split {
  SplitKind kind;
  std::string name;  // of the folder
  std::filesystem::path path;
};

/// The splits below a folder, in the order train, val, test.
struct Splits {
  std::vector<Split> found;         // empty: the folder is one data set
  std::vector<std::string> others;  // names of the other folders, and of files that are not texts

  /// The folder of one split, or null. "train" means train; "val" means val, else test; "test" means test, else val.
  /// Throws ConfigError when two folders are the same split.
  [[nodiscard]] const Split* choose(std::string_view wanted) const;
  /// "train/, val/ and test/".
  [[nodiscard]] std::string names() const;
  /// A line for the user about `others`; "" when there are none.
  [[nodiscard]] std::string describe_others(const std::filesystem::path& folder) const;
};

/// Finds the splits of a folder: those of two kinds; or of a single kind if no other folder holds images. A folder
/// named as a split that lies beside class folders and holds images itself is a class. Throws ConfigError when the
/// names leave it open whether a folder is a split or a class, unless `only_sure`.
[[nodiscard]] Splits find_splits(const std::filesystem::path& folder, bool only_sure = false);

}  // namespace tessera::rils
