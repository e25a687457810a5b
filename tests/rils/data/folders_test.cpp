// What a folder is taken for, its splits, and that every file in it is read or counted.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "rils/data/class_names.h"
#include "rils/data/dataset.h"
#include "rils/data/decode.h"
#include "rils/data/detect.h"
#include "rils/data/file_datasets.h"
#include "rils/data/splits.h"
#include "tests/rils/data/test_files.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;
using test::png_text;
using Names = std::vector<std::string>;

using namespace std::string_view_literals;
/// The beginning of a file whose format is known and not read.
constexpr auto kHeic = "\0\0\0\x18\x66typheic\0\0\0\0"sv;

DatasetOptions needing(bool caption, bool label) {
  DatasetOptions o;
  o.need_caption = caption;
  o.need_label = label;
  return o;
}
const DatasetOptions kCaptions = needing(true, false), kLabels = needing(false, true), kImages = needing(false, false);

template <class Action>
std::string message_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "no error";
}

void expect_in(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "expected: " << part << "\nfound: " << text;
}

class Folders : public ::testing::Test {
 protected:
  [[nodiscard]] std::string at(const std::string& name) const { return (folder_.path() / name).string(); }
  void image(const std::string& name, int value = 1) const { folder_.write(name, png_text(value)); }
  void pair(const std::string& stem, const std::string& caption) const {
    image(stem + ".png");
    folder_.write(stem + ".txt", caption);
  }
  void classes(const std::string& root, const Names& names) const {
    for (const auto& name : names) image(root + "/" + name + "/0.png"), image(root + "/" + name + "/1.png");
  }
  [[nodiscard]] std::unique_ptr<Dataset> open(const std::string& name, const DatasetOptions& o,
                                              const std::string& split = "train") const {
    DatasetOptions options = o;
    options.split = split;
    return open_dataset(at(name), options);
  }
  [[nodiscard]] std::string refusal(const std::string& name, const DatasetOptions& o,
                                    const std::string& split = "train") const {
    return message_of([&] { (void)open(name, o, split); });
  }
  [[nodiscard]] std::set<std::string> names_in(const Dataset& data) const {
    std::set<std::string> names;
    for (int64_t i = 0; i < data.size(); ++i) names.insert(data.name(i));
    return names;
  }

  test::TemporaryFolder folder_;
};

TEST_F(Folders, SplitsAreFoundByTheirUsualNames) {
  for (const std::string val : {"val", "valid", "validation", "dev", "Validation"}) {
    const std::string root = "with-" + val;
    classes(root + "/train", {"cat", "dog"});
    classes(root + "/" + val, {"cat", "dog"});
    folder_.write(root + "/annotations/notes.txt", "x");
    folder_.write(root + "/README.md", "x");
    const Splits splits = find_splits(at(root));
    EXPECT_EQ(splits.names(), "train/ and " + val + "/");
    EXPECT_EQ(splits.others, Names{"annotations"});
    ASSERT_NE(splits.choose("val"), nullptr);
    EXPECT_EQ(splits.choose("val")->name, val);
    EXPECT_EQ(splits.choose("test")->name, val) << "the nearest to a test split";
    const auto train = open(root, kLabels), held_out = open(root, kLabels, "test");
    EXPECT_EQ(train->class_names(), (Names{"cat", "dog"}));
    EXPECT_EQ(held_out->class_names(), (Names{"cat", "dog"}));
    expect_in(train->notes().at(0), "read the split train/");
    expect_in(train->notes().at(1), "(first annotations)");
    expect_in(held_out->notes().at(0), "read the split " + val + "/");
  }
}

TEST_F(Folders, EachNeedTakesItsSplitOrIsRefused) {
  for (const std::string split : {"train", "val", "test"}) {
    pair("pairs/" + split + "/0", "of " + split);
    test::write_tar(folder_.path() / ("shards-" + split + ".tar"), {{"a.png", png_text(1)}, {"a.txt", "of " + split}});
    fs::create_directories(at("shards/" + split));
    fs::rename(at("shards-" + split + ".tar"), at("shards/" + split + "/0.tar"));
  }
  for (const std::string root : {"pairs", "shards"}) {
    for (const std::string split : {"train", "val", "test"}) {
      const auto data = open(root, kCaptions, split);
      ASSERT_EQ(data->size(), 1) << root;
      EXPECT_EQ(data->load(0).captions, Names{"of " + split});
    }
    EXPECT_EQ(open(root, kImages)->size(), 1);
  }
  classes("half/test", {"cat", "dog"});
  expect_in(refusal("half", kLabels), "expected the split train/, found test/ only");
  EXPECT_EQ(open("half", kLabels, "val")->size(), 4);
  classes("twice/train", {"cat"});
  classes("twice/val", {"cat"});
  classes("twice/valid", {"cat"});
  expect_in(refusal("twice", kLabels, "val"), "expected one folder for a split, found val/ and valid/");
  image("flat/train/0.png");
  image("flat/test/0.png");
  expect_in(refusal("flat", kLabels, "test"), "flat/test: expected class labels");
  // A table in the root lists images of both folders.
  folder_.write("flat/t.csv", "filepath,title\ntrain/0.png,one\ntest/0.png,two\n");
  EXPECT_EQ(open("flat", kCaptions)->size(), 2);
}

