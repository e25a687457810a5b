#include "rils/data/detect.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <system_error>

#include "engine/core/atomic_file.h"
#include "rils/data/file_datasets.h"
#include "rils/data/folder_walk.h"
#include "rils/data/idx.h"
#include "rils/data/sources.h"
#include "rils/data/splits.h"
#include "rils/text/ascii.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;

bool ends_with_one_of(const fs::path& path, std::initializer_list<std::string_view> endings) {
  const std::string name = lower_ascii(path.filename().native());
  return std::ranges::any_of(endings, [&](std::string_view ending) { return name.ends_with(ending); });
}
/// Compressed shards of other kinds than gzip belong to the data too: they are counted as skipped, with what they are.
bool is_tar(const fs::path& path) {
  return ends_with_one_of(
      path, {".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tar.lz4"});
}
bool is_table(const fs::path& path) { return ends_with_one_of(path, {".csv", ".tsv"}); }

/// What lies in a folder, listed once.
struct Contents {
  explicit Contents(const fs::path& path) : folder(path), entries(entries_of(path)) {}
  [[nodiscard]] std::vector<fs::path> matching(const std::function<bool(const fs::path&)>& wanted) const {
    std::vector<fs::path> found;
    for (const auto& name : entries.files)
      if (wanted(folder / name)) found.push_back(folder / name);
    return found;
  }
  [[nodiscard]] std::vector<fs::path> shards() const { return matching(is_tar); }
  [[nodiscard]] std::vector<fs::path> tables() const { return matching(is_table); }
  [[nodiscard]] std::vector<fs::path> idx_files() const { return matching(IdxDataset::recognises); }

  fs::path folder;
  FolderEntries entries;
};

/// The images of a folder: below how many of its subfolders (two stand for all), and the first one of all.
struct Images {
  int folders = 0;
  std::string loose, first;
};

Images images_in(const Contents& c) {
  Images found;
  for (const auto& name : c.entries.folders) {
    const auto image = first_image(c.folder / name);
    if (!image) continue;
    if (found.folders == 0) found.first = (fs::path(name) / *image).string();
    if (++found.folders == 2) break;
  }
  const auto loose = std::ranges::find_if(c.entries.files, [](const auto& name) { return has_image_extension(name); });
  if (loose != c.entries.files.end()) found.loose = *loose;
  if (found.first.empty()) found.first = found.loose;
  return found;
}

[[noreturn]] void refuse_both(const Contents& c, const std::string& image, std::string_view type_of_images) {
  throw ConfigError(
      fmt::format("{}: found both shards ({}) and images ({}); say which to read with --dataset-type webdataset or {}",
                  c.folder.string(), c.shards()[0].filename().string(), image, type_of_images));
}

std::optional<DatasetType> with_labels(const Contents& c) {
  const auto shards = c.shards();
  const Images images = images_in(c);
  // A single folder of images beside shards is more likely a folder of examples than a class.
  if (images.folders == 1 && !shards.empty()) refuse_both(c, images.first, "folder");
  if (images.folders > 0) return DatasetType::folder;
  if (!c.idx_files().empty()) return DatasetType::idx;
  if (!shards.empty()) return DatasetType::webdataset;
  return std::nullopt;
}

std::optional<DatasetType> with_captions(const Contents& c, const DatasetOptions& options) {
  const auto shards = c.shards();
  const auto pair = FilesDataset::first_pair(c.folder, options, true);
  if (!shards.empty() && pair) refuse_both(c, *pair, "files");
  if (!shards.empty()) return DatasetType::webdataset;
  if (pair) return DatasetType::files;
  if (c.tables().size() == 1) return DatasetType::table;
  return std::nullopt;
}

std::optional<DatasetType> with_images(const Contents& c, const DatasetOptions& options) {
  const auto shards = c.shards();
  const Images images = images_in(c);
  if (!shards.empty() && !images.first.empty()) refuse_both(c, images.first, "images");
  if (!shards.empty()) return DatasetType::webdataset;
  if (!c.idx_files().empty()) return DatasetType::idx;
  if (FilesDataset::first_pair(c.folder, options, false)) return DatasetType::files;
  if (images.folders > 0) return DatasetType::folder;
  if (!images.loose.empty()) return DatasetType::images;
  if (c.tables().size() == 1) return DatasetType::table;
  return std::nullopt;
}

std::optional<DatasetType> type_of_folder(const fs::path& folder, const DatasetOptions& options) {
  const Contents c(folder);
  if (options.need_label) return with_labels(c);
  if (options.need_caption) return with_captions(c, options);
  return with_images(c, options);
}

