// Shards as people write them: repeated keys, members apart, names with dots, joined and compressed archives, links.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "engine/core/atomic_file.h"
#include "rils/data/dataset.h"
#include "tests/rils/data/archives.h"
#include "tests/rils/data/test_files.h"

namespace tessera::rils {
namespace {

using test::png_text;
using Members = std::vector<std::pair<std::string, std::string>>;
using Counts = std::map<std::string, int64_t>;

class ShardsTest : public testing::Test {
 protected:
  std::unique_ptr<Dataset> open(const Members& members, const DatasetOptions& options = {}) {
    // Samples that are all lost are an error; one that is good keeps the data set open.
    Members all = {{"good.png", png_text(200)}, {"good.txt", "good"}, {"good.cls", "7"}};
    all.insert(all.end(), members.begin(), members.end());
    return open_dataset(test::write_tar(folder_.path() / "s.tar", all).string(), options);
  }
  static Counts skipped(const Dataset& data) {
    Counts counts;
    for (const auto& [reason, entry] : data.skipped().entries()) counts[reason] = entry.count;
    return counts;
  }
  /// The grey value and the captions of each sample.
  static std::vector<std::pair<int, std::string>> pairs(const Dataset& data) {
    std::vector<std::pair<int, std::string>> found;
    for (int64_t i = 0; i < data.size(); ++i) {
      const Sample sample = data.load(i);
      found.emplace_back(decode_sample(sample).pixels[0], sample.captions.empty() ? "" : sample.captions[0]);
    }
    return found;
  }
  static DatasetOptions images_only() {
    DatasetOptions options;
    options.need_caption = false;
    return options;
  }
  test::TemporaryFolder folder_;
};

TEST_F(ShardsTest, ARepeatedMemberBeginsANewSample) {
  const auto data = open({{"0.png", png_text(1)},
                          {"0.txt", "one"},
                          {"0.png", png_text(2)},
                          {"0.TXT", "two"},
                          {"1.png", png_text(3)},
                          {"1.png", png_text(4)},
                          {"1.txt", "four"},
                          {"1.txt", "five"}});
  EXPECT_EQ(pairs(*data),
            (std::vector<std::pair<int, std::string>>{{200, "good"}, {1, "one"}, {2, "two"}, {4, "four"}}));
  EXPECT_EQ(skipped(*data), (Counts{{skip::kNoCaption, 1}, {skip::kNoImage, 1}}));
  EXPECT_NE(data->skipped().describe().find("several samples of this key"), std::string::npos);
}

TEST_F(ShardsTest, MembersApartAreOneLostSampleEach) {
  const Members apart = {{"0.png", png_text(1)}, {"1.png", png_text(2)}, {"2.png", png_text(3)},
                         {"0.txt", "one"},       {"1.txt", "two"},       {"3.txt", "no picture"}};
  const auto data = open(apart);
  EXPECT_EQ(skipped(*data), (Counts{{skip::kApart, 2}, {skip::kNoCaption, 1}, {skip::kNoImage, 1}}));
  EXPECT_NE(data->skipped().describe().find("tar --sort=name"), std::string::npos);
  // Without captions the images are whole samples; the texts behind them are named, not counted.
  const auto images = open(apart, images_only());
  EXPECT_EQ(images->size(), 4);
  EXPECT_EQ(skipped(*images), (Counts{{skip::kNoImage, 1}}));
  ASSERT_EQ(images->notes().size(), 1u);
  EXPECT_NE(images->notes()[0].find("s.tar: members that lie apart"), std::string::npos) << images->notes()[0];
  // Labels and folders of their own.
  DatasetOptions labels = images_only();
  labels.need_label = true;
  EXPECT_EQ(
      skipped(*open({{"i/0.png", png_text(1)}, {"i/1.png", png_text(1)}, {"l/0.cls", "1"}, {"l/1.cls", "2"}}, labels)),
      (Counts{{skip::kApart, 2}}));
  EXPECT_EQ(skipped(*open({{"a/0.png", png_text(1)}, {"b/0.png", png_text(1)}})), (Counts{{skip::kNoCaption, 2}}));
}

TEST_F(ShardsTest, NamesWithDotsAreCountedByImage) {
  const auto data = open({{"v.1.png", png_text(1)},
                          {"v.1.txt", "one"},
                          {"v.2.png", png_text(2)},
                          {"v.2.txt", "two"},
                          {"w.final.png", png_text(3)},
                          {"w.final.json", "{}"}});
  EXPECT_EQ(skipped(*data), (Counts{{skip::kDottedName, 3}}));
  EXPECT_NE(data->skipped().describe().find("s.tar/v.1: the extension begins at the first dot"), std::string::npos);
  // Beside the image of the key, a name with dots is a part of the sample unless it has a caption of its own.
  const auto parts = open({{"x.png", png_text(1)}, {"x.mask.png", png_text(2)}, {"x.txt", "one"}});
  EXPECT_EQ(parts->size(), 2);
  EXPECT_EQ(parts->skipped().total(), 0);
  const auto lost = open({{"x.png", png_text(1)}, {"x.txt", "one"}, {"x.2.png", png_text(2)}, {"x.2.txt", "two"}});
  EXPECT_EQ(lost->size(), 2);
  EXPECT_EQ(skipped(*lost), (Counts{{skip::kDottedName, 1}}));
  // An image key with a dot is what the user asks for.
  DatasetOptions left;
  left.image_key = "left.png;png";
  EXPECT_EQ(open({{"x.left.png", png_text(1)}, {"x.right.png", png_text(2)}, {"x.txt", "one"}}, left)->size(), 2);
}

TEST_F(ShardsTest, TextKeysInAnyCase) {
  DatasetOptions options;
  options.text_key = "Caption";
  const auto data = open({{"0.png", png_text(1)}, {"0.CAPTION", "one"}}, options);
  EXPECT_EQ(pairs(*data), (std::vector<std::pair<int, std::string>>{{1, "one"}}));
}

TEST_F(ShardsTest, LinksAreCounted) {
  const auto path =
      test::write_tar(folder_.path() / "s.tar", {{"0.png", png_text(1)}, {"0.txt", "one"}, {"1.png", ""}});
  std::string bytes = read_file(path);
  test::change_type(bytes, bytes.find("1.png"), '1');
  folder_.write("s.tar", bytes);
  const auto data = open_dataset(path.string(), {});
  EXPECT_EQ(data->size(), 1);
  EXPECT_EQ(skipped(*data), (Counts{{skip::kNoImage, 1}}));
  EXPECT_NE(data->skipped().describe().find("links are not followed"), std::string::npos);
}

std::string archive(const test::TemporaryFolder& folder, int first, int last) {
  Members members;
  for (int i = first; i <= last; ++i) {
    members.emplace_back(std::to_string(i) + ".png", png_text(i));
    members.emplace_back(std::to_string(i) + ".txt", "caption " + std::to_string(i));
  }
  return read_file(test::write_tar(folder.path() / "made" / "a.tar", members));
}

TEST_F(ShardsTest, JoinedArchivesAreReadToTheEnd) {
  std::filesystem::create_directories(folder_.path() / "made");
  const std::string a = archive(folder_, 0, 1), b = archive(folder_, 2, 4), zeros(10240, '\0');
  const auto joined = folder_.write("joined.tar", a + zeros + b + zeros);
  const auto data = open_dataset(joined.string(), {});
  ASSERT_EQ(data->size(), 5);
  EXPECT_EQ(data->load(4).captions[0], "caption 4");
  EXPECT_EQ(data->skipped().total(), 0);
  ASSERT_EQ(data->notes().size(), 1u);
  EXPECT_NE(data->notes()[0].find("joined end to end"), std::string::npos);
  // What follows may also be cut short, or no archive.
  const auto cut = open_dataset(folder_.write("cut.tar", a + b.substr(0, b.find("3.png") + 520)).string(), {});
  EXPECT_EQ(cut->size(), 3);
  EXPECT_EQ(cut->skipped().count(skip::kCutShard), 1);
  const auto other = open_dataset(folder_.write("other.tar", a + zeros + "something else").string(), {});
  EXPECT_EQ(other->size(), 2);
  ASSERT_EQ(other->notes().size(), 1u);
  EXPECT_NE(other->notes()[0].find("no archive"), std::string::npos);
}

TEST_F(ShardsTest, CompressedShardsAreRead) {
  std::filesystem::create_directories(folder_.path() / "made");
  const std::string tars[] = {archive(folder_, 0, 1), archive(folder_, 2, 3), archive(folder_, 4, 5),
                              archive(folder_, 6, 7)};
  std::filesystem::remove_all(folder_.path() / "made");
  folder_.write("0.tar", tars[0]);
  folder_.write("1.tar.gz", test::gzipped(tars[1]));
  folder_.write("2.tgz", test::gzipped(tars[2].substr(0, 3000)) + test::gzipped(tars[2].substr(3000)));
  folder_.write("3.TAR", tars[3]);
  folder_.write("4.tar.zst", std::string("\x28\xb5\x2f\xfd", 4) + std::string(2000, 'z'));
  folder_.write("5.tar", "version https://git-lfs.github.com/spec/v1\n" + std::string(600, 'x'));
  const auto data = open_dataset(folder_.path().string(), {});
  ASSERT_EQ(data->size(), 8);
  for (const int64_t i : {7, 0, 3, 2, 5, 4, 1, 6}) {
    EXPECT_EQ(data->load(i).captions[0], "caption " + std::to_string(i));
    EXPECT_EQ(decode_sample(data->load(i)).pixels[0], i);
  }
  EXPECT_EQ(skipped(*data), (Counts{{skip::kCorruptShard, 2}}));
  EXPECT_NE(data->skipped().describe().find("4.tar.zst: the archive is compressed by zstd"), std::string::npos);
  ASSERT_EQ(data->notes().size(), 1u);
  EXPECT_NE(data->notes()[0].find("1.tar.gz and 1 more: compressed shards"), std::string::npos);
  // A gzipped shard that is cut short keeps its whole samples.
  const std::string packed = test::gzipped(tars[0]);
  const auto cut = open_dataset(folder_.write("cut.tar.gz", packed.substr(0, packed.size() - 60)).string(), {});
  EXPECT_GE(cut->size(), 1);
  EXPECT_TRUE(cut->skipped().total() == 1 || cut->notes().size() == 3);
}

TEST_F(ShardsTest, ShardsInSubfoldersAreNamed) {
  std::filesystem::create_directories(folder_.path() / "a");
  test::write_tar(folder_.path() / "a" / "0.tar", {{"0.png", png_text(1)}, {"0.txt", "one"}});
  try {
    (void)open_dataset(folder_.path().string(), {});
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("a/0.tar lies below"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("/*/*.tar'"), std::string::npos) << error.what();
  }
  EXPECT_EQ(open_dataset(folder_.path().string() + "/*/*.tar", {})->size(), 1);
}

}  // namespace
}  // namespace tessera::rils
