#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "rils/data/dataset.h"

namespace tessera::rils {

/// Where the data of a source lie and what they are.
struct Found {
  std::filesystem::path path;
  DatasetType type = DatasetType::automatic;
  std::vector<std::string> notes;  // lines for the user: which split was taken, what lies beside it
};

/// Finds the data of a file or folder. What the program needs (need_caption, need_label, or images alone) decides what
/// a folder is taken for, whatever else lies in it; of a folder with splits options.split is taken. Throws ConfigError
/// when a folder does not hold what is needed, lacks the split, or holds two kinds of data that would both serve.
[[nodiscard]] Found find_data(const std::filesystem::path& path, const DatasetOptions& options);

/// The type of a source that is read with its captions if it has any: a folder without captions is a folder of images,
/// whether its subfolders are classes, splits or neither.
[[nodiscard]] DatasetType captioned_type(const std::filesystem::path& path, const DatasetOptions& options);

/// The tables, shards and IDX files in a folder, by their names.
[[nodiscard]] std::vector<std::filesystem::path> shards_in(const std::filesystem::path& folder);
[[nodiscard]] std::vector<std::filesystem::path> tables_in(const std::filesystem::path& folder);
[[nodiscard]] std::vector<std::filesystem::path> idx_files_in(const std::filesystem::path& folder);

/// Whether CLIP_benchmark's `dataset_type.txt`, in the folder of a shard or above it, says that each line of a text is
/// a caption.
[[nodiscard]] bool captions_by_line(const std::filesystem::path& shards);

}  // namespace tessera::rils
