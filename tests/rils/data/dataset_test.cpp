#include "rils/data/dataset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "engine/core/atomic_file.h"
#include "engine/core/philox.h"
#include "rils/data/captions.h"
#include "rils/data/webdataset.h"
#include "tests/rils/data/golden_file.h"
#include "tests/rils/data/test_files.h"

namespace tessera::rils {
namespace {

using test::png_text;
using Members = std::vector<std::pair<std::string, std::string>>;

std::string reason_of(const Dataset& dataset, int64_t index) {
  try {
    (void)decode_sample(dataset.load(index));
  } catch (const SampleError& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.reason();
  }
  return "good";
}

Members sample(const std::string& key, int value, const std::string& caption) {
  return {{key + ".png", png_text(value)}, {key + ".txt", caption}, {key + ".json", R"({"width": 8})"}};
}

Members joined(const std::vector<Members>& parts) {
  Members all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

TEST(Captions, TextJsonAndLists) {
  using Captions = std::vector<std::string>;
  EXPECT_EQ(parse_captions("  a dog\n", "", false), Captions{"a dog"});
  EXPECT_EQ(parse_captions("one\n\ntwo\r\n", "", true), (Captions{"one", "two"}));
  EXPECT_EQ(parse_captions("a dog", R"({"caption": "other"})", false), Captions{"a dog"});
  EXPECT_EQ(parse_captions("", R"({"caption": " other "})", false), Captions{"other"});
  EXPECT_EQ(parse_captions("a", R"({"captions": ["x", " ", 3, "y"]})", false), (Captions{"x", "y"}));
  EXPECT_EQ(parse_captions("a", "{broken \"captions\"", false), Captions{"a"});
  EXPECT_EQ(parse_captions(" \n", R"({"caption": null})", false), Captions{});
  EXPECT_THROW((void)parse_captions("", "{broken", false), SampleError);
  for (const std::string json :
       {R"({"caption": ["x", "y"]})", R"({"captions": ["x", "y"]})", R"({"text": ["x", ["y"]]})", R"(["x", "y"])",
        R"({"captions": [{"id": 1, "caption": "x"}, {"text": "y"}]})", R"({"title": ["x", "y"], "caption": ""})",
        R"({"caption": null, "text": ["x", "y"], "title": "z"})"})
    EXPECT_EQ(parse_captions("", json, false), (Captions{"x", "y"})) << json;
  for (const std::string json : {R"({"caption": "x"})", R"({"captions": "x"})", R"({"text": "x"})", R"("x")"})
    EXPECT_EQ(parse_captions("", json, false), Captions{"x"}) << json;
  EXPECT_EQ(parse_captions("a", R"({"title": "x", "caption": ["y"]})", false), Captions{"a"});
  EXPECT_THROW((void)parse_captions("", std::string(100'000, '[') + std::string(100'000, ']'), false), SampleError);
  EXPECT_EQ(parse_label(" 12\n"), 12);
  for (const std::string bad : {"", "x", "-1", "1.5", "99999999999"})
    EXPECT_THROW((void)parse_label(bad), SampleError) << bad;
}

std::string reason_of_captions(std::string_view text, std::string_view json, TextEncoding fallback) {
  try {
    require_caption(parse_captions(text, json, false, fallback), !text.empty(), json);
  } catch (const SampleError& error) {
    return error.reason() + ": " + error.what();
  }
  return "good";
}

TEST(Captions, JsonBombsAreBadMetadata) {
  const auto reason = [](const std::string& json) {
    try {
      (void)parse_captions("", json, false);
    } catch (const SampleError& error) {
      return error.reason() + ": " + error.what();
    }
    return std::string("read");
  };
  const std::string deep = std::string(100'000, '[') + "\"a\"" + std::string(100'000, ']');
  std::string wide = R"({"caption": "a cat", "more": [)";
  for (size_t i = 0; i < kMostMetadataValues; ++i) wide += "[],";
  wide += "0]}";
  EXPECT_EQ(reason(deep), "bad metadata: the JSON metadata nest too deep or hold too many values");
  EXPECT_EQ(reason(wide), "bad metadata: the JSON metadata nest too deep or hold too many values");
  // The text beside it is a caption all the same.
  EXPECT_EQ(parse_captions("a dog", R"({"captions": )" + deep + "}", false), std::vector<std::string>{"a dog"});
}

TEST(Captions, AreDecodedOrRefused) {
  using namespace std::string_view_literals;
  constexpr auto utf8 = TextEncoding::utf_8, latin = TextEncoding::windows_1252;
  EXPECT_EQ(parse_captions("gr\xfcn", "", false, latin), std::vector<std::string>{"grün"});
  EXPECT_EQ(parse_captions("\xff\xfeg\0r\0\xfc\0n\0"sv, "", false), std::vector<std::string>{"grün"});
  EXPECT_EQ(parse_captions("", "\xff\xfe\"\0x\0\"\0"sv, false), std::vector<std::string>{"x"});
  EXPECT_TRUE(reason_of_captions("gr\xfcn", "", utf8).starts_with("text not UTF-8: ")) << "Latin-1";
  EXPECT_NE(reason_of_captions("g\0r\0"sv, "", latin).find("zero bytes"), std::string::npos);
  EXPECT_TRUE(reason_of_captions("", "{\"caption\": \"gr\xfcn\"}", utf8).starts_with("text not UTF-8: "));
  EXPECT_EQ(parse_captions("a", "{\"captions\": \"gr\xfcn\"}", false), std::vector<std::string>{"a"});
  EXPECT_EQ(reason_of_captions("", "{\"caption\": \"gr\xfcn\"}", latin), "good");
  EXPECT_EQ(reason_of_captions("", R"({"url": 1, "a\nb": 2})", utf8),
            "no caption: the sample has no caption; expected caption, captions, text or title in its JSON, found "
            "\"a\\nb\", \"url\"");
  EXPECT_TRUE(reason_of_captions(std::string(kLongestCaption + 1, 'a'), "", utf8).starts_with("caption too long"));
  EXPECT_TRUE(reason_of_captions("", "\"" + std::string(kLongestCaption + 1, 'a') + "\"", utf8)
                  .starts_with("caption too long"));
  EXPECT_TRUE(reason_of_captions("", std::string(kLongestMetadata + 1, ' '), utf8).starts_with("bad metadata"));
}

TEST(WebDataset, ACaptionThatCannotBeReadCostsNoImageWhereNoneIsNeeded) {
  const test::TemporaryFolder folder;
  const auto path = test::write_tar(folder.path() / "s.tar", joined({sample("a", 1, "gr\xfcn"), sample("b", 2, "red"),
                                                                     sample("c", 3, std::string(2 << 20, 'x'))}));
  DatasetOptions options;
  const auto texts = open_dataset(path.string(), options);
  EXPECT_EQ(reason_of(*texts, 0), skip::kBadEncoding);
  EXPECT_EQ(reason_of(*texts, 1), "good");
  EXPECT_EQ(reason_of(*texts, 2), skip::kLongCaption);
  options.text_encoding = TextEncoding::windows_1252;
  EXPECT_EQ(open_dataset(path.string(), options)->load(0).captions[0], "grün");
  options = {};
  options.need_caption = false;
  const auto images = open_dataset(path.string(), options);
  for (int64_t i = 0; i < 3; ++i) EXPECT_EQ(reason_of(*images, i), "good");
}

TEST(WebDataset, SamplesByKeyAcrossShards) {
  const test::TemporaryFolder folder;
  test::write_tar(folder.path() / "00000.tar",
                  joined({sample("000000000", 10, "first"), sample("000000001", 20, "second")}));
  test::write_tar(folder.path() / "00001.tar", {{"./sub/x.y.z", "?"},
                                                {"readme", "?"},
                                                {".hidden", "?"},
                                                {"000010000.txt", "third"},
                                                {"000010000.JPG", png_text(30)}});
  const auto dataset = open_dataset(folder.path().string() + "/{00000..00001}.tar", {});
  ASSERT_EQ(dataset->size(), 3);
  EXPECT_EQ(dataset->skipped().count(skip::kNoImage), 1);  // sub/x has no image
  const std::vector<std::string> captions = {"first", "second", "third"};
  for (int64_t i = 0; i < 3; ++i) {
    const Sample loaded = dataset->load(i);
    EXPECT_EQ(loaded.captions, std::vector{captions[static_cast<size_t>(i)]});
    EXPECT_EQ(decode_sample(loaded).pixels[0], 10 * (i + 1));
    EXPECT_TRUE(dataset->load(i, false).encoded.empty());
  }
  EXPECT_EQ(dataset->name(2), "00001.tar/000010000");
  EXPECT_EQ(dataset->load(2).key, "000010000");
  EXPECT_THROW((void)dataset->load(3), ConfigError);
}

/// A WebP, a missing caption, an empty caption, a broken image and a cut tar are each counted under their reason.
TEST(WebDataset, BadSamplesAreCountedByReason) {
  const test::TemporaryFolder folder;
  const auto webp = test::text_of(test::GoldenFile("decode").bytes("webp_lossy.bytes"));
  test::write_tar(folder.path() / "0.tar", joined({{{"a.webp", webp}, {"a.txt", "a web picture"}},
                                                   {{"b.png", png_text(1)}},
                                                   {{"c.txt", "no picture"}},
                                                   {{"d.png", png_text(2)}, {"d.txt", " \n"}},
                                                   {{"e.jpg", "this is not a picture"}, {"e.txt", "e"}},
                                                   sample("f", 6, "good")}));
  const auto second = test::write_tar(folder.path() / "1.tar",
                                      joined({sample("g", 7, "good"), sample("h", 8, "lost"), sample("i", 9, "lost")}));
  const std::string bytes = read_file(second);
  // Cuts inside the image of h.
  const size_t h = bytes.find("h.png");
  folder.write("1.tar", std::string_view(bytes).substr(0, h + 512 + 20));

  const auto dataset = open_dataset(folder.path().string(), {});
  EXPECT_EQ(dataset->skipped().count(skip::kNoCaption), 1);
  EXPECT_EQ(dataset->skipped().count(skip::kNoImage), 1);
  EXPECT_EQ(dataset->skipped().count(skip::kCutShard), 1);
  EXPECT_EQ(dataset->skipped().total(), 3);
  EXPECT_NE(dataset->skipped().entries().at(skip::kCutShard).example.find("1.tar: the archive is cut short: 'h.png'"),
            std::string::npos);
  ASSERT_EQ(dataset->size(), 5);
  EXPECT_EQ(dataset->total(), 8);
  EXPECT_EQ(reason_of(*dataset, 0), "good");
  EXPECT_EQ(reason_of(*dataset, 1), skip::kEmptyCaption);
  EXPECT_EQ(reason_of(*dataset, 2), skip::kUnknownFormat);
  EXPECT_EQ(reason_of(*dataset, 3), "good");
  EXPECT_EQ(reason_of(*dataset, 4), "good");
  EXPECT_EQ(dataset->name(4), "1.tar/g");
}

/// Wherever a shard is cut, the whole samples before the cut are kept and at most one is counted as lost.
TEST(WebDataset, AShardCutAnywhereKeepsWhatIsWhole) {
  const test::TemporaryFolder folder;
  const auto path = test::write_tar(folder.path() / "s.tar",
                                    joined({sample("a", 1, "one"), sample("b", 2, "two"), sample("c", 3, "three")}));
  const std::string whole = read_file(path);
  // A sample is usable once its caption is complete. If the cut lies in the JSON member after it, the sample may be
  // lost.
  for (size_t length = 0; length < whole.size(); length += 37) {
    folder.write("cut.tar", std::string_view(whole).substr(0, length));
    const WebDataset dataset({folder.path() / "cut.tar"}, {});
    EXPECT_LE(dataset.skipped().total(), 1) << length;
    const size_t end_of_data = whole.find("c.json") + 512 + 12;
    if (length < end_of_data && length % 512 != 0) {
      const bool padding = dataset.skipped().total() == 0;  // after the last byte of a member's data
      EXPECT_TRUE(padding || dataset.skipped().count(skip::kCutShard) == 1) << length;
    }
    for (int64_t i = 0; i < dataset.size(); ++i) EXPECT_EQ(reason_of(dataset, i), "good") << length;
    const bool loss_is_told = dataset.skipped().total() == 1 || !dataset.notes().empty();
    EXPECT_TRUE(loss_is_told || length >= whole.size() - 1024) << length;
  }
}

TEST(WebDataset, DamagedShardIsCounted) {
  const test::TemporaryFolder folder;
  const auto path = test::write_tar(folder.path() / "s.tar", joined({sample("a", 1, "one"), sample("b", 2, "two")}));
  std::string bytes = read_file(path);
  bytes[bytes.find("b.png") + 3] = 'X';
  folder.write("s.tar", bytes);
  const auto dataset = open_dataset(path.string(), {});
  EXPECT_EQ(dataset->size(), 1);
  EXPECT_EQ(dataset->skipped().count(skip::kCorruptShard), 1);
}

TEST(WebDataset, LabelsAndClassNames) {
  const test::TemporaryFolder folder;
  folder.write("classnames.txt", "cat\nsnow leopard\n");
  std::filesystem::create_directories(folder.path() / "test");
  test::write_tar(
      folder.path() / "test" / "0.tar",
      {{"s0.cls", "1"}, {"s0.png", png_text(1)}, {"s1.cls", "x"}, {"s1.png", png_text(2)}, {"s2.png", png_text(3)}});
  DatasetOptions options;
  options.need_caption = false;
  options.need_label = true;
  const auto dataset = open_dataset((folder.path() / "test").string(), options);
  ASSERT_EQ(dataset->size(), 2);
  EXPECT_EQ(dataset->class_names(), (std::vector<std::string>{"cat", "snow leopard"}));
  EXPECT_EQ(dataset->load(0).label, 1);
  EXPECT_EQ(reason_of(*dataset, 1), skip::kBadLabel);
  EXPECT_EQ(dataset->skipped().count(skip::kNoLabel), 1);
}

TEST(WebDataset, OrderDoesNotDependOnThreads) {
  const test::TemporaryFolder folder;
  for (int s = 0; s < 12; ++s)
    test::write_tar(folder.path() / (std::to_string(s) + ".tar"),
                    joined({sample(std::to_string(s) + "a", s, "x"), sample(std::to_string(s) + "b", s, "y")}));
  std::vector<std::string> expected;
  for (const int threads : {1, 2, 7}) {
    DatasetOptions options;
    options.threads = threads;
    const auto dataset = open_dataset(folder.path().string() + "/*.tar", options);
    std::vector<std::string> names;
    for (int64_t i = 0; i < dataset->size(); ++i) names.push_back(dataset->name(i));
    if (expected.empty()) expected = names;
    EXPECT_EQ(names, expected);
  }
  EXPECT_EQ(expected.size(), 24u);
  EXPECT_EQ(expected[4], "2.tar/2a");
}

TEST(Files, Img2datasetsFolders) {
  const test::TemporaryFolder folder;
  folder.write("00000.parquet", "PAR1");
  folder.write("00000_stats.json", "{}");
  for (const std::string key : {"00000/000000000", "00000/000000001", "00001/000010000"}) {
    folder.write(key + ".jpg", png_text(5));
    folder.write(key + ".txt", "caption of " + key);
    folder.write(key + ".json", "{}");
  }
  folder.write("00001/000010001.jpg", png_text(5));
  folder.write("00001/000010002.json", R"({"status": "failed"})");
  const auto dataset = open_dataset(folder.path().string(), {});
  ASSERT_EQ(dataset->size(), 3);
  EXPECT_EQ(dataset->load(2).captions[0], "caption of 00001/000010000");
  EXPECT_EQ(dataset->name(2), "00001/000010000");
  EXPECT_EQ(dataset->skipped().count(skip::kNoCaption), 1);
  EXPECT_EQ(dataset->skipped().count(skip::kNoImage), 1);
  std::filesystem::remove(folder.path() / "00000/000000001.jpg");
  EXPECT_EQ(reason_of(*dataset, 1), skip::kMissingFile);
}

TEST(Folder, ClassesAsImageFolderCountsThem) {
  const test::TemporaryFolder folder;
  folder.write("b/2.png", png_text(1));
  folder.write("b/10.PNG", png_text(2));
  folder.write("B/x.jpeg", png_text(3));
  folder.write("a/deep/y.png", png_text(4));
  folder.write("a/notes.txt", "no image");
  folder.write("loose.png", png_text(5));
  DatasetOptions options;
  options.need_caption = false;
  options.need_label = true;
  const auto dataset = open_dataset(folder.path().string(), options);
  ASSERT_EQ(dataset->size(), 4);
  EXPECT_EQ(dataset->class_names(), (std::vector<std::string>{"B", "a", "b"}));
  std::vector<std::string> names;
  std::vector<int32_t> labels;
  for (int64_t i = 0; i < 4; ++i) {
    names.push_back(dataset->name(i));
    labels.push_back(dataset->load(i).label);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"B/x.jpeg", "a/deep/y.png", "b/10.PNG", "b/2.png"}));
  EXPECT_EQ(labels, (std::vector<int32_t>{0, 1, 2, 2}));
  EXPECT_THROW((void)open_dataset(folder.path().string(), {}), ConfigError);  // the folder has no captions
}

TEST(Table, SeveralCaptionsAndMissingFiles) {
  const test::TemporaryFolder folder;
  folder.write("images/1.png", png_text(1));
  const auto table = folder.write("t.csv", "filepath,title\nimages/1.png,one\nimages/2.png,two\nimages/1.png,uno\n");
  for (const auto& source : {table.string(), folder.path().string()}) {
    DatasetOptions options;
    const auto dataset = open_dataset(source, options);
    ASSERT_EQ(dataset->size(), 2);
    EXPECT_EQ(dataset->load(0).captions, (std::vector<std::string>{"one", "uno"}));
    EXPECT_EQ(dataset->caption_count(0), 2);
    EXPECT_EQ(reason_of(*dataset, 1), skip::kMissingFile);
  }
  DatasetOptions options;
  options.table.image_root = folder.path() / "images" / "..";
  EXPECT_EQ(reason_of(*open_dataset(table.string(), options), 0), "good");
}

TEST(Open, JoinsSourcesOfDifferentKinds) {
  const test::TemporaryFolder folder;
  folder.write("1.png", png_text(1));
  const auto table = folder.write("t.csv", "filepath,title\n1.png,one\n");
  test::write_tar(folder.path() / "0.tar", sample("a", 3, "two"));
  test::write_tar(folder.path() / "1.tar", sample("b", 4, "three"));
  const auto dataset =
      open_dataset(table.string() + "::" + folder.path().string() + "/{0..1}.tar::" + table.string(), {});
  ASSERT_EQ(dataset->size(), 4);
  std::vector<std::string> captions;
  for (int64_t i = 0; i < 4; ++i) captions.push_back(dataset->load(i).captions[0]);
  EXPECT_EQ(captions, (std::vector<std::string>{"one", "two", "three", "one"}));
  EXPECT_EQ(dataset->name(2), "1.tar/b");
}

std::string refusal(const std::string& source, const DatasetOptions& options = {}) {
  try {
    (void)open_dataset(source, options);
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "opened";
}

TEST(Open, MistakesGetOneClearLine) {
  const test::TemporaryFolder folder;
  EXPECT_NE(refusal((folder.path() / "absent.tar").string()).find("absent.tar: the file or folder does not exist"),
            std::string::npos);
  DatasetOptions classes;
  classes.need_caption = false;
  EXPECT_NE(refusal(folder.path().string(), classes).find("expected images (loose or in folders"), std::string::npos);
  EXPECT_NE(refusal(folder.write("a.bin", "x").string()).find("cannot detect the type"), std::string::npos);
  EXPECT_NE(
      refusal(folder.write("e.tar", "").string()).find("no usable sample; 1 skipped (shard cut short: 1, first e.tar"),
      std::string::npos);
  EXPECT_NE(refusal(folder.write("g.tar", std::string(2000, 'g')).string()).find("corrupt shard"), std::string::npos);
  EXPECT_THROW((void)dataset_type("parquet"), ConfigError);
  EXPECT_EQ(dataset_type("csv"), DatasetType::table);
}

TEST(Synthetic, SamplesDependOnSeedAndIndexOnly) {
  DatasetOptions options;
  options.type = DatasetType::synthetic;
  options.synthetic_samples = 50;
  options.synthetic_size = 17;
  const auto a = open_dataset("", options), b = open_dataset("", options);
  options.seed = 1;
  const auto other = open_dataset("", options);
  int same = 0;
  std::set<std::string> captions;
  for (int64_t i = 0; i < 50; ++i) {
    EXPECT_EQ(a->load(i).decoded->pixels, b->load(i).decoded->pixels);
    same += a->load(i).decoded->pixels == other->load(i).decoded->pixels ? 1 : 0;
    captions.insert(a->load(i).captions.at(0));
  }
  EXPECT_EQ(same, 0);
  EXPECT_GT(captions.size(), 35u);
}

/// The hold-out depends on names only: the hashes are fixed, and order and other names do not matter.
TEST(HoldOut, SmallestHashes) {
  std::vector<std::string> names;
  for (int i = 0; i < 500; ++i) names.push_back("image" + std::to_string(i) + ".jpg");
  const auto held = hold_out(names, 40);
  ASSERT_EQ(held.size(), 40u);
  EXPECT_TRUE(std::ranges::is_sorted(held));
  uint64_t largest_held = 0;
  for (const int64_t i : held) largest_held = std::max(largest_held, fnv1a64(names[static_cast<size_t>(i)]));
  for (size_t i = 0; i < names.size(); ++i)
    EXPECT_EQ(std::ranges::binary_search(held, static_cast<int64_t>(i)), fnv1a64(names[i]) <= largest_held);
  auto reversed = names;
  std::ranges::reverse(reversed);
  std::set<std::string> first, second;
  for (const int64_t i : held) first.insert(names[static_cast<size_t>(i)]);
  for (const int64_t i : hold_out(reversed, 40)) second.insert(reversed[static_cast<size_t>(i)]);
  EXPECT_EQ(first, second);
  EXPECT_EQ(hold_out(names, 1000).size(), 500u);
  EXPECT_TRUE(hold_out(names, 0).empty());
  EXPECT_EQ(fnv1a64("a"), 0xaf63dc4c8601ec8cull);  // a published value
}

TEST(Subset, KeepsItsSamples) {
  DatasetOptions options;
  options.type = DatasetType::synthetic;
  options.synthetic_samples = 10;
  const std::shared_ptr<const Dataset> whole = open_dataset("", options);
  const SubsetDataset subset(whole, {7, 2});
  EXPECT_EQ(subset.size(), 2);
  EXPECT_EQ(subset.name(0), whole->name(7));
  EXPECT_THROW(SubsetDataset(whole, {10}), ConfigError);
}

}  // namespace
}  // namespace tessera::rils
