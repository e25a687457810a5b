#include "rils/prepare/shards_command.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "engine/core/atomic_file.h"
#include "rils/data/dataset.h"
#include "rils/data/shard_writer.h"
#include "rils/prepare/folder_command.h"
#include "tests/rils/data/test_files.h"

namespace tessera::rils {
namespace {

using test::png_text;

/// 24 images with two captions each. One image is missing and one is broken.
class PrepareCaptions : public testing::Test {
 protected:
  PrepareCaptions() {
    std::string table;
    for (int i = 0; i < 24; ++i) {
      const std::string name = "picture" + std::to_string(i) + ".png";
      names_.push_back(name);
      if (i != 5) folder_.write("images/" + name, i == 9 ? "broken" : png_text(i));
      for (int c = 0; c < 2; ++c)
        table += name + "\t" + std::to_string(c) + "\tcaption " + std::to_string(c) + " of " + std::to_string(i) + "\n";
    }
    options_.table = folder_.write("captions.tsv", table);
    options_.columns.image_column = "1";
    options_.columns.caption_column = "3";
    options_.columns.image_root = folder_.path() / "images";
    options_.output = folder_.path() / "shards";
    options_.samples_per_shard = 5;
    options_.hold_out = 6;
  }
  test::TemporaryFolder folder_;
  std::vector<std::string> names_;
  PrepareCaptionsOptions options_;
};

/// Captions in Windows-1252 are left out and counted, or written in UTF-8.
TEST_F(PrepareCaptions, ShardsHoldUtf8) {
  options_.table = folder_.write("latin.tsv", "picture1.png\t0\tgr\xfcn\npicture2.png\t0\tred\n");
  options_.hold_out = 0;
  const PrepareReport report = prepare_captions(options_);
  EXPECT_EQ(report.written(), 1);
  EXPECT_EQ(report.skipped.count(skip::kBadEncoding), 1);
  options_.output = folder_.path() / "decoded";
  options_.text_encoding = "windows-1252";
  EXPECT_EQ(prepare_captions(options_).written(), 2);
  EXPECT_EQ(open_dataset((options_.output / "train").string(), {})->load(0).captions[0], "grün");
  ShardWriter writer(folder_.path() / "direct", 10);
  EXPECT_THROW(writer.add({encode_png(test::flat_image(1)), {"gr\xfcn"}, std::nullopt, ""}), SampleError);
}

TEST_F(PrepareCaptions, ShardsHoldEveryUsableImageOnce) {
  const PrepareReport report = prepare_captions(options_);
  EXPECT_EQ(report.written() + report.skipped.total(), 24);
  EXPECT_EQ(report.skipped.count(skip::kMissingFile), 1);
  EXPECT_EQ(report.skipped.count(skip::kUnknownFormat), 1);
  EXPECT_EQ(report.captions, 44);
  const auto train = open_dataset((options_.output / "train").string(), {});
  const auto val = open_dataset((options_.output / "val").string(), {});
  EXPECT_EQ(train->size(), report.train_samples);
  EXPECT_EQ(val->size(), report.val_samples);
  EXPECT_EQ(train->size() + val->size(), 22);
  EXPECT_EQ(train->skipped().total() + val->skipped().total(), 0);
  std::set<int> seen;
  for (const auto* dataset : {train.get(), val.get()}) {
    for (int64_t i = 0; i < dataset->size(); ++i) {
      const Sample sample = dataset->load(i, true);
      const int number = decode_sample(sample).pixels[0];
      EXPECT_TRUE(seen.insert(number).second);
      const auto text = std::to_string(number);
      EXPECT_EQ(sample.captions, (std::vector<std::string>{"caption 0 of " + text, "caption 1 of " + text}));
    }
  }
  // Shards of five samples, with the files that CLIP_benchmark expects.
  EXPECT_EQ(report.train_shards, (report.train_samples + 4) / 5);
  EXPECT_EQ(read_file(options_.output / "train" / "nshards.txt"), std::to_string(report.train_shards) + "\n");
}

TEST_F(PrepareCaptions, TheHoldOutFollowsTheRule) {
  (void)prepare_captions(options_);
  std::set<int64_t> expected;
  for (const int64_t i : hold_out(names_, 6))
    if (i != 5 && i != 9) expected.insert(i);
  std::set<int64_t> found;
  const auto val = open_dataset((options_.output / "val").string(), {});
  for (int64_t i = 0; i < val->size(); ++i) found.insert(decode_sample(val->load(i, true)).pixels[0]);
  EXPECT_EQ(found, expected);
}

TEST_F(PrepareCaptions, TheSameInputGivesTheSameBytes) {
  (void)prepare_captions(options_);
  const std::string first = read_file(options_.output / "train" / "00001.tar");
  options_.output = folder_.path() / "again";
  (void)prepare_captions(options_);
  EXPECT_EQ(read_file(options_.output / "train" / "00001.tar"), first);
}

TEST_F(PrepareCaptions, NothingHalfDoneIsLeft) {
  (void)prepare_captions(options_);
  EXPECT_THROW((void)prepare_captions(options_), ConfigError);  // the folder exists already
  options_.output = folder_.path() / "other";
  options_.columns.image_root = folder_.path() / "absent";
  EXPECT_THROW((void)prepare_captions(options_), IoError);
  EXPECT_TRUE(std::filesystem::is_empty(options_.output));
  options_.hold_out = 24;
  EXPECT_THROW((void)prepare_captions(options_), ConfigError);
}

TEST(PrepareFolder, MakesClipBenchmarksLayout) {
  const test::TemporaryFolder folder;
  for (const std::string split : {"train", "test"})
    for (int i = 0; i < 4; ++i)
      folder.write("in/" + split + "/" + (i < 3 ? "snow_leopard" : "cat") + "/" + std::to_string(i) + ".png",
                   png_text(i));
  folder.write("in/test/cat/bad.png", "broken");
  PrepareFolderOptions options;
  options.input = folder.path() / "in";
  options.output = folder.path() / "out";
  options.samples_per_shard = 3;
  const auto report = prepare_folder(options);
  EXPECT_EQ(report.class_names, (std::vector<std::string>{"cat", "snow leopard"}));
  EXPECT_EQ(report.skipped.total(), 1);
  ASSERT_EQ(report.splits.size(), 2u);
  EXPECT_EQ(read_file(options.output / "classnames.txt"), "cat\nsnow leopard\n");
  EXPECT_EQ(read_file(options.output / "zeroshot_classification_templates.txt"), "a photo of a {c}.\n");
  DatasetOptions reading;
  reading.need_caption = false;
  reading.need_label = true;
  for (const std::string split : {"train", "test"}) {
    const auto dataset = open_dataset((options.output / split).string(), reading);
    ASSERT_EQ(dataset->size(), 4);
    EXPECT_EQ(dataset->class_names(), report.class_names);
    for (int64_t i = 0; i < 4; ++i) {
      const Sample sample = dataset->load(i, true);
      EXPECT_EQ(sample.label, decode_sample(sample).pixels[0] < 3 ? 1 : 0);
    }
  }
}

TEST(PrepareFolder, CanBeRepeatedAfterAKillBetweenSplits) {
  const test::TemporaryFolder folder;
  for (const std::string split : {"train", "val"}) folder.write("in/" + split + "/cat/1.png", png_text(1));
  PrepareFolderOptions options;
  options.input = folder.path() / "in";
  options.output = folder.path() / "out";
  (void)prepare_folder(options);
  EXPECT_THROW((void)prepare_folder(options), ConfigError);
  // All is written and some parts have their names.
  const auto scratch = options.output / "unfinished.partial";
  std::filesystem::create_directories(scratch);
  write_file_atomically(scratch / ".tessera-unfinished",
                        "classnames.txt\nzeroshot_classification_templates.txt\ntrain\nval\n");
  std::filesystem::rename(options.output / "val", scratch / "val");
  EXPECT_EQ(prepare_folder(options).splits.size(), 2u);
  EXPECT_TRUE(std::filesystem::exists(options.output / "val" / "0.tar"));
  EXPECT_FALSE(std::filesystem::exists(scratch));
}

TEST(PrepareFolder, SplitsMustHaveTheSameClasses) {
  const test::TemporaryFolder folder;
  folder.write("in/train/cat/1.png", png_text(1));
  folder.write("in/val/dog/1.png", png_text(1));
  PrepareFolderOptions options;
  options.input = folder.path() / "in";
  options.output = folder.path() / "out";
  EXPECT_THROW((void)prepare_folder(options), ConfigError);
}

/// Splits have many names, and what lies beside them is no class.
TEST(PrepareFolder, SplitsAreNoClasses) {
  for (const std::string val : {"validation", "valid", "dev"}) {
    const test::TemporaryFolder folder;
    for (const std::string& split : {std::string("train"), val})
      for (const std::string name : {"cat", "dog"}) folder.write("in/" + split + "/" + name + "/1.png", png_text(1));
    folder.write("in/annotations/notes.txt", "x");
    folder.write("in/train/cat/2.avif", std::string_view("\0\0\0\x1c\x66typavif", 12));
    PrepareFolderOptions options;
    options.input = folder.path() / "in";
    options.output = folder.path() / "out";
    const auto report = prepare_folder(options);
    EXPECT_EQ(report.class_names, (std::vector<std::string>{"cat", "dog"}));
    ASSERT_EQ(report.splits.size(), 2u);
    EXPECT_EQ(report.splits[1].name, val);
    EXPECT_NE(report.describe().find("(first annotations)"), std::string::npos);
    EXPECT_EQ(report.skipped.count(skip::kUnknownFormat), 1) << report.describe();
  }
}

TEST(PrepareFolder, EveryClassNeedsAnImage) {
  const test::TemporaryFolder folder;
  folder.write("in/cat/1.png", png_text(1));
  for (const std::string unusable : {"1.bmp", "1.png"}) {
    folder.write("in/dog/" + unusable, "BM");
    PrepareFolderOptions options;
    options.input = folder.path() / "in";
    options.output = folder.path() / "out";
    EXPECT_THROW((void)prepare_folder(options), IoError) << unusable;
  }
}

TEST(PrepareFolder, OneSplitWithoutSplitFolders) {
  const test::TemporaryFolder folder;
  folder.write("in/cat/1.png", png_text(1));
  folder.write("in/dog/1.png", png_text(2));
  PrepareFolderOptions options;
  options.input = folder.path() / "in";
  options.output = folder.path() / "out";
  options.split = "test";
  const auto report = prepare_folder(options);
  ASSERT_EQ(report.splits.size(), 1u);
  EXPECT_EQ(report.splits[0].name, "test");
  EXPECT_TRUE(std::filesystem::exists(options.output / "test" / "0.tar")) << "as CLIP_benchmark expects";
}

}  // namespace
}  // namespace tessera::rils
