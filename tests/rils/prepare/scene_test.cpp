#include "rils/prepare/scene.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/core/error.h"
#include "engine/core/philox.h"
#include "engine/runtime/thread_pool.h"
#include "rils/data/byte_source.h"
#include "rils/data/decode.h"
#include "rils/data/tar.h"
#include "rils/prepare/background.h"
#include "rils/prepare/scene_shards.h"
#include "tests/rils/data/test_files.h"
#include "tests/rils/prepare/synthetic.h"

namespace tessera::rils {
namespace {

/// The box of one index in the mask, computed in the simplest way.
Box box_in_mask(const Image& mask, int index) {
  int x0 = mask.width, y0 = mask.height, x1 = -1, y1 = -1;
  for (int y = 0; y < mask.height; ++y)
    for (int x = 0; x < mask.width; ++x)
      if (mask.row(y)[x * mask.channels] == index) {
        x0 = std::min(x0, x), x1 = std::max(x1, x), y0 = std::min(y0, y), y1 = std::max(y1, y);
      }
  return {y0, x0, y1 - y0 + 1, x1 - x0 + 1};
}

std::vector<int> everything(const std::vector<Cutout>& cutouts) {
  std::vector<int> out;
  for (size_t i = 0; i < cutouts.size(); ++i) out.push_back(static_cast<int>(i));
  return out;
}

class SceneTest : public ::testing::Test {
 protected:
  const ConceptTable table_ = ConceptTable::parse(testing::synthetic_table(4, 8));
  const std::vector<Cutout> cutouts_ = testing::synthetic_cutouts(table_, 2);
  const SceneCast cast_{cutouts_, everything(cutouts_), 32, 5};
  const std::vector<bool> repeatable_ = std::vector<bool>(32, true);
};

TEST_F(SceneTest, MasksBoxesAndPixelsAgree) {
  const Philox philox(11, "scenes");
  int overlaps = 0;
  for (uint64_t i = 0; i < 300; ++i) {
    AugmentStream random(philox, 0, i);
    const auto cast = cast_.draw(false, repeatable_, random);
    const Scene scene = compose_scene(cast, 96, SceneSizes{}, random);
    ASSERT_EQ(scene.image.width, 96);
    ASSERT_EQ(scene.image.channels, 3);
    ASSERT_EQ(scene.mask.channels, 1);
    ASSERT_EQ(scene.objects.size(), cast.size());
    ASSERT_FALSE(scene.objects.empty());
    EXPECT_EQ(*std::ranges::max_element(scene.mask.pixels), scene.objects.size());
    for (size_t k = 0; k < scene.objects.size(); ++k) {
      const PlacedCutout& object = scene.objects[k];
      EXPECT_EQ(object.cutout, cast[k]) << "in the order given";
      EXPECT_EQ(object.box, box_in_mask(scene.mask, static_cast<int>(k + 1)));
      // Inside an ellipse of one colour, every pixel of the picture has this colour.
      const uint8_t* colour =
          object.cutout->image.row(object.cutout->image.height / 2) + 4 * (object.cutout->image.width / 2);
      int same = 0, all = 0;
      for (int y = 0; y < 96; ++y)
        for (int x = 0; x < 96; ++x)
          if (scene.mask.row(y)[x] == k + 1) {
            ++all;
            same += std::equal(colour, colour + 3, scene.image.row(y) + 3 * x) ? 1 : 0;
          }
      EXPECT_GT(same, all * 8 / 10);
      const int longer = std::max(object.box.width, object.box.height);
      EXPECT_LE(longer, 57);
      if (scene.in_front.empty()) {
        EXPECT_GE(longer, 29);
      }
    }
    for (const auto& [front, back] : scene.in_front) {
      EXPECT_GT(front, back);
      ++overlaps;
    }
  }
  EXPECT_GT(overlaps, 5);
}

TEST_F(SceneTest, ThingsDoNotVanish) {
  const Philox philox(12, "scenes");
  for (uint64_t i = 0; i < 100; ++i) {
    AugmentStream random(philox, 0, i);
    Cutout thing;
    thing.image = testing::ellipse(100, 100, 246, 245, 242);  // the white of the palette
    const Scene scene = compose_scene({&thing}, 96, SceneSizes{}, random);
    EXPECT_NE(scene.background, "on a white background");
  }
}

TEST_F(SceneTest, CastsKeepPairsApart) {
  const Philox philox(13, "casts");
  std::set<std::pair<int, int>> pairs[2];
  for (const bool test : {false, true})
    for (uint64_t i = 0; i < 2000; ++i) {
      AugmentStream random(philox, test ? 1 : 0, i);
      const auto cast = cast_.draw(test, repeatable_, random);
      EXPECT_GE(cast.size(), 2u);
      EXPECT_LE(cast.size(), 4u);
      std::set<int> different;
      for (const Cutout* a : cast) {
        different.insert(a->concept_index);
        for (const Cutout* b : cast)
          if (a->concept_index < b->concept_index) pairs[test ? 1 : 0].emplace(a->concept_index, b->concept_index);
      }
      EXPECT_GE(different.size(), 2u);
    }
  std::vector<std::pair<int, int>> both;
  std::ranges::set_intersection(pairs[0], pairs[1], std::back_inserter(both));
  EXPECT_TRUE(both.empty());
  EXPECT_GT(pairs[1].size(), 60u);
  EXPECT_GT(pairs[0].size(), 300u);
}

TEST_F(SceneTest, MassNounsAppearOnce) {
  const Philox philox(14, "casts");
  int doubles = 0;
  for (uint64_t i = 0; i < 2000; ++i) {
    AugmentStream random(philox, 0, i);
    std::vector<bool> repeatable(32);
    for (size_t c = 0; c < 32; ++c) repeatable[c] = !table_.concepts()[c].mass;
    const auto cast = cast_.draw(false, repeatable, random);
    for (size_t a = 0; a < cast.size(); ++a)
      for (size_t b = 0; b < a; ++b)
        if (cast[a]->concept_index == cast[b]->concept_index) {
          ++doubles;
          EXPECT_FALSE(table_.concepts()[static_cast<size_t>(cast[a]->concept_index)].mass);
        }
  }
  EXPECT_GT(doubles, 50);
}

TEST(SceneCastTest, TooFewThings) {
  const auto table = ConceptTable::parse("g\n  a\n  b\n");
  const auto cutouts = testing::synthetic_cutouts(table, 1);
  EXPECT_THROW(SceneCast(cutouts, everything(cutouts), 2, 0), ConfigError);
}

TEST(BackgroundTest, EveryKindWithAPhrase) {
  const Philox philox(15, "backgrounds");
  std::set<std::string> phrases;
  for (uint64_t i = 0; i < 400; ++i) {
    AugmentStream random(philox, 0, i);
    const Background b = draw_background(40, random);
    EXPECT_EQ(b.image.pixels.size(), 40u * 40u * 3u);
    phrases.insert(b.phrase);
    EXPECT_EQ(b.phrase.find("a orange"), std::string::npos);
  }
  EXPECT_GT(phrases.size(), 40u);
  for (const char* phrase : {"on a striped background", "on a mottled background", "at the beach", "in the snow"})
    EXPECT_TRUE(phrases.contains(phrase)) << phrase;
}

/// The members of an archive by name.
std::map<std::string, std::vector<std::byte>> members(const std::filesystem::path& path) {
  const FileSource source(path);
  TarReader reader(source);
  std::map<std::string, std::vector<std::byte>> out;
  while (const auto member = reader.next()) out[member->name] = source.read(member->offset, member->size);
  return out;
}

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST_F(SceneTest, ShardsAreTheSameForAnyNumberOfThreads) {
  DefaultDataOptions options;
  options.train_scenes = 25;
  options.test_scenes = 7;
  options.scenes_per_shard = 10;
  options.image_size = 64;
  const test::TemporaryFolder folder;
  ThreadPool one(1), three(3);
  const auto a = write_scene_shards(folder.path() / "a", options, table_, cast_, false, one, {});
  const auto b = write_scene_shards(folder.path() / "b", options, table_, cast_, false, three, {});
  EXPECT_EQ(a.captions, b.captions);
  EXPECT_GE(a.captions.size(), 25u);
  for (const char* name : {"00000.tar", "00001.tar", "00002.tar", "nshards.txt"})
    EXPECT_EQ(read_bytes(folder.path() / "a" / name), read_bytes(folder.path() / "b" / name)) << name;
  EXPECT_EQ(text_of(read_bytes(folder.path() / "a" / "nshards.txt")), "3\n");
  options.seed = 1;
  const auto c = write_scene_shards(folder.path() / "c", options, table_, cast_, false, three, {});
  EXPECT_NE(a.captions, c.captions);
}

TEST_F(SceneTest, SamplesAreComplete) {
  DefaultDataOptions options;
  options.test_scenes = 12;
  options.image_size = 64;
  const test::TemporaryFolder folder;
  ThreadPool pool(2);
  const auto result = write_scene_shards(folder.path(), options, table_, cast_, true, pool, {});
  const auto files = members(folder.path() / "00000.tar");
  EXPECT_EQ(files.size(), 4u * 12u);
  int64_t objects = 0;
  for (int i = 0; i < 12; ++i) {
    const std::string key = "0000" + std::string(i < 10 ? "0" : "") + std::to_string(i);
    const auto json = nlohmann::json::parse(text_of(files.at(key + ".json")));
    EXPECT_EQ(text_of(files.at(key + ".txt")), json["captions"][0]);
    EXPECT_EQ(json["captions"].size(), 1u) << "test scenes have one";
    EXPECT_EQ(json["captions"][0], result.captions[static_cast<size_t>(i)]);
    EXPECT_EQ(decode_image(files.at(key + ".jpg")).width, 64);
    const Image mask = decode_image(files.at(key + ".mask.png"));
    for (const auto& object : json["objects"]) {
      const Box box = box_in_mask(mask, object["mask_value"]);
      EXPECT_EQ(object["box"], nlohmann::json({box.left, box.top, box.left + box.width, box.top + box.height}));
      ++objects;
    }
  }
  EXPECT_EQ(objects, result.objects);
}

TEST_F(SceneTest, ObjectsAreAClassificationSet) {
  DefaultDataOptions options;
  options.views_per_object = 3;
  options.image_size = 64;
  const test::TemporaryFolder folder;
  ThreadPool pool(2);
  const CutoutSplit split{{0, 1, 2}, {3, 20, 60}};
  EXPECT_EQ(write_object_shards(folder.path(), options, table_, cutouts_, split, pool), 9);
  EXPECT_EQ(text_of(read_bytes(folder.path() / "classnames.txt")), "group a\ngroup b\ngroup c\ngroup d\n");
  EXPECT_NE(text_of(read_bytes(folder.path() / "zeroshot_classification_templates.txt")).find("{c}"),
            std::string::npos);
  EXPECT_EQ(text_of(read_bytes(folder.path() / "test" / "nshards.txt")), "1\n");
  const auto files = members(folder.path() / "test" / "0.tar");
  EXPECT_EQ(files.size(), 27u);
  EXPECT_EQ(text_of(files.at("s0000000.cls")), "0");
  EXPECT_EQ(text_of(files.at("s0000008.cls")), "3");
  const auto json = nlohmann::json::parse(text_of(files.at("s0000000.json")));
  EXPECT_EQ(json["name"], "thing ab");
  EXPECT_EQ(json["name_in_training"], true) << "picture 2 shows it too";
  EXPECT_EQ(nlohmann::json::parse(text_of(files.at("s0000008.json")))["name_in_training"], false);
}

}  // namespace
}  // namespace tessera::rils
