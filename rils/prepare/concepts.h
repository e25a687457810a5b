#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tessera::rils {

/// A group of concepts and its name: "animal", "piece of clothing".
struct ConceptGroup {
  std::string name;
  std::vector<std::string> folders;  // of openclipart that hold its pictures
};

/// A noun that captions use.
struct Concept {
  std::string name;
  int group = 0;
  bool mass = false;  // used with "some" and never counted: grapes, bread, scissors
};

/// The description of an openclipart picture in plain words (rils/text/english.h).
struct PictureWords {
  std::string path;   // relative to the collection
  std::string title;  // empty when there is no useful title
  std::string file;   // the file name
};

/// The nouns of the default data set, their groups, and the names under which their pictures are found. It is read from
/// a text, so that a new noun is one new line:
///
///     # comment
///     group name : folder, folder          (no indentation)
///       noun : other name, =emoji name     (indented; other names are optional, one with = is an emoji's alone)
///       ~noun                              (a mass or plural noun: "some grapes")
///     - name, name                         (names of other pictures, although they end in one of the nouns)
class ConceptTable {
 public:
  /// Throws ConfigError with the line number for a malformed line or a repeated noun.
  [[nodiscard]] static ConceptTable parse(std::string_view text);
  /// The table of the default data set (concept_table.cpp).
  [[nodiscard]] static const ConceptTable& standard();

  [[nodiscard]] const std::vector<ConceptGroup>& groups() const { return groups_; }
  [[nodiscard]] const std::vector<Concept>& concepts() const { return concepts_; }
  [[nodiscard]] const Concept& concept_at(int index) const { return concepts_.at(static_cast<size_t>(index)); }
  [[nodiscard]] const ConceptGroup& group_of(int concept_index) const {
    return groups_.at(static_cast<size_t>(concept_at(concept_index).group));
  }

  /// The concept of an emoji. Its name must be in the table; "man ", "woman " or "person " before a person's role is
  /// ignored.
  [[nodiscard]] std::optional<int> find_emoji(std::string_view name) const;
  /// The concept of a picture, among the groups whose folders hold it. The head of an English noun phrase comes last,
  /// so the longest matching end of the title decides ("cartoon cat"), or of its part before a preposition ("dog on
  /// leash"); if the title matches nothing, the file name is tried. Keywords are not used, since they also name related
  /// things (a brush is filed under "book").
  [[nodiscard]] std::optional<int> find_picture(const PictureWords& words) const;
  /// Whether the path lies in a folder of some group.
  [[nodiscard]] bool looks_into(std::string_view path) const;

 private:
  static constexpr int kNone = -1;  // the name belongs to no noun
  [[nodiscard]] std::optional<int> find_phrase(std::string_view phrase, std::string_view path) const;
  [[nodiscard]] std::optional<int> find_head(std::string_view words, std::string_view path) const;
  [[nodiscard]] bool group_allows(int group, std::string_view path) const;
  void add_phrase(const std::string& phrase, int concept_index);

  std::vector<ConceptGroup> groups_;
  std::vector<Concept> concepts_;
  std::unordered_map<std::string, std::vector<int>> phrases_;  // an empty list: the name belongs to no noun
};

}  // namespace tessera::rils