TEST_F(Folders, AClassMayBeCalledAsASplitIs) {
  classes("vehicles", {"bus", "train"});
  EXPECT_EQ(open("vehicles", kLabels)->class_names(), (Names{"bus", "train"}));
  classes("deep/train", {"steam", "diesel"});
  classes("deep", {"bus"});
  expect_in(refusal("deep", kLabels), "train/ may be a split or a class");
  DatasetOptions as_classes = kLabels;
  as_classes.type = DatasetType::folder;
  EXPECT_EQ(open("deep", as_classes)->class_names(), (Names{"bus", "train"}));
  classes("alone/train", {"cat", "dog"});
  EXPECT_EQ(open("alone", kLabels)->class_names(), (Names{"cat", "dog"}));
}

TEST_F(Folders, LabelsComeFromClassFoldersWhateverLiesBesideThem) {
  classes("set", {"cat", "dog"});
  folder_.write("set/labels.csv", "filepath,title\ncat/0.png,a cat\n");
  folder_.write("set/cat/0.txt", "0 0.5 0.5 1 1");
  test::write_tar(folder_.path() / "set" / "backup.tar", {{"a.png", png_text(1)}, {"a.cls", "0"}});
  image("set/loose.png");
  const auto data = open("set", kLabels);
  EXPECT_EQ(data->size(), 4);
  EXPECT_EQ(data->class_names(), (Names{"cat", "dog"}));
  EXPECT_EQ(data->skipped().count(skip::kNotAnImage), 3);
  EXPECT_EQ(data->skipped().count(skip::kNoLabel), 1);
  EXPECT_EQ(data->total(), 8) << "every file of the folder";
  fs::remove_all(at("set/cat"));
  expect_in(refusal("set", kLabels), "found both shards (backup.tar) and images (dog/0.png)");
  fs::remove(at("set/backup.tar"));
  fs::remove_all(at("set/dog"));
  expect_in(refusal("set", kLabels), "expected class labels");
  fs::remove(at("set/loose.png"));
  expect_in(refusal("set", kLabels), "found the table labels.csv; --dataset-type");
}

TEST_F(Folders, ImagesAloneNeedNoClassFolders) {
  for (int i = 0; i < 3; ++i) image("flat/" + std::to_string(i) + ".png");
  folder_.write("flat/list.csv", "a,b\n1,2\n");
  const auto flat = open("flat", kImages);
  EXPECT_EQ(flat->size(), 3);
  EXPECT_EQ(flat->total(), 4);
  EXPECT_EQ(flat->load(0).label, -1);
  classes("mixed", {"cat", "dog"});
  image("mixed/loose.png");
  const auto mixed = open("mixed", kImages);
  EXPECT_EQ(mixed->size(), 5) << "the loose image too";
  EXPECT_EQ(mixed->load(4).label, -1);
  test::write_tar(folder_.path() / "mixed" / "backup.tar", {{"a.png", png_text(1)}});
  expect_in(refusal("mixed", kImages), "--dataset-type webdataset or images");
  DatasetOptions all = kImages;
  all.type = DatasetType::images;
  EXPECT_EQ(open("mixed", all)->size(), 5);
  expect_in(refusal("flat", kLabels), "found images in no class folder (0.png)");
  fs::create_directories(at("empty"));
  expect_in(refusal("empty", kImages), "expected images");
}

TEST_F(Folders, CaptionsThatAreMissingAreNamed) {
  image("a/0.png");
  folder_.write("a/0.caption", "a sun");
  expect_in(refusal("a", kCaptions),
            "a .txt or .json beside each image), found images without them "
            "(0.png beside 0.caption)");
  DatasetOptions other = kCaptions;
  other.text_key = "caption";
  EXPECT_EQ(open("a", other)->load(0).captions, Names{"a sun"});
  pair("a/1", "one");
  test::write_tar(folder_.path() / "a" / "s.tar", {{"a.png", png_text(1)}, {"a.txt", "x"}});
  expect_in(refusal("a", kCaptions), "--dataset-type webdataset or files");
  image("b/previews/0.png");
  test::write_tar(folder_.path() / "b" / "s.tar", {{"a.png", png_text(1)}, {"a.txt", "x"}});
  expect_in(open("b", kCaptions)->notes().at(0), "images beside them are not (first previews/0.png)");
}

