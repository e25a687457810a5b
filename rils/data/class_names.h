#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "rils/data/dataset.h"

namespace tessera::rils {

/// Reads a file with one class a line, in the order of the labels; white space around names is removed. Throws IoError,
/// and ConfigError for a blank line before the last name, after which no line would have its own number.
[[nodiscard]] std::vector<std::string> read_class_names(const std::filesystem::path& file);

/// A list of class names, and for each label of a data set its place in the list.
struct ClassList {
  std::vector<std::string> names;
  std::vector<int32_t> of_label;  // empty: labels are places
  std::string note;               // a line for the user when labels were matched by name, else ""
};

/// Finds the classes of a data set in a list that `source` gave. Names are compared in lower case with blanks for
/// underscores; each of several synonyms (`cat;kitten`) counts. Class folders are matched by name. A line of the list
/// may also be "FOLDER<tab>NAME", as for ImageNet's folders. Shards whose own names are in the list are matched by name
/// too; if none of them is, their numbers are places in the list. Throws ConfigError when a class folder or some of the
/// shards' names are not in the list, or are in it twice.
[[nodiscard]] ClassList match_classes(std::vector<std::string> names, const Dataset& data, const std::string& source);

/// For each class of `data` its label in `other`, by name; empty when labels agree or names are not known. Throws
/// ConfigError with both sources when `other` lacks a class.
[[nodiscard]] std::vector<int32_t> labels_in(const Dataset& data, const std::string& source, const Dataset& other,
                                             const std::string& other_source);

/// Replaces each label by its place.
void relabel(std::vector<int32_t>& labels, const std::vector<int32_t>& of_label);

}  // namespace tessera::rils
