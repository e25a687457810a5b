#include "rils/prepare/caption.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "engine/core/philox.h"
#include "rils/prepare/background.h"
#include "rils/text/english.h"

namespace tessera::rils {
namespace {

const std::array<std::string, 6> kNouns = {"cat", "dog", "cup", "hat", "egg", "owl"};

/// Things at random places, with different nouns and no group words.
SceneFacts random_facts(int count, AugmentStream& random) {
  SceneFacts facts;
  facts.size = 112;
  facts.background = "on a meadow";
  for (int i = 0; i < count; ++i) {
    const int w = 20 + draw_below(random, 40), h = 20 + draw_below(random, 40);
    facts.things.push_back({kNouns[static_cast<size_t>(i)],
                            false,
                            "",
                            i % 2 == 0 ? "red" : "",
                            {draw_below(random, 113 - h), draw_below(random, 113 - w), h, w}});
  }
  if (random.uniform() < 0.5f) facts.in_front.emplace_back(1, 0);
  return facts;
}

/// The statements of a caption, read from its words only, without the code that wrote them.
struct Reading {
  std::string shape;  // n: a noun, r: a relation, w: "with", i: "it", &: "and", ',': a comma
  std::vector<int> nouns;
  std::vector<Relation> relations;
};

Reading read(std::string_view text) {
  static const std::vector<std::pair<std::string, Relation>> kRelationWords = {{"to the left of", Relation::left_of},
                                                                               {"left of", Relation::left_of},
                                                                               {"to the right of", Relation::right_of},
                                                                               {"right of", Relation::right_of},
                                                                               {"above", Relation::above},
                                                                               {"over", Relation::above},
                                                                               {"below", Relation::below},
                                                                               {"under", Relation::below},
                                                                               {"next to", Relation::next_to},
                                                                               {"beside", Relation::next_to},
                                                                               {"behind", Relation::behind},
                                                                               {"in front of", Relation::in_front_of}};
  Reading out;
  while (!text.empty()) {
    size_t used = 0;
    for (const auto& [words, relation] : kRelationWords)
      if (used == 0 && text.starts_with(words + ' ')) {
        out.shape += 'r';
        out.relations.push_back(relation);
        used = words.size();
      }
    const std::string_view word = text.substr(0, text.find_first_of(" ,"));
    if (used == 0) {
      const auto noun = std::ranges::find(kNouns, word);
      if (noun != kNouns.end()) out.nouns.push_back(static_cast<int>(noun - kNouns.begin()));
      if (noun != kNouns.end()) out.shape += 'n';
      if (word == "with") out.shape += 'w';
      if (word == "it") out.shape += 'i';
      if (word == "and") out.shape += '&';
      used = word.size();
    }
    text.remove_prefix(used);
    if (text.starts_with(",")) out.shape += ',';
    text.remove_prefix(std::min(text.find_first_not_of(" ,"), text.size()));
  }
  return out;
}

struct Claim {
  int a = 0;
  Relation relation{};
  int b = 0;
};

std::vector<Claim> claims_of(const Reading& r) {
  const auto& n = r.nouns;
  const auto& q = r.relations;
  if (r.shape == "nrn") return {{n[0], q[0], n[1]}};
  if (r.shape == "nwnri") return {{n[1], q[0], n[0]}};
  if (r.shape == "nrn,rn") return {{n[0], q[0], n[1]}, {n[0], q[1], n[2]}};
  if (r.shape == "nrn,&nrn") return {{n[0], q[0], n[1]}, {n[2], q[1], n[3]}};
  if (r.shape == "n&nrn") return {{n[0], q[0], n[2]}, {n[1], q[0], n[2]}};
  EXPECT_TRUE(r.relations.empty()) << r.shape;
  return {};
}

/// The definition in caption.h, implemented independently.
bool is_true(const SceneFacts& f, const Claim& c) {
  const Box &a = f.things[static_cast<size_t>(c.a)].box, &b = f.things[static_cast<size_t>(c.b)].box;
  const int dx = (2 * b.left + b.width) - (2 * a.left + a.width), dy = (2 * b.top + b.height) - (2 * a.top + a.height);
  const double slack_x = 0.15 * std::min(a.width, b.width), slack_y = 0.15 * std::min(a.height, b.height);
  const bool left = dx > std::abs(dy) && a.left + a.width - b.left <= slack_x;
  const bool right = -dx > std::abs(dy) && b.left + b.width - a.left <= slack_x;
  switch (c.relation) {
    case Relation::left_of:
      return left;
    case Relation::right_of:
      return right;
    case Relation::above:
      return dy > std::abs(dx) && a.top + a.height - b.top <= slack_y;
    case Relation::below:
      return -dy > std::abs(dx) && b.top + b.height - a.top <= slack_y;
    case Relation::next_to:
      return left || right;
    case Relation::in_front_of:
      return std::ranges::count(f.in_front, std::pair{c.a, c.b}) > 0;
    case Relation::behind:
      return std::ranges::count(f.in_front, std::pair{c.b, c.a}) > 0;
  }
  return false;
}

TEST(CaptionTest, WhatTheWordsSayIsTrueAndTheSwappedIsFalse) {
  const Philox philox(1, "captions");
  std::map<std::string, int> shapes;
  std::set<Relation> relations;
  for (uint64_t i = 0; i < 6000; ++i) {
    AugmentStream random(philox, 0, i);
    const SceneFacts facts = random_facts(2 + static_cast<int>(i % 3), random);
    const Caption caption = write_caption(facts, random);
    const Reading reading = read(caption.text);
    ++shapes[reading.shape];
    const auto claims = claims_of(reading);
    ASSERT_EQ(claims.size(), caption.statements.size()) << caption.text;
    for (const Claim& claim : claims) {
      EXPECT_TRUE(is_true(facts, claim)) << caption.text;
      relations.insert(claim.relation);
    }
    const std::set<int> named(reading.nouns.begin(), reading.nouns.end());
    EXPECT_EQ(named.size(), facts.things.size()) << "every thing is named: " << caption.text;
    if (caption.swapped.empty()) continue;
    EXPECT_NE(caption.swapped, caption.text);
    const auto swapped = claims_of(read(caption.swapped));
    EXPECT_TRUE(std::ranges::any_of(swapped, [&](const Claim& c) { return !is_true(facts, c); })) << caption.swapped;
  }
  for (const char* shape : {"nrn", "n&n", "nwnri", "nrn,rn", "nrn,&nrn", "n&nrn", "n,n&n", "n,n,n&n"})
    EXPECT_GT(shapes[shape], 20) << shape;
  EXPECT_EQ(relations.size(), static_cast<size_t>(kRelations));
}

TEST(CaptionTest, RelationsOnPlainBoxes) {
  SceneFacts facts;
  facts.size = 100;
  const auto add = [&](int left, int top, int width, int height) {
    facts.things.push_back({"x", false, "", "", {top, left, height, width}});
  };
  add(0, 40, 20, 20);
  add(50, 40, 20, 20);
  add(22, 40, 20, 20);
  add(0, 0, 20, 20);
  EXPECT_TRUE(holds(Relation::left_of, facts, 0, 1));
  EXPECT_FALSE(holds(Relation::right_of, facts, 0, 1));
  EXPECT_FALSE(holds(Relation::next_to, facts, 0, 1)) << "a gap of 30";
  EXPECT_TRUE(holds(Relation::next_to, facts, 0, 2));
  EXPECT_TRUE(holds(Relation::next_to, facts, 2, 0));
  EXPECT_TRUE(holds(Relation::above, facts, 3, 0));
  EXPECT_TRUE(holds(Relation::below, facts, 0, 3));
  EXPECT_FALSE(holds(Relation::above, facts, 3, 1)) << "more beside than above";
  EXPECT_FALSE(holds(Relation::in_front_of, facts, 0, 1));
  for (int r = 0; r < kRelations; ++r)
    EXPECT_EQ(opposite(opposite(static_cast<Relation>(r))), static_cast<Relation>(r));
}

TEST(CaptionTest, NumbersSizesColoursAndGroups) {
  SceneFacts facts;
  facts.size = 112;
  facts.things = {{"cat", false, "animal", "gray", {0, 0, 50, 50}},
                  {"cat", false, "animal", "black", {60, 0, 20, 20}},
                  {"grapes", true, "fruit", "purple", {60, 60, 20, 20}}};
  const Philox philox(2, "captions");
  std::set<std::string> openings;
  int group_words = 0, count = 2000;
  for (int i = 0; i < count; ++i) {
    AugmentStream random(philox, 0, static_cast<uint64_t>(i));
    const std::string text = write_caption(facts, random).text;
    const bool two = text.find("two cats") != std::string::npos || text.find("two animals") != std::string::npos;
    EXPECT_TRUE(two) << text;
    EXPECT_TRUE(text.find("some grapes") != std::string::npos || text.find("some purple grapes") != std::string::npos ||
                text.find("fruit") != std::string::npos)
        << text;
    for (const char* wrong :
         {"a grapes", "two grapes", "one grapes", "there is two", "there are some", "there are a", "gray", "  "})
      EXPECT_EQ(text.find(wrong), std::string::npos) << text;
    if (text.find("animals") != std::string::npos) ++group_words;
    openings.insert(text.substr(0, text.find(' ')));
  }
  EXPECT_NEAR(static_cast<double>(group_words) / count, 0.22, 0.04);
  EXPECT_GE(openings.size(), 3u);

  facts.things = {{"cat", false, "animal", "", {0, 0, 50, 50}}, {"dog", false, "animal", "", {60, 60, 20, 20}}};
  std::set<std::string> words;
  for (int i = 0; i < count; ++i) {
    AugmentStream random(philox, 1, static_cast<uint64_t>(i));
    const std::string text = write_caption(facts, random).text;
    EXPECT_EQ(text.find("animal"), std::string::npos) << "it could be either: " << text;
    for (const auto word : split_at_blanks(text)) words.emplace(word);
    EXPECT_EQ(text.find("small cat"), std::string::npos);
    EXPECT_EQ(text.find("big dog"), std::string::npos);
  }
  for (const char* word : {"big", "large", "small", "little"}) EXPECT_TRUE(words.contains(word)) << word;
}

TEST(CaptionTest, NoNegativeWhereAWordIsAmbiguous) {
  SceneFacts facts;
  facts.size = 112;
  facts.things = {{"police car", false, "", "", {0, 0, 30, 30}}, {"car", false, "", "", {0, 60, 30, 30}}};
  const Philox philox(3, "captions");
  for (uint64_t i = 0; i < 300; ++i) {
    AugmentStream random(philox, 0, i);
    EXPECT_EQ(write_caption(facts, random).swapped, "");
  }
}

}  // namespace
}  // namespace tessera::rils