/// A folder of images and texts with one of everything: each name is a sample or counted.
TEST_F(Folders, EveryNameBesideTextsIsReadOrCounted) {
  pair("set/0", "zero");
  pair("set/a/1", "one");
  pair("set/a/b/c/2", "two");
  folder_.write("set/UP.PNG", png_text(3));
  folder_.write("set/UP.TXT", "up");
  image("set/0.webp");                          // a second image of a name
  image("set/alone.png");                       // no caption
  folder_.write("set/lonely.txt", "no image");  // no image
  folder_.write("set/x.heic", kHeic);           // a format that cannot be read
  folder_.write("set/x.txt", "x");
  folder_.write("set/page.gif", png_text(1));  // named wrongly
  folder_.write("set/page.txt", "page");
  folder_.write("set/notes.md", "of another kind");
  folder_.write("set/._0.png", "AppleDouble");
  folder_.write("set/00000.parquet", "PAR1");
  folder_.write("set/00000_stats.json", "{}");
  fs::create_directory_symlink("..", at("set/a/up"));
  const auto data = open("set", kCaptions);
  EXPECT_EQ(names_in(*data), (std::set<std::string>{"0", "UP", "page", "a/1", "a/b/c/2"}));
  const std::map<std::string, int64_t> expected = {{skip::kSameName, 1},   {skip::kNoCaption, 1},
                                                   {skip::kNoImage, 2},    {skip::kUnknownFormat, 1},
                                                   {skip::kHiddenFile, 1}, {skip::kFolderAgain, 1}};
  for (const auto& [reason, count] : expected) EXPECT_EQ(data->skipped().count(reason), count) << reason;
  EXPECT_EQ(data->skipped().total(), 7);
  expect_in(data->skipped().entries().at(skip::kUnknownFormat).example, "x.heic: HEIC");
  for (int64_t i = 0; i < data->size(); ++i) EXPECT_FALSE(data->load(i).captions.empty());
}

TEST_F(Folders, EveryFileOfClassFoldersIsReadOrCounted) {
  image("store/s.png");
  image("set/cat/0.png");
  image("set/cat/deep/1.png");
  folder_.write("set/cat/2.heic", kHeic);
  folder_.write("set/cat/3.TIF", kHeic);
  folder_.write("set/cat/4.jfif", png_text(4));  // the content decides
  folder_.write("set/cat/5.jpg", "<!DOCTYPE html><p>not found");
  folder_.write("set/cat/notes.txt", "x");
  fs::create_symlink("nowhere.png", at("set/cat/6.png"));
  fs::create_directory_symlink("../../store", at("set/cat/linked"));
  fs::create_directory_symlink("..", at("set/cat/loop"));
  image("set/dog/0.png");
  fs::create_directory_symlink("../cat", at("set/dog/cats"));  // another class may link to the same folder
  const auto data = open("set", kLabels);
  EXPECT_TRUE(names_in(*data).contains("cat/linked/s.png"));
  EXPECT_TRUE(names_in(*data).contains("dog/cats/linked/s.png"));
  EXPECT_TRUE(names_in(*data).contains("cat/4.jfif"));
  SkipCounts skipped = data->skipped();
  int64_t seen = 0;
  for (int64_t i = 0; i < data->size(); ++i) {
    try {
      (void)decode_sample(data->load(i));
      ++seen;
    } catch (const SampleError& error) {
      skipped.add(error.reason(), error.what());
    }
  }
  // Below cat lie 9 files and a link to a folder above it. Below dog lie one file and all of these once more.
  EXPECT_EQ(data->total(), 21);
  EXPECT_EQ(seen + skipped.total(), 21);
  EXPECT_EQ(skipped.count(skip::kMissingFile), 2);
  EXPECT_EQ(skipped.count(skip::kNotAnImage), 2);
  EXPECT_EQ(skipped.count(skip::kUnknownFormat), 6);
  EXPECT_EQ(skipped.count(skip::kFolderAgain), 2);
  expect_in(skipped.describe(), "cat/2.heic: HEIC");
}

TEST_F(Folders, AListOfImagesCountsOtherFiles) {
  image("album/0.png");
  image("album/trip/1.png");
  folder_.write("album/trip/route.gpx", "x");
  image("album/.thumbnails/large/0.png");
  ASSERT_EQ(::mkfifo(at("album/pipe.png").c_str(), 0600), 0);
  folder_.write("album/2.heic", kHeic);
  const ImageListDataset data({folder_.path() / "album"});
  EXPECT_EQ(data.size(), 2);
  EXPECT_EQ(data.total(), 6);
  EXPECT_EQ(data.skipped().count(skip::kHiddenFile), 1);
  EXPECT_EQ(data.skipped().count(skip::kNotAFile), 1) << "a pipe would be waited for";
  expect_in(data.skipped().describe(), "2.heic: HEIC");
}

