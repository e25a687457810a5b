#include "rils/data/folder_walk.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <system_error>

#include "engine/core/error.h"
#include "rils/data/decode.h"
#include "rils/data/image.h"
#include "rils/data/sources.h"
#include "rils/text/ascii.h"

namespace tessera::rils {

namespace fs = std::filesystem;

void FolderEntries::sort_naturally() {
  std::ranges::sort(files, natural_less);
  std::ranges::sort(folders, natural_less);
}

FolderWalk::FolderWalk(fs::path root, SkipCounts& skipped, const fs::path& start)
    : root_(std::move(root)), skipped_(&skipped) {
  std::error_code error;
  fs::path above = fs::absolute(start.empty() ? root_ : root_ / start, error).lexically_normal();
  if (!above.has_filename()) above = above.parent_path();  // a name that ends in a slash
  for (; above.has_relative_path(); (void)meet(above)) above = above.parent_path();
}

bool FolderWalk::meet(const fs::path& folder) {
  struct stat status {};
  return ::stat(folder.c_str(), &status) != 0 || seen_.emplace(status.st_dev, status.st_ino).second;
}

FolderEntries FolderWalk::enter(const fs::path& relative) {
  const fs::path folder = relative.empty() ? root_ : root_ / relative;
  FolderEntries found;
  if (!meet(folder)) {
    skipped_->add(skip::kFolderAgain, relative.string());
    return found;
  }
  std::error_code error;
  fs::directory_iterator it(folder, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) sort_in(*it, relative, found);
  if (!error) return found;
  const std::string problem = fmt::format("{}: cannot list: {}", folder.string(), error.message());
  if (relative.empty()) throw IoError(problem);
  skipped_->add(skip::kUnreadable, problem);
  return found;
}

void FolderWalk::sort_in(const fs::directory_entry& entry, const fs::path& relative, FolderEntries& found) {
  const std::string name = entry.path().filename().string();
  std::error_code ignored;  // these calls ask the file system about links only
  const bool folder = entry.is_directory(ignored);
  if (name.starts_with('.')) {
    folder ? count_hidden(relative / name) : count_hidden_file(relative / name);
  } else if (folder) {
    found.folders.push_back(name);
  } else if (entry.is_regular_file(ignored) || !entry.exists(ignored)) {
    found.files.push_back(name);  // a link to nothing is a missing file when it is read
  } else {
    skipped_->add(skip::kNotAFile, (relative / name).string());
  }
}

void FolderWalk::count_hidden(const fs::path& relative) {
  const FolderEntries entries = enter(relative);
  for (const auto& name : entries.files) count_hidden_file(relative / name);
  for (const auto& name : entries.folders) count_hidden(relative / name);
}

void FolderWalk::count_hidden_file(const fs::path& relative) {
  if (has_image_extension(relative.native())) skipped_->add(skip::kHiddenFile, relative.string());
}

namespace {

std::optional<std::string> first_image_below(FolderWalk& walk, const fs::path& relative) {
  FolderEntries entries = walk.enter(relative);
  std::ranges::sort(entries.files);
  const auto image = std::ranges::find_if(entries.files, [](const auto& name) { return has_image_extension(name); });
  if (image != entries.files.end()) return (relative / *image).string();
  std::ranges::sort(entries.folders);
  for (const auto& name : entries.folders)
    if (auto found = first_image_below(walk, relative / name)) return found;
  return std::nullopt;
}

}  // namespace

std::optional<std::string> first_image(const fs::path& folder) {
  SkipCounts uncounted;
  FolderWalk walk(folder, uncounted);
  return first_image_below(walk, {});
}

FolderEntries entries_of(const fs::path& folder) {
  SkipCounts uncounted;
  FolderEntries entries = FolderWalk(folder, uncounted).enter({});
  entries.sort_naturally();
  return entries;
}

std::string lower_extension(const fs::path& path) { return lower_ascii(path.extension().string()); }

ImageName image_name(const fs::path& path) {
  if (!has_image_extension(path.native())) return {};
  const std::string extension = lower_extension(path);
  if (extension == ".jpg" || extension == ".jpeg" || extension == ".png" || extension == ".webp") return {true, ""};
  std::array<std::byte, kDescribedBytes> head;
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(head.data()), head.size());
  const auto bytes = std::span(head).first(static_cast<size_t>(file.gcount()));
  // A file that cannot be read is reported when it is loaded.
  if (bytes.empty() || image_format(bytes) != ImageFormat::unknown) return {true, ""};
  std::error_code ignored;
  return {true, describe_unread(bytes, fs::file_size(path, ignored))};
}

}  // namespace tessera::rils
