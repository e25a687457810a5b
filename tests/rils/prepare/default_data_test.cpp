#include "rils/prepare/default_data.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "engine/runtime/thread_pool.h"
#include "rils/prepare/cutout_library.h"
#include "tests/rils/data/test_files.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;

template <class E>
std::string message_of(const auto& action) {
  try {
    action();
  } catch (const E& e) {
    return e.what();
  }
  return "nothing thrown";
}

void touch(const fs::path& path, const std::string& text = "x") {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

TEST(FindAssets, NamesThePackageOfWhatIsMissing) {
  const test::TemporaryFolder folder;
  const auto expect = [&](const std::string& package) {
    const std::string text = message_of<IoError>([&] { (void)find_assets(folder.path()); });
    EXPECT_NE(text.find("Debian package " + package), std::string::npos) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos);
  };
  const fs::path share = folder.path() / "usr" / "share";
  expect("openclipart-svg");
  fs::create_directories(share / "openclipart/svg");
  expect("fonts-noto-color-emoji");
  touch(share / "fonts/truetype/noto/NotoColorEmoji.ttf");
  expect("unicode-data");
  touch(share / "unicode/emoji/emoji-test.txt");
  expect("dataset-fashion-mnist");
  touch(share / "datasets/fashion-mnist/train-images-idx3-ubyte.gz");
  EXPECT_EQ(find_assets(folder.path()).rsvg_convert, "rsvg-convert");
  EXPECT_EQ(find_assets(share).clipart, share / "openclipart/svg") << "usr/share itself serves as well";
  touch(folder.path() / "usr/bin/rsvg-convert");
  EXPECT_EQ(find_assets(folder.path()).rsvg_convert, folder.path() / "usr/bin/rsvg-convert");
}

/// A replacement for rsvg-convert that copies the SVG, and fails for SVGs that start with "bad" or "silent".
fs::path fake_rsvg(const fs::path& folder) {
  const fs::path path = folder / "fake-rsvg";
  touch(path,
        "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho run >>\"$0.log\"\n"
        "while [ $# -gt 1 ]; do [ \"$1\" = --output ] && out=$2; shift; done\n"
        "case \"$(cat \"$1\")\" in bad*) exit 3;; silent*) exit 0;; esac\ncp \"$1\" \"$out\"\n");
  fs::permissions(path, fs::perms::owner_all);
  return path;
}

TEST(RasteriserTest, DrawsOnceCountsFailuresAndKeepsOrder) {
  const test::TemporaryFolder folder;
  const auto file = [&](const std::string& name, const std::string& text) {
    touch(folder.path() / name, text);
    return folder.path() / name;
  };
  const std::vector<fs::path> svgs = {file("a.svg", "one"), file("b.svg", "bad"),    file("c.svg", "two"),
                                      file("d.svg", "one"), file("e.svg", "silent"), folder.path() / "missing.svg"};
  const Rasteriser rasteriser(fake_rsvg(folder.path()), folder.path() / "cache", 128);
  ThreadPool pool(2);
  for (int round = 0; round < 2; ++round) {
    std::vector<RasteriseFailure> failures;
    const auto pngs = rasteriser.run(svgs, pool, failures, {});
    ASSERT_EQ(pngs.size(), 6u);
    EXPECT_EQ(read_file(pngs[0]), "one");
    EXPECT_EQ(read_file(pngs[2]), "two");
    EXPECT_EQ(pngs[3], pngs[0]) << "equal files share a picture";
    ASSERT_EQ(failures.size(), 3u);
    EXPECT_EQ(failures[0].svg, svgs[1]);
    EXPECT_NE(failures[0].reason.find("failed with exit code 3"), std::string::npos) << failures[0].reason;
    EXPECT_EQ(failures[1].reason, "rsvg-convert wrote no picture");
    EXPECT_TRUE(pngs[5].empty());
    fs::remove(folder.path() / (round == 0 ? "fake-rsvg.log" : "none"));
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path() / "cache"), fs::directory_iterator{}), 2);
  EXPECT_EQ(read_file(folder.path() / "fake-rsvg.log"), "run\nrun\n")
      << "the second time only what had failed is tried";
}

TEST(RasteriserTest, MissingProgramNamesItsPackage) {
  const test::TemporaryFolder folder;
  const std::string text =
      message_of<IoError>([&] { Rasteriser(folder.path() / "no-such-program", folder.path() / "cache", 128); });
  EXPECT_NE(text.find("librsvg2-bin"), std::string::npos) << text;
}

TEST(PrepareDefault, OptionsOutOfRange) {
  const test::TemporaryFolder folder;
  const auto expect = [&](auto change, const std::string& word) {
    DefaultDataOptions options;
    options.out = folder.path() / "out";
    change(options);
    const std::string text = message_of<ConfigError>([&] { prepare_default(options); });
    EXPECT_NE(text.find(word), std::string::npos) << text;
  };
  expect([](auto& o) { o.train_scenes = 0; }, "train_scenes");
  expect([](auto& o) { o.image_size = 8; }, "image_size");
  expect([](auto& o) { o.jpeg_quality = 101; }, "jpeg_quality");
  EXPECT_FALSE(fs::exists(folder.path() / "out"));
}

