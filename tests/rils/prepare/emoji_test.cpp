#include "rils/prepare/emoji.h"

#include <gtest/gtest.h>

#include <fstream>

#include "engine/core/error.h"
#include "engine/core/philox.h"
#include "rils/prepare/ligatures.h"
#include "tests/rils/data/test_files.h"
#include "tests/rils/prepare/synthetic.h"

namespace tessera::rils {
namespace {

TEST(EmojiList, FullyQualifiedOnesWithTheirGroups) {
  const auto list = parse_emoji_test(
      "# a comment; fully-qualified # x E1.0 no\n"
      "# group: Animals & Nature\n"
      "# subgroup: animal-mammal\n"
      "1F436     ; fully-qualified     # \xf0\x9f\x90\xb6 E0.6 dog face\r\n"
      "263A      ; unqualified         # x E0.6 smiling face\n"
      "1F468 1F3FB ; fully-qualified   # x E1.0 man: light skin tone\n"
      "1F468 200D 1F33E ; fully-qualified # x E4.0 man farmer\n"
      "110000    ; fully-qualified     # x E4.0 outside of Unicode\n"
      "xyz       ; fully-qualified     # x E4.0 no number\n"
      "1F437     ; fully-qualified     # x\n"
      "1F438 # ; fully-qualified x E1 a b\n"
      "1F439     ; fully-qualified     # x E1.0 hamster");
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[0].name, "dog face");
  EXPECT_EQ(list[0].group, "Animals & Nature");
  EXPECT_EQ(list[0].subgroup, "animal-mammal");
  EXPECT_EQ(list[1].code_points, (std::vector<uint32_t>{0x1F468, 0x200D, 0x1F33E}));
  EXPECT_EQ(list[2].name, "hamster");
}

/// A GSUB table with one lookup of ligatures: glyphs 10 20 30 → 99, and 10 20 → 98; behind an extension when asked.
std::vector<std::byte> gsub_table(bool extension) {
  std::vector<uint16_t> w = {1, 0, 0, 0, 10};  // version, scripts, features, lookups at byte 10
  w.insert(w.end(), {1, 4});                   // one lookup, 4 bytes on (byte 14)
  w.insert(w.end(), {static_cast<uint16_t>(extension ? 7 : 4), 0, 1, 8});  // its subtable at byte 22
  if (extension) w.insert(w.end(), {1, 4, 0, 8});                          // the true one 8 bytes on (byte 30)
  w.insert(w.end(), {1, 8, 1, 14});                                        // coverage 8 on, one set 14 on
  w.insert(w.end(), {1, 1, 10});                                           // coverage: glyph 10
  w.insert(w.end(), {2, 6, 14});                                           // the set: two ligatures
  w.insert(w.end(), {99, 3, 20, 30});
  w.insert(w.end(), {98, 2, 20});
  std::vector<std::byte> bytes;
  for (const uint16_t v : w) {
    bytes.push_back(static_cast<std::byte>(v >> 8));
    bytes.push_back(static_cast<std::byte>(v & 0xff));
  }
  return bytes;
}

TEST(LigaturesTest, WholeSequences) {
  for (const bool extension : {false, true}) {
    const Ligatures ligatures(gsub_table(extension));
    EXPECT_EQ(ligatures.size(), 2u);
    EXPECT_EQ(ligatures.find({10, 20, 30}), 99);
    EXPECT_EQ(ligatures.find({10, 20}), 98);
    EXPECT_EQ(ligatures.find({10}), std::nullopt);
    EXPECT_EQ(ligatures.find({10, 20, 31}), std::nullopt);
  }
}

TEST(LigaturesTest, CutAndDamagedTablesThrowOrParse) {
  const auto whole = gsub_table(true);
  for (size_t n = 0; n < whole.size(); ++n)
    EXPECT_THROW(Ligatures(std::span(whole).first(n)), IoError) << n << " bytes";
  const Philox random(7, "damage");
  for (uint64_t trial = 0; trial < 20000; ++trial) {
    auto bytes = whole;
    for (uint64_t k = 0; k <= random.below(4, trial, 0, 0); ++k)
      bytes[random.below(bytes.size(), trial, 1, k)] = static_cast<std::byte>(random.below(256, trial, 2, k));
    try {
      (void)Ligatures(bytes).size();
    } catch (const IoError&) {
    }
  }
}

TEST(LigaturesTest, OverlappingSetsDoNotCostHours) {
  // 256 times the same lookup, subtable, set and ligature: 4 billion ligatures in 6,000 bytes.
  std::vector<std::byte> bytes(6000);
  const auto put = [&](size_t at, std::initializer_list<unsigned> words) {
    for (const unsigned v : words) {
      bytes[at++] = static_cast<std::byte>(v >> 8);
      bytes[at++] = static_cast<std::byte>(v & 0xff);
    }
  };
  const auto repeat = [&](size_t at, unsigned offset) {
    put(at, {256});
    for (size_t i = 1; i <= 256; ++i) put(at + 2 * i, {offset});
  };
  put(8, {10});
  repeat(10, 990);  // lookups, all at 1000
  put(1000, {4, 0});
  repeat(1004, 1000);  // subtables, all at 2000
  put(2000, {1, 1000});
  repeat(2004, 2000);               // sets, all at 4000
  put(3000, {2, 1, 0, 0xffff, 0});  // coverage: every glyph
  repeat(4000, 1000);               // ligatures, all at 5000
  put(5000, {7, 2, 8});
  EXPECT_THROW(Ligatures{bytes}, IoError);
}

TEST(EmojiFontTest, NotAFont) {
  const test::TemporaryFolder folder;
  EXPECT_THROW(EmojiFont(folder.path() / "none.ttf"), IoError);
  std::ofstream(folder.path() / "bad.ttf") << "not a font at all";
  EXPECT_THROW(EmojiFont(folder.path() / "bad.ttf"), IoError);
}

}  // namespace
}  // namespace tessera::rils