/// What a folder holds instead of what is needed.
std::string contents(const fs::path& folder, const DatasetOptions& options) {
  const Contents c(folder);
  const Images images = images_in(c);
  const auto tables = c.tables();
  if (tables.size() > 1) return fmt::format("{} tables; give the path of one", tables.size());
  if (options.need_label && FilesDataset::first_pair(folder, options, false))
    return fmt::format("images with texts ({})", images.first);
  if (!images.loose.empty())
    return options.need_label ? fmt::format("images in no class folder ({})", images.loose)
                              : fmt::format("images without them ({})", FilesDataset::beside(folder, images.loose));
  if (options.need_label && !tables.empty()) return fmt::format("the table {}", tables[0].filename().string());
  if (!images.first.empty()) return fmt::format("folders of images ({})", images.first);
  if (!c.idx_files().empty()) return "IDX files";
  // Shards in subfolders may be those of several splits, so which ones are meant has to be said.
  for (const auto& name : c.entries.folders)
    if (const auto shards = shards_in(folder / name); !shards.empty())
      return fmt::format("none here, but {} lies below; give {} or '{}/*/*{}'", shards[0].string(),
                         (folder / name).string(), folder.string(), shards[0].extension().string());
  return "none of these";
}

[[noreturn]] void refuse(const fs::path& folder, const DatasetOptions& options) {
  const std::string needed =
      options.need_label ? "class labels (a folder of images for each class, shards with .cls members, or IDX files)"
      : options.need_caption
          ? fmt::format("captions (shards, one table, or a .{} or .json beside each image)", options.text_key)
          : std::string("images (loose or in folders, shards, IDX files, or one table)");
  throw ConfigError(fmt::format("{}: expected {}, found {}; --dataset-type says what the data are", folder.string(),
                                needed, contents(folder, options)));
}

/// Images beside shards are not read.
void note_images(const fs::path& folder, Found& found) {
  const Images images = images_in(Contents(folder));
  if (!images.first.empty())
    found.notes.push_back(
        fmt::format("{}: the shards are read, images beside them are not (first {})", folder.string(), images.first));
}

Found in_folder(const fs::path& folder, const DatasetOptions& options) {
  const bool automatic = options.type == DatasetType::automatic;
  const auto type_of = [&](const fs::path& path) {
    return automatic ? type_of_folder(path, options) : std::optional(options.type);
  };
  const Splits splits = find_splits(folder, !automatic);
  if (splits.found.empty()) {
    const auto type = type_of(folder);
    if (!type) refuse(folder, options);
    Found found{folder, *type, {}};
    if (*type == DatasetType::webdataset) note_images(folder, found);
    return found;
  }
  const Split* split = splits.choose(options.split);
  if (split != nullptr) {
    if (const auto type = type_of(split->path)) {
      Found found{split->path, *type, {fmt::format("{}: read the split {}/", folder.string(), split->name)}};
      if (auto others = splits.describe_others(folder); !others.empty()) found.notes.push_back(std::move(others));
      return found;
    }
  }
  // Files in the folder itself serve too: a table of images that lie in the splits' folders, for instance.
  const Contents c(folder);
  if (automatic && !options.need_label && c.tables().size() == 1) return {folder, DatasetType::table, {}};
  if (automatic && !c.shards().empty()) return {folder, DatasetType::webdataset, {}};
  if (split != nullptr) refuse(split->path, options);
  throw ConfigError(fmt::format("{}: expected the split {}/, found {} only; give the path of a split to read it",
                                folder.string(), options.split, splits.names()));
}

}  // namespace

Found find_data(const fs::path& path, const DatasetOptions& options) {
  const bool fixed = options.type == DatasetType::table || options.type == DatasetType::idx;
  if (is_folder(path) && !fixed) return in_folder(path, options);
  if (options.type != DatasetType::automatic) return {path, options.type, {}};
  if (is_tar(path)) return {path, DatasetType::webdataset, {}};
  if (IdxDataset::recognises(path)) return {path, DatasetType::idx, {}};
  if (is_table(path) || ends_with_one_of(path, {".txt", ".token"})) return {path, DatasetType::table, {}};
  throw ConfigError(fmt::format("{}: cannot detect the type of the data; give it with --dataset-type", path.string()));
}

DatasetType captioned_type(const fs::path& path, const DatasetOptions& options) {
  if (!is_folder(path)) return find_data(path, options).type;
  const Contents c(path);
  if (const auto type = with_captions(c, options)) return *type;
  const Splits splits = find_splits(path, true);
  const Split* split = splits.choose(options.split);
  const auto type = split == nullptr ? std::nullopt : with_captions(Contents(split->path), options);
  return type ? *type : c.idx_files().empty() ? DatasetType::images : DatasetType::idx;
}

std::vector<fs::path> shards_in(const fs::path& folder) { return Contents(folder).shards(); }
std::vector<fs::path> tables_in(const fs::path& folder) { return Contents(folder).tables(); }
std::vector<fs::path> idx_files_in(const fs::path& folder) { return Contents(folder).idx_files(); }

bool captions_by_line(const fs::path& shards) {
  const fs::path folder = is_folder(shards) ? shards : shards.parent_path();
  for (const fs::path& file : {folder / "dataset_type.txt", folder / ".." / "dataset_type.txt"}) {
    std::error_code ignored;
    if (fs::is_regular_file(file, ignored)) return lower_ascii(trim(read_file(file))) == "retrieval";
  }
  return false;
}

}  // namespace tessera::rils
