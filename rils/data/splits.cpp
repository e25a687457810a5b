#include "rils/data/splits.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>

#include "engine/core/error.h"
#include "rils/data/decode.h"
#include "rils/data/folder_walk.h"
#include "rils/data/sources.h"
#include "rils/text/ascii.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;

std::optional<SplitKind> kind_of(const std::string& name) {
  static constexpr std::array<std::pair<std::string_view, SplitKind>, 8> kNames = {{{"train", SplitKind::train},
                                                                                    {"training", SplitKind::train},
                                                                                    {"val", SplitKind::val},
                                                                                    {"valid", SplitKind::val},
                                                                                    {"validation", SplitKind::val},
                                                                                    {"dev", SplitKind::val},
                                                                                    {"test", SplitKind::test},
                                                                                    {"testing", SplitKind::test}}};
  const std::string lower = lower_ascii(name);
  const auto found = std::ranges::find(kNames, lower, [](const auto& known) { return std::string(known.first); });
  return found == kNames.end() ? std::nullopt : std::optional(found->second);
}

/// Class names, templates, readmes and counts lie beside splits and are no samples.
bool is_text(const std::string& name) {
  const std::string extension = lower_extension(name);
  return extension == ".txt" || extension == ".md" || extension == ".json" || extension.empty();
}

bool holds_images_itself(const fs::path& folder) {
  return std::ranges::any_of(entries_of(folder).files, [](const auto& name) { return has_image_extension(name); });
}

/// Whether splits of a single kind are splits and not classes; nullopt when that cannot be told.
std::optional<bool> are_splits(const Splits& splits, const fs::path& folder) {
  const bool alone = std::ranges::none_of(splits.others, [&](const std::string& name) {
    return is_folder(folder / name) && first_image(folder / name).has_value();
  });
  if (alone) return true;
  if (std::ranges::all_of(splits.found, [](const Split& split) { return holds_images_itself(split.path); }))
    return false;
  return std::nullopt;
}

}  // namespace

const Split* Splits::choose(std::string_view wanted) const {
  const SplitKind first = wanted == "train" ? SplitKind::train : wanted == "val" ? SplitKind::val : SplitKind::test;
  const SplitKind second = first == SplitKind::val ? SplitKind::test : SplitKind::val;
  for (const SplitKind kind : {first, first == SplitKind::train ? first : second}) {
    const auto is_wanted = [kind](const Split& split) { return split.kind == kind; };
    const auto it = std::ranges::find_if(found, is_wanted);
    if (it == found.end()) continue;
    if (std::ranges::count_if(found, is_wanted) > 1)
      throw ConfigError(fmt::format("{}: expected one folder for a split, found {}/ and {}/",
                                    it->path.parent_path().string(), it->name, std::next(it)->name));
    return &*it;
  }
  return nullptr;
}

std::string Splits::names() const {
  std::string text;
  for (size_t i = 0; i < found.size(); ++i)
    text += fmt::format("{}{}/", i == 0 ? "" : i + 1 == found.size() ? " and " : ", ", found[i].name);
  return text;
}

std::string Splits::describe_others(const fs::path& folder) const {
  if (others.empty()) return "";
  return fmt::format("{}: {} {} beside the splits {} not read (first {})", folder.string(), others.size(),
                     others.size() == 1 ? "entry" : "entries", others.size() == 1 ? "is" : "are", others[0]);
}

Splits find_splits(const fs::path& folder, bool only_sure) {
  Splits splits;
  std::set<SplitKind> kinds;
  const FolderEntries entries = entries_of(folder);
  for (const auto& name : entries.folders) {
    if (const auto kind = kind_of(name)) {
      splits.found.push_back({*kind, name, folder / name});
      kinds.insert(*kind);
    } else {
      splits.others.push_back(name);
    }
  }
  for (const auto& name : entries.files)
    if (!is_text(name)) splits.others.push_back(name);
  std::ranges::stable_sort(splits.found, {}, &Split::kind);
  if (kinds.empty() || kinds.size() > 1) return splits;
  const auto sure = are_splits(splits, folder);
  if (!sure && !only_sure)
    throw ConfigError(
        fmt::format("{}: {} may be a split or a class beside the other folders; name the split itself, or read all of "
                    "them as classes with --dataset-type folder",
                    folder.string(), splits.names()));
  if (!sure.value_or(false)) splits.found.clear();
  return splits;
}

}  // namespace tessera::rils
