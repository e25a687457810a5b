#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tessera::rils {

/// A kind of thing and the word for it: "animal", "piece of clothing".
struct ConceptGroup {
  std::string name;
  std::vector<std::string> folders;  // of openclipart in which its pictures are looked for
};

/// A thing that captions name.
struct Concept {
  std::string name;
  int group = 0;
  bool mass = false;  // takes "some" and no number: grapes, bread, scissors
};

/// What one picture of openclipart says about itself, in plain words (rils/text/english.h).
struct PictureWords {
  std::string path;   // relative to the collection, with its folders
  std::string title;  // empty when it says nothing
  std::string file;   // of the file name
};

/// The nouns of the default data set, their groups, and under which names their pictures are found. A text table, so
/// that adding a noun is adding a line:
///
///     # comment
///     group name : folder, folder          (no indentation)
///       noun : other name, =emoji name     (indented; other names are optional, one with = is an emoji's alone)
///       ~noun                              (a mass or plural noun: "some grapes")
///     - name, name                         (names of pictures that show none of the nouns, though they end in one)
class ConceptTable {
 public:
  /// Throws ConfigError with the line's number for a malformed line or a noun that occurs twice.
  [[nodiscard]] static ConceptTable parse(std::string_view text);
  /// The table that the product ships: concept_table.cpp.
  [[nodiscard]] static const ConceptTable& standard();

  [[nodiscard]] const std::vector<ConceptGroup>& groups() const { return groups_; }
  [[nodiscard]] const std::vector<Concept>& concepts() const { return concepts_; }
  [[nodiscard]] const Concept& concept_at(int index) const { return concepts_.at(static_cast<size_t>(index)); }
  [[nodiscard]] const ConceptGroup& group_of(int concept_index) const {
    return groups_.at(static_cast<size_t>(concept_at(concept_index).group));
  }

  /// The concept of an emoji: its name must be one of the table's; "man " and "woman " and "person " before a person's
  /// role are passed over.
  [[nodiscard]] std::optional<int> find_emoji(std::string_view name) const;
  /// The concept of a picture, among the groups that look into its folder. The head of an English noun phrase comes
  /// last, so the longest end of the title counts ("cartoon cat"), or its beginning before a preposition ("dog on
  /// leash"); then the same for the file's name. Keywords name what else is about (a brush is filed under "book"), so
  /// they do not count.
  [[nodiscard]] std::optional<int> find_picture(const PictureWords& words) const;
  /// Whether any group looks for pictures in the folder of this path.
  [[nodiscard]] bool looks_into(std::string_view path) const;

 private:
  static constexpr int kNone = -1;  // a name of none of the nouns
  [[nodiscard]] std::optional<int> find_phrase(std::string_view phrase, std::string_view path) const;
  [[nodiscard]] std::optional<int> find_head(std::string_view words, std::string_view path) const;
  [[nodiscard]] bool group_allows(int group, std::string_view path) const;
  void add_phrase(const std::string& phrase, int concept_index);

  std::vector<ConceptGroup> groups_;
  std::vector<Concept> concepts_;
  std::unordered_map<std::string, std::vector<int>> phrases_;  // no concepts: a name of none of the nouns
};

}  // namespace tessera::rils