TEST_F(Folders, LinesAreCaptionsWhereTheDataSaySo) {
  const Names lines = {"one", "two"};
  for (const std::string root : {"retrieval", "other"}) {
    fs::create_directories(at(root + "/test"));
    test::write_tar(folder_.path() / root / "test" / "0.tar", {{"a.png", png_text(1)}, {"a.txt", "one\ntwo\n"}});
  }
  folder_.write("retrieval/dataset_type.txt", "Retrieval\n");
  folder_.write("other/dataset_type.txt", "classification\n");
  for (const std::string source : {"retrieval", "retrieval/test", "retrieval/test/0.tar", "retrieval/test/{0..0}.tar"})
    EXPECT_EQ(open(source, kCaptions, "test")->load(0).captions, lines) << source;
  EXPECT_EQ(open("other/test", kCaptions)->load(0).captions, Names{"one\ntwo"});
  const auto joined = open_dataset(at("other/test") + "::" + at("retrieval/test"), kCaptions);
  EXPECT_EQ(joined->load(0).captions.size(), 1u);
  EXPECT_EQ(joined->load(1).captions.size(), 2u) << "each part by its own rule";
}

TEST_F(Folders, ClassNamesAreMatchedByName) {
  classes("set", {"apple", "kiwi", "snow_leopard"});
  const auto data = open("set", kLabels);
  const auto match = [&](const Names& names) { return match_classes(names, *data, "names.txt"); };
  EXPECT_TRUE(match({"apple", "kiwi", "snow leopard"}).of_label.empty());
  EXPECT_EQ(match({"Snow Leopard", "kiwi", "apple"}).of_label, (std::vector<int32_t>{2, 1, 0}));
  EXPECT_EQ(match({"plum", "kiwi;kiwi fruit", "leopard;snow leopard", "apple"}).of_label,
            (std::vector<int32_t>{3, 1, 2}))
      << "more names than folders, and synonyms";
  EXPECT_EQ(match({"plum", "apple", "kiwi", "snow leopard"}).of_label, (std::vector<int32_t>{1, 2, 3}));
  const ClassList keyed = match({"kiwi\ta green fruit", "apple\ta red fruit", "snow_leopard\ta cat"});
  EXPECT_EQ(keyed.of_label, (std::vector<int32_t>{1, 0, 2}));
  EXPECT_EQ(keyed.names, (Names{"a green fruit", "a red fruit", "a cat"}));
  const auto refused = [&](const Names& names) { return message_of([&] { (void)match(names); }); };
  expect_in(refused({"apple", "kiwi", "plum"}), "expected the class folder 'snow_leopard' among its 3 names");
  expect_in(refused({"a", "b", "c"}), "expected the class folder 'apple'");
  expect_in(refused({"apple", "kiwi", "snow leopard", "kiwi"}), "'kiwi' is in several lines");
  expect_in(refused({"apple;kiwi", "snow leopard"}), "line 1 is that of both 'apple' and 'kiwi'");
}

TEST_F(Folders, ShardsNumberTheirClassesUnlessTheListHasTheirNames) {
  test::write_tar(folder_.path() / "0.tar", {{"a.png", png_text(1)}, {"a.cls", "0"}});
  folder_.write("classnames.txt", "cat\r\ndog\r\n\r\n");
  const auto data = open("0.tar", kLabels);
  EXPECT_EQ(data->class_names(), (Names{"cat", "dog"}));
  EXPECT_TRUE(match_classes({"kitten", "puppy"}, *data, "n").of_label.empty()) << "other words for the same numbers";
  EXPECT_EQ(match_classes({"dog", "cat"}, *data, "n").of_label, (std::vector<int32_t>{1, 0}));
  expect_in(message_of([&] { (void)match_classes({"dog", "bird"}, *data, "n"); }), "expected the class 'cat'");
  folder_.write("classnames.txt", "cat\n\ndog\n");
  expect_in(message_of([&] { (void)open("0.tar", kLabels); }),
            "classnames.txt:2: expected a class, found a blank line");
}

TEST_F(Folders, LabelsOfTwoSetsAgreeByName) {
  classes("train", {"apple", "kiwi", "plum"});
  classes("test", {"apple", "plum"});
  const auto train = open("train", kLabels), held_out = open("test", kLabels);
  EXPECT_EQ(labels_in(*held_out, "test", *train, "train"), (std::vector<int32_t>{0, 2}));
  EXPECT_TRUE(labels_in(*train, "train", *train, "train").empty());
  expect_in(message_of([&] { (void)labels_in(*train, "train", *held_out, "test"); }), "found no 'kiwi' there");
  std::vector<int32_t> labels = {1, 0, -1};
  relabel(labels, {0, 2});
  EXPECT_EQ(labels, (std::vector<int32_t>{2, 0, -1}));
}

}  // namespace
}  // namespace tessera::rils
