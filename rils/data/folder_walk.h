#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "rils/data/skip_counts.h"

namespace tessera::rils {

/// The names of the files and folders in one folder.
struct FolderEntries {
  std::vector<std::string> files, folders;
  /// Sorts both by the numbers in the names (natural_less).
  void sort_naturally();
};

/// Lists a folder and the folders below it. Links are followed. A folder is listed once, so that loops of links end.
/// These are counted in `skipped`: what is neither a file nor a folder, images whose names or folders begin with a dot,
/// and folders that cannot be listed or were met before. Other names that begin with a dot are left out.
class FolderWalk {
 public:
  /// Begins at the folder `start` below the root. Links to folders above it count as met before.
  FolderWalk(std::filesystem::path root, SkipCounts& skipped, const std::filesystem::path& start = {});
  /// Lists the folder of this path below the root. Throws IoError when the root itself cannot be listed.
  [[nodiscard]] FolderEntries enter(const std::filesystem::path& relative);

 private:
  /// Remembers a folder. Returns whether it is new; true for one that does not exist.
  bool meet(const std::filesystem::path& folder);
  void sort_in(const std::filesystem::directory_entry& entry, const std::filesystem::path& relative,
               FolderEntries& found);
  void count_hidden(const std::filesystem::path& relative);
  void count_hidden_file(const std::filesystem::path& relative);
  std::filesystem::path root_;
  SkipCounts* skipped_;
  std::set<std::pair<uint64_t, uint64_t>> seen_;  // device and number of each folder
};

/// The entries of one folder, sorted naturally. Throws IoError.
[[nodiscard]] FolderEntries entries_of(const std::filesystem::path& folder);

/// The path, relative to the folder, of the first image file in or below it.
[[nodiscard]] std::optional<std::string> first_image(const std::filesystem::path& folder);

/// The extension of a file name with its dot, in lower case.
[[nodiscard]] std::string lower_extension(const std::filesystem::path& path);

/// Whether a file name is that of an image, and for the rarer extensions why the file cannot be decoded: `unreadable`
/// is then the name of its format. The files of JPEG, PNG and WebP are not opened.
struct ImageName {
  bool image = false;
  std::string unreadable;
};
[[nodiscard]] ImageName image_name(const std::filesystem::path& path);

}  // namespace tessera::rils
