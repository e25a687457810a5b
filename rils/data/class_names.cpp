#include "rils/data/class_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/text/ascii.h"

namespace tessera::rils {
namespace {

constexpr int32_t kMissing = -1, kTwice = -2;

std::string comparable(std::string_view name) {
  std::string text = lower_ascii(trim(name));
  std::ranges::replace(text, '_', ' ');
  return text;
}

/// The place in a list of every name and synonym; kTwice for those of several lines.
class Places {
 public:
  void add(std::string_view name, size_t place) {
    const auto [it, is_new] = places_.try_emplace(comparable(name), static_cast<int32_t>(place));
    if (!is_new && it->second != static_cast<int32_t>(place)) it->second = kTwice;
  }
  [[nodiscard]] int32_t find(std::string_view name) const {
    const auto it = places_.find(comparable(name));
    return it == places_.end() ? kMissing : it->second;
  }
  [[nodiscard]] std::vector<int32_t> find_all(const std::vector<std::string>& names) const {
    std::vector<int32_t> found(names.size());
    std::ranges::transform(names, found.begin(), [this](const auto& name) { return find(name); });
    return found;
  }

 private:
  std::map<std::string, int32_t> places_;
};

Places places_of(const std::vector<std::string>& names) {
  Places places;
  for (size_t i = 0; i < names.size(); ++i) {
    places.add(names[i], i);
    for (const std::string_view synonym : split(names[i], ';')) places.add(synonym, i);
  }
  return places;
}

bool in_order(const std::vector<int32_t>& places) {
  for (size_t i = 0; i < places.size(); ++i)
    if (places[i] != static_cast<int32_t>(i)) return false;
  return true;
}

bool none_found(const std::vector<int32_t>& places) {
  return std::ranges::all_of(places, [](int32_t place) { return place == kMissing; });
}

/// Splits lines "FOLDER<tab>NAME". Returns false, and changes nothing, when a line has no tab.
bool split_folders(std::vector<std::string>& names, Places& folders) {
  if (!std::ranges::all_of(names, [](const auto& name) { return name.find('\t') != std::string::npos; })) return false;
  for (size_t i = 0; i < names.size(); ++i) {
    const size_t tab = names[i].find('\t');
    folders.add(std::string_view(names[i]).substr(0, tab), i);
    names[i] = std::string(trim(std::string_view(names[i]).substr(tab + 1)));
  }
  return true;
}

/// Throws unless every class has a place of its own.
void check_places(const std::vector<std::string>& own, const std::vector<int32_t>& places,
                  const std::vector<std::string>& names, const std::string& source, bool folders) {
  std::map<int32_t, size_t> taken;
  for (size_t i = 0; i < own.size(); ++i) {
    const std::string what = fmt::format("{} '{}'", folders ? "class folder" : "class", own[i]);
    if (places[i] == kMissing)
      throw ConfigError(fmt::format("{}: expected the {} among its {} names (first '{}'), found none{}", source, what,
                                    names.size(), names[0],
                                    folders ? "; a line may also be FOLDER, a tab and the name" : ""));
    if (places[i] == kTwice) throw ConfigError(fmt::format("{}: the {} is in several lines", source, what));
    const auto [it, is_new] = taken.emplace(places[i], i);
    if (!is_new)
      throw ConfigError(
          fmt::format("{}: line {} is that of both '{}' and '{}'", source, places[i] + 1, own[it->second], own[i]));
  }
}

}  // namespace

std::vector<std::string> read_class_names(const std::filesystem::path& file) {
  const std::string text = read_file(file);
  std::vector<std::string> names;
  for (const std::string_view line : split(text, '\n')) names.emplace_back(trim(line));
  while (!names.empty() && names.back().empty()) names.pop_back();
  const auto blank = std::ranges::find(names, "");
  if (blank != names.end())
    throw ConfigError(
        fmt::format("{}:{}: expected a class, found a blank line", file.string(), blank - names.begin() + 1));
  return names;
}

ClassList match_classes(std::vector<std::string> names, const Dataset& data, const std::string& source) {
  const std::vector<std::string>& own = data.class_names();
  if (own.empty() || names.empty() || names == own) return {std::move(names), {}, ""};
  Places folders;
  const bool keyed = data.classes_are_folders() && split_folders(names, folders);
  std::vector<int32_t> places = (keyed ? folders : places_of(names)).find_all(own);
  if (!data.classes_are_folders()) {
    // Two classes may have the same name; it is right where both lists have it.
    for (size_t i = 0; i < std::min(own.size(), names.size()); ++i)
      if (comparable(own[i]) == comparable(names[i])) places[i] = static_cast<int32_t>(i);
    if (none_found(places)) return {std::move(names), {}, ""};
  }
  check_places(own, places, names, source, data.classes_are_folders());
  if (in_order(places) && places.size() == names.size()) return {std::move(names), {}, ""};
  std::string note =
      fmt::format("{}: the {} classes of the data were found by name among {} names", source, own.size(), names.size());
  return {std::move(names), std::move(places), std::move(note)};
}

std::vector<int32_t> labels_in(const Dataset& data, const std::string& source, const Dataset& other,
                               const std::string& other_source) {
  const auto& own = data.class_names();
  const auto& others = other.class_names();
  if (own == others || own.empty() || others.empty()) return {};
  std::vector<int32_t> labels;
  for (const std::string& name : own) {
    const auto found = std::ranges::find(others, name);
    if (found == others.end())
      throw ConfigError(
          fmt::format("expected the classes of {} in {} too, found no '{}' there", source, other_source, name));
    labels.push_back(static_cast<int32_t>(found - others.begin()));
  }
  return labels;
}

void relabel(std::vector<int32_t>& labels, const std::vector<int32_t>& of_label) {
  if (of_label.empty()) return;
  for (int32_t& label : labels)
    if (label >= 0) label = of_label.at(static_cast<size_t>(label));
}

}  // namespace tessera::rils
