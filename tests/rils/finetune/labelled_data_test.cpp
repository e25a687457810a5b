// Draws of labels, and the transforms of training and evaluation.
#include "rils/finetune/labelled_data.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "engine/core/error.h"
#include "rils/config/schema.h"
#include "tests/rils/data/test_files.h"

namespace tessera::rils {
namespace {

/// Interleaves 100 samples of class 0, 37 of class 1, 3 of class 2, and an unusable one.
LabelledData uneven() {
  LabelledData data;
  data.classes = 3;
  data.class_names = {"many", "some", "few"};
  data.labels.push_back(-1);
  for (int i = 0; i < 100; ++i) {
    data.labels.push_back(0);
    if (i < 37) data.labels.push_back(1);
    if (i < 3) data.labels.push_back(2);
  }
  return data;
}

std::map<int32_t, int64_t> counts(const LabelledData& data, const std::vector<int64_t>& chosen) {
  std::map<int32_t, int64_t> result;
  for (const int64_t i : chosen) ++result[data.labels[static_cast<size_t>(i)]];
  return result;
}

TEST(Draws, ShotsAreSoManyOfEachClass) {
  const LabelledData data = uneven();
  std::set<std::vector<int64_t>> draws;
  for (int64_t draw = 0; draw < 5; ++draw) {
    const auto chosen = draw_shots(data, 2, 1, draw);
    EXPECT_EQ(counts(data, chosen), (std::map<int32_t, int64_t>{{0, 2}, {1, 2}, {2, 2}}));
    EXPECT_TRUE(std::ranges::is_sorted(chosen));
    EXPECT_EQ(std::ranges::adjacent_find(chosen), chosen.end()) << "none twice";
    EXPECT_EQ(draw_shots(data, 2, 1, draw), chosen);
    draws.insert(chosen);
  }
  EXPECT_EQ(draws.size(), 5u);
  EXPECT_NE(draw_shots(data, 2, 2, 0), draw_shots(data, 2, 1, 0)) << "the seed counts";
}

TEST(Draws, EveryImageIsDrawnAsOften) {
  const LabelledData data = uneven();
  std::map<int64_t, int> drawn;
  constexpr int kDraws = 3000;
  for (int draw = 0; draw < kDraws; ++draw) {
    for (const int64_t i : draw_shots(data, 1, 1, draw)) ++drawn[i];
  }
  for (size_t i = 1; i < data.labels.size(); ++i) {
    const double share = data.labels[i] == 0 ? 1.0 / 100 : data.labels[i] == 1 ? 1.0 / 37 : 1.0 / 3;
    EXPECT_NEAR(drawn[static_cast<int64_t>(i)], kDraws * share, 5 * std::sqrt(kDraws * share)) << i;
  }
  EXPECT_EQ(drawn.count(0), 0u) << "the unusable one";
}

TEST(Draws, MoreShotsThanImagesIsOneLine) {
  try {
    (void)draw_shots(uneven(), 4, 1, 0);
    FAIL();
  } catch (const ConfigError& e) {
    EXPECT_STREQ(e.what(), "finetune.shots: expected at most 3, the images of class few, found 4");
  }
}

TEST(Draws, AFractionIsThatOfEachClass) {
  const LabelledData data = uneven();
  EXPECT_EQ(counts(data, draw_fraction(data, 0.1, 1)), (std::map<int32_t, int64_t>{{0, 10}, {1, 4}, {2, 1}}));
  EXPECT_EQ(counts(data, draw_fraction(data, 0.01, 1)), (std::map<int32_t, int64_t>{{0, 1}, {1, 1}, {2, 1}}));
  EXPECT_EQ(draw_fraction(data, 1.0, 1).size(), 140u);
}

/// Stray files change neither the kind of the data nor their classes, and they are counted.
TEST(OpenLabelled, ClassFoldersOfAnySplitNamesWithStrayFiles) {
  for (const std::string val : {"val", "validation", "valid", "dev", "test"}) {
    const test::TemporaryFolder folder;
    for (const std::string& split : {std::string("train"), val}) {
      for (const std::string name : {"cat", "dog"}) folder.write(split + "/" + name + "/0.png", test::png_text(1));
      folder.write(split + "/cat/0.txt", "0 0.5 0.5 1 1");
      folder.write(split + "/labels.csv", "filepath,title\ncat/0.png,cat\n");
    }
    folder.write("annotations/a.xml", "x");
    Config config = finetuning_defaults();
    config.finetune.data_path = folder.path().string();
    const LabelledData data = open_labelled(config);
    EXPECT_EQ(data.class_names, (std::vector<std::string>{"cat", "dog"}));
    EXPECT_EQ(data.train->size(), 2);
    EXPECT_EQ(data.val->size(), 2);
    EXPECT_EQ(data.val->skipped().count(skip::kNotAnImage), 2);
    ASSERT_GE(data.notes.size(), 2u);
    EXPECT_NE(data.notes[0].find("/" + val), std::string::npos);
    EXPECT_NE(data.notes[1].find("annotations"), std::string::npos);
  }
}

TEST(Transforms, EvaluationResizesBy256Over224) {
  Config config = finetuning_defaults();
  for (const auto& [size, resize] : std::map<int, int>{{224, 256}, {96, 109}, {28, 32}, {32, 36}, {384, 384}}) {
    config.model.vision.image_size = size;
    const EvalTransform t = centre_transform(config);
    EXPECT_EQ(t.size, size);
    EXPECT_EQ(t.resize, resize);
    EXPECT_EQ(t.interpolation, Interpolation::bicubic);
    EXPECT_EQ(centre_transform(config, true).resize, size * 256 / 224) << "MSN's probe";
  }
}

TEST(Transforms, TrainingIsMaes) {
  const ClassifyTransform t = classify_transform(finetuning_defaults());
  EXPECT_EQ(t.crop.scale, (std::pair{0.08f, 1.0f}));
  EXPECT_EQ(t.crop.flip_probability, 0.5f);
  EXPECT_EQ(t.crop.interpolation, Interpolation::bicubic);
  EXPECT_EQ(t.augment.magnitude, 9);
  EXPECT_EQ(t.augment.layers, 2);
  EXPECT_EQ(t.erasing.probability, 0.25);
}

TEST(Labels, WordsAreRefusedWithWhatWasFound) {
  const test::TemporaryFolder folder;
  folder.write("classnames.txt", "red\ngreen\n");
  for (const char* split : {"train", "val"}) {
    std::filesystem::create_directories(folder.path() / split);
    test::write_tar(folder.path() / split / "0.tar",
                    {{"0.png", test::png_text(1)}, {"0.cls", "red"}, {"1.png", test::png_text(2)}, {"1.cls", "green"}});
  }
  Config config;
  config.finetune.data_path = folder.path().string();
  try {
    (void)open_labelled(config);
    FAIL();
  } catch (const IoError& e) {
    EXPECT_NE(
        std::string(e.what()).find(
            "train: no usable image: 2 skipped (bad label: 2, first 0.tar/0: expected a class number, found 'red')"),
        std::string::npos)
        << e.what();
  }
}

}  // namespace
}  // namespace tessera::rils