TEST(PrepareDefault, ForeignAndUnwritableFolders) {
  const test::TemporaryFolder folder;
  DefaultDataOptions options;
  options.assets = folder.path();
  options.out = folder.path() / "out";
  touch(options.out / "scenes" / "mine.txt");
  EXPECT_NE(message_of<IoError>([&] { prepare_default(options); }).find("not made by prepare default"),
            std::string::npos);
  EXPECT_TRUE(fs::exists(options.out / "scenes" / "mine.txt"));
  touch(options.out / "prepared.json", R"({"made_by": "somebody else", "complete": true})");
  EXPECT_NE(message_of<IoError>([&] { prepare_default(options); }).find("not made by prepare default"),
            std::string::npos);
}

TEST(PrepareDefault, ACompleteFolderIsReused) {
  const test::TemporaryFolder folder;
  DefaultDataOptions options;
  options.assets = folder.path() / "no assets";
  options.out = folder.path() / "out";
  nlohmann::ordered_json stamp;
  stamp["made_by"] = "tessera prepare default";
  stamp["complete"] = true;
  stamp["options"] = {{"format", 1},
                      {"train_scenes", options.train_scenes},
                      {"test_scenes", options.test_scenes},
                      {"image_size", options.image_size},
                      {"scenes_per_shard", options.scenes_per_shard},
                      {"captions_per_scene", options.captions_per_scene},
                      {"views_per_object", options.views_per_object},
                      {"jpeg_quality", options.jpeg_quality},
                      {"seed", options.seed}};
  stamp["report"] = {{"train_scenes", 123}, {"distinct_captions", 0.5}};
  for (const char* part : {"scenes", "objects", "fashion-mnist"}) fs::create_directories(options.out / part);
  touch(options.out / "prepared.json", stamp.dump());
  const auto report = prepare_default(options);
  EXPECT_TRUE(report.reused);
  EXPECT_EQ(report.train_scenes, 123);
  EXPECT_EQ(report.distinct_captions, 0.5);
  options.threads = 3;
  EXPECT_TRUE(prepare_default(options).reused) << "threads do not change the data";

  // In all other cases the data are made again, which needs the assets.
  const auto is_remade = [&] {
    return message_of<IoError>([&] { prepare_default(options); }).find("openclipart-svg") != std::string::npos;
  };
  EXPECT_FALSE(is_remade());
  options.seed = 9;
  EXPECT_TRUE(is_remade());
  options.seed = 0;
  stamp["complete"] = false;
  touch(options.out / "prepared.json", stamp.dump());
  EXPECT_TRUE(is_remade());
  stamp["complete"] = "yes";
  touch(options.out / "prepared.json", stamp.dump());
  EXPECT_TRUE(is_remade()) << "a damaged stamp";
  stamp["complete"] = true;
  touch(options.out / "prepared.json", stamp.dump());
  EXPECT_FALSE(is_remade());
  fs::remove_all(options.out / "objects");
  EXPECT_TRUE(is_remade()) << "a part is gone";
}

TEST(PrepareDefault, FromThePackages) {
  const char* given = std::getenv("TESSERA_ASSETS");
  const fs::path assets = given != nullptr ? given : "/usr/share";
  try {
    (void)find_assets(assets);
  } catch (const IoError& e) {
    GTEST_SKIP() << e.what();
  }
  const test::TemporaryFolder folder;
  DefaultDataOptions options;
  options.assets = assets;
  options.out = folder.path() / "out";
  options.train_scenes = 60;
  options.test_scenes = 20;
  touch(options.out / "prepared.json", R"({"made_by": "tessera prepare default", "complete": false})");
  touch(options.out / "partial" / "left over.txt");  // left by an interrupted run, with its mark
  touch(options.out / "partial" / ".tessera-unfinished");
  touch(options.out / "scenes" / "stale.tar");
  const auto report = prepare_default(options);
  EXPECT_GT(report.concepts, 400);
  EXPECT_GT(report.held_out_cutouts, 200);
  EXPECT_GT(report.distinct_captions, 0.95);
  EXPECT_LT(report.failures.size(), 10u);
  EXPECT_FALSE(fs::exists(options.out / "partial"));
  EXPECT_FALSE(fs::exists(options.out / "scenes" / "stale.tar"));
  EXPECT_TRUE(fs::exists(options.out / "scenes" / "train" / "00000.tar"));
  EXPECT_TRUE(fs::exists(options.out / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz"));
  EXPECT_TRUE(prepare_default(options).reused);

  std::set<std::string> in_scenes, in_objects;
  std::ifstream table(options.out / "objects" / "cutouts.tsv");
  std::string line;
  std::getline(table, line);
  while (std::getline(table, line)) {
    const std::string picture =
        line.substr(line.find('\t', line.find('\t', line.find('\t', line.find('\t') + 1) + 1) + 1));
    (line.find("\tobjects\t") != std::string::npos ? in_objects : in_scenes).insert(picture);
  }
  for (const std::string& picture : in_objects) EXPECT_FALSE(in_scenes.contains(picture)) << picture;
}

}  // namespace
}  // namespace tessera::rils
