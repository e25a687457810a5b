#include "rils/prepare/concepts.h"

#include <gtest/gtest.h>

#include <set>

#include "engine/core/error.h"
#include "rils/text/english.h"

namespace tessera::rils {
namespace {

constexpr const char* kTable = R"(
# pictures of none of them
- hot dog, mouse trap
animal : animals, odd
  dog : puppy
  mouse : =mouse face
device : computer
  computer mouse : mouse
person : people
  cook
  ~twins
)";

std::string found(const ConceptTable& table, std::optional<int> index) {
  return index ? table.concepts()[static_cast<size_t>(*index)].name : "";
}
std::string picture(const ConceptTable& table, std::string path, std::string title, std::string file = {}) {
  return found(table, table.find_picture({std::move(path), std::move(title), std::move(file)}));
}

TEST(ConceptTable, Parses) {
  const auto table = ConceptTable::parse(kTable);
  ASSERT_EQ(table.groups().size(), 3u);
  EXPECT_EQ(table.groups()[0].folders, (std::vector<std::string>{"animals", "odd"}));
  ASSERT_EQ(table.concepts().size(), 5u);
  EXPECT_TRUE(table.concepts()[4].mass);
  EXPECT_EQ(table.concepts()[4].name, "twins");
  EXPECT_EQ(table.concepts()[2].group, 1);
}

TEST(ConceptTable, MalformedLinesAreNamed) {
  EXPECT_THROW((void)ConceptTable::parse("  dog\n"), ConfigError);
  EXPECT_THROW((void)ConceptTable::parse("animal\n  dog\n  dog\n"), ConfigError);
  EXPECT_THROW((void)ConceptTable::parse("animal\n  ~ : x\n"), ConfigError);
}

TEST(ConceptTable, HeadOfATitleInItsFolder) {
  const auto table = ConceptTable::parse(kTable);
  EXPECT_EQ(picture(table, "animals/x.svg", "cartoon dog"), "dog");
  EXPECT_EQ(picture(table, "animals/x.svg", "puppy on leash"), "dog");
  EXPECT_EQ(picture(table, "animals/x.svg", "mouse"), "mouse");
  EXPECT_EQ(picture(table, "computer/x.svg", "mouse"), "computer mouse");
  EXPECT_EQ(picture(table, "food/x.svg", "dog"), "") << "no group looks there";
  EXPECT_EQ(picture(table, "animalsx/x.svg", "dog"), "") << "a folder, not a beginning of its name";
  EXPECT_EQ(picture(table, "animals/x.svg", "dog house"), "") << "the head is the house";
  EXPECT_EQ(picture(table, "animals/x.svg", "hot dog"), "") << "a name of none of the nouns";
  EXPECT_EQ(picture(table, "animals/x.svg", "rover", "old dog"), "dog") << "the file's name comes second";
  EXPECT_EQ(picture(table, "animals/x.svg", "hot dog", "dog"), "")
      << "what the title excludes, the file does not bring";
}

TEST(ConceptTable, EmojiByName) {
  const auto table = ConceptTable::parse(kTable);
  EXPECT_EQ(found(table, table.find_emoji("mouse face")), "mouse");
  EXPECT_EQ(picture(table, "animals/x.svg", "mouse face"), "") << "a name that only emoji have";
  EXPECT_EQ(found(table, table.find_emoji("woman cook")), "cook");
  EXPECT_EQ(found(table, table.find_emoji("man dog")), "") << "only persons are men and women";
  EXPECT_EQ(found(table, table.find_emoji("hot dog")), "");
  EXPECT_EQ(found(table, table.find_emoji("big dog")), "") << "the whole name";
}

TEST(ConceptTable, TheShippedOne) {
  const auto& table = ConceptTable::standard();
  EXPECT_GE(table.concepts().size(), 400u);
  EXPECT_GE(table.groups().size(), 20u);
  for (const Concept& c : table.concepts()) {
    EXPECT_LE(split_at_blanks(c.name).size(), 4u) << c.name;
    for (const char letter : c.name)
      EXPECT_TRUE((letter >= 'a' && letter <= 'z') || letter == ' ' || letter == '-') << c.name;
  }
  std::set<int> used;
  for (const Concept& c : table.concepts()) used.insert(c.group);
  EXPECT_EQ(used.size(), table.groups().size()) << "every group has a noun";
}

}  // namespace
}  // namespace tessera::rils
